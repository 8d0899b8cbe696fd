package minion

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

// The defaults of a minion.
const (
	DefaultDrainTimeout  = 25 * time.Second // below the 30 s that Kubernetes gives
	DefaultMaxRecoveries = 4
	DefaultParkFor       = 24 * time.Hour
	// MaxWeight is the largest weight of a queue.
	MaxWeight = 1_000_000
)

// Option changes a minion; see [New]. A value that can't be is reported by
// Register and Run.
type Option interface {
	apply(*config)
}

type config struct {
	queues    []string
	weights   []int // of queues; nil if their order is strict
	retries   int
	backoff   task.Backoff
	drain     time.Duration
	deaths    int
	park      time.Duration
	log       *slog.Logger
	codec     codec.Codec
	codecs    []codec.Codec
	use       []Middleware
	isolation isolation
	err       error
}

func configure(opts []Option) config {
	cfg := config{
		retries:   task.DefaultMaxRetries,
		drain:     DefaultDrainTimeout,
		deaths:    DefaultMaxRecoveries,
		park:      DefaultParkFor,
		isolation: isolation{grace: DefaultKillGrace},
	}
	for _, o := range opts {
		if o != nil {
			o.apply(&cfg)
		}
	}
	if cfg.queues == nil {
		cfg.queues = []string{task.DefaultQueue}
	}
	if cfg.backoff == nil {
		cfg.backoff = task.Exponential(task.DefaultBackoffBase, task.DefaultBackoffCap)
	}
	if cfg.codec == nil {
		cfg.codec = codec.Default(cfg.codecs...)
	}
	if cfg.log == nil {
		cfg.log = slog.Default()
	}
	return cfg
}

// allCodecs returns the codec of what is sent, then the others that were given.
func (c *config) allCodecs() []codec.Codec {
	return append([]codec.Codec{c.codec}, c.codecs...)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

func (c *config) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w option: %s", broker.ErrInvalid, fmt.Sprintf(format, args...))
	}
}

func (c *config) setQueues(option string, names []string, weights []int) {
	switch {
	case c.queues != nil:
		c.fail("%s: the queues were given before; name them all in one Queues or Weighted", option)
	case len(names) == 0:
		c.fail("%s: no queue", option)
	}
	for i, name := range names {
		if err := broker.CheckName("queue", name); err != nil && c.err == nil {
			c.err = err
		}
		if slices.Contains(names[:i], name) {
			c.fail("%s: queue %s is there twice", option, name)
		}
	}
	c.queues, c.weights = names, weights
}

// Queue serves one queue. The default is [task.DefaultQueue].
func Queue(name string) Option {
	return optionFunc(func(c *config) { c.setQueues("Queue", []string{name}, nil) })
}

// Queues serves several queues in a strict order: a task of a later one is
// taken only if the earlier ones have none.
func Queues(names ...string) Option {
	names = slices.Clone(names)
	return optionFunc(func(c *config) { c.setQueues("Queues", names, nil) })
}

// Weighted serves several queues by weight, 1 to [MaxWeight]: as long as all of
// them have tasks, each is the first to be asked in proportion to its weight.
// None is starved, and no slot is idle while any has a task.
func Weighted(weights map[string]int) Option {
	names := make([]string, 0, len(weights))
	for name := range weights {
		names = append(names, name)
	}
	slices.Sort(names)
	list := make([]int, len(names))
	for i, name := range names {
		list[i] = weights[name]
	}
	return optionFunc(func(c *config) {
		for i, w := range list {
			if w < 1 || w > MaxWeight {
				c.fail("Weighted: queue %s has weight %d, want 1 to %d", names[i], w, MaxWeight)
			}
		}
		c.setQueues("Weighted", names, list)
	})
}

// Retry is the retry policy of tasks that have none of their own: how often a
// task is run again after its handler failed, 0 to 10,000, and how long it
// waits before. The default is [task.DefaultMaxRetries] and
// [task.Exponential](1 s, 10 min), which has a table of how long that takes; a
// nil backoff is that too.
func Retry(retries int, backoff task.Backoff) Option {
	return optionFunc(func(c *config) {
		if retries < 0 || retries > broker.MaxRetries {
			c.fail("Retry(%d), want 0 to %d", retries, broker.MaxRetries)
		}
		c.retries, c.backoff = retries, backoff
	})
}

