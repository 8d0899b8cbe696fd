package minion

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// Minion runs tasks. It is a [task.Registrar]. A Minion runs once: register its
// handlers, call [Minion.Run], and make another one to run again. Its methods
// may be called concurrently.
type Minion struct {
	b       broker.Broker
	starter broker.Starter // nil if the broker can't record starts
	cfg     config

	mu       sync.Mutex // guards what follows
	handlers map[string]*handler
	isolates bool // some of them are isolated; known once it runs
	phase    phase

	// halt ends when Stop is called, hurry when there is no time to drain.
	halt, hurry         context.Context
	haltNow, hurryUpNow context.CancelFunc
	ended               chan struct{} // closed when Run has returned
}

// MaxSlots is the largest number of slots of a minion.
const MaxSlots = 1_000_000

type phase uint8

const (
	fresh phase = iota
	running
	ended
)

// handler is a registration and how it is called.
type handler struct {
	task.Registration
	run      Handler // with the middleware around it; nil if there is none
	isolated bool
}

var _ task.Registrar = (*Minion)(nil)

// New returns a minion on a broker, which it does not own. It has neither
// goroutine nor connection before Run. An option that can't be is reported by
// Register and Run.
func New(b broker.Broker, opts ...Option) *Minion {
	m := &Minion{b: b, cfg: configure(opts), handlers: make(map[string]*handler), ended: make(chan struct{})}
	if b == nil && m.cfg.err == nil {
		m.cfg.err = fmt.Errorf("%w: the broker is nil", broker.ErrInvalid)
	}
	m.starter, _ = b.(broker.Starter)
	m.halt, m.haltNow = context.WithCancel(context.Background())
	m.hurry, m.hurryUpNow = context.WithCancel(context.Background())
	return m
}

// Register adds handlers: all of them, or none and an error that wraps
// [task.ErrInvalid] and names the task or the option: its definition is wrong,
// its name is taken, or an option of [New] can't be. It must come before Run,
// which would fail the tasks of a name that is registered too late.
func (m *Minion) Register(handlers ...task.Registration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.err != nil {
		return fmt.Errorf("minion: %w", m.cfg.err)
	}
	if m.phase != fresh {
		return fmt.Errorf("minion: %w: Register after Run", broker.ErrInvalid)
	}
	added := make(map[string]*handler, len(handlers))
	for _, reg := range handlers {
		if err := checkRegistration(&reg, m.handlers[reg.Name] != nil || added[reg.Name] != nil); err != nil {
			return fmt.Errorf("minion: %w", err)
		}
		added[reg.Name] = &handler{Registration: reg, run: chain(m.cfg.use)}
	}
	for name, h := range added {
		m.handlers[name] = h
	}
	return nil
}

// checkRegistration reports why a handler can't be registered.
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
// [Minion.Stop] is called, and returns once the work is drained; see
// [DrainTimeout]. It is nil then, unless handlers that ignore their contexts
// still run ([ErrAbandoned], with the names of their tasks) or results could not
// be handed to the broker any more.
//
// A broker that can't be reached is no error, neither at the start nor later:
// Run tries again until ctx ends. An error is logged as well, with what to do,
// so that nothing is silent where the result is dropped, as in go m.Run(ctx, 3).
// It returns [task.ErrClosed] if the broker was
// closed, or if Stop was called before Run; and an error that wraps
// [task.ErrInvalid] at once if there is no slot, or more than [MaxSlots], no
// handler is registered, an option can't be, tasks are [Isolated] and [Child] was
// not called, the broker refuses the minion for good, or Run was called before.
//
// The values of ctx are there in the contexts of the handlers.
func (m *Minion) Run(ctx context.Context, slots int) error {
	err := m.serve(ctx, slots)
	if err == nil {
		return nil
	}
	if !errors.Is(err, errStopped) { // somebody has asked for that end
		m.cfg.log.Error("minion: Run has failed", "error", err, "remedy", remedy(err))
	}
	return fmt.Errorf("minion: %w", err)
}

// errStopped is the error of a Run after Stop.
var errStopped = fmt.Errorf("it is %w: it was stopped before it ran", broker.ErrClosed)

// remedy says what can be done about an error of Run.
func remedy(err error) string {
	switch {
	case errors.Is(err, ErrAbandoned):
		return "let the handlers named here return when their contexts end; their tasks run again elsewhere"
	case errors.Is(err, broker.ErrInvalid):
		return "it runs no task: mend what the error names, and call Run of a new minion"
	case errors.Is(err, broker.ErrClosed):
		return "it runs no task any more: close the broker after its minions, or open another one and call Run of a new minion"
	case errors.Is(err, broker.ErrUnavailable):
		return "look at the broker; tasks whose results are lost run again by themselves"
	}
	return "it runs no task any more: mend what the error names, and call Run of a new minion"
}

// serve is Run without its log.
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
	return newRun(m, ctx, slots).serve()
}

func (m *Minion) begin(slots int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.cfg.err != nil:
		return m.cfg.err
	case m.phase != fresh:
		return fmt.Errorf("%w: Run was called before", broker.ErrInvalid)
	case slots < 1 || slots > MaxSlots:
		return fmt.Errorf("%w: %d slots, want 1 to %d", broker.ErrInvalid, slots, MaxSlots)
	case len(m.handlers) == 0:
		return fmt.Errorf("%w: no task is registered", broker.ErrInvalid)
	case m.halt.Err() != nil:
		return errStopped
	}
	if err := m.isolate(); err != nil {
		return err
	}
	m.phase = running
	return nil
}

// Stop ends [Minion.Run], as the end of its context does, and waits until it
// has returned. If ctx ends first, the time to drain is over, and Stop returns
// ctx's error without waiting any longer. Stop may be called twice, and before
// Run, which then returns [task.ErrClosed].
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

// Close is [Minion.Stop] without time to drain: the contexts of running
// handlers end at once, and Close waits until Run has returned, two seconds for
// handlers that ignore it. Its error is always nil.
func (m *Minion) Close() error {
	m.hurryUpNow()
	if m.stop() {
		<-m.ended
	}
	return nil
}

// stop asks Run to stop and reports whether it was ever called.
func (m *Minion) stop() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.haltNow()
	return m.phase != fresh
}
