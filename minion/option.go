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

// Options are functions on a config. New applies them in order, and returns the error of
// the first invalid one.

// The defaults of a minion.
const (
	DefaultDrainTimeout  = 25 * time.Second // less than the 30 s that Kubernetes gives
	DefaultMaxRecoveries = 4                // minions that die with the task
	DefaultParkFor       = 24 * time.Hour
	// MaxWeight is the largest weight of a queue.
	MaxWeight = 1_000_000
)

// Option changes a minion; see [New]. If an option is given twice, the later one counts,
// except for [Codecs], [Isolated], [Limits] and [Use], which add up, and [AtMost] and
// [AtMostFrom], which do so for different names. New returns an error for an
// invalid option; it wraps [task.ErrInvalid], and names the option, its value and the
// remedy.
type Option interface {
	apply(*config)
}

type config struct {
	queues    []string
	weights   []int // the weights of queues; nil if their order is strict
	retries   int
	atMost    map[string]int // ceilings by name of a task
	fromQueue map[string]int // ceilings by queue
	backoff   task.Backoff
	onError   []task.ErrorRule
	drain     time.Duration
	deaths    int
	park      time.Duration
	log       *slog.Logger
	codec     codec.Codec
	codecs    []codec.Codec
	use       []Middleware
	limits    []queueLimits
	isolation isolation
	err       error // the first invalid option
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
	cfg.checkLimits()
	cfg.checkCeilings()
	return cfg
}

// allCodecs returns the codec for calls that handlers send, then the additional codecs.
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
		c.fail("%s: another option has set the queues; name them all in one Queues or Weighted", option)
	case len(names) == 0:
		c.fail("%s: no queue; name one or more, or leave the option out to serve the queue %s", option, task.DefaultQueue)
	}
	for i, name := range names {
		if err := broker.CheckName("queue", name); err != nil {
			c.fail("%s: %v", option, err)
		}
		if slices.Contains(names[:i], name) {
			c.fail("%s: queue %s is named twice; name it once", option, name)
		}
	}
	c.queues, c.weights = names, weights
}

// Queue serves one queue. The default is [task.DefaultQueue]. Only one of Queue, [Queues]
// and [Weighted] can be given, and only once: a second one is an error.
func Queue(name string) Option {
	return optionFunc(func(c *config) { c.setQueues("Queue", []string{name}, nil) })
}

// Queues serves several queues in strict order: a task of a later queue is taken only
// while the earlier queues have none. No name, or a name that is given twice, is an error.
func Queues(names ...string) Option {
	names = slices.Clone(names)
	return optionFunc(func(c *config) { c.setQueues("Queues", names, nil) })
}

// Weighted serves several queues by weight, 1 to [MaxWeight]: while all of them have
// tasks, each is asked first in proportion to its weight. No queue is starved, and no slot
// is idle while any queue has a task.
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

// Retry is the retry policy of tasks that have none of their own: how often a task is
// retried after its handler failed, 0 to 10,000, and how long it waits before each retry.
// The default is [task.DefaultMaxRetries] and [task.Exponential](1 s, 10 min), whose
// documentation has a table of the resulting times. A nil backoff is that default.
func Retry(retries int, backoff task.Backoff) Option {
	return optionFunc(func(c *config) {
		if retries < 0 || retries > broker.MaxRetries {
			c.fail("Retry(%d), want 0 to %d", retries, broker.MaxRetries)
		}
		c.retries, c.backoff = retries, backoff
	})
}

// DrainTimeout is how long handlers may go on when the minion stops, before their
// contexts end: 0 to broker.MaxDuration, ten years. The default is 25 s. With 0 their
// contexts end at once.
func DrainTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d < 0 || d > broker.MaxDuration {
			c.fail("DrainTimeout(%v), want 0 to %v", d, broker.MaxDuration)
		}
		c.drain = d
	})
}

