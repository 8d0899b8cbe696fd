package task

import (
	"fmt"
	"maps"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Option changes how a task's calls are stored and run. Options are given to
// [Define] and [Task.With], for all calls, or to [Call.With], for one. A value
// that can't be is reported when the call is sent.
type Option interface {
	apply(*Settings)
}

type optionFunc func(*Settings)

func (f optionFunc) apply(s *Settings) { f(s) }

// DefaultQueue is where tasks go that name no queue.
const DefaultQueue = "default"

// Settings is what options come to. Only those who write a [Submitter] or a
// [Registrar] need it.
type Settings struct {
	Queue     string            // Queue; default DefaultQueue
	Timeout   time.Duration     // Timeout; default none
	Delay     time.Duration     // Delay; default none
	ETA       time.Time         // ETA; default none
	Within    time.Duration     // Within; default none
	Deadline  time.Time         // Deadline; default none
	Retries   int               // Retries; default broker.DefaultRetries: the minion's policy
	Backoff   Backoff           // WithBackoff; default nil: the minion's policy
	Retention time.Duration     // Retention; default broker.DefaultRetention
	DeadFor   time.Duration     // DeadRetention; default broker.DefaultDeadRetention
	Unique    string            // Unique; default none
	Meta      map[string]string // Meta; default none
	Schema    uint64            // Schema; default 0
	Priority  int8              // Priority; default 0
	Inherit   bool              // Inherit; default false
	Isolated  bool              // Isolated; default false

	err error
}

var noOptions = &Settings{
	Queue:     DefaultQueue,
	Retries:   broker.DefaultRetries,
	Retention: broker.DefaultRetention,
	DeadFor:   broker.DefaultDeadRetention,
}

// resolve returns what options come to. Settings are shared by handles and all
// their calls: nobody changes them.
func resolve(opts []Option) *Settings { return noOptions.with(opts) }

// with returns the settings with options added.
func (s *Settings) with(opts []Option) *Settings {
	if len(opts) == 0 {
		return s
	}
	c := s.clone()
	for _, o := range opts {
		if o != nil {
			o.apply(&c)
		}
	}
	return &c
}

// clone returns a copy that may be changed.
func (s *Settings) clone() Settings {
	c := *s
	c.Meta = maps.Clone(s.Meta)
	return c
}

// record makes t a stored task, as far as that comes from the settings. Points
// in time become durations, which the broker adds to its own clock.
func (s *Settings) record(t *broker.Task, now time.Time) {
	*t = broker.Task{
		Queue: s.Queue, Delay: s.Delay, Deadline: s.Within, Timeout: s.Timeout,
		Retries: s.Retries, Retention: s.Retention, DeadFor: s.DeadFor,
		Unique: s.Unique, Meta: s.Meta, Schema: s.Schema, Priority: s.Priority, Enqueued: now,
	}
	if !s.ETA.IsZero() {
		t.Delay = max(t.Delay, s.ETA.Sub(now))
	}
	if !s.Deadline.IsZero() {
		// One that has passed must stay one: 0 would mean none.
		left := max(s.Deadline.Sub(now), time.Nanosecond)
		if t.Deadline == 0 || left < t.Deadline {
			t.Deadline = left
		}
	}
}

func (s *Settings) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%w option: %s", broker.ErrInvalid, fmt.Sprintf(format, args...))
	}
}

func checkDuration(s *Settings, name string, d time.Duration, least time.Duration) {
	if d < least || d > broker.MaxDuration {
		s.fail("%s(%v), want %v to %v", name, d, least, broker.MaxDuration)
	}
}

// Queue sends calls to the queue: 1 to 128 of A-Z a-z 0-9 _ . and -. The default
// is [DefaultQueue].
func Queue(name string) Option {
	return optionFunc(func(s *Settings) {
		if err := broker.CheckName("queue", name); err != nil && s.err == nil {
			s.err = err
		}
		s.Queue = name
	})
}

// Timeout ends the context of each attempt after d. The default, 0, is none.
func Timeout(d time.Duration) Option {
	return optionFunc(func(s *Settings) {
		checkDuration(s, "Timeout", d, 0)
		s.Timeout = d
	})
}

// Delay makes a call due d after it was stored, by the broker's clock. The
// default is at once. Of Delay and [ETA] the later one counts.
func Delay(d time.Duration) Option {
	return optionFunc(func(s *Settings) {
		checkDuration(s, "Delay", d, 0)
		s.Delay = d
	})
}

// ETA makes a call due at t. It is turned into a delay when the call is sent,
// so a clock that is wrong here does no harm beyond the one call. A time that
// has passed is at once.
func ETA(t time.Time) Option {
	return optionFunc(func(s *Settings) { s.ETA = t })
}

// Within gives a call d to be done, counted from when it is stored, by the
// broker's clock. After that it is never started again, a running attempt's
// context ends, and the task is expired. The default is no deadline. Of
// Within and [Deadline] the earlier one counts.
func Within(d time.Duration) Option {
	return optionFunc(func(s *Settings) {
		checkDuration(s, "Within", d, time.Millisecond)
		s.Within = d
	})
}

// Deadline is [Within] for a point in time.
func Deadline(t time.Time) Option {
	return optionFunc(func(s *Settings) { s.Deadline = t })
}

// Retries is how often a call is run again after its handler failed, 0 to
// 10,000. The default is the minion's policy, 3 unless it was given another.
func Retries(n int) Option {
	return optionFunc(func(s *Settings) {
		if n < 0 || n > broker.MaxRetries {
			s.fail("Retries(%d), want 0 to %d", n, broker.MaxRetries)
		}
		s.Retries = n
	})
}

// WithBackoff is how long a failed call waits for its next attempt. It counts
// where the task's handler is registered, not where calls are sent. The
// default is the minion's policy, [Exponential](1 s, 10 min) unless it was
// given another.
func WithBackoff(b Backoff) Option {
	return optionFunc(func(s *Settings) { s.Backoff = b })
}

// Retention is how long a result is kept for [Future.Result] and look-ups
// after the task is done, to the minute. The default is an hour. With 0 the
// result is pushed to who waits for it and not kept. The task's id is
// remembered for ten minutes at least, so that a repeated send is harmless.
func Retention(d time.Duration) Option {
	return optionFunc(func(s *Settings) {
		checkDuration(s, "Retention", d, 0)
		s.Retention = d
	})
}

// DeadRetention is how long a call that failed for good is kept as a dead
// letter, with its arguments, reason and stack. The default is seven days.
func DeadRetention(d time.Duration) Option {
	return optionFunc(func(s *Settings) {
		checkDuration(s, "DeadRetention", d, 0)
		s.DeadFor = d
	})
}

// Unique lets no second call with the key into the queue before the first one
// is done, whatever became of it: a later one gets [ErrDuplicate], and
// [DuplicateError] names the holder. A dead letter is done and holds no key; it
// takes its own again when it is requeued, or stays one if the key is held by then.
// At most 512 bytes. The default, "", is no key.
func Unique(key string) Option {
	return optionFunc(func(s *Settings) {
		if len(key) > broker.MaxUniqueKey {
			s.fail("Unique key of %d bytes, the limit is %d", len(key), broker.MaxUniqueKey)
		}
		s.Unique = key
	})
}

// Meta adds a key to the metadata that travels with a call; its handler finds
// it in [Info]. Keys and values together have at most 4 KiB by default.
func Meta(key, value string) Option {
	return optionFunc(func(s *Settings) {
		// clone gave these settings a map of their own, unless there was none.
		if s.Meta == nil {
			s.Meta = make(map[string]string, 1)
		}
		s.Meta[key] = value
	})
}
