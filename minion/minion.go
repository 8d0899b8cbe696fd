package minion

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// This file has the public life cycle of a minion: New, Register, Run, Stop and Close. A
// minion goes through the phases fresh, running and ended, once. The work itself is done
// by a run (run.go) and its sessions (session.go).

// Minion runs tasks. It is a [task.Registrar]. A Minion runs once: register its handlers
// and call [Minion.Run]; to run again, make another one. Its methods may be called
// concurrently.
type Minion struct {
	b       broker.Broker
	starter broker.Starter // nil if the broker can't record starts
	cfg     config

	mu       sync.Mutex // guards handlers, isolates and phase
	handlers map[string]*handler
	isolates bool // some handler is isolated; set when Run begins
	phase    phase

	// halt ends when Stop is called; hurry ends when there is no time left to drain.
	halt, hurry         context.Context
	haltNow, hurryUpNow context.CancelFunc
	ended               chan struct{} // closed when Run has returned
}

// MaxSlots is the largest number of slots of a minion.
const MaxSlots = broker.MaxSlots

type phase uint8

const (
	fresh phase = iota
	running
	ended
)

// handler is a registered handler and how it is called.
type handler struct {
	task.Registration
	run      Handler // the chain of middleware; nil if there is none
	isolated bool
}

var _ task.Registrar = (*Minion)(nil)

// New returns a minion on a broker, which it does not close. It starts no goroutine and
// opens no connection before Run. The error wraps [task.ErrInvalid]: the broker is nil, or
// an option, which it names, is invalid.
func New(b broker.Broker, opts ...Option) (*Minion, error) {
	if b == nil {
		return nil, fmt.Errorf("minion: %w: the broker is nil", broker.ErrInvalid)
	}
	cfg := configure(opts)
	if cfg.err != nil {
		return nil, fmt.Errorf("minion: %w", cfg.err)
	}
	if len(cfg.limits) > 0 {
		if _, err := broker.LanesOf(b, "minion.Limits"); err != nil {
			return nil, fmt.Errorf("minion: %w", err)
		}
	}
	m := &Minion{b: b, cfg: cfg, handlers: make(map[string]*handler), ended: make(chan struct{})}
	m.starter, _ = b.(broker.Starter)
	m.halt, m.haltNow = context.WithCancel(context.Background())
	m.hurry, m.hurryUpNow = context.WithCancel(context.Background())
	return m, nil
}

// Register adds handlers: all of them, or none if it returns an error. The error wraps
// [task.ErrInvalid] and names the task: its definition is wrong, or its name is registered
// already. Register fails after Run was called: tasks with a name that is not registered
// then are parked or fail.
func (m *Minion) Register(handlers ...task.Registration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase != fresh {
		return fmt.Errorf("minion: %w: Register was called after Run", broker.ErrInvalid)
	}
	added := make(map[string]*handler, len(handlers))
	for _, reg := range handlers {
		if err := checkRegistration(&reg, m.handlers[reg.Name] != nil || added[reg.Name] != nil); err != nil {
			return fmt.Errorf("minion: %w", err)
		}
		added[reg.Name] = &handler{Registration: reg, run: chain(m.cfg.use)}
	}
	maps.Copy(m.handlers, added)
	return nil
}

// checkRegistration returns the reason why a handler can't be registered, or nil.
func checkRegistration(reg *task.Registration, taken bool) error {
	switch {
	case reg.Err != nil:
		return reg.Err
	case reg.Handler == nil:
		return fmt.Errorf("task %s: %w: its handler is nil", reg.Name, broker.ErrInvalid)
	case taken:
		return fmt.Errorf("task %s: %w: the name is taken by another handler", reg.Name, broker.ErrInvalid)
	}
	return broker.CheckName("task", reg.Name)
}

