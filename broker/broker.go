package broker

import (
	"context"
	"time"
)

// Broker keeps tasks between arbiters and minions. Its methods may be called concurrently.
// Unless a method says otherwise, it reads its arguments only until it returns, and its
// results belong to the caller.
//
// A method that waits for a store returns soon after its context has ended. The error wraps
// the error of the context. The request may still be carried out then, and the arguments
// may still be read; the error wraps [ErrIndeterminate], too, if a request was sent.
//
// After Close every method but Limits and Close returns an error that wraps [ErrClosed] and
// names what is closed. If the store can't be reached the error wraps [ErrUnavailable], and
// also [ErrIndeterminate] if the request may have taken effect. If stored data is damaged
// so that the request can't be carried out, the error wraps [ErrDamaged].
type Broker interface {
	// Enqueue stores tasks. It returns nil only if all of them are stored. Otherwise the
	// error is mostly a *BatchError. Its entry for a task is set if the task was not
	// stored, or if that is not known:
	//
	//   - ErrInvalid, ErrTooLarge or ErrUnsupported if the task can't be stored as it is;
	//   - a *DuplicateError if another task has the id or the unique key;
	//   - a *FullError if the task has Bounded set and its queue is full;
	//   - ErrUnavailable or ErrDamaged, with ErrIndeterminate if the task may be stored all
	//     the same;
	//   - ErrMalformed or ErrVersion if the store has a record of that id that can't be
	//     read.
	//
	// Any other error is about the whole batch, such as ErrClosed or the error of ctx. Each
	// task may then be stored or not, and the batch may be sent again.
	//
	// A refused task leaves nothing behind, and the rest of the batch is stored all the
	// same.
	//
	// If several tasks of a batch have the same id or unique key, the first one counts.
	// Enqueueing a task again, with the same id and content ([Task.Digest]), returns nil
	// and changes nothing while its record lives. The record lives from the enqueue until
	// the retention after the final state is over, and for MinTombstone after that state at
	// least. The retention of a dead letter is the longer of Retention and DeadFor. More
	// than MaxBatch tasks are stored in several parts.
	Enqueue(ctx context.Context, tasks []*Task) error

	// Lookup returns one Status for each id, in order. The state is StateUnknown for an id
	// without a record, and for an id that is neither a task's nor a flow's. Once the
	// retention of a task is over, the state is unknown, or final without an outcome. If a
	// record can't be read, the error is in its own Status, and the others are looked up
	// all the same.
	Lookup(ctx context.Context, ids []ID) ([]Status, error)

	// Cancel ends tasks. A task that waits in the broker is final when Cancel returns, and
	// never starts. Its inbox is notified, and its outcome has neither a Minion nor a
	// Started time. A task that runs is marked. Its owner is told through
	// ConsumerConfig.OnCancel, and it is never retried or given back.
	//
	// Of up to MaxBatch tasks of a queue, Cancel first ends those that wait, and then tells
	// the owners of those that run. An owner that frees a slot can therefore not use it for
	// another task of the same call.
	//
	// There is one verdict for each id, in order. Cancelling a task again is harmless. The
	// verdict is CancelTooLate for a task that waited, and CancelRequested again for one
	// that still runs. An unknown id is not remembered, and may be enqueued later. A task
	// whose record can't be read counts as unknown, and so does the id of a flow; see
	// Flows. After an error some of the tasks may be cancelled.
	//
	// The owner may still settle a cancelled task as it likes, also as succeeded. If the
	// owner closes or dies instead, the task is final at once, or it is handed out once
	// more with Delivery.Canceled set, to be settled as canceled. A broker that does not
	// open the records of waiting tasks may keep their outcome for DefaultRetention,
	// whatever the retention of the task is, and may leave out the name.
	Cancel(ctx context.Context, ids []ID) ([]CancelVerdict, error)

	// Consume opens a consumer, which represents one minion. The consumer is registered
	// when Consume returns. It owns the tasks that it dequeues until Close, or until its
	// lease ends without a heartbeat. It is ErrInvalid to give no queues, a queue whose
	// name is not valid, or fewer than one slot. A refused consumer makes no queue known.
	Consume(ctx context.Context, cfg ConsumerConfig) (Consumer, error)

	// Inbox opens the inbox with the id. It receives the outcome of each task and flow with
	// that id as its Inbox, once. An outcome that becomes final while the inbox is not open
	// may be lost, and nobody gets an error for that. If an inbox is opened again while it is
	// open, here or by another client of the store, each opening gets each outcome. An
	// opening holds up to MaxInbox notices. Further ones are dropped, and Mail.Gap reports
	// that.
	Inbox(ctx context.Context, id ID) (Inbox, error)

	// Minions returns the living consumers of all clients of the store, as of their last
	// heartbeats. A consumer that is closed, or whose lease is over, is no longer listed.
	Minions(ctx context.Context) ([]MinionInfo, error)

	// Publish appends events to their topics, in order. A topic keeps about its last
	// MaxInbox events, each for about DefaultRetention. A topic whose name is not valid is
	// ErrInvalid, a payload over Limits.Payload is ErrTooLarge; then no event of the call is
	// published. After another error some of the events may be published. Those are
	// published twice if Publish is repeated.
	Publish(ctx context.Context, events []Event) error

	// Subscribe opens a reader of a topic that begins after the cursor: CursorNow for
	// events that are published after Subscribe has returned, CursorStart for all events
	// that are kept, or the Cursor of an event. The topic need not have any events yet.
	// Every subscription gets every event. It is ErrInvalid if the name of the topic is not
	// valid, or if the cursor is not from this broker.
	Subscribe(ctx context.Context, topic string, after Cursor) (Subscription, error)

	// Limits returns the sizes that the broker enforces.
	Limits() Limits

	// Close releases the resources of the broker and ends every wait with ErrClosed. It
	// also closes the consumers, inboxes and subscriptions that were opened through this
	// Broker; their own Close then returns nil or ErrClosed. The consumers do not give back
	// their tasks: these come back when the leases end. Close may be called twice; the
	// second call returns nil.
	Close() error
}

