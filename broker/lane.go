package broker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Lane says when a waiting task is handed out, compared with the other tasks of its queue,
// and what must be free before that. Tasks with equal lanes wait in one line: the one that
// was submitted first is handed out first. A task without a lane (a nil Task.Lane) has the
// priority [DefaultPriority], no key, no sequence and no limits. The tasks of one sequence
// wait in one line, whatever else is in their lanes; the lane of the first of them counts.
//
// The order in which a queue hands out its tasks has three steps:
//
//  1. The highest priority that has a task which may be handed out comes first. One hand-out
//     of [LowerShare] goes to a lower priority, in turn, so that each of them gets its share.
//  2. Within a priority the keys take turns, each as often as its weight says (see
//     [Lanes.SetWeight]). Tasks with the key "" take their turns like those of any other
//     key, and so do the tasks without a lane.
//  3. Of one key, the task that was submitted first comes first.
//
// A task is passed over as long as one of its limits is exhausted, or as long as another
// task of its sequence has not ended. It waits then, and nothing polls: the task is handed
// out as soon as what it waits for is free.
type Lane struct {
	Priority uint8  // 0 to MaxPriority; a higher one comes first
	Key      string // the key of fairness, such as the name of a tenant; at most MaxLaneKey bytes

	// Sequence is the key of a sequence, "" for none; at most MaxLaneKey bytes. Tasks of one
	// sequence and queue run strictly one after the other, in the order in which they were
	// submitted. A task that is retried, snoozed, parked or given back keeps its place: the
	// next one is handed out when it is final.
	Sequence string
	// StopOnFailure halts the sequence if this task ends as failed or expired: the tasks
	// behind it wait until [Lanes.ResumeSequence], or until the dead letter was requeued and
	// has succeeded. Without it the next one is handed out then, too.
	StopOnFailure bool

	// Limits are what the task uses while a consumer holds it. All of them are taken
	// together or none. At most MaxCharges, each with another limit or key.
	Limits []Charge
}

// Charge is what one task uses of one limit.
type Charge struct {
	Limit string // the name of the limit, see [Limit]; it need not be defined
	Key   string // "" or a key: each key is counted on its own; at most MaxLaneKey bytes
	Cost  uint32 // 1 to MaxCost
}

// Sizes of a [Lane].
const (
	MaxPriority     = 9
	DefaultPriority = 5
	LowerShare      = 16 // one hand-out of so many goes to a lower priority
	MaxLaneKey      = 255
	MaxCharges      = 8
	MaxCost         = 1_000_000
	MaxWeight       = 100
)

// check reports whether the lane is valid.
func (l *Lane) check() error {
	switch {
	case l.Priority > MaxPriority:
		return fmt.Errorf("priority %d, want 0 to %d", l.Priority, MaxPriority)
	case len(l.Key) > MaxLaneKey:
		return fmt.Errorf("fairness key of %d bytes, the limit is %d", len(l.Key), MaxLaneKey)
	case len(l.Sequence) > MaxLaneKey:
		return fmt.Errorf("sequence key of %d bytes, the limit is %d", len(l.Sequence), MaxLaneKey)
	case l.StopOnFailure && l.Sequence == "":
		return errors.New("StopOnFailure without a sequence")
	case len(l.Limits) > MaxCharges:
		return fmt.Errorf("%d limits, at most %d are allowed", len(l.Limits), MaxCharges)
	}
	for i, c := range l.Limits {
		if err := CheckName("limit", c.Limit); err != nil {
			return err
		}
		switch {
		case len(c.Key) > MaxLaneKey:
			return fmt.Errorf("key of limit %s has %d bytes, the limit is %d", c.Limit, len(c.Key), MaxLaneKey)
		case c.Cost < 1 || c.Cost > MaxCost:
			return fmt.Errorf("cost of limit %s is %d, want 1 to %d", c.Limit, c.Cost, MaxCost)
		}
		for _, other := range l.Limits[:i] {
			if other.Limit == c.Limit && other.Key == c.Key {
				return fmt.Errorf("limit %s is named twice", c.Limit)
			}
		}
	}
	return nil
}

// size estimates how many bytes the lane takes in a store: in the message of its task, and where the
// task waits in line.
func (l *Lane) size() int {
	n := 64 + len(l.Key) + len(l.Sequence)
	for _, c := range l.Limits {
		n += len(c.Limit) + len(c.Key) + 6
	}
	return 2 * n
}

// Limit defines how much of something the tasks of one queue may use. A task names the
// limit in [Lane].Limits. A limit that is not defined counts what is in use, and never is
// exhausted. Exactly one of Most and Rate is set.
type Limit struct {
	Name string
	// Key is "" for the definition that holds for all keys, each counted on its own. Any
	// other definition holds for this key in place of that one.
	Key string

	// Most is the cost that the tasks which consumers hold may have together. The cost of a
	// task is free again when its attempt ends: it is settled, or its consumer closes, or
	// the lease of the consumer ends and its tasks go back. A task that costs more than Most is handed out
	// when nothing else is in use.
	Most int

	// Rate is the cost that may be handed out in each period Per, which is at least a
	// millisecond. Burst is the cost that may be handed out at once after a pause. So in
	// every span of time w at most Burst + Rate×w/Per is handed out. A Burst of 0 is a twentieth of
	// Rate, or 1 if that is more. A task that costs more than Burst is handed out
	// after a pause that is long enough for all of its cost.
	Rate  int
	Per   time.Duration
	Burst int

	// Paused stops the hand-out of tasks that name the limit (with this key, if it is set).
	// A definition may be Paused without Most and Rate.
	Paused bool
}