// MaxRecoveries is how many minions a task may kill, 1 to 255, before it becomes a dead
// letter with [task.ErrMinionDied]. The default is 4.
//
// When a minion dies, it is not known which of its running tasks has killed it. A task
// becomes a dead letter after n deaths of minions that held it, if it had started in all of
// them except the first: the broker records starts only after a first death. With an n of
// 1 it records every start, which costs one request for each task.
//
// A task that was running at two deaths is a suspect; with an n of 2, after one death. A
// minion runs one suspect at a time, for the first ten minutes of that suspect; others wait.
// If the program calls [Child], a suspect runs in a process of its own, as [Isolated] tasks
// do, and becomes a dead letter at once if that process ends before the handler returns.
//
// A lease that ends while the minion lives is not a death: the minion tells the broker when
// it can reach it again. If the broker does not implement [broker.Starter], starts are not
// known, and a task becomes a dead letter after n deaths of minions that held it.
func MaxRecoveries(n int) Option {
	return optionFunc(func(c *config) {
		if n < 1 || n > 255 {
			c.fail("MaxRecoveries(%d), want 1 to 255", n)
		}
		c.deaths = n
	})
}

// ParkFor is how long a task is parked that this minion can't run: no handler is registered
// for its name, the minion does not have its codec, or its arguments do not decode because
// the sender has other parameters for the task, as the schema hashes of generated handles
// show. In a rolling deployment the new build sends such tasks to minions of the old one. A
// minion of the queue that can run a parked task gets it at once, or as soon as it starts.
// If there is none when the time is over, the task becomes a dead letter, and its error
// names the minions of the queue.
//
// The default is a day, the maximum broker.MaxDuration, ten years. With 0, or on a broker
// without [broker.Parker], such a task becomes a dead letter at once.
func ParkFor(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d < 0 || d > broker.MaxDuration {
			c.fail("ParkFor(%v), want 0 to %v", d, broker.MaxDuration)
		}
		c.park = d
	})
}

// Logger sets the log of the minion. Lines have the attributes task.id, task.name, queue,
// attempt, duration and error where they apply. A panic is logged with the attribute stack,
// at most 16 KiB, and at level warn or error, however the task ends. The same holds for the
// crash of an isolated task: its stack is the last output of the process, and is left out
// if the error contains all of it. The levels are
//
//   - debug: a task succeeded, was snoozed, or was given back because the minion
//     stops ("task given back"); the minion started or stopped;
//   - info: a task was canceled or expired; a task failed, and snoozes by a rule
//     of [OnError]; a limit was closed for a handler that
//     has returned [task.LimitReached]; the broker is back;
//   - warn: a task failed and is retried; a task was parked, the first with its
//     need (the others are debug); a lease was lost; a result was dropped; a
//     limit could not be closed; the broker can't be reached;
//   - error: a task failed for good; a limit that [Limits] declares is stored
//     with another definition.
//
// The default is [slog.Default].
func Logger(l *slog.Logger) Option {
	return optionFunc(func(c *config) {
		if l == nil {
			c.fail("Logger(nil), want a logger; leave the option out for slog.Default")
		}
		c.log = l
	})
}

// Codec sets the codec for tasks that handlers send. The default is [codec.Default]: the
// first of [Codecs] that signs or encrypts, else [codec.Msgpack]. A result is encoded with
// the codec of its task's arguments.
func Codec(enc codec.Codec) Option {
	return optionFunc(func(c *config) {
		if enc == nil {
			c.fail("Codec(nil), want a codec; leave the option out for codec.Default")
			return
		}
		if err := codec.Check(enc); err != nil {
			c.fail("Codec: %v", err)
			return
		}
		c.codec = enc
	})
}

// Codecs adds codecs in which the minion accepts tasks. It always accepts the codec of
// [Codec]. It also accepts the built-in codecs, unless one of the given codecs signs or
// encrypts: then it accepts only those that are given here or in Codec. A task in another
// codec does not run: it becomes a dead letter or, if the codec is not a built-in one, is
// parked; see [ParkFor].
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
