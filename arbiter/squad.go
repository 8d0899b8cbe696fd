package arbiter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// SquadOption changes a squad; see [Arbiter.Squad]. Every [GroupOption] is one. If an option is given twice, the later one
// counts, unless its documentation says otherwise.
type SquadOption interface {
	applySquad(*squadConfig)
}

type squadConfig struct {
	group groupConfig
	wait  time.Duration
}

type squadFunc func(*squadConfig)

func (f squadFunc) applySquad(c *squadConfig) { f(c) }

func (f groupFunc) applySquad(c *squadConfig) { f(&c.group) }

// WaitForWorkers makes [Arbiter.Squad] wait up to d until as many slots are free at once as the squad has members. Minions go
// on with other tasks meanwhile, so a large squad may never find enough free slots if they are always busy. d is 0 to
// broker.MaxDuration, ten years. The default, 0, is not to wait.
func WaitForWorkers(d time.Duration) SquadOption {
	return squadFunc(func(c *squadConfig) {
		if c.wait = d; d < 0 || d > broker.MaxDuration {
			c.group.fail("WaitForWorkers(%v), want 0 to %v", d, broker.MaxDuration)
		}
	})
}

// NotEnoughWorkersError says that a squad did not start because too few slots were free. It wraps [task.ErrNotEnoughWorkers].
type NotEnoughWorkersError struct {
	Queues []WorkersWanted // sorted by name
	Cause  error           // why the squad lost slots that minions had reserved for it; nil if it lost none
}

// WorkersWanted tells how many slots a squad needs in a queue, and how many there are. A minion of several queues counts for
// each of them, but has its slots only once. So a squad of two queues may find too few slots although each queue has
// enough.
type WorkersWanted struct {
	Queue     string `json:"queue"`
	Wanted    int    `json:"wanted"`    // the slots that the squad needs, one for each member
	Available int    `json:"available"` // the slots that are free, as the minions report them
	Total     int    `json:"total"`     // the slots of all minions that serve the queue
}

// Error returns the numbers of each queue.
func (e *NotEnoughWorkersError) Error() string {
	parts := make([]string, len(e.Queues))
	for i, q := range e.Queues {
		parts[i] = fmt.Sprintf("queue %s: %d wanted, %d of %d free", q.Queue, q.Wanted, q.Available, q.Total)
		if q.Total == 0 {
			parts[i] = fmt.Sprintf("queue %s: %d wanted, but no living minion serves it and knows its tasks", q.Queue, q.Wanted)
		}
	}
	text := "squad: " + task.ErrNotEnoughWorkers.Error() + ": " + strings.Join(parts, "; ")
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Is reports whether target is [task.ErrNotEnoughWorkers].
func (e *NotEnoughWorkersError) Is(target error) bool { return target == task.ErrNotEnoughWorkers }

// Unwrap returns Cause.
func (e *NotEnoughWorkersError) Unwrap() error { return e.Cause }

// squadTries is how often a squad is stored. A try fails if a minion dies that had reserved slots for it.
const squadTries = 3

// Squad sends calls as a group whose members start together or not at all: each member has its slots at a minion before the
// first one starts. If members take several slots ([task.Slots]), each counts as the one that takes most. Squad returns when they have started. The calls must be single tasks without a delay, 1,000 at most.
// Apart from its start a squad is a [Group], with callback, finalizer, status and kill. A squad without calls needs no slots,
// and succeeds at once like an empty group.
//
// If too few slots are free, the error is a [*NotEnoughWorkersError], the Group is nil, and neither members nor callback nor
// finalizer ever run. Squad returns this error at once unless [WaitForWorkers] is given. If slots are reserved for other
// squads, it tries for two seconds before. If two squads want the same slots, one gets them. A minion gives a slot only if no
// other task has a claim on it, ordinary tasks included.
//
// Once the squad has started, its members are ordinary tasks: a member that is lost with its minion, or that fails and is
// retried, runs again alone as soon as a slot is free. If this process dies before Squad has returned, the squad either
// starts as a whole or is canceled within seconds.
//
// If an option is invalid, the error wraps [task.ErrInvalid] and the Group is nil. Other errors are a [*task.SubmitError]:
// nothing starts, unless it wraps [task.ErrIndeterminate]. In that case the Group is not nil, and its status tells whether
// the squad has started.
func (a *Arbiter) Squad(ctx context.Context, calls []task.Bound, opts ...SquadOption) (*Group, error) {
	cfg := squadConfig{group: groupConfig{GroupSettings: request.GroupSettings{Quorum: len(calls)}}}
	for _, o := range opts {
		if o != nil {
			o.applySquad(&cfg)
		}
	}
	settings, err := cfg.group.settle(len(calls))
	if err != nil {
		return nil, fmt.Errorf("squad: %w", err)
	}
	until := time.Now().Add(cfg.wait)
	for try := 1; ; try++ {
		req := cfg.group.request(calls, settings)
		err := a.client.SubmitSquad(ctx, req, time.Until(until))
		if short, ok := errors.AsType[*client.ShortageError](err); ok {
			if short.Stored && try < squadTries {
				continue
			}
			return nil, notEnough(short)
		}
		g := &Group{flowHandle: flowHandle{a: a, id: req.ID(), squad: true}}
		if g.id.IsZero() {
			return nil, err
		}
		f := req.Flow()
		g.callback, g.finalizer = idOf(f.Callback), idOf(f.Finalizer)
		return g, err
	}
}

func notEnough(short *client.ShortageError) error {
	e := &NotEnoughWorkersError{Cause: short.Cause}
	for _, q := range short.Queues {
		e.Queues = append(e.Queues, WorkersWanted{Queue: q.Queue, Wanted: q.Wanted, Available: q.Free, Total: q.Total})
	}
	return e
}