// CancelVerdict is the answer of Cancel for one task.
type CancelVerdict uint8

// The verdicts.
const (
	CancelUnknown   CancelVerdict = iota // no such task
	CancelPrevented                      // it waited; it is canceled now and never starts
	CancelRequested                      // it runs; its owner has been told
	CancelTooLate                        // it was final before
)

// String returns the verdict in words, such as "never started".
func (v CancelVerdict) String() string {
	return [...]string{"unknown", "never started", "stopping", "too late"}[v&3]
}

// ConsumerConfig describes a consumer. Its callbacks may call the broker and the consumer,
// and must return soon; the package comment has the rules. A callback may be nil.
type ConsumerConfig struct {
	Queues []string // the queues that it may dequeue from; at least one
	Slots  int      // how many tasks it can run at once, at least 1; for MinionInfo, since each Dequeue has a limit of its own
	Host   string   // name of the minion's machine, for MinionInfo; may be empty
	PID    int      // id of the minion's process, for MinionInfo; may be 0

	// Tasks are the tasks that the consumer can run: the hash of the schema ([Task].Schema)
	// by task name, 0 if the hash is not known. MinionInfo shows them, and a [Parker] hands
	// the consumer parked tasks of these names, so none if Tasks is empty. The map must not
	// be changed any more.
	Tasks map[string]uint64

	// OnAbandoned is called to decide how an abandoned parked task ends; see [Parker]. The
	// queue of the task has no consumer, and need not be one of this consumer's queues. The
	// answer is an outcome with the state StateFailed; with any other state the task stays
	// as it is. The consumer does not become the owner of the task: it may be asked again,
	// other consumers may be asked too, and one of the answers counts. OnAbandoned may keep
	// the delivery.
	OnAbandoned func(d *Delivery) Outcome

	// OnCancel is called for every cancelled task that this consumer owns, perhaps more
	// than once. It is called soon after the cancel, also while a Dequeue waits.
	OnCancel func(id ID)

	// OnRenewed is called when Consume or a heartbeat has extended the lease of this
	// consumer, as soon as the broker knows. The argument asked is the time at which the
	// request was sent, by the clock of this process. The lease lasts at least until that
	// time plus the length of the lease. A broker that needs several round trips for
	// Consume or Heartbeat should call it. Otherwise the minion counts the lease from when
	// it called the method, and knows of it only when the method returns. OnRenewed must
	// not block.
	OnRenewed func(asked time.Time)

	Flows  FlowsConfig  // for a broker with [Flows]
	Squads SquadsConfig // for a broker with [Squads]
}