// Run takes tasks and runs them in the given number of slots until ctx ends or
// [Minion.Stop] is called. Then it drains the work, see [DrainTimeout], and returns nil,
// with two exceptions: an error that wraps [ErrAbandoned] and names the tasks if handlers
// that ignore their contexts still run, and one that wraps [task.ErrUnavailable] if
// results could not be stored.
//
// A broker that can't be reached is no error, neither at the start nor later: Run tries
// again until ctx ends. Run also logs its error, with a remedy, so that a failure shows
// even where the result is dropped, as in go m.Run(ctx, 3).
//
// Run returns an error that wraps [task.ErrClosed] if the broker was closed, or if Stop
// was called before Run. It returns an error that wraps [task.ErrInvalid] at once if slots
// is not 1 to [MaxSlots], no handler is registered, [AtMost] names a task that is not
// registered, tasks are [Isolated] and [Child] was not called, an option about isolated tasks
// has no effect, the broker refuses the minion for good, or Run was called before.
//
// The contexts of the handlers have the values of ctx.
func (m *Minion) Run(ctx context.Context, slots int) error {
	err := m.serve(ctx, slots)
	if err == nil {
		return nil
	}
	if !errors.Is(err, errStopped) { // the caller has asked for this end
		m.cfg.log.Error("minion: Run has failed", "error", err, "remedy", remedy(err))
	}
	return fmt.Errorf("minion: %w", err)
}

// errStopped is the error of Run after Stop.
var errStopped = fmt.Errorf("it is %w: Stop was called before Run", broker.ErrClosed)

// remedy returns the advice that is logged with an error of Run.
func remedy(err error) string {
	switch {
	case errors.Is(err, ErrAbandoned):
		return "let the named handlers return when their contexts end; their tasks run again elsewhere"
	case errors.Is(err, broker.ErrInvalid):
		return "the minion runs no task: correct what the error names, and call Run of a new minion"
	case errors.Is(err, broker.ErrClosed):
		return "the minion runs no task any more: close the broker after its minions, or open another one and call Run of a new minion"
	case errors.Is(err, broker.ErrUnavailable):
		return "check the broker; tasks whose results are lost run again"
	}
	return "the minion runs no task any more: correct what the error names, and call Run of a new minion"
}

// serve is Run without the log.
func (m *Minion) serve(ctx context.Context, slots int) error {
	if err := m.begin(slots); err != nil {
		return err
	}
	defer func() {
		m.mu.Lock()
		m.phase = ended
		m.mu.Unlock()
		close(m.ended)
	}()
	return newRun(ctx, m, slots).serve()
}

func (m *Minion) begin(slots int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.phase != fresh:
		return fmt.Errorf("%w: Run was called before", broker.ErrInvalid)
	case slots < 1 || slots > MaxSlots:
		return fmt.Errorf("%w: %d slots, want 1 to %d", broker.ErrInvalid, slots, MaxSlots)
	case len(m.handlers) == 0:
		return fmt.Errorf("%w: no task is registered", broker.ErrInvalid)
	case m.halt.Err() != nil:
		return errStopped
	}
	for name := range m.cfg.atMost {
		if m.handlers[name] == nil {
			return fmt.Errorf("%w option: AtMost: task %s is not registered; register its handler, or leave the option out", broker.ErrInvalid, name)
		}
	}
	if err := m.isolate(); err != nil {
		return err
	}
	m.phase = running
	return nil
}

// Stop ends [Minion.Run] as the end of its context does, and waits until Run has returned.
// If ctx ends first, Stop ends the time to drain and returns ctx's error at once. Stop may
// be called more than once, and before Run, which then returns [task.ErrClosed].
func (m *Minion) Stop(ctx context.Context) error {
	if !m.stop() {
		return nil
	}
	select {
	case <-m.ended:
		return nil
	case <-ctx.Done():
		m.hurryUpNow()
		return ctx.Err()
	}
}

// Close is [Minion.Stop] without time to drain: the contexts of running handlers end at
// once, and Close waits until Run has returned. Handlers that ignore their contexts delay
// it by two seconds. Its error is always nil.
func (m *Minion) Close() error {
	m.hurryUpNow()
	if m.stop() {
		<-m.ended
	}
	return nil
}

// stop asks Run to stop and reports whether Run was ever called.
func (m *Minion) stop() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.haltNow()
	return m.phase != fresh
}
