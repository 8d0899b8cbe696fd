package redis

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/base/remember"
)

// The options of Open and New are functions that change a config. The config also has
// values that no option sets: intervals that tests shorten, and the largest message version
// that is read, which tests lower to play an older build. The first error of an option is
// kept in the config, and Open or New returns it.

// Option changes how a [Broker] works.
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	namespace       string
	lease           time.Duration
	partitions      int           // of a queue that this broker is the first to register
	slice           time.Duration // the longest time that one blocking command waits
	atLeast         time.Duration // how long the id of an ended task is remembered at least
	sweepStep       int           // about how many tasks one step of the sweeper forgets
	noHousekeeping  bool          // for tests: no goroutine sweeps or takes turns
	rounds          time.Duration // the interval of turns in the namespace; see round.go
	registered      time.Duration // how long a partition notes that its queue is registered
	unused          time.Duration // how long nobody registers a queue before it may be forgotten
	abandoned       time.Duration // how long a parked task waits beyond its time in a queue without a minion
	limits          broker.Limits
	largeRecordFrom int    // the size of a payload in bytes from which a record is a large record
	where           string // the servers' addresses, for errors
	logger          *slog.Logger
	opening         string // the name of an option that was given and is only for Open; "" if none was
	tls             *tls.Config
	username        string
	password        string
	reads           uint8 // the newest message version that is read: wire.MessageVersion except in tests
	sentinel        login // for sentinels that have a user or password of their own
	inlining        *inlining
	err             error // the first error of an option
}

// The defaults of [Namespace] and [Lease].
const (
	DefaultNamespace = "arbiter"
	DefaultLease     = 12 * time.Second
)

// MaxPartitions is the largest number of partitions of a queue.
const MaxPartitions = 256

// newConfig returns the config after all options were applied. Its err has to be checked.
func newConfig(opts []Option) config {
	c := config{
		namespace: DefaultNamespace, lease: DefaultLease, partitions: 1, largeRecordFrom: largeRecordFrom, reads: wire.MessageVersion, logger: slog.Default(),
		atLeast: remember.AtLeast(), sweepStep: sweepStep, rounds: roundsEvery, registered: registeredFor, unused: unusedFor,
		abandoned: broker.AbandonedAfter, inlining: &inlining{},
	}
	for _, o := range opts {
		if o != nil {
			o.apply(&c)
		}
	}
	c.limits = c.limits.WithDefaults()
	// A blocking move lasts a bounded time, so that a connection on which nothing arrives
	// any more is noticed.
	c.slice = min(max(c.lease/2, time.Second), 5*time.Second)
	return c
}

// fail notes the error of an option, unless an earlier one has failed.
func (c *config) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// Namespace is the prefix of this broker's keys, so that several systems can share a
// database: 1 to 128 of the characters A-Z a-z 0-9 _ . and -. The default is
// [DefaultNamespace]. Arbiters and minions that work together use the same one.
func Namespace(name string) Option {
	return optionFunc(func(c *config) {
		if err := broker.CheckName("namespace", name); err != nil {
			c.fail(err)
		}
		c.namespace = name
	})
}

// Lease is how long a minion that sends no heartbeats keeps its tasks, 300 ms to an
// hour. Minions send a heartbeat in each third of it. The default is [DefaultLease], 12 s:
// then the tasks of a minion that died are back in their queues within 20 s.
func Lease(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d < 300*time.Millisecond || d > time.Hour {
			c.fail(fmt.Errorf("redis: %w: Lease(%v), want 300ms to 1h", broker.ErrInvalid, d))
		}
		c.lease = d
	})
}

// Partitions divides queues into n partitions, 1 to [MaxPartitions], which a cluster can
// spread over its masters. It counts for queues that this broker is the first to use. A
// queue keeps its number of partitions, whatever other brokers ask for. Tasks of different
// partitions are in no order to each other. Tasks with the same unique key are in the same
// partition. The default is 1.
func Partitions(n int) Option {
	return optionFunc(func(c *config) {
		if n < 1 || n > MaxPartitions {
			c.fail(fmt.Errorf("redis: %w: Partitions(%d), want 1 to %d", broker.ErrInvalid, n, MaxPartitions))
		}
		c.partitions = n
	})
}

// Limits sets the largest sizes that the broker accepts, in bytes: of the arguments, the
// result and the metadata of a task. A field that is 0 keeps its default: 1 MiB for
// arguments, 1 MiB for results and 4 KiB for metadata. A negative field is an error.
func Limits(l broker.Limits) Option {
	return optionFunc(func(c *config) {
		if l.Payload < 0 || l.Result < 0 || l.Meta < 0 {
			c.fail(fmt.Errorf("redis: %w: Limits(%+v), want 0 or more of each", broker.ErrInvalid, l))
		}
		c.limits = l
	})
}

// Logger gets the messages of the broker for operators. The default is
// slog.Default().
//
// The lines that go-redis logs by itself also go there, with the level debug, since each
// failure is also an error of some operation. go-redis has one logger for the whole process.
// The first [Open] replaces it for all users of go-redis. From then on a line goes once to
// each logger of the open brokers that Open has made, or to slog.Default() if there is none.
// A program that wants these lines elsewhere calls SetLogger of go-redis after the first
// Open. [New] leaves that logger as it is.
func Logger(l *slog.Logger) Option {
	return optionFunc(func(c *config) {
		if l == nil {
			c.fail(fmt.Errorf("redis: %w: Logger(nil)", broker.ErrInvalid))
			return
		}
		c.logger = l
	})
}

// TLS is the configuration with which [Open] connects, in place of the one that follows
// from the URL. [New] refuses the option, since its client is already configured.
func TLS(t *tls.Config) Option {
	return optionFunc(func(c *config) { c.tls, c.opening = t, "TLS" })
}

// Login is the ACL user and password with which [Open] connects, in place of those of
// the URL. [New] refuses it, as it does [TLS].
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
