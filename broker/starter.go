package broker

import "context"

// Starter is an optional capability: it records that an attempt is about to start.
// A minion that dies holds tasks that it had started and others that it had not, and
// only one that had started can have killed it.
// A record of every start would cost each task a request, so minions ask for it only
// for tasks that a minion held when it died. Without a Starter they must charge each
// task that a minion held with its death.
type Starter interface {
	// RecordStart records that the consumer d.Minion is about to start an attempt that
	// it owns. If the consumer's lease ends, the task comes back with a strike beside
	// the recovery: see Delivery.Strikes. When the attempt is settled or given back the
	// record ends. A repeated call changes nothing. RecordStart returns the recoveries
	// and strikes of the task as they are to be judged: without those that are excused.
	// The end of a lease is excused when the consumer is closed after it, for that shows
	// that its process lives. The error wraps ErrLeaseLost if the consumer does not own
	// that attempt.
	RecordStart(ctx context.Context, d *Delivery) (recoveries, strikes int, err error)
}
