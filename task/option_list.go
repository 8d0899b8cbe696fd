package task

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task/request"
)

// DefaultQueue is the queue of tasks that name no other.
const DefaultQueue = "default"

// Queue sends calls to the queue with that name: 1 to 128 of A-Z a-z 0-9 _ . and -. The default is
// [DefaultQueue].
func Queue(name string) Option {
	return newOption("Queue", onCall, func(s *request.Settings) {
		if err := broker.CheckName("queue", name); err != nil {
			failWith(s, err)
		}
		s.Queue = name
	})
}

// Timeout ends the context of each attempt after d. With 0 there is no timeout, even if the task
// was defined or registered with one. A call without this option has the timeout with which its
// handler was registered. If the handler has none either, there is no timeout.
func Timeout(d time.Duration) Option {
	return newOption("Timeout", onCall|onHandler, func(s *request.Settings) {
		checkDuration(s, "Timeout", d, 0)
		if s.Timeout = d; d == 0 {
			s.Timeout = broker.NoTimeout
		}
	})
}

// Delay makes a call due d after it was stored, by the broker's clock. The default, 0, is at once.
// If both Delay and [ETA] are given, the later time counts.
func Delay(d time.Duration) Option {
	return newOption("Delay", onCall, func(s *request.Settings) {
		checkDuration(s, "Delay", d, 0)
		s.Delay = d
	})
}

// ETA makes a call due at t. It becomes a delay when the call is sent, so a wrong clock on this
// machine affects only this call. If t has passed, the call is due at once. The default, the zero
// time, is none.
func ETA(t time.Time) Option {
	return newOption("ETA", onCall, func(s *request.Settings) { s.ETA = t })
}

// Spread spreads the starts of calls that are sent together evenly over d, so that they do not all begin at once. It adds to the
// delay of each call:
//
//   - If n calls with Spread are sent by [SendAll], by the Submit of an arbiter or [Info], or as copies by arbiter.Count,
//     call number i of these, from 0, is due i/n of d later. So the first is due at once, and the last one d/n before
//     the end of d.
//   - The SubmitSeq of an arbiter does not know how many calls there are. There, call number i is due later by the
//     fractional part of i/φ of d, where φ is the golden ratio 1.618…. So the calls are not due in their order, but however
//     many they are, their starts are spread evenly.
//
// The delays count from the moment at which a call is stored, by the broker's clock. The calls of one submission can
// have different times d. A call that is sent again keeps its delay. The deadline of [Within] counts
// from the moment at which the call is stored, too, so it should be longer than d.
//
// A call that is sent alone is refused with Spread, and so are a part of a pipe, group or squad, and the call of a schedule:
// it would have no effect there. The default, 0, is no spread.
func Spread(d time.Duration) Option {
	return newOption("Spread", onCall, func(s *request.Settings) {
		checkDuration(s, "Spread", d, 0)
		s.Spread = d
	})
}

// WaitForRoom lets a call wait if its queue is full: it is sent again until there is room, or until the context of the
// submission ends. It tries at least once a second. Calls of one arbiter or minion that wait for the same queue are sent
// in their order. By default such a call is refused with a
// [*FullError]. In a group, pipe or squad, all tasks wait if one of them has this option.
//
// A handler should not wait for room in a queue that its own minion serves: if all slots do that, nothing makes room.
func WaitForRoom() Option {
	return newOption("WaitForRoom", onCall, func(s *request.Settings) { s.WaitForRoom = true })
}

// Within sets the deadline of a call to d after it is stored, by the broker's clock; d is 1 ms or
// more. After the deadline no attempt starts, the context of a running attempt ends, and the task
// is expired. The default, 0, is no deadline. If both Within and [Deadline] are given, the
// earlier time counts.
func Within(d time.Duration) Option {
	return newOption("Within", onCall, func(s *request.Settings) {
		if d != 0 {
			checkDuration(s, "Within", d, time.Millisecond)
		}
		s.Within = d
	})
}

// Deadline is [Within] for a point in time. The default, the zero time, is none.
func Deadline(t time.Time) Option {
	return newOption("Deadline", onCall, func(s *request.Settings) { s.Deadline = t })
}

// Retries is how often a call is run again after its handler has failed, 0 to 10,000. The default
// is the minion's policy: [DefaultMaxRetries] unless the minion has another. [Exponential] has a
// table of how long that takes.
func Retries(n int) Option {
	return newOption("Retries", onCall|onHandler, func(s *request.Settings) {
		if n < 0 || n > broker.MaxRetries {
			fail(s, "Retries(%d), want 0 to %d", n, broker.MaxRetries)
		}
		s.Retries = n
	})
}

