package broker

import (
	"fmt"
	"hash/crc32"
	"sync"
	"time"
)

// Task is a task as it is handed to [Broker.Enqueue]. Its durations count from the moment
// at which the broker stores it, by the broker's clock. The clock of a client decides
// nothing.
type Task struct {
	ID      ID     // from NewID(KindTask, Queue, partition); must not be zero
	Name    string // the name under which minions register the handler
	Queue   string
	Codec   string // name of the codec of Payload, at most 32 bytes; "" may be read back as "msgpack"
	Payload []byte // the encoded arguments; may be empty

	Inbox     ID                // where the outcome is pushed; zero if nobody waits for it
	Delay     time.Duration     // how long it waits before it is pending; 0 or less is not at all
	Deadline  time.Duration     // after which it expires unless it is done; 0 is never; any other value below a millisecond counts as passed
	Timeout   time.Duration     // limit for one attempt; 0 leaves it to the minion; NoTimeout is none
	Retries   int               // how often it may be retried, up to MaxRetries; DefaultRetries leaves it to the minion
	Retention time.Duration     // how long its outcome is kept once it is final; 0 keeps none
	DeadFor   time.Duration     // how long it is kept as a dead letter if it fails, or for Retention if that is longer; 0: it does not become a dead letter
	Unique    Unique            // its unique key; zero if it has none
	Meta      map[string]string // metadata of the caller and the trace context; handed out with the task

	Parent   ID        // the task that submitted it; zero if none did
	Flow     TaskFlow  // its place in a group, pipe or squad; zero for a task of its own
	Lane     *Lane     // its priority, key, sequence and limits, see [Lanes]; nil is an ordinary task
	Slots    uint32    // how many slots of its minion it takes while it runs, up to MaxSlots; 0 leaves it to the minion
	Bounded  bool      // whether Enqueue refuses it if its queue is full, see [Bounder]; it is not stored, so it is false in a delivery
	Schema   uint64    // hash of the argument and result types; 0 if unknown
	Enqueued time.Time // by the submitter's clock, in ms, for display only
}

// DefaultRetries as Task.Retries leaves the number of retries to the minion.
const DefaultRetries = -1

// NoTimeout as Task.Timeout means no timeout, even if the minion has one for the task.
const NoTimeout time.Duration = -1

// MaxRetries is the largest Task.Retries.
const MaxRetries = 10_000

// MaxSlots is the largest Task.Slots.
const MaxSlots = 1_000_000

// Check reports whether the task can be enqueued within the limits. The error wraps
// [ErrInvalid] or [ErrTooLarge] and names the task.
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

// CheckDraft checks all of [Task.Check] but the id. It is for a task that gets its id
// later.
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
	case len(t.Unique.Key) > MaxScopedKey:
		return large("unique key", len(t.Unique.Key), MaxScopedKey)
	case t.Retries < DefaultRetries || t.Retries > MaxRetries:
		return bad("%d retries, want 0 to %d", t.Retries, MaxRetries)
	case t.Delay > MaxDuration:
		return bad("delay of %v, the limit is %v", t.Delay, MaxDuration)
	case t.Timeout < NoTimeout || t.Timeout > MaxDuration:
		return bad("timeout of %v, want 0 to %v", t.Timeout, MaxDuration)
	case t.Slots > MaxSlots:
		return bad("%d slots, want 0 to %d", t.Slots, MaxSlots)
	case t.Deadline > MaxDuration:
		return bad("deadline in %v, the limit is %v", t.Deadline, MaxDuration)
	case t.Retention < 0 || t.Retention > MaxDuration:
		return bad("retention of %v, want 0 to %v", t.Retention, MaxDuration)
	case t.DeadFor < 0 || t.DeadFor > MaxDuration:
		return bad("dead-letter retention of %v, want 0 to %v", t.DeadFor, MaxDuration)
	}
	if t.Lane != nil {
		if err := t.Lane.check(); err != nil {
			return fmt.Errorf("task %s: %w: %w", t.Name, ErrInvalid, err)
		}
		if t.Flow.Squad {
			return bad("a member of a squad can't have a priority, key, sequence or limit, since all members start together")
		}
	}
	if wrong := t.Unique.check(t); wrong != "" {
		return bad("%s", wrong)
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

// DeadlineMillis returns the deadline in whole milliseconds, as it is stored: 0 if there is
// none, and -1 if it has passed. It is rounded down, so no task gets more time than it was
// given.
func (t *Task) DeadlineMillis() int64 {
	switch {
	case t.Deadline == 0:
		return 0
	case t.Deadline < time.Millisecond:
		return -1
	}
	return t.Deadline.Milliseconds()
}

// digests are buffers for Digest.
var digests = sync.Pool{New: func() any { return new([]byte) }}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Digest returns four bytes that tell a repeated enqueue from another task with the same
// id: the CRC-32C of name, codec and payload, with a zero byte after name and codec.
func (t *Task) Digest() uint32 {
	buf := digests.Get().(*[]byte)
	b := append((*buf)[:0], t.Name...)
	b = append(b, 0)
	b = append(b, t.Codec...)
	b = append(b, 0)
	sum := crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, t.Payload)
	*buf = b
	digests.Put(buf)
	return sum
}

// Size estimates how many bytes the task takes in a store.
func (t *Task) Size() int {
	n := 128 + len(t.Name) + len(t.Payload) + len(t.Unique.Key)
	for k, v := range t.Meta {
		n += len(k) + len(v) + 4
	}
	if t.Lane != nil {
		n += t.Lane.size()
	}
	return n
}

// NoDeadline is the Delivery.Left of a task without a deadline.
const NoDeadline = time.Duration(1<<63 - 1)

// Delivery is one attempt at a task, handed to a consumer. A task whose deadline has passed
// may still be handed out before it expires, with a Left of 0 or less. The consumer then
// settles it as StateExpired.
type Delivery struct {
	Task // equal to the enqueued one, but Delay, Deadline and Flow.Blocked have no meaning any more and may differ

	Minion     ID     // the consumer that owns the attempt; no other may settle it
	Attempt    uint32 // fencing token: 1 for the first, and one more each time the task is handed out
	Start      uint32 // number of the start that this may become: Attempt without the attempts that were given back unstarted
	Retried    int    // how many retries were used
	Recoveries int    // how many minions died while they held the task, since the last requeue
	Strikes    int    // how many of the recoveries came after a recorded start; see [Starter]
	Canceled   bool   // the task was cancelled before: settle it as StateCanceled and do not run it
	Afresh     bool   // the attempt follows a failure: since the last snooze of a started handler there was a retry or a requeue
	Overdue    bool   // it was parked for the longest time allowed, and no consumer that can run it has taken it; see Parker

	// Version is the version of the message if it is newer than this program reads, else 0.
	// The fields that are in the body of the message, such as the name, are then empty.
	Version uint8
	Left    time.Duration // time until the deadline when it was handed out; NoDeadline if it has none

	// Err is set if the stored record can't be read. The fields that could be read are set,
	// ID, Queue and Attempt always. Settle such a task as StateFailed. If Err wraps
	// ErrVersion, a newer program has sent the task: park it, see [Parker].
	Err error
}
