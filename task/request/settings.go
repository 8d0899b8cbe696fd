package request

import (
	"maps"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Settings are the values that all options together result in. Each field has the name of its option in
// package task.
type Settings struct {
	Queue         string                                   // Queue; default task.DefaultQueue
	Timeout       time.Duration                            // Timeout; default 0: the timeout of the registered handler; broker.NoTimeout is none
	Slots         int                                      // Slots; default 0: the number of the registered handler
	Delay         time.Duration                            // Delay; default none
	ETA           time.Time                                // ETA; default none
	Spread        time.Duration                            // Spread; default none
	Within        time.Duration                            // Within; default none
	Deadline      time.Time                                // Deadline; default none
	Retries       int                                      // Retries; default broker.DefaultRetries: the minion's policy
	Backoff       func(retry int, err error) time.Duration // WithBackoff; default nil: the minion's policy
	OnError       func(retry int, err error) (error, bool) // OnError; default nil: no rules
	Retention     time.Duration                            // Retention; default broker.DefaultRetention
	DeadRetention time.Duration                            // DeadRetention; default broker.DefaultDeadRetention
	Unique        Unique                                   // Unique and the options behind it
	Meta          map[string]string                        // Meta; default none
	Lane          *Lane                                    // Priority, FairKey, Sequence, Limit; default nil: none of them
	Schema        uint64                                   // Schema; default 0
	Inherit       bool                                     // Inherit; default false
	Isolated      bool                                     // Isolated; default false
	WaitForRoom   bool                                     // WaitForRoom; default false

	// Err is the error of the first invalid option, or nil. [Request.Check] returns it, and so sending reports it.
	Err error
}

// noOptions is shared by all requests without options. It is never written.
var noOptions = &Settings{
	Queue:         "default",
	Retries:       broker.DefaultRetries,
	Retention:     broker.DefaultRetention,
	DeadRetention: broker.DefaultDeadRetention,
}

// Default returns the settings without options.
func Default() Settings { return *noOptions }

// Clone returns a copy with a map and a lane of its own.
func (s *Settings) Clone() Settings {
	c := *s
	c.Meta, c.Lane = maps.Clone(s.Meta), s.Lane.clone() // Unique.Params never changes
	return c
}

// record fills t with the settings, for a task of that name. Points in time become durations,
// which the broker adds to its own clock.
func (s *Settings) record(t *broker.Task, name string, now time.Time) {
	*t = broker.Task{
		Name: name, Queue: s.Queue, Delay: s.Delay, Deadline: s.Within, Timeout: s.Timeout,
		Retries: s.Retries, Retention: s.Retention, DeadFor: s.DeadRetention,
		Meta: s.Meta, Lane: s.Lane.record(), Schema: s.Schema, Slots: uint32(s.Slots), Bounded: true, Enqueued: now,
	}
	if s.Unique.keyed() {
		t.Unique = s.Unique.record(name)
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