// Check reports whether the definition is valid. The error wraps [ErrInvalid] and names the
// limit and the remedy.
func (l *Limit) Check() error {
	if err := CheckName("limit", l.Name); err != nil {
		return err
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("limit %s: %w: %s", l.Name, ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case len(l.Key) > MaxLaneKey:
		return bad("key of %d bytes, the limit is %d", len(l.Key), MaxLaneKey)
	case l.Most < 0 || l.Rate < 0 || l.Burst < 0:
		return bad("a negative number")
	case l.Most > 0 && l.Rate > 0:
		return bad("it has both a concurrency and a rate; use two limits, and name both in the task")
	case l.Most == 0 && l.Rate == 0 && !l.Paused:
		return bad("a limit of 0 would stop its tasks for good; to stop them for a while use Paused")
	case l.Most > MaxLimit || l.Rate > MaxLimit || l.Burst > MaxLimit:
		return bad("a number over %d", MaxLimit)
	case l.Rate > 0 && (l.Per < time.Millisecond || l.Per > MaxDuration):
		return bad("a rate per %v, want 1ms to %v", l.Per, MaxDuration)
	case l.Rate == 0 && (l.Per != 0 || l.Burst != 0):
		return bad("a burst or a period without a rate")
	}
	return nil
}

// MaxLimit is the largest number in a [Limit].
const MaxLimit = 1_000_000_000

// Bursts returns the effective burst: Burst, or its default.
func (l *Limit) Bursts() int {
	if l.Burst > 0 {
		return l.Burst
	}
	return max(l.Rate/20, 1)
}

// LimitInfo is a definition with its present use.
type LimitInfo struct {
	Limit
	InUse   int       // cost of the tasks that consumers hold now; of a definition with the Key "" only that of tasks without a key
	Closed  time.Time // until when [Lanes.CloseLimit] has closed it, by the broker's clock; zero if it is not closed
	Waiting int       // how many lines of tasks wait for it; a broker may count a line only after it has tried it
}

// Lanes is an optional capability: priorities, limits, fairness and sequences, see [Lane].
// [LanesOf] returns the Lanes of a Broker. A broker without it refuses a task with a Lane as
// ErrUnsupported.
//
// Definitions belong to a queue and stay until they are removed; a queue with definitions
// is not forgotten. They may be set before the queue has a task. A change has its effect at
// once, also for tasks that wait. It is ErrInvalid if a name or a value is not valid.
//
// What a task uses of its limits belongs to its attempt. It is taken by the hand-out and
// given back once, together with the end of the attempt.
//
// A member of a squad can't have a Lane (ErrInvalid). A blocked task gets its place in line
// when it is released, a scheduled one when it is due. A task that comes back, after a
// retry for example, has the place in line that it had.
type Lanes interface {
	// SetLimit defines a limit, or replaces its definition with the same Name and Key.
	SetLimit(ctx context.Context, queue string, l Limit) error
	// AddLimit defines a limit, unless it has a definition with the same Name and Key. It
	// returns the definition that the limit has then. So a program can store its defaults, and
	// what an operator has set stays.
	AddLimit(ctx context.Context, queue string, l Limit) (Limit, error)
	// RemoveLimit removes the definition with this name and key. If the key is "" the
	// definitions of single keys stay. Removing a definition that does not exist is not an
	// error.
	RemoveLimit(ctx context.Context, queue, name, key string) error
	// LimitsIn returns the definitions of a queue, sorted by name and key.
	LimitsIn(ctx context.Context, queue string) ([]LimitInfo, error)
	// CloseLimit closes a limit for a time, as if it were exhausted: a handler has met
	// the limit of a service that it calls, for example. The limit need not be defined. With
	// the key "" it is closed for tasks without a key only. A time of 0 or less opens it.
	CloseLimit(ctx context.Context, queue, name, key string, d time.Duration) error

	// SetWeight sets how often a key gets its turn, compared with a key of weight 1. The
	// weight is 1 to MaxWeight; 1 removes the entry. The key "" stands for tasks with a lane and without a key.
	SetWeight(ctx context.Context, queue, key string, weight int) error
	// Weights returns the weights that were set.
	Weights(ctx context.Context, queue string) (map[string]int, error)

	// ResumeSequence hands out the next task of a sequence that was halted by a failure.
	// ErrNotFound if the sequence is not halted.
	ResumeSequence(ctx context.Context, queue, sequence string) error
}

// LanesOf returns the broker as a [Lanes]. If it has none the error is an
// [*UnsupportedError] with that What, such as "a priority".
func LanesOf(b Broker, what string) (Lanes, error) { return capability[Lanes](b, what, "Lanes") }
