package broker

import (
	"context"
	"time"
)

// Broker keeps tasks between arbiters and minions. Its methods may be called
// concurrently. Unless a method says otherwise it reads what it is given only
// until it returns, and what it returns belongs to the caller. After Close
// every method returns [ErrClosed]; a store that can't be reached gives an
// error that wraps [ErrUnavailable], and also [ErrIndeterminate] if the
// request may have taken effect.
type Broker interface {
	// Enqueue stores tasks. It returns nil only if all of them are stored;
	// else a *BatchError with an error for each that was not, or is not known to
	// be: ErrInvalid and ErrTooLarge, *DuplicateError, ErrUnavailable,
	// ErrIndeterminate. Enqueueing a task again, with the same id and content,
	// is nil and changes nothing as long as its record lives: from its enqueue
	// until its retention after the final state, and at least MinTombstone. More
	// than MaxBatch tasks are stored in parts.
	Enqueue(ctx context.Context, tasks []*Task) error

	// Lookup returns a Status for each id, in order; StateUnknown for those
	// that have no record.
	Lookup(ctx context.Context, ids []ID) ([]Status, error)

	// Cancel ends tasks. One that waits in the broker is final when Cancel
	// returns and never starts; one that runs is marked, its owner is told
	// through ConsumerConfig.OnCancel, and it is never retried or released. Those
	// of a queue that wait are final before the owners of others are told, up to
	// MaxBatch tasks: a slot that becomes free by it is not for one of them. The
	// inboxes of the waiting ones are told. Repeating it is harmless. A broker
	// that does not open the records of waiting tasks may keep their outcome for
	// DefaultRetention, whatever theirs is, and leave out the name.
	Cancel(ctx context.Context, ids []ID) ([]CancelVerdict, error)

	// Consume opens a consumer: the place of one minion. It is registered and
	// owns what it dequeues until Close, or until its lease ends without a
	// heartbeat.
	Consume(ctx context.Context, cfg ConsumerConfig) (Consumer, error)

	// Inbox opens the inbox with the id, where the outcomes of tasks enqueued
	// with it arrive. One process at a time may have it open.
	Inbox(ctx context.Context, id ID) (Inbox, error)

	// Minions returns the living minions, as of their last heartbeats.
	Minions(ctx context.Context) ([]MinionInfo, error)

	// Publish appends events to their topics, in order. A topic keeps its last
	// MaxInbox events, and none for longer than DefaultRetention.
	Publish(ctx context.Context, events []Event) error

	// Subscribe reads a topic from after the cursor: CursorNow for what comes
	// from now on, CursorStart for all that is kept.
	Subscribe(ctx context.Context, topic string, after Cursor) (Subscription, error)

	// Limits returns the sizes the broker enforces.
	Limits() Limits

	// Close releases what the broker holds and ends every wait with ErrClosed.
	// Consumers are not closed first: what they hold comes back when their
	// leases end. It may be called twice.
	Close() error
}

// CancelVerdict is what Cancel found.
type CancelVerdict uint8

// The verdicts.
const (
	CancelUnknown   CancelVerdict = iota // no such task
	CancelPrevented                      // it waited; it is canceled now and never starts
	CancelRequested                      // it runs; its owner has been told
	CancelTooLate                        // it was final before
)

// String returns the verdict in words.
func (v CancelVerdict) String() string {
	return [...]string{"unknown", "never started", "stopping", "too late"}[v&3]
}

// ConsumerConfig describes a consumer.
type ConsumerConfig struct {
	Queues []string // which queues it may dequeue from; at least one
	Slots  int      // how many tasks it can run at once
	Host   string   // for MinionInfo
	PID    int      // for MinionInfo

	// Tasks are the tasks it can run, by name, each with the hash of its schema,
	// 0 if that is not known; for MinionInfo. Nobody changes the map any more.
	Tasks map[string]uint64

	// OnArrivals is told that a queue has arrivals, by a settlement of this
	// consumer or since somebody left them; see [Flows]. It must not block. Nil
	// means nobody listens.
	OnArrivals func(queue string)

	// OnCancel is told of every cancelled task that this consumer owns, perhaps
	// more than once. It must not block. Nil means nobody listens.
	OnCancel func(id ID)

	// OnAssign is given tasks that were assigned to this consumer; see [Squads].
	// Their memory is its own. It must not block. Nil means that the consumer is
	// not to be assigned any.
	OnAssign func(tasks []*Delivery)

	// OnPost is given what was posted to this consumer; see [Squads]. It must not
	// block, and may keep the payload. Nil means nobody listens.
	OnPost func(payload []byte)
}

