package minion

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/isolate"
)

const (
	// DefaultKillGrace is the default of [KillGrace].
	DefaultKillGrace = time.Second
	// MinMemory is the least [MemoryLimit]: a Go program needs some for itself.
	MinMemory = 32 << 20
	// outputRate is how many lines of a child's output are logged a second.
	outputRate = 1000
)

// isolation is what the options about isolated tasks come to.
type isolation struct {
	all    bool
	names  []string
	memory uint64
	grace  time.Duration
	tasks  int
	tuned  string // an option about children that was given; "" if none was
}

// Isolated runs tasks in processes of their own, children of the minion's: those
// of the given names, or all if none is given. A task can also be registered as
// one, by [task.Isolated]. Whatever a handler does there, its end is the end of a
// child, and never of the minion:
//
//   - When the context of the attempt ends, because of a kill, a timeout, or a
//     lost lease, that of the handler does too, with the same cause. A handler
//     that still runs after [KillGrace] is killed with its process.
//   - A process that ends before its handler has returned (os.Exit, a fatal error
//     of the runtime, a panic in another goroutine, a signal, [MemoryLimit]) is a
//     failure of the task, a [*task.CrashError], and is retried like any other.
//
// The program calls [Child] first in its main function, with the minion's codecs;
// without that Run refuses to start. There are at most as many children as slots,
// those that start or end among them, and one more for each handler that has lent
// its slot to wait for another task, until it returns. Each runs one task at a time,
// and the next when that has returned; [ChildTasks] bounds how many. What a child
// prints goes to [Logger], line by line, as info: up to 1,000 lines of 8 KiB a
// second. Lines beyond that are dropped, and a warning says how many.
//
// The context in the child has what [task.FromContext] tells, the deadline, and
// submitters, which send through the minion; values of the context of Run are not
// there. Middleware runs in the minion. A task costs some 60 µs more than in the
// minion's own process. The start of a child takes as long as the program takes
// to reach its main function, a few milliseconds or more, and counts as time of
// the attempt.
//
// The default is that no task is isolated. Children are a feature of Unix and
// Windows. They end with their minion, however that ends. What a handler has
// started itself, as with os/exec, is killed when the child ends, unless it has
// made itself a process group of its own, the minion is killed at the same time,
// or this is Windows. [MemoryLimit], [KillGrace] and [ChildTasks] without an
// isolated task are an error of Run.
func Isolated(names ...string) Option {
	names = slices.Clone(names)
	return optionFunc(func(c *config) {
		for _, name := range names {
			if err := broker.CheckName("task", name); err != nil && c.err == nil {
				c.err = err
			}
		}
		c.isolation.all = c.isolation.all || len(names) == 0
		c.isolation.names = append(c.isolation.names, names...)
	})
}

// MemoryLimit is how many bytes of memory a child may have, at least [MinMemory].
// The default, 0, is as many as there are. Nine tenths of it are the limit that
// the child's garbage collector keeps to if it can (see debug.SetMemoryLimit).
// A child that is over the limit is killed, and its task fails with
// [task.ErrMemoryLimit]. On Linux what counts is the memory that the process has
// in RAM, whoever has allocated it; elsewhere what the Go runtime has from the
// system. It is looked at 40 times a second, so a child can be over it for a
// moment. It is no limit on address space, as RLIMIT_AS: the Go runtime reserves
// much more of that than it uses.
func MemoryLimit(bytes uint64) Option {
	return optionFunc(func(c *config) {
		if bytes != 0 && bytes < MinMemory || bytes > 1<<60 {
			c.fail("MemoryLimit(%d), want 0 or %d and more", bytes, uint64(MinMemory))
		}
		c.isolation.memory, c.isolation.tuned = bytes, "MemoryLimit"
	})
}

// KillGrace is how long an isolated handler may go on when its context has ended,
// before its process is killed. The default is 1 s, the longest a minute. When
// the minion stops it is 2 s at most.
func KillGrace(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d < 0 || d > time.Minute {
			c.fail("KillGrace(%v), want 0 to %v", d, time.Minute)
		}
		c.isolation.grace, c.isolation.tuned = d, "KillGrace"
	})
}

// ChildTasks is how many tasks a child runs before a fresh one takes its place.
// With 1 every attempt has a process that never ran another. The default, 0, is
// no limit.
func ChildTasks(n int) Option {
	return optionFunc(func(c *config) {
		if n < 0 {
			c.fail("ChildTasks(%d)", n)
		}
		c.isolation.tasks, c.isolation.tuned = n, "ChildTasks"
	})
}

// isolate decides which handlers are isolated. m.mu is held.
func (m *Minion) isolate() error {
	if isolate.Waiting() {
		return fmt.Errorf("%w: this process is a child of a minion, and runs no minion: call minion.Child first in main", broker.ErrInvalid)
	}
	iso := &m.cfg.isolation
	for _, name := range iso.names {
		if m.handlers[name] == nil {
			return fmt.Errorf("%w option: Isolated: task %s is not registered", broker.ErrInvalid, name)
		}
	}
	for name, h := range m.handlers {
		h.isolated = h.Settings.Isolated || iso.all || slices.Contains(iso.names, name)
		m.isolates = m.isolates || h.isolated
	}
	if !m.isolates && iso.tuned != "" {
		return fmt.Errorf("%w option: %s has no effect: no task is isolated; add minion.Isolated or task.Isolated", broker.ErrInvalid, iso.tuned)
	}
	if !m.isolates {
		return nil
	}
	h := hook.Load()
	if h == nil {
		return fmt.Errorf("%w: tasks are isolated, and minion.Child was not called: call it first in main", broker.ErrInvalid)
	}
	return h.check(&m.cfg)
}

// newPool returns where isolated tasks run, nil if there are none.
func newPool(m *Minion, log logger, slots int) *isolate.Pool {
	if !m.isolates {
		return nil
	}
	return newChildren(m, log, slots, m.cfg.isolation)
}

// newChildren returns a pool of children.
func newChildren(m *Minion, log logger, slots int, iso isolation) *isolate.Pool {
	return isolate.New(isolate.Config{
		Setup: []byte(m.cfg.codec.Name()), Memory: iso.memory, Grace: iso.grace, Jobs: iso.tasks, Slots: slots,
		Cause: causeFrame, OutputRate: outputRate,
		Output: func(l isolate.Line) {
			if log.discreet && l.Dropped == 0 {
				return
			}
			level, text, args := slog.LevelInfo, l.Text, []any{"pid", l.PID, "stream", l.Stream}
			if l.Dropped > 0 {
				level, args = slog.LevelWarn, []any{"pid", l.PID, "lines", l.Dropped, "limit_per_second", outputRate}
				text = "output of an isolated task was dropped: it prints too much"
			}
			if d, ok := l.Job.(*broker.Delivery); ok {
				log.task(level, text, d, args...)
			} else {
				log.l.Log(context.Background(), level, text, args...)
			}
		},
	})
}
