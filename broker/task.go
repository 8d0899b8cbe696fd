package broker

import (
	"fmt"
	"hash/crc32"
	"sync"
	"time"
)

// Task is one task as it is handed to [Broker.Enqueue]. Durations count from
// the moment the broker stores the task, by the broker's clock: a client's own
// clock decides nothing.
type Task struct {
	ID      ID     // from NewID(KindTask, Queue, partition); must not be zero
	Name    string // what minions register the handler under
	Queue   string
	Codec   string // name of the codec of Payload
	Payload []byte // the encoded arguments; may be empty

	Inbox     ID                // where the outcome is pushed; zero if nobody waits for it
	Delay     time.Duration     // when it becomes due; 0 or less is at once
	Deadline  time.Duration     // when it expires unless it is done; 0 is never, less than a millisecond has passed
	Timeout   time.Duration     // of one attempt; 0 leaves it to the minion; NoTimeout is none
	Retries   int               // how often it may be retried; DefaultRetries leaves it to the minion
	Retention time.Duration     // how long its outcome is kept once it is final; 0 keeps none
	DeadFor   time.Duration     // how long it is kept as a dead letter if it fails, or for Retention if that is longer; 0: not at all
	Unique    string            // unique key within the queue while the task is not final, see ScopedKey; "" is none
	Meta      map[string]string // travels with the task; trace context too

	Parent   ID        // the task that submitted it; zero if none did
	Group    ID        // the flow whose member it is; zero is none
	Step     uint32    // its place there, StepCallback or StepFinalizer
	Blocked  bool      // it waits for [Flows.Release]; with a Delay no longer than that. ErrUnsupported without Flows
	Squad    bool      // it starts with others or not at all; whoever gets it asks [Squads.Decide] first. ErrUnsupported without Squads
	Priority int8      // reserved for priorities within a queue
	Upstream string    // parameter that gets the result of what it waits for; "" is none
	Schema   uint64    // hash of the argument and result types; 0 if unknown
	Enqueued time.Time // by the submitter's clock, in ms, for display only
}

// DefaultRetries as Task.Retries leaves the number to the minion.
const DefaultRetries = -1

// NoTimeout as Task.Timeout is no timeout, whatever the minion has for the task.
const NoTimeout time.Duration = -1

// MaxRetries is the largest Task.Retries.
const MaxRetries = 10_000

// Check reports whether the task can be enqueued within the limits. The error
// wraps [ErrInvalid] or [ErrTooLarge] and names the task.
func (t *Task) Check(l Limits) error {
	if err := t.CheckDraft(l); err != nil {
		return err
	}
	switch {
	case t.ID.IsZero():
		return fmt.Errorf("task %s: %w: no id", t.Name, ErrInvalid)
	case t.ID.QueueHash() != QueueHash(t.Queue):
		return fmt.Errorf("task %s: %w: the id was made for another queue than %s", t.Name, ErrInvalid, t.Queue)
	}
	return nil
}

