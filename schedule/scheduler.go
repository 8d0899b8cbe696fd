package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
)

// Scheduler changes and runs the schedules of a namespace. Make one with [New]. Its methods may be called concurrently. It has no
// goroutine of its own: only [Scheduler.Run] runs schedules, and the other methods need no Run anywhere.
//
// If the broker can't be reached, or a reply is lost, a method tries again for five seconds, or until its context ends. Every method
// may be called again after an error. The errors wrap
//
//   - [task.ErrInvalid], if a definition, a name or a time is not valid,
//   - [task.ErrNotFound], if there is no schedule of the name,
//   - [task.ErrUnavailable], [task.ErrClosed] or the error of the context,
//   - broker.ErrVersion or broker.ErrMalformed, if a newer program has written the schedule, or if its record is damaged,
//   - [codec.ErrForged] or [codec.ErrUnknownCodec], if the codecs of this Scheduler can't open its definition.
type Scheduler struct {
	b    broker.Broker
	docs broker.Documents
	config
}

// New returns a scheduler on a broker. The error wraps [task.ErrInvalid] if the broker is nil or an option is invalid, and
// [task.ErrUnsupported] if the broker has no [broker.Documents].
func New(b broker.Broker, opts ...Option) (*Scheduler, error) {
	cfg, err := configure(opts)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, fmt.Errorf("schedule: %w: the broker is nil", broker.ErrInvalid)
	}
	docs, err := broker.DocumentsOf(b, "a schedule")
	if err != nil {
		return nil, err
	}
	return &Scheduler{b: b, docs: docs, config: cfg}, nil
}

// Option changes a scheduler; see [New]. If an option is given twice, the later one counts, except for [Codecs] and [Declared],
// which add up.
type Option interface{ apply(*config) }

type option func(*config)

func (o option) apply(c *config) { o(c) }

type config struct {
	codec    codec.Codec
	codecs   []codec.Codec
	log      *slog.Logger
	declared []declaration
	err      error
}

// declaration is the definitions of one set.
type declaration struct {
	set  string
	defs []Definition
}

// Codec encodes the arguments of the calls. The default is codec.Default. A codec that signs or encrypts does so with the whole
// definition: a process without the key can neither run such a schedule nor change what it runs.
func Codec(c codec.Codec) Option {
	return option(func(cfg *config) {
		if c == nil {
			cfg.err = fmt.Errorf("schedule: %w: Codec(nil)", broker.ErrInvalid)
		}
		cfg.codec = c
	})
}

// Codecs adds codecs that definitions may be encoded with by other programs.
func Codecs(c ...codec.Codec) Option {
	return option(func(cfg *config) { cfg.codecs = append(cfg.codecs, c...) })
}

// Logger is where the scheduler logs. The default is slog.Default.
func Logger(l *slog.Logger) Option {
	return option(func(cfg *config) { cfg.log = l })
}

// Declared declares the schedules of a program. [Scheduler.Run] stores them when it starts, and removes those schedules of the same
// set that are not declared any more; see [Scheduler.Reconcile].
func Declared(set string, defs ...Definition) Option {
	return option(func(cfg *config) {
		at := slices.IndexFunc(cfg.declared, func(d declaration) bool { return d.set == set })
		if at < 0 {
			at, cfg.declared = len(cfg.declared), append(cfg.declared, declaration{set: set})
		}
		cfg.declared[at].defs = append(cfg.declared[at].defs, defs...)
	})
}

func configure(opts []Option) (config, error) {
	var cfg config
	for _, o := range opts {
		if o != nil {
			o.apply(&cfg)
		}
	}
	if cfg.codec == nil && cfg.err == nil {
		cfg.codec = codec.Default(cfg.codecs...)
	}
	if cfg.log == nil {
		cfg.log = slog.Default()
	}
	cfg.codecs = append([]codec.Codec{cfg.codec}, cfg.codecs...)
	for _, d := range cfg.declared {
		if cfg.err == nil {
			cfg.err = checkSet(d.set, d.defs)
		}
	}
	return cfg, cfg.err
}

// sealer returns the codec with that name if it seals, and else nil.
func (c *config) sealer(name string) (codec.Sealer, error) {
	of, err := codec.ByName(name, c.codecs...)
	return seal.Of(of), err
}

// patience is how long a method tries again while the broker can't be reached.
const patience = 5 * time.Second

// again calls f until it succeeds, fails for good, or patience is over.
func again(ctx context.Context, f func() error) error {
	end := time.Now().Add(patience)
	for try := 0; ; try++ {
		err := f()
		if err == nil || !temporary(err) || time.Now().After(end) || !backoff.Sleep(ctx, backoff.Delay(try, 10*time.Millisecond, time.Second)) {
			return err
		}
	}
}

