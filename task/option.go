package task

import (
	"cmp"
	"fmt"
	"maps"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Option changes how a task's calls are stored and run. Options are given to [Define] and
// [Task.With], for all calls, or to [Call.With], for one. Sending the call reports an invalid
// value, and an option that has no effect where it is given: for example [WithBackoff] on a
// call.
//
// Later options win over earlier ones. Each option has a value that removes an earlier one: 0,
// "", nil or the zero time, or another option, such as [NoMeta].
type Option interface {
	apply(*Settings)
}

// DefaultQueue is the queue of tasks that name no other.
const DefaultQueue = "default"

// Settings are the values that all options together result in. Only code that implements a
// [Submitter] or a [Registrar] needs it.
type Settings struct {
	Queue     string            // Queue; default DefaultQueue
	Timeout   time.Duration     // Timeout; default 0: the timeout of the registered handler; broker.NoTimeout is none
	Delay     time.Duration     // Delay; default none
	ETA       time.Time         // ETA; default none
	Within    time.Duration     // Within; default none
	Deadline  time.Time         // Deadline; default none
	Retries   int               // Retries; default broker.DefaultRetries: the minion's policy
	Backoff   Backoff           // WithBackoff; default nil: the minion's policy
	Retention time.Duration     // Retention; default broker.DefaultRetention
	DeadFor   time.Duration     // DeadRetention; default broker.DefaultDeadRetention
	Unique    string            // Unique; default none
	Scope     string            // UniqueIn; default "": the name of the task
	Meta      map[string]string // Meta; default none
	Schema    uint64            // Schema; default 0
	Inherit   bool              // Inherit; default false
	Isolated  bool              // Isolated; default false

	err      error  // the first invalid option
	registry string // the last option after Define that only a registration can use; "" if there is none
}

var noOptions = &Settings{
	Queue:     DefaultQueue,
	Retries:   broker.DefaultRetries,
	Retention: broker.DefaultRetention,
	DeadFor:   broker.DefaultDeadRetention,
}

// clone returns a copy that may be changed.
func (s *Settings) clone() Settings {
	c := *s
	c.Meta = maps.Clone(s.Meta)
	return c
}

// record fills t with the settings, for a task of that name. Points in time become durations,
// which the broker adds to its own clock.
func (s *Settings) record(t *broker.Task, name string, now time.Time) {
	*t = broker.Task{
		Name: name, Queue: s.Queue, Delay: s.Delay, Deadline: s.Within, Timeout: s.Timeout,
		Retries: s.Retries, Retention: s.Retention, DeadFor: s.DeadFor,
		Meta: s.Meta, Schema: s.Schema, Enqueued: now,
	}
	if s.Unique != "" {
		t.Unique = broker.ScopedKey(cmp.Or(s.Scope, name), s.Unique)
	}
	if !s.ETA.IsZero() {
		t.Delay = max(t.Delay, s.ETA.Sub(now))
	}
	if !s.Deadline.IsZero() {
		// A deadline that has passed must stay one: 0 would mean none.
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
