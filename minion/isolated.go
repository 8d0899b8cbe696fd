package minion

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/childtask"
	"github.com/go-arbiter/arbiter/internal/engine/failure"
	"github.com/go-arbiter/arbiter/internal/engine/isolate"
)

// An isolated handler runs in a child process, so it can neither end nor block the minion.
// This file has the options and the set-up; internal/engine/isolate starts, reuses, limits and
// kills the processes; internal/engine/childtask runs attempts in them. isolated_run.go is
// the minion's side of one attempt, and child.go the entry point of a child.

const (
	// DefaultKillGrace is the default of [KillGrace].
	DefaultKillGrace = time.Second
	// MinMemory is the smallest [MemoryLimit], in bytes: the Go runtime needs some.
	MinMemory = 32 << 20
	// outputRate is how many lines of a child's output are logged per second.
	outputRate = 1000
)

// isolation has the values of the options about isolated tasks.
type isolation struct {
	all    bool
	names  []string
	memory uint64
	grace  time.Duration
	tasks  int
	tuned  string // the last option about children that was given, for an error; "" if none was
}

// Isolated runs tasks in child processes of the minion: the tasks with the given names,
// or all tasks if no name is given. A task can also be registered as isolated, by
// [task.Isolated]. An isolated handler can end its child process, but not the minion:
//
//   - When the context of the attempt ends, because of a kill, a timeout, or a
//     lost lease, the handler's context ends too, with the same cause. A handler
//     that still runs after [KillGrace] is killed with its process.
//   - A process that ends before its handler has returned (os.Exit, a fatal error
//     of the runtime, a panic in another goroutine, a signal, [MemoryLimit]) is a
//     failure of the task, a [*task.CrashError]. It is retried like any other failure.
//
// The program must call [Child] first in its main function, with the minion's codecs;
// otherwise Run returns an error. There are at most as many children as slots, including
// children that start or end, plus one for each handler that has lent its slot to wait
// for another task, until it returns. A child runs one task at a time, and may run
// another one after it; [ChildTasks] limits how many. The output of a child goes to
// [Logger], line by line, at level info: up to 1,000 lines of 8 KiB per second. Further
// lines are dropped, and a warning says how many.
//
// The context in the child has the values of [task.FromContext], the deadline, and
// submitters, which send through the minion. It does not have the values of the context
// of Run. Middleware runs in the minion. An isolated task costs about 60 µs more than one
// in the minion's process. The start of a child takes as long as the program needs to
// reach its main function, a few milliseconds or more, and counts as time of the attempt.
//
// The default is that no task is isolated. Children are supported on Unix and Windows.
// They end with their minion, however it ends. A process that a handler has started, for
// example with os/exec, is killed when the child ends, except in three cases: it has its
// own process group, the minion is killed at the same time, or the system is Windows.
// [MemoryLimit], [KillGrace] or [ChildTasks] without an isolated task make Run return an
// error.
func Isolated(names ...string) Option {
	names = slices.Clone(names)
	return optionFunc(func(c *config) {
		for _, name := range names {
			if err := broker.CheckName("task", name); err != nil {
				c.fail("Isolated: %v", err)
			}
		}
		c.isolation.all = c.isolation.all || len(names) == 0
		c.isolation.names = append(c.isolation.names, names...)
	})
}

// MemoryLimit limits the memory of a child, in bytes, to at least [MinMemory]. The
// default, 0, is no limit. The garbage collector of the child aims at nine tenths of the
// limit (see debug.SetMemoryLimit). A child above the limit is killed, and its task fails
// with [task.ErrMemoryLimit]. On Linux the limit applies to the resident memory of the
// process, including memory that is not Go's; on other systems, to the memory that the Go
// runtime has from the system. It is checked 40 times per second, so a child can exceed
// it for a moment. It is not a limit on address space such as RLIMIT_AS: the Go runtime
// reserves much more address space than it uses.
func MemoryLimit(bytes uint64) Option {
	return optionFunc(func(c *config) {
		if bytes != 0 && bytes < MinMemory || bytes > 1<<60 {
			c.fail("MemoryLimit(%d), want 0, or %d or more", bytes, uint64(MinMemory))
		}
		c.isolation.memory, c.isolation.tuned = bytes, "MemoryLimit"
	})
}

// KillGrace is how long an isolated handler may go on after its context has ended, before
// its process is killed. The default is 1 s, the maximum a minute. While the minion
// stops, it is 2 s at most.
func KillGrace(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d < 0 || d > time.Minute {
			c.fail("KillGrace(%v), want 0 to %v", d, time.Minute)
		}
		c.isolation.grace, c.isolation.tuned = d, "KillGrace"
	})
}

// ChildTasks is how many tasks a child runs before a new one replaces it. With 1 every
// attempt has a new process. The default, 0, is no limit.
func ChildTasks(n int) Option {
	return optionFunc(func(c *config) {
		if n < 0 {
			c.fail("ChildTasks(%d), want 0 for no limit, or 1 or more", n)
		}
		c.isolation.tasks, c.isolation.tuned = n, "ChildTasks"
	})
}

// isolate decides which handlers are isolated, and checks the options about them. The
// caller holds m.mu.
func (m *Minion) isolate() error {
	if isolate.Waiting() {
		return fmt.Errorf("%w: this process is a child of a minion, and can't run a minion: call minion.Child first in main", broker.ErrInvalid)
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

// newPool returns the pool of children for isolated tasks, or nil if no task is isolated.
func newPool(m *Minion, log logger, slots int) *isolate.Pool {
	if !m.isolates {
		return nil
	}
	return newChildren(m, log, slots, m.cfg.isolation)
}

// newChildren returns a pool of children with the given options.
func newChildren(m *Minion, log logger, slots int, iso isolation) *isolate.Pool {
	return isolate.New(isolate.Config{
		Setup: childtask.Setup(m.cfg.codec), Memory: iso.memory, Grace: iso.grace, Jobs: iso.tasks, Slots: slots,
		Cause: failure.EncodeCause, OutputRate: outputRate,
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
