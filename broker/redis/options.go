package redis

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/remember"
)

// Option changes how a [Broker] works.
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	namespace  string
	lease      time.Duration
	partitions int
	slice      time.Duration
	atLeast    time.Duration // how long the id of an ended task is remembered
	sweepStep  int           // tasks that a step of the sweeper forgets, about
	noKeeper   bool          // nobody sweeps or takes turns by itself: for tests
	rounds     time.Duration // how often somebody looks after the queues of the namespace
	registered time.Duration // how long a partition notes that its queue is registered
	unused     time.Duration // how long a queue is not registered before it can be forgotten
	abandoned  time.Duration // how long a parked task waits beyond its time in a queue without a minion
	limits     broker.Limits
	apartFrom  int    // size of payload
	where      string // the addresses, for errors
	logger     *slog.Logger
	opening    string // an option for Open alone that was given; "" if none was
	tls        *tls.Config
	username   string
	password   string
	reads      uint8 // versions of messages up to this: always broker.MessageVersion but in tests
	sentinel   login // of sentinels that have one of their own
	err        error
}

// The times of a broker that was given no others.
const (
	DefaultNamespace = "arbiter"
	DefaultLease     = 12 * time.Second
)

// MaxPartitions is the largest number of partitions of a queue.
const MaxPartitions = 256

func newConfig(opts []Option) config {
	c := config{
		namespace: DefaultNamespace, lease: DefaultLease, partitions: 1, apartFrom: apartFrom, reads: broker.MessageVersion, logger: slog.Default(),
		atLeast: remember.AtLeast(), sweepStep: sweepStep, rounds: roundsEvery, registered: registeredFor, unused: unusedFor,
		abandoned: broker.AbandonedAfter,
	}
	for _, o := range opts {
		if o != nil {
			o.apply(&c)
		}
	}
	c.limits = c.limits.WithDefaults()
	// A blocking move lasts a bounded time, so that a connection that has
	// silently died is noticed.
	c.slice = min(max(c.lease/2, time.Second), 5*time.Second)
	return c
}

func (c *config) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// Namespace keeps this broker's keys apart from those of others in the same
// database: 1 to 128 of A-Z a-z 0-9 _ . and -. The default is
// [DefaultNamespace].
func Namespace(name string) Option {
	return optionFunc(func(c *config) {
		if err := broker.CheckName("namespace", name); err != nil {
			c.fail(err)
		}
		c.namespace = name
	})
}

// Lease is how long a minion that is not heard of keeps its tasks: 300 ms to
// an hour. It sends a heartbeat three times as often. The default is
// [DefaultLease].
func Lease(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d < 300*time.Millisecond || d > time.Hour {
			c.fail(fmt.Errorf("redis: %w: Lease(%v), want 300ms to 1h", broker.ErrInvalid, d))
		}
		c.lease = d
	})
}

// Partitions divides each queue that this broker is the first to use into n
// parts, 1 to [MaxPartitions], that a cluster can spread over its masters. A
// queue keeps its number for good, whatever other brokers are told. The parts of
// a queue have no order among each other; tasks that share a unique key are in one
// part. The default is 1.
func Partitions(n int) Option {
	return optionFunc(func(c *config) {
		if n < 1 || n > MaxPartitions {
			c.fail(fmt.Errorf("redis: %w: Partitions(%d), want 1 to %d", broker.ErrInvalid, n, MaxPartitions))
		}
		c.partitions = n
	})
}

// Limits changes the sizes that are refused. What is 0 keeps its default; less is
// an error.
func Limits(l broker.Limits) Option {
	return optionFunc(func(c *config) {
		if l.Payload < 0 || l.Result < 0 || l.Meta < 0 {
			c.fail(fmt.Errorf("redis: %w: Limits(%+v), want 0 or more of each", broker.ErrInvalid, l))
		}
		c.limits = l
	})
}

// Logger is told what an operator should know. The default is slog.Default(). What
// go-redis logs by itself goes there too, with the level debug: what fails is an
// error of the operation as well. Its logger is one for the whole process, so with
// the first [Open] it is replaced, for all users of go-redis. Its lines go to the
// loggers of all brokers that Open has made and that are not closed, to each once;
// to slog.Default() if there is none. A program that wants them elsewhere calls
// SetLogger of go-redis after that. [New] leaves that logger alone.
func Logger(l *slog.Logger) Option {
	return optionFunc(func(c *config) {
		if l == nil {
			c.fail(fmt.Errorf("redis: %w: Logger(nil)", broker.ErrInvalid))
			return
		}
		c.logger = l
	})
}

// TLS is how [Open] connects, over what the URL says. [New] refuses it: its
// client has connections of its own.
func TLS(t *tls.Config) Option {
	return optionFunc(func(c *config) { c.tls, c.opening = t, "TLS" })
}

// Login is the ACL user and password with which [Open] connects, over what the
// URL says. [New] refuses it, as it does [TLS].
func Login(username, password string) Option {
	return optionFunc(func(c *config) { c.username, c.password, c.opening = username, password, "Login" })
}

// SentinelLogin is the user and password with which [Open] logs in to sentinels that have
// their own. It takes precedence over the parameters of the URL. The user is empty for
// sentinels with only a password (requirepass). [Open] refuses the option for URLs that
// name no sentinels, and [New] always, as it does [TLS].
func SentinelLogin(username, password string) Option {
	return optionFunc(func(c *config) { c.sentinel, c.opening = login{username, password}, "SentinelLogin" })
}