// Consumer is a minion's place at a broker. Dequeue is for one caller at a
// time; the other methods may be called concurrently with it and each other.
type Consumer interface {
	// ID identifies this opening of the consumer, and never comes back.
	ID() ID

	// Lease returns how long the consumer stays an owner after a heartbeat, and
	// how often it should send one.
	Lease() (lease, every time.Duration)

	// Dequeue takes up to max tasks from the queues, in the order given, each a
	// queue of the config. If there are none it waits until there are, at most
	// for wait, and then returns none without an error; a broker may return
	// early. If ctx ends while it waits it returns none and ctx's error; nothing
	// is lost by that. What it returns is owned by this consumer and its memory
	// is the caller's. ErrLeaseLost says that the consumer is no longer
	// registered: drop everything and open a new one.
	Dequeue(ctx context.Context, queues []string, max int, wait time.Duration) ([]*Delivery, error)

	// Settle ends attempts. The result has an entry for each settlement: nil if
	// it was accepted, by this call or an earlier one whose reply was lost;
	// ErrLeaseLost if this consumer is not the owner of that attempt; ErrInvalid
	// or ErrTooLarge if it can't be stored as it is. An error beside it means
	// that nothing is known; settle again.
	Settle(ctx context.Context, batch []Settlement) ([]error, error)

	// Heartbeat extends the lease and publishes the load. ErrLeaseLost says
	// that the consumer is no longer registered: drop everything, cancel what
	// runs and open a new one. A broker also does its housekeeping here: it
	// brings back what dead consumers held.
	Heartbeat(ctx context.Context, load Load) error

	// Close ends the consumer. What it still holds goes back to the front of its
	// queues at once, with nothing counted, and [Broker.Minions] does not list it
	// any more, even if heartbeats are under way. What a dead consumer held goes there
	// too, with a recovery counted. In which order such tasks stand there is not
	// promised. It may be called twice.
	Close(ctx context.Context) error
}

// Load is what a minion tells about itself with every heartbeat. A minion sends
// one soon after its load has changed, about once a second at most.
type Load struct {
	Active int // slots that are busy, or held for members of a squad
}

// MinionInfo describes a living minion.
type MinionInfo struct {
	ID      ID
	Queues  []string
	Slots   int
	Active  int
	Host    string
	PID     int
	Tasks   map[string]uint64 // as in ConsumerConfig; nil if the broker does not tell
	Started time.Time         // these two by the broker's clock
	Beat    time.Time
}

// Inbox receives outcomes.
type Inbox interface {
	// Receive waits for deliveries. It returns at least one letter or post, or Gap set,
	// or an error: ctx's, or ErrClosed. Connection troubles are not errors: the
	// inbox mends itself and reports a gap. One goroutine at a time may call it, and
	// the list of letters may be used again for the next call's; their records are the
	// caller's.
	Receive(ctx context.Context) (Mail, error)
	// Close ends Receive with ErrClosed. It may be called twice.
	Close() error
}

// Mail is what an inbox received.
type Mail struct {
	Letters []Letter
	// Gap says that letters may have been lost, by a broken connection or a
	// full buffer: look up what is still awaited.
	Gap bool
	// Posts are what was posted to the inbox; see [Squads].
	Posts [][]byte
}

// Letter tells the outcome of one task. Most of what arrives is looked at later
// or never, so it comes as it was written. Who keeps a record keeps no others alive, but
// some small ones.
type Letter struct {
	ID     ID
	Record []byte // as [AppendOutcome] wrote it; nobody changes it any more
}

// Outcome reads the record. The error wraps [ErrVersion] or [ErrMalformed].
func (l Letter) Outcome() (Outcome, error) { return ParseOutcome(l.Record) }

// Event is an entry of a topic.
type Event struct {
	Topic   string
	Cursor  Cursor // set by the broker
	Payload []byte // at most Limits.Payload
}

// Cursor is a place in a topic. It can be kept and used again later.
type Cursor string

// Places that exist in every topic.
const (
	CursorStart Cursor = "0"
	CursorNow   Cursor = "$"
)

// Subscription reads a topic.
type Subscription interface {
	// Receive waits for events, in order. If events after the cursor were
	// dropped before they could be read, it returns what there is with missed
	// set. The error is ctx's or ErrClosed.
	Receive(ctx context.Context) (events []Event, missed bool, err error)
	// Close ends Receive with ErrClosed. It may be called twice.
	Close() error
}

// Inspector is an optional capability: what operators ask. Use a type
// assertion to find out whether a Broker has it.
type Inspector interface {
	// Queues returns every queue the broker knows, sorted by name.
	Queues(ctx context.Context) ([]QueueInfo, error)

	// DeadLetters returns dead letters of a queue, in no particular order, after
	// the cursor; "" starts, and a returned "" says there are no more. It returns
	// about as many as limit says: a broker may have reasons for a few more.
	DeadLetters(ctx context.Context, queue, after string, limit int) (letters []DeadLetter, next string, err error)

	// Requeue makes dead letters pending again, with all their retries. One that
	// has a unique key takes it again; if another task holds the key it stays a
	// dead letter, and of several with one key the first one gets it. Those that
	// are refused keep no others from being requeued. The result has an entry for
	// each id: nil, ErrNotFound, a *DuplicateError that names the holder of the
	// key, or ErrMalformed for a record that can't be read any more.
	Requeue(ctx context.Context, ids []ID) ([]error, error)
}

// QueueInfo counts what is in a queue.
type QueueInfo struct {
	Name      string
	Pending   int
	Running   int
	Scheduled int // scheduled and retrying
	Dead      int
	// Unreadable counts records that aren't messages of a known version. They
	// are kept for a newer minion or an operator.
	Unreadable int
}

// DeadLetter is a task that failed for good.
type DeadLetter struct {
	Task    Task
	Outcome Outcome
}