// Consumer is how one minion uses a broker. Dequeue is for one caller at a time. The other
// methods may be called concurrently with it and with each other. After Close, Dequeue,
// Settle and Heartbeat return ErrClosed. Between the end of the lease and Close, Dequeue and
// Heartbeat return ErrLeaseLost, and Settle has it in its entries.
type Consumer interface {
	// ID identifies this opening of the consumer. It is never used again.
	ID() ID

	// Lease returns how long the consumer stays an owner after a heartbeat, and the
	// interval at which it should send heartbeats, which is at most half of that.
	Lease() (lease, every time.Duration)

	// Dequeue takes up to max tasks from the queues, in the order of the queues. The
	// consumer owns the tasks, and the caller owns their memory. If there are none, Dequeue
	// waits for up to wait, and then returns no tasks and no error. With a wait of 0 or
	// less it does not wait. A broker may return early, and with fewer tasks than there
	// are; it never returns more than MaxBatch.
	//
	// If ctx ends during the wait, Dequeue returns no tasks and the error of ctx; no task
	// is lost by that. Close of the consumer or of the broker ends the wait with ErrClosed.
	// ErrLeaseLost means that the consumer is no longer registered: its minion must drop
	// everything and open a new consumer. It is ErrInvalid if max is less than 1, if there
	// are no queues, or if a queue is not in the config.
	Dequeue(ctx context.Context, queues []string, max int, wait time.Duration) ([]*Delivery, error)

	// Settle ends attempts. The first result has one entry for each settlement:
	//
	//   - nil if it was accepted, by this call or, while the record lives, by an earlier
	//     one;
	//   - ErrLeaseLost if this consumer does not own that attempt, or is not the Minion of
	//     the delivery;
	//   - ErrInvalid, ErrTooLarge or ErrUnsupported if it can't be stored as it is;
	//   - ErrUnavailable or ErrDamaged if a part of the store can't be used, such as one
	//     queue: settle that one again.
	//
	// A refused settlement changes nothing. After ErrInvalid, ErrTooLarge or ErrUnsupported
	// the consumer still owns the attempt and can settle it in another way. If an attempt is
	// settled twice the first settlement counts. A second one that differs gets nil or
	// ErrLeaseLost, and so does a repeated retry, snooze, give-back or park. A repeated finish
	// gets nil. The message and the stack of a Failure are cut to their limits.
	//
	// If the second result is set, nothing is known about the batch: settle all of it
	// again, unless the error wraps ErrClosed.
	Settle(ctx context.Context, batch []Settlement) ([]error, error)

	// Heartbeat extends the lease and publishes the load. ErrLeaseLost means that the
	// consumer is no longer registered: its minion must drop everything, cancel the running
	// tasks and open a new consumer. A broker also does its housekeeping here: it brings
	// back the tasks of dead consumers.
	Heartbeat(ctx context.Context, load Load) error

	// Close ends the consumer, and its Dequeue if one waits. The tasks that it still owns
	// go back to the front of their queues at once. Each gets the next number of an attempt
	// and of a start, and no recovery is counted. [Broker.Minions] no longer lists the
	// consumer, even if heartbeats are under way. The tasks of a dead consumer go to the
	// front too, and each counts a recovery. The order among these tasks is not defined.
	// Close may be called twice, and again after an error.
	Close(ctx context.Context) error
}

// Load is what a minion reports with every heartbeat. A minion sends a heartbeat soon after
// its load has changed, but about once a second at most.
type Load struct {
	Active int // slots that are busy, or reserved for members of a squad
}

// MinionInfo describes a living minion.
type MinionInfo struct {
	ID      ID
	Queues  []string
	Slots   int
	Active  int
	Host    string
	PID     int
	Tasks   map[string]uint64 // as in ConsumerConfig
	Started time.Time         // by the broker's clock
	Beat    time.Time         // the last heartbeat, by the broker's clock
}

// Inbox receives outcomes.
type Inbox interface {
	// Receive waits for mail. It returns at least one notice or post, or Mail with Gap or
	// Flows.Arrivals set, or an error: the error of ctx, or ErrClosed. A broken connection is
	// not an error: the inbox reconnects by itself and reports a gap. Only one goroutine at
	// a time may call Receive. The next call may reuse the list of notices. The caller may
	// keep their records, and must not change them, since other inboxes may have the same.
	Receive(ctx context.Context) (Mail, error)
	// Close ends Receive with ErrClosed. It may be called twice.
	Close() error
}