// temporary reports whether a request that failed may succeed when it is repeated.
func temporary(err error) bool {
	return (errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrIndeterminate)) &&
		!errors.Is(err, broker.ErrClosed) && !errors.Is(err, broker.ErrInvalid) && !errors.Is(err, broker.ErrDamaged)
}

// read reads a schedule, with the time of the broker's clock. If there is none, its version is 0. A definition that can't be opened
// is no error of read; see stored.err.
func (s *Scheduler) read(ctx context.Context, name string) (x *stored, now int64, err error) {
	if err := broker.CheckName("schedule", name); err != nil {
		return nil, 0, err
	}
	var d broker.Document
	if err := again(ctx, func() error {
		var at time.Time
		d, at, err = s.docs.ReadDocument(ctx, collection, name)
		now = at.UnixMilli()
		return err
	}); err != nil {
		return nil, 0, fmt.Errorf("schedule %s: %w", name, err)
	}
	if d.Version == 0 && d.Err == nil {
		return &stored{name: name}, now, nil
	}
	if x, err = readRecord(&d); err != nil {
		return nil, now, err
	}
	x.open(s.codecs, nil)
	return x, now, nil
}

// found is read for a schedule that must exist.
func (s *Scheduler) found(ctx context.Context, name string) (x *stored, now int64, err error) {
	if x, now, err = s.read(ctx, name); err == nil && x.version == 0 {
		err = fmt.Errorf("schedule %s: %w", name, broker.ErrNotFound)
	}
	return x, now, err
}

// write stores a schedule if nobody has changed it since it was read. It sets the version.
func (s *Scheduler) write(ctx context.Context, x *stored) error {
	data, err := x.encode()
	if err != nil {
		return fmt.Errorf("schedule %s: %w: %w", x.name, broker.ErrInvalid, err)
	}
	version, err := s.docs.WriteDocument(ctx, collection, broker.Document{Name: x.name, Version: x.version, Data: data})
	if err != nil {
		return fmt.Errorf("schedule %s: %w", x.name, err)
	}
	x.version = version
	return nil
}

// change changes a schedule that exists. First it lets the ticks that are decided be submitted, so that after the change nobody
// submits a tick that was decided before. If somebody else changes the schedule meanwhile, it begins again: fn must not mind to be
// called with a record that it has changed before. If fn returns false, nothing is to be changed.
func (s *Scheduler) change(ctx context.Context, name string, fn func(x *stored, now int64) (bool, error)) (x *stored, err error) {
	for {
		var now int64
		if x, now, err = s.found(ctx, name); err != nil {
			return nil, err
		}
		if err = s.finish(ctx, x); err == nil {
			var changed bool
			if changed, err = fn(x, now); err != nil || !changed {
				return x, err
			}
			err = again(ctx, func() error { return s.write(ctx, x) })
		}
		if !errors.Is(err, broker.ErrConflict) {
			return x, err
		}
	}
}

// finish submits the tasks of the intents, and records that. A process that can't open the definition leaves that to others.
func (s *Scheduler) finish(ctx context.Context, x *stored) error {
	if len(x.Intents) == 0 || x.err != nil {
		return nil //nolint:nilerr // see above
	}
	errs, err := s.submit(ctx, x)
	if err != nil {
		return err
	}
	x.submitted(errs)
	return again(ctx, func() error { return s.write(ctx, x) })
}

// submit stores the tasks of the intents. There is an error for each, nil if it is stored. If err is set, some of them may not be
// stored, and may be stored later.
func (s *Scheduler) submit(ctx context.Context, x *stored) (errs []error, err error) {
	errs = make([]error, len(x.Intents))
	var tasks []*broker.Task
	var at []int
	for i := range x.Intents {
		t, err := s.taskOf(x, &x.Intents[i], time.Now())
		if err != nil {
			return nil, fmt.Errorf("schedule %s: %w", x.name, err)
		}
		tasks, at = append(tasks, t), append(at, i)
	}
	err = again(ctx, func() error {
		err := s.b.Enqueue(ctx, tasks)
		var batch *broker.BatchError
		if err != nil && !errors.As(err, &batch) {
			return err
		}
		var open []error
		for k, i := range at {
			errs[i] = nil
			if batch != nil {
				errs[i] = batch.Errs[k]
			}
			var dup *broker.DuplicateError
			if errors.As(errs[i], &dup) && dup.Holder == dup.ID {
				errs[i] = nil // it is stored, sealed to other bytes
			}
			if errs[i] != nil && (temporary(errs[i]) || errors.Is(errs[i], broker.ErrDamaged)) {
				open = append(open, errs[i])
			}
		}
		return errors.Join(open...)
	})
	if err != nil {
		return nil, fmt.Errorf("schedule %s: %w", x.name, err)
	}
	return errs, nil
}
