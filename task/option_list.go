package task

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Queue sends calls to the queue: 1 to 128 of A-Z a-z 0-9 _ . and -. The default
// is [DefaultQueue].
func Queue(name string) Option {
	return &option{"Queue", onCall, func(s *Settings) {
		if err := broker.CheckName("queue", name); err != nil && s.err == nil {
			s.err = err
		}
		s.Queue = name
	}}
}

// Timeout ends the context of each attempt after d. With 0 there is no timeout,
// also where the task was defined or registered with one. A call that has none of
// its own has that of the registered handler. The default is none.
func Timeout(d time.Duration) Option {
	return &option{"Timeout", onCall | onHandler, func(s *Settings) {
		checkDuration(s, "Timeout", d, 0)
		if s.Timeout = d; d == 0 {
			s.Timeout = broker.NoTimeout
		}
	}}
}

// Delay makes a call due d after it was stored, by the broker's clock. The
// default, 0, is at once. Of Delay and [ETA] the later one counts.
func Delay(d time.Duration) Option {
	return &option{"Delay", onCall, func(s *Settings) {
		checkDuration(s, "Delay", d, 0)
		s.Delay = d
	}}
}

// ETA makes a call due at t. It is turned into a delay when the call is sent,
// so a clock that is wrong here does no harm beyond the one call. A time that
// has passed is at once. The default, the zero time, is none.
func ETA(t time.Time) Option {
	return &option{"ETA", onCall, func(s *Settings) { s.ETA = t }}
}

// Within gives a call d to be done, 1 ms or more, counted from when it is stored,
// by the broker's clock. After that it is never started again, a running
// attempt's context ends, and the task is expired. The default, 0, is no deadline.
// Of Within and [Deadline] the earlier one counts.
func Within(d time.Duration) Option {
	return &option{"Within", onCall, func(s *Settings) {
		if d != 0 {
			checkDuration(s, "Within", d, time.Millisecond)
		}
		s.Within = d
	}}
}

// Deadline is [Within] for a point in time. The default, the zero time, is none.
func Deadline(t time.Time) Option {
	return &option{"Deadline", onCall, func(s *Settings) { s.Deadline = t }}
}

// Retries is how often a call is run again after its handler failed, 0 to
// 10,000. The default is the minion's policy, [DefaultMaxRetries] unless it was
// given another. [Exponential] has a table of how long that takes.
func Retries(n int) Option {
	return &option{"Retries", onCall | onHandler, func(s *Settings) {
		if n < 0 || n > broker.MaxRetries {
			s.fail("Retries(%d), want 0 to %d", n, broker.MaxRetries)
		}
		s.Retries = n
	}}
}

// WithBackoff is how long a failed call waits for its next attempt. It counts
// where the task's handler is registered: in its definition, or on the handle
// that [Handle] gets. A call with it is refused. The default, nil, is the minion's
// policy, [Exponential](1 s, 10 min) unless it was given another.
func WithBackoff(b Backoff) Option {
	return &option{"WithBackoff", onHandler, func(s *Settings) { s.Backoff = b }}
}

// Retention is how long a result is kept for [Future.Result] and look-ups
// after the task is done, to the minute. The default is an hour. With 0 the
// result is pushed to who waits for it and not kept. The task's id is
// remembered for ten minutes at least, so that a repeated send is harmless.
func Retention(d time.Duration) Option {
	return &option{"Retention", onCall | onGroup, func(s *Settings) {
		checkDuration(s, "Retention", d, 0)
		s.Retention = d
	}}
}

// DeadRetention is how long a call that failed for good is kept as a dead
// letter, with its arguments, reason and stack. The default is seven days. With 0
// it is kept no longer than [Retention] says.
func DeadRetention(d time.Duration) Option {
	return &option{"DeadRetention", onCall, func(s *Settings) {
		checkDuration(s, "DeadRetention", d, 0)
		s.DeadFor = d
	}}
}

// Meta adds a key to the metadata that travels with a call; its handler finds
// it in [Info]. Keys and values together have at most 4 KiB by default. [NoMeta]
// takes a key away.
func Meta(key, value string) Option {
	return &option{"Meta", onCall, func(s *Settings) {
		// clone gave these settings a map of their own, unless there was none.
		if s.Meta == nil {
			s.Meta = make(map[string]string, 1)
		}
		s.Meta[key] = value
	}}
}

// NoMeta takes keys of [Meta] away that were given before, or all of them if it
// names none.
func NoMeta(keys ...string) Option {
	return &option{"NoMeta", onCall, func(s *Settings) {
		if len(keys) == 0 {
			s.Meta = nil
		}
		for _, key := range keys {
			delete(s.Meta, key)
		}
	}}
}

// Inherit lets a call that a running task sends through its context end with it.
// It gets what is left of the task's deadline, unless its own is sooner; and if
// the task is killed while it runs, the call is killed as well, once the handler
// has returned. All that a tree of such calls has sent ends so. It is kept in the
// memory of the minion: if that dies in the same moment, the call goes on. The
// default is a call that is on its own, see [Detach]. It changes nothing for calls
// that are sent from elsewhere.
func Inherit() Option {
	return &option{"Inherit", onCall | onGroup, func(s *Settings) { s.Inherit = true }}
}

// Detach takes [Inherit] away: the call is on its own.
func Detach() Option {
	return &option{"Detach", onCall | onGroup, func(s *Settings) { s.Inherit = false }}
}

// Isolated has each attempt at the task run in a process of its own, a child of
// the minion's: whatever the handler does, its end is that of the child and never
// of the minion. It counts where the task's handler is registered, as
// [WithBackoff] does. The default is the minion's own process, see [InProcess].
// See minion.Child for what the program must do, and what there is in the child.
func Isolated() Option {
	return &option{"Isolated", onHandler, func(s *Settings) { s.Isolated = true }}
}

// InProcess takes [Isolated] away: the task runs in the minion's own process,
// unless minion.Isolated names it or all. It counts where Isolated does.
func InProcess() Option {
	return &option{"InProcess", onHandler, func(s *Settings) { s.Isolated = false }}
}

// Schema gives calls the hash of the task's parameters and result, so that both
// sides can tell whether they were built for the same ones. Generated handles
// have it. The default, 0, says that nothing is known.
func Schema(hash uint64) Option {
	return &option{"Schema", onCall | onHandler, func(s *Settings) { s.Schema = hash }}
}