// Mail is what one Receive returns.
type Mail struct {
	Notices []Notice
	// Gap says that notices may have been lost, through a broken connection or a full
	// buffer. The receiver must look up the tasks that it still waits for.
	Gap bool

	Flows  FlowsMail  // from a broker with [Flows]
	Squads SquadsMail // from a broker with [Squads]
}

// Notice tells an inbox the outcome of one task or flow. It carries the encoded record,
// because most outcomes are read later or never. A record that is kept may keep a few other
// small ones in memory, but no large ones.
type Notice struct {
	ID     ID
	Record []byte // the encoded outcome, for wire.ParseOutcome; it is never changed any more
}

// Event is one event of a topic.
type Event struct {
	Topic   string
	Cursor  Cursor // set by the broker; Publish ignores it
	Payload []byte // at most Limits.Payload bytes
}

// Cursor is a position in a topic. It may be stored and used again later.
type Cursor string

// Cursors that exist in every topic.
const (
	CursorStart Cursor = "0"
	CursorNow   Cursor = "$"
)

// Subscription reads a topic.
type Subscription interface {
	// Receive waits for events and returns them in order. If events after the cursor were
	// dropped before they could be read, it returns the events that are left with missed
	// set. A subscription from CursorStart begins with the oldest event that is kept, so it
	// misses nothing there. The error is the error of ctx, or ErrClosed. Only one goroutine
	// at a time may call Receive.
	Receive(ctx context.Context) (events []Event, missed bool, err error)
	// Close ends Receive with ErrClosed. It may be called twice.
	Close() error
}

// Inspector is an optional capability for operators: counts of queues, and dead letters.
// [InspectorOf] returns the Inspector of a Broker.
type Inspector interface {
	// Queues returns every queue that the broker knows, sorted by name. All clients of a
	// store know a queue from the first Enqueue that stored a task in it, or from the first
	// Consume that named it. It stays known, also while it is empty, as long as consumers
	// serve it or outcomes of its tasks are kept, and for an hour after its last use. It is
	// forgotten within MaxUnused when none of this holds any more. If it is used after that
	// it is a new queue. A question about a queue does not make it known, nor does a refused
	// call.
	Queues(ctx context.Context) ([]QueueInfo, error)

	// DeadLetters returns dead letters of a queue, in no particular order, that come after
	// the cursor. The cursor "" is the start, and a returned next of "" means that there
	// are no more. It returns about limit of them. A page may have more, or fewer, or none,
	// although others follow: only next tells. A queue that is not known has none. It is
	// ErrInvalid if limit is less than 1, if the cursor is not from this broker, or if the
	// name of the queue is not valid.
	DeadLetters(ctx context.Context, queue, after string, limit int) (letters []DeadLetter, next string, err error)

	// Requeue makes dead letters pending again, without their deadlines, and with no retry,
	// recovery or strike counted. Their attempts continue to count from where they were.
	//
	// A member of a flow is requeued as a task of its own: its flow has counted its failure
	// and keeps that outcome, so its next end leaves no [Arrival]. A member of a squad is
	// handed out without [TaskFlow.Squad], and so starts alone. A task with a unique key takes
	// the key again. If another task has the key, it stays a dead letter; of several with
	// one key the first one gets it.
	//
	// The result has one entry for each id: nil, ErrNotFound, a *DuplicateError that names
	// the task that has the key, or ErrMalformed if the record can't be read any more. The
	// rest of the batch is requeued all the same.
	Requeue(ctx context.Context, ids []ID) ([]error, error)
}

// QueueInfo counts the tasks of a queue by what they wait for. A blocked task with a Delay
// counts as scheduled, since it becomes pending when the delay is over. Other blocked tasks
// are not counted.
type QueueInfo struct {
	Name      string
	Pending   int
	Running   int
	Scheduled int // scheduled, retrying, and blocked with a Delay
	Parked    int // see [Parker]
	Dead      int // dead letters
	// Unreadable counts records that are not messages, or are messages of an earlier
	// version. They are kept for an operator. Messages of a newer version are handed out
	// instead; see [Parker].
	Unreadable int
	Paused     bool // the whole queue is paused; see [Pauser]
	Bound      int  // how many tasks may wait, 0 if that is not bounded; see [Bounder]
}

// DeadLetter is a task that failed for good and is kept, with its outcome. If its record is
// damaged, the fields that can't be read are empty; the ID is always set.
type DeadLetter struct {
	Task    Task
	Outcome Outcome
}