// CheckDraft is [Task.Check] of all but the id, for a task that gets its id later.
func (t *Task) CheckDraft(l Limits) error {
	if t == nil {
		return fmt.Errorf("task: %w: it is nil", ErrInvalid)
	}
	if err := CheckName("task", t.Name); err != nil {
		return err
	}
	if err := CheckName("queue", t.Queue); err != nil {
		return fmt.Errorf("task %s: %w", t.Name, err)
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("task %s: %w: %s", t.Name, ErrInvalid, fmt.Sprintf(format, args...))
	}
	large := func(what string, size, limit int) error {
		return fmt.Errorf("task %s: %w: %s of %d bytes, the limit is %d", t.Name, ErrTooLarge, what, size, limit)
	}
	switch {
	case len(t.Codec) > 32:
		return bad("codec name %.40q is longer than 32 bytes", t.Codec)
	case len(t.Payload) > l.Payload:
		return large("payload", len(t.Payload), l.Payload)
	case len(t.Unique) > MaxScopedKey:
		return large("unique key", len(t.Unique), MaxScopedKey)
	case t.Retries < DefaultRetries || t.Retries > MaxRetries:
		return bad("%d retries, want 0 to %d", t.Retries, MaxRetries)
	case t.Delay > MaxDuration:
		return bad("delay of %v, the limit is %v", t.Delay, MaxDuration)
	case t.Timeout < NoTimeout || t.Timeout > MaxDuration:
		return bad("timeout of %v, want 0 to %v", t.Timeout, MaxDuration)
	case t.Deadline > MaxDuration:
		return bad("deadline in %v, the limit is %v", t.Deadline, MaxDuration)
	case t.Retention < 0 || t.Retention > MaxDuration:
		return bad("retention of %v, want 0 to %v", t.Retention, MaxDuration)
	case t.DeadFor < 0 || t.DeadFor > MaxDuration:
		return bad("dead-letter retention of %v, want 0 to %v", t.DeadFor, MaxDuration)
	}
	size := 0
	for k, v := range t.Meta {
		size += len(k) + len(v)
	}
	if size > l.Meta {
		return large("metadata", size, l.Meta)
	}
	return nil
}

// DeadlineMillis returns the deadline in whole milliseconds, as stores and records
// have it: 0 if there is none, and -1 if it has passed. It is rounded down, so no
// task gets more time than it was given.
func (t *Task) DeadlineMillis() int64 {
	switch {
	case t.Deadline == 0:
		return 0
	case t.Deadline < time.Millisecond:
		return -1
	}
	return t.Deadline.Milliseconds()
}

var digests = sync.Pool{New: func() any { return new([]byte) }}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Digest returns four bytes that tell a repeated enqueue from another task
// with the same id: the CRC-32C of name, codec and payload.
func (t *Task) Digest() uint32 {
	buf := digests.Get().(*[]byte)
	sum, b := t.digest((*buf)[:0])
	*buf = b
	digests.Put(buf)
	return sum
}

// digest is Digest with memory to use, which it returns, for it may have grown.
func (t *Task) digest(b []byte) (uint32, []byte) {
	b = append(b, t.Name...)
	b = append(b, 0)
	b = append(b, t.Codec...)
	b = append(b, 0)
	return crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, t.Payload), b
}

// Size returns about how many bytes the task takes in a store.
func (t *Task) Size() int {
	n := 128 + len(t.Name) + len(t.Payload) + len(t.Unique)
	for k, v := range t.Meta {
		n += len(k) + len(v) + 4
	}
	return n
}

// NoDeadline is the Delivery.Left of a task that has no deadline.
const NoDeadline = time.Duration(1<<63 - 1)

// Delivery is one attempt at a task, handed to a consumer. A task whose deadline
// has passed may be handed out before it expires, with a Left of 0 or less: whoever
// gets it settles it as StateExpired.
type Delivery struct {
	Task // equal to the one that was enqueued; Delay, Deadline and Blocked are of no more use and may differ

	Minion     ID            // the consumer it was handed to; no other may settle it
	Attempt    uint32        // a fencing token: 1 for the first, one more each time that it is handed out
	Start      uint32        // which start of the task this may become: Attempt less the hand-outs that were given back unstarted
	Canceled   bool          // it was cancelled before; settle it as StateCanceled and do not run it
	Retried    int           // how many retries have been used up
	Recoveries int           // how many minions died that held it
	Strikes    int           // of these, after how many a start had been recorded; see [Starter]
	Afresh     bool          // the attempt follows a failure: a retry or a requeue came last, and no snooze since
	Overdue    bool          // it was parked for as long as it may be, and no consumer that can run it has taken it; see Parker
	Left       time.Duration // until the deadline when it was handed out; NoDeadline if it has none

	// Err is set when the stored record can't be read. Whatever could be read
	// is there, ID, Queue and Attempt always; settle it as StateFailed. If it wraps
	// ErrVersion a newer program has sent the task: park it, see [Parker].
	Err error
	// Version is that of the message if it is newer than what this program reads, else 0.
	// What only the body says, such as the name, is missing then.
	Version uint8
}
