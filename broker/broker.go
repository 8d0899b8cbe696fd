package broker

import (
	"context"
	"time"
)

// Broker keeps tasks between arbiters and minions. Its methods may be called
// concurrently. Unless a method says otherwise it reads what it is given only
// until it returns, and what it returns belongs to the caller. A method that waits for
// a store returns soon after its context has ended, with an error that wraps that of the
// context; the request may go on then, and what it was given may still be read. After Close
// every method returns an error that wraps [ErrClosed] and says what is closed; a store that can't be reached gives an
// error that wraps [ErrUnavailable], and also [ErrIndeterminate] if the
// request may have taken effect.
type Broker interface {
	// Enqueue stores tasks. It returns nil only if all of them are stored;
	// else a *BatchError with an error for each that was not, or is not known to
	// be: ErrInvalid, ErrTooLarge and ErrUnsupported, *DuplicateError,
	// ErrUnavailable, ErrIndeterminate; ErrMalformed or ErrVersion for an id
	// whose record is there and can't be read. A task that is refused leaves nothing
	// behind, and keeps no other of the batch from being stored. Of several with
	// the same id or unique key in a batch the first one counts. Enqueueing a task
	// again, with the same id and content, is nil and changes nothing as long as
	// its record lives: from its enqueue until its retention after the final
	// state, and at least MinTombstone. More than MaxBatch tasks are stored in
	// parts.
	Enqueue(ctx context.Context, tasks []*Task) error

	// Lookup returns a Status for each id, in order; StateUnknown for those
	// that have no record, and for ids of other kinds than tasks and flows. When
	// the retention of a task is over it is unknown, or final without an outcome.
	// A record that can't be read is the error of its own Status, and keeps no other
	// from being looked up.
	Lookup(ctx context.Context, ids []ID) ([]Status, error)

	// Cancel ends tasks. One that waits in the broker is final when Cancel
	// returns and never starts; one that runs is marked, its owner is told
	// through ConsumerConfig.OnCancel, and it is never retried or released. Those
	// of a queue that wait are final before the owners of others are told, up to
	// MaxBatch tasks: a slot that becomes free by it is not for one of them. The
	// inboxes of the waiting ones are told. Their outcomes have neither a Minion nor
	// a Started time. Repeating it is harmless: the verdict is CancelTooLate for
	// one that waited, and CancelRequested again for one that still runs. An id
	// that is unknown is not remembered, and may be enqueued later. One whose record
	// can't be read counts as unknown.
	//
	// The owner may still settle a cancelled task as it likes, also as succeeded.
	// If the owner closes or dies instead, the task is final at once, or is handed
	// out once more with Delivery.Canceled set, to be settled as canceled. A broker
	// that does not open the records of waiting tasks may keep their outcome for
	// DefaultRetention, whatever theirs is, and leave out the name.
	Cancel(ctx context.Context, ids []ID) ([]CancelVerdict, error)

	// Consume opens a consumer: the place of one minion. It is registered when
	// Consume returns, and owns what it dequeues until Close, or until its lease
	// ends without a heartbeat. No queues, a queue that is no name and fewer than
	// one slot are ErrInvalid.
	Consume(ctx context.Context, cfg ConsumerConfig) (Consumer, error)

	// Inbox opens the inbox with the id, where the outcomes of tasks with that
	// Task.Inbox arrive, each once. What becomes final while it is not open may be
	// lost; that is no error for anybody. One process at a time may have it open. It
	// holds up to MaxInbox letters.
	Inbox(ctx context.Context, id ID) (Inbox, error)

	// Minions returns the consumers that live, of all clients of the store, as of
	// their last heartbeats. One that is closed, or whose lease is over, is gone from
	// it at once.
	Minions(ctx context.Context) ([]MinionInfo, error)

	// Publish appends events to their topics, in order. A topic keeps its last
	// MaxInbox events, and none for longer than DefaultRetention. A topic that is
	// no name is ErrInvalid, a payload over Limits.Payload ErrTooLarge.
	Publish(ctx context.Context, events []Event) error

	// Subscribe reads a topic from after the cursor: CursorNow for what is
	// published after Subscribe has returned, CursorStart for all that is kept, or
	// the Cursor of an event. The topic need not have any event yet. Every
	// subscription gets every event.
	Subscribe(ctx context.Context, topic string, after Cursor) (Subscription, error)

	// Limits returns the sizes the broker enforces.
	Limits() Limits

	// Close releases what the broker holds and ends every wait with ErrClosed. What
	// was opened by it is closed too: Close of that is nil or ErrClosed.
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

// ConsumerConfig describes a consumer. Its callbacks may call the broker and the
// consumer, and must return soon: the package comment has the rules. A callback
// that is nil means that nobody listens.
type ConsumerConfig struct {
	Queues []string // which queues it may dequeue from; at least one
	Slots  int      // how many tasks it can run at once, at least 1
	Host   string   // for MinionInfo
	PID    int      // for MinionInfo

	// Tasks are the tasks it can run, by name, each with the hash of its schema,
	// 0 if that is not known; for MinionInfo, and for [Parker], which hands it parked
	// tasks of these names. Nobody changes the map any more.
	Tasks map[string]uint64

	// OnArrivals is told that a queue of this consumer has arrivals; see [Flows]. It
	// is called soon after a settlement of this consumer has left some, and at a
	// heartbeat as long as there are any, whoever left them.
	OnArrivals func(queue string)

	// OnAbandoned is asked how a parked task ends that nobody takes; see [Parker]. Its queue
	// has no consumer, and need not be one of this consumer's. The answer is a failure,
	// with the state StateFailed; any other leaves the task as it is. The consumer is not
	// the task's owner: it may be asked again, and others, too, and one answer counts. It
	// may keep the delivery.
	OnAbandoned func(d *Delivery) Outcome

	// OnCancel is told of every cancelled task that this consumer owns, perhaps
	// more than once: soon after the cancel, also while a Dequeue waits.
	OnCancel func(id ID)

	// OnRenewed is told that the lease of this consumer has been extended, as soon as
	// the broker knows, by Consume or by a heartbeat: it lasts at least until a lease
	// after asked, which is when the request was sent. A broker that needs several
	// round trips for one of them should call it, so that the lease does not count
	// from before the first and is not known only after the last. Without a call it
	// counts from when Consume or Heartbeat was called. It must not block.
	OnRenewed func(asked time.Time)

	// OnAssign is given tasks that were assigned to this consumer; see [Squads].
	// Their memory is its own. A consumer without it is not to be assigned any.
	OnAssign func(tasks []*Delivery)

	// OnPost is given what was posted to this consumer; see [Squads]. It may keep
	// the payload.
	OnPost func(payload []byte)
}

// Consumer is a minion's place at a broker. Dequeue is for one caller at a
// time; the other methods may be called concurrently with it and each other.
// After Close they return ErrClosed. After the lease has ended, and until Close,
// they return ErrLeaseLost.
type Consumer interface {
	// ID identifies this opening of the consumer, and never comes back.
	ID() ID

	// Lease returns how long the consumer stays an owner after a heartbeat, and
	// how often it should send one: at least twice in a lease.
	Lease() (lease, every time.Duration)

	// Dequeue takes up to max tasks from the queues, in the order given, each a
	// queue of the config. If there are none it waits until there are, at most
	// for wait, and then returns none without an error; a broker may return
	// early, and with fewer than there are. If ctx ends while it waits it returns
	// none and ctx's error; nothing is lost by that. Close of the consumer or of the
	// broker ends the wait with ErrClosed. What it returns is owned by this consumer
	// and its memory is the caller's. ErrLeaseLost says that the consumer is no
	// longer registered: drop everything and open a new one. A max of less than 1
	// and a queue that is not in the config are ErrInvalid.
	Dequeue(ctx context.Context, queues []string, max int, wait time.Duration) ([]*Delivery, error)

	// Settle ends attempts. The result has an entry for each settlement: nil if
	// it was accepted, by this call or, as long as the record lives, by an earlier one;
	// ErrLeaseLost if this consumer is not the owner of that attempt; ErrInvalid,
	// ErrTooLarge or ErrUnsupported if it can't be stored as it is. What is refused
	// changes nothing: the consumer still owns the attempt and can settle it in
	// another way. Of two settlements of one attempt the first one counts; the second
	// one is answered with nil or ErrLeaseLost. So is a retry, snooze or release
	// that is repeated. A finish that is repeated is nil. The texts of a Failure are
	// cut to their limits. ErrUnavailable as an entry means that a part of the store
	// can't be used, such as one queue: settle that one again. An error beside the
	// entries means that nothing is known; settle again.
	Settle(ctx context.Context, batch []Settlement) ([]error, error)

	// Heartbeat extends the lease and publishes the load. ErrLeaseLost says
	// that the consumer is no longer registered: drop everything, cancel what
	// runs and open a new one. A broker also does its housekeeping here: it
	// brings back what dead consumers held.
	Heartbeat(ctx context.Context, load Load) error

	// Close ends the consumer, and a Dequeue that waits. What it still holds goes
	// back to the front of its queues at once, with nothing counted but the number
	// of the next attempt, and [Broker.Minions] does not list it any more, even if
	// heartbeats are under way. What a dead consumer held goes there too, with a
	// recovery counted. In which order such tasks stand there is not promised. It
	// may be called twice, and again after an error.
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
	Tasks   map[string]uint64 // as in ConsumerConfig
	Started time.Time         // these two by the broker's clock
	Beat    time.Time
}

// Inbox receives outcomes.
type Inbox interface {
	// Receive waits for mail. It returns at least one letter or post, or Gap or Arrivals set,
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
	// Arrivals says that tasks of flows have expired, and that no consumer of this
	// Broker was told of it: [Flows.Arrivals] of the empty queue has what they left.
	Arrivals bool
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
	// set; CursorStart is where what is kept begins, so nothing is missed from there.
	// The error is ctx's or ErrClosed.
	Receive(ctx context.Context) (events []Event, missed bool, err error)
	// Close ends Receive with ErrClosed. It may be called twice.
	Close() error
}

// Inspector is an optional capability: what operators ask. [InspectorOf] tells
// whether a Broker has it.
type Inspector interface {
	// Queues returns every queue the broker knows, sorted by name. A queue is known
	// to all clients of a store from the first Enqueue that stored a task in it, or
	// from the first Consume that named it. It stays known, also when it is empty, as
	// long as consumers serve it or outcomes of its tasks are kept, and for an hour
	// after its last use. Within MaxUnused it is forgotten, and when it is used again
	// it is a new one. To ask about a queue, or to be refused, makes none.
	Queues(ctx context.Context) ([]QueueInfo, error)

	// DeadLetters returns dead letters of a queue, in no particular order, after
	// the cursor; "" starts, and a returned "" says there are no more. It returns
	// about as many as limit says: a broker may have reasons for a few more. A queue
	// that is not known has none. A limit of less than 1, a cursor that is none of
	// this broker's and a queue that is no name are ErrInvalid.
	DeadLetters(ctx context.Context, queue, after string, limit int) (letters []DeadLetter, next string, err error)

	// Requeue makes dead letters pending again, with all their retries and without
	// their deadlines. A member of a flow is requeued by itself: its flow has counted
	// its failure and keeps its outcome, so its next end leaves no [Arrival]. A member of
	// a squad starts alone: it is handed out without [Task.Squad].
	// Attempts are counted on from what they were. One that
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
	Parked    int // see [Parker]
	Dead      int
	// Unreadable counts records that aren't messages, or are of an earlier version. They
	// are kept for an operator. A message of a newer version is handed out, see [Parker].
	Unreadable int
}

// DeadLetter is a task that failed for good.
type DeadLetter struct {
	Task    Task
	Outcome Outcome
}
