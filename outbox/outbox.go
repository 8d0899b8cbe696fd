package outbox

import (
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

// Outbox sends tasks within transactions of one database, and stores results of handlers there. Its
// methods may be called concurrently. It has no goroutine of its own, and need not be closed.
type Outbox struct {
	db     *sql.DB
	s      statements
	codec  codec.Codec
	codecs []codec.Codec // to decode results with: codec, and those of Codecs
	limits broker.Limits
	every  time.Duration
	keep   time.Duration
	times  times
	log    *slog.Logger
	wake   chan struct{} // has a buffer of one
}

// times are moveTime and idleTime, except in tests.
type times struct{ move, idle time.Duration }

// The defaults of [Every] and [KeepResults].
const (
	DefaultEvery       = time.Second
	DefaultKeepResults = 7 * 24 * time.Hour
)

// New returns the outbox in a database. It makes no request; [Outbox.Migrate] makes the tables. The
// relay and the look-ups of results use db, within transactions only what [Outbox.In] gets. The error
// wraps [task.ErrInvalid]: db is nil, or an option, which it names, is invalid.
//
// A program that uses pgx without database/sql gets a db from its pool with stdlib.OpenDBFromPool.
func New(db *sql.DB, d Dialect, opts ...Option) (*Outbox, error) {
	if db == nil {
		return nil, invalid("the database is nil")
	}
	cfg := config{table: DefaultTable, every: DefaultEvery, keep: DefaultKeepResults, log: slog.Default()}
	for _, opt := range opts {
		if opt != nil {
			opt.apply(&cfg)
		}
	}
	if cfg.err != nil {
		return nil, cfg.err
	}
	if err := checkTable(d, cfg.table); err != nil {
		return nil, err
	}
	if cfg.codec == nil {
		cfg.codec = codec.Default(cfg.codecs...)
	}
	return &Outbox{
		db: db, s: newStatements(d, cfg.table), codec: cfg.codec, codecs: append([]codec.Codec{cfg.codec}, cfg.codecs...),
		limits: cfg.limits.WithDefaults(), every: cfg.every, keep: cfg.keep, times: times{moveTime, idleTime}, log: cfg.log, wake: make(chan struct{}, 1),
	}, nil
}

// Option changes an outbox; see [New]. If an option is given twice, the later one counts, unless its
// documentation says otherwise. All processes that use the same table should be given the same.
type Option interface {
	apply(*config)
}

type config struct {
	table  string
	codec  codec.Codec
	codecs []codec.Codec
	limits broker.Limits
	every  time.Duration
	keep   time.Duration
	log    *slog.Logger
	err    error
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// fail records that an option is invalid. The first error counts.
func (c *config) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("outbox: %w option: %s", task.ErrInvalid, fmt.Sprintf(format, args...))
	}
}

// Table sets the name of the table of tasks that wait: up to 48 of A-Z a-z 0-9 and _, perhaps after the
// name of a schema and a dot. The table of results has the suffix _done. The default is [DefaultTable].
func Table(name string) Option {
	return optionFunc(func(c *config) { c.table = name })
}

// Codec encodes arguments and results with c, and seals them if c signs or encrypts, before they are
// stored in the database. It is the codec of the program's arbiters. The default is [codec.Default]: the
// first of [Codecs] that signs or encrypts, or else [codec.Msgpack].
func Codec(c codec.Codec) Option {
	return optionFunc(func(cfg *config) {
		if c == nil {
			cfg.fail("Codec(nil), want a codec; leave the option out for codec.Default")
			return
		}
		if err := codec.Check(c); err != nil {
			cfg.fail("Codec: %v", err)
			return
		}
		cfg.codec = c
	})
}

// Codecs adds codecs to decode results with that other processes have stored in the database, as
// arbiter.Codecs does for those in the broker. Several Codecs are added up.
func Codecs(more ...codec.Codec) Option {
	return optionFunc(func(cfg *config) {
		for i, c := range more {
			if err := codec.Check(c); err != nil {
				cfg.fail("Codecs: number %d: %v", i+1, err)
				return
			}
		}
		cfg.codecs = append(cfg.codecs, more...)
	})
}

// Limits are the sizes that the broker accepts. A call over them is refused in its transaction. The
// default is that of brokers. Give those of the broker ([broker.Broker].Limits) if it was made with
// others: a task that the broker refuses later has nobody to tell.
func Limits(l broker.Limits) Option {
	return optionFunc(func(c *config) { c.limits = l })
}

// Every is how often a relay looks for tasks, 1 ms or more. The default is [DefaultEvery], a second. It is the
// longest time that a task waits after its commit while the relays keep up and the broker can be
// reached; [Outbox.Wake] makes the relay of the same process look at once. Each look is a short search
// in an index.
func Every(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d < time.Millisecond || d > time.Hour {
			c.fail("Every(%v), want 1ms to 1h", d)
		}
		c.every = d
	})
}

// KeepResults is how long the results of [Outbox.Done] are kept, a minute to ten years. After this time a further
// attempt of the task would run the handler again. The default is [DefaultKeepResults], seven days, which is
// as long as a dead letter is kept. Relays forget results that are older.
func KeepResults(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d < time.Minute || d > broker.MaxDuration {
			c.fail("KeepResults(%v), want 1m to %v", d, broker.MaxDuration)
		}
		c.keep = d
	})
}

// Logger sets the logger. A relay logs (warn) when the database or the broker can't be reached, and for
// each task that the broker refuses; and (info) when both are back, and for each task whose unique key
// another one has. The default is [slog.Default].
func Logger(l *slog.Logger) Option {
	return optionFunc(func(c *config) {
		if l == nil {
			c.fail("Logger(nil), want a logger; leave the option out for slog.Default")
			return
		}
		c.log = l
	})
}