// Slots is how many slots of its minion a task takes while it runs, 1 to 1,000,000. The default is 1.
// A task that needs several times the memory or the processors of the others takes several slots, so
// that a minion runs fewer tasks beside it. A call without this option takes as many slots as its
// handler was registered with.
//
// The task starts when that many slots are free at once, and frees them together: when its attempt
// ends, and while it waits for another task with the [Info] of its context. So between its attempts it
// takes none. If a minion has fewer slots than the task takes, the task takes all of them: it runs
// alone, and the minion logs a warning.
//
// If too few slots are free, the minion gathers them for the task that is first: it starts no other
// task until the slots are free, however long the tasks take that run. If another minion of the queue
// has enough free slots before that, the task goes there after some seconds. Slots that are being
// gathered are idle, so tasks that take several slots should not share minions with tasks that take
// hours.
//
// The members of a squad each take as many slots as the one that takes most, by the options of their
// calls.
func Slots(n int) Option {
	return newOption("Slots", onCall|onHandler, func(s *request.Settings) {
		if n < 1 || n > broker.MaxSlots {
			fail(s, "Slots(%d), want 1 to %d", n, broker.MaxSlots)
			return
		}
		s.Slots = n
	})
}

// WithBackoff sets how long a failed task waits for its next attempt. It counts where the handler
// is registered: give it to [Define], or to the handle that [Handle] gets. A call with it is
// refused. The default, nil, is the minion's policy: [Exponential](1 s, 10 min) unless the minion
// has another.
func WithBackoff(b Backoff) Option {
	return newOption("WithBackoff", onHandler, func(s *request.Settings) { s.Backoff = b })
}

// Retention is how long a result is kept for [Future.Result] and look-ups after the task is done.
// The default is an hour. With 0 the result is pushed to a process that waits for it, and not
// kept. The task's id is remembered for at least ten minutes, whatever the retention is, so that
// a repeated send makes no second task.
func Retention(d time.Duration) Option {
	return newOption("Retention", onCall, func(s *request.Settings) {
		checkDuration(s, "Retention", d, 0)
		s.Retention = d
	})
}

// DeadRetention is how long a task that has failed for good is kept as a dead letter, with its
// arguments, the reason and the stack. The default is seven days. If [Retention] is longer, that
// time counts. With 0 there is no dead letter, so the task can't be requeued; its error can be
// looked up for as long as a result, see Retention.
func DeadRetention(d time.Duration) Option {
	return newOption("DeadRetention", onCall, func(s *request.Settings) {
		checkDuration(s, "DeadRetention", d, 0)
		s.DeadRetention = d
	})
}

// Meta adds a key to the metadata of a call. The handler finds it in [Info]. All keys and values
// of a call together have at most 4 KiB by default. [NoMeta] removes a key.
func Meta(key, value string) Option {
	return newOption("Meta", onCall, func(s *request.Settings) {
		// The settings have a map of their own, made by Clone, or no map.
		if s.Meta == nil {
			s.Meta = make(map[string]string, 1)
		}
		s.Meta[key] = value
	})
}

// NoMeta removes the given keys that an earlier [Meta] added, or all keys if none is given.
func NoMeta(keys ...string) Option {
	return newOption("NoMeta", onCall, func(s *request.Settings) {
		if len(keys) == 0 {
			s.Meta = nil
		}
		for _, key := range keys {
			delete(s.Meta, key)
		}
	})
}

// Inherit ties a call to the running task that sends it with the [Info] of its context. The call
// gets what is left of the task's deadline, unless its own deadline is earlier. If the task is
// killed while it runs, the call is killed as well, once the handler has returned; so are the
// calls with Inherit that the call's own task has sent, and so on. The minion keeps these ties in
// memory: if it dies at the moment of the kill, the call goes on. The default is no tie, see
// [Detach]. Inherit has no effect on a call that no task sends.
func Inherit() Option {
	return newOption("Inherit", onCall, func(s *request.Settings) { s.Inherit = true })
}

// Detach removes [Inherit]: the call is independent of the task that sends it.
func Detach() Option {
	return newOption("Detach", onCall, func(s *request.Settings) { s.Inherit = false })
}

// Isolated runs each attempt of the task in a process of its own, a child of the minion's process.
// If the handler crashes, the child ends and the minion goes on. It counts where the handler is
// registered, as [WithBackoff] does. The default is the minion's own process, see [InProcess].
// minion.Child explains what the program must do, and what the child has.
func Isolated() Option {
	return newOption("Isolated", onHandler, func(s *request.Settings) { s.Isolated = true })
}

// InProcess removes [Isolated]: the task runs in the minion's own process, unless minion.Isolated
// names the task or isolates all. It counts where Isolated does.
func InProcess() Option {
	return newOption("InProcess", onHandler, func(s *request.Settings) { s.Isolated = false })
}

// Schema is the hash of the task's parameters and result. A minion compares the hash of the call
// with the hash of its handler, to find out whether both were built for the same types. Handles
// that arbitergen makes have this option. The default, 0, says that the hash is not known.
func Schema(hash uint64) Option {
	return newOption("Schema", onCall|onHandler, func(s *request.Settings) { s.Schema = hash })
}
