package broker

import "context"

// Starter is an optional capability: it records that an attempt is about to start. A minion
// that dies holds tasks that it had started and tasks that it had not. Only a task that had
// started can have killed it.
//
// A record of every start would cost each task a request, so minions record starts only for
// tasks that a minion held when it died. Without a Starter they charge a death to every
// task that the dead minion held.
type Starter interface {
	// RecordStart records that the consumer d.Minion, which was opened at this Broker, is
	// about to start an attempt that it owns. If the lease of the consumer ends, the task
	// comes back with a strike in addition to the recovery; see Delivery.Strikes. The
	// record ends when the attempt is settled or given back. A repeated call changes
	// nothing.
	//
	// RecordStart returns the recoveries and strikes by which the task is to be judged.
	// Excused ones are not counted: the end of a lease is excused when the consumer is
	// closed after it, because that shows that its process lives. The error wraps
	// ErrLeaseLost if the consumer does not own that attempt.
	RecordStart(ctx context.Context, d *Delivery) (recoveries, strikes int, err error)
}