// DrainTimeout is how long handlers may go on when the minion stops, before
// their contexts end. The default is 25 s. With 0 they end at once.
func DrainTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d < 0 || d > broker.MaxDuration {
			c.fail("DrainTimeout(%v), want 0 to %v", d, broker.MaxDuration)
		}
		c.drain = d
	})
}

// MaxRecoveries is how many minions a task may kill, 1 to 255, until it is given up as a
// dead letter with [task.ErrMinionDied]. The default is 4.
//
// When a minion dies, nobody knows which of its running tasks has killed it. A task is
// given up after n deaths. It must have been held by the minion each time, and it must have
// started each time but the first: the broker records starts only after a first death. With
// an n of 1 it records every start, which costs one request for each task.
//
// A task that was running at two deaths is a suspect; with an n of 2, one death is enough.
// A suspect runs beside no other suspect for its first ten minutes, so other suspects wait.
// If the program calls [Child], it runs in a process of its own, as [Isolated] tasks do,
// and is given up at once if that process ends before the handler has returned.
//
// The end of a lease is no death if the minion lives: the minion tells the broker when it
// reaches it again. With a broker that does not implement [broker.Starter] starts are not
// known, and a task is given up after n deaths of minions that held it.
func MaxRecoveries(n int) Option {
	return optionFunc(func(c *config) {
		if n < 1 || n > 255 {
			c.fail("MaxRecoveries(%d), want 1 to 255", n)
		}
		c.deaths = n
	})
}

// ParkFor is how long a task is parked that this minion can't run. Its name may be one
// that no handler was registered for, its codec one that the minion does not have, or its
// arguments may not decode since its sender has other parameters for it, as the hashes of
// generated handles tell. In a rolling deployment such tasks come from the new build to
// minions of the old one. A minion of the queue that can run a parked task gets it at
// once, or as soon as it starts. If there is none when the time is over, the task is a
// dead letter, whose error names the minions that were there.
//
// The default is a day, the longest is broker.MaxDuration. With 0 such a task is a dead
// letter at once, as it is on a broker without [broker.Parker].
func ParkFor(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d < 0 || d > broker.MaxDuration {
			c.fail("ParkFor(%v), want 0 to %v", d, broker.MaxDuration)
		}
		c.park = d
	})
}

// Logger is told what happens, with the attributes task.id, task.name, queue,
// attempt, duration and error where they apply. An attempt that panics has the
// attribute stack, at most 16 KiB, and is logged as a warning or an error whatever
// becomes of the task; so has an isolated one whose process crashed, with what that
// printed last, unless the error has all of that. The levels are
//
//   - debug: a task succeeded, was snoozed or released; the minion started,
//     stopped;
//   - info: a task was canceled or expired; the broker is back;
//   - warn: a task failed and is retried; the first of those that need the same was
//     parked, the others are debug; a lease was lost, a result dropped;
//     the broker is out of reach;
//   - error: a task failed for good.
//
// The default is [slog.Default].
func Logger(l *slog.Logger) Option {
	return optionFunc(func(c *config) {
		if l == nil {
			c.fail("Logger(nil)")
		}
		c.log = l
	})
}

// Codec is how tasks that handlers send are encoded. The default is
// [codec.Default]: the first of [Codecs] that signs or encrypts, else
// [codec.Msgpack]. Results are encoded as the task's arguments were.
func Codec(enc codec.Codec) Option {
	return optionFunc(func(c *config) {
		if enc == nil {
			c.fail("Codec(nil)")
			return
		}
		if err := codec.Check(enc); err != nil {
			c.fail("Codec: %v", err)
			return
		}
		c.codec = enc
	})
}

// Codecs adds codecs that tasks may be encoded with. That of [Codec] is always
// understood, and so are the built in ones; but where one of all these signs or
// encrypts, only those that are named here or there. A task with another one does
// not run, and becomes a dead letter.
func Codecs(more ...codec.Codec) Option {
	return optionFunc(func(c *config) {
		for i, enc := range more {
			if err := codec.Check(enc); err != nil {
				c.fail("Codecs: number %d: %v", i+1, err)
				return
			}
		}
		c.codecs = append(c.codecs, more...)
	})
}
