package minion

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/client"
	"github.com/go-arbiter/arbiter/internal/flow"
	"github.com/go-arbiter/arbiter/task"
)

// within is an attempt as the submitter of its handler: what is sent goes at
// once.
type within attempt

// Submit implements [task.Submitter].
func (w *within) Submit(ctx context.Context, calls ...task.Bound) error {
	return (*attempt)(w).family().child.Submit(ctx, calls...)
}

// Await implements [task.Submitter]. Meanwhile the slot is lent.
func (w *within) Await(ctx context.Context, id task.ID, into any) error {
	a := (*attempt)(w)
	r := a.s.r
	r.lend(a)
	defer r.reclaim(a)
	return r.client.Await(ctx, id, into)
}

// AwaitTurn waits for another goroutine of the handler, which has lent the slot.
func (w *within) AwaitTurn(ctx context.Context, id task.ID, turn <-chan struct{}) error {
	return (*attempt)(w).s.r.client.AwaitTurn(ctx, id, turn)
}

// Emit implements [task.Emitter].
func (w *within) Emit(ctx context.Context, topic string, payload any) error {
	return (*attempt)(w).s.r.client.Emit(ctx, topic, payload)
}

// kin is what an attempt has sent. Most send nothing.
type kin struct {
	child   client.Child
	submits submits
	heirs   heirs
}

func (a *attempt) family() *kin {
	if k := a.kin.Load(); k != nil {
		return k
	}
	k := &kin{}
	k.child.Client, k.child.Parent, k.child.Attempt, k.child.Heirs = a.s.r.client, a.d.ID, a.d.Attempt, (*within)(a)
	a.kin.CompareAndSwap(nil, k)
	return a.kin.Load()
}

// submitted returns what is stored with the attempt's success.
func (a *attempt) submitted() []*broker.Task {
	if k := a.kin.Load(); k != nil {
		return k.submits.take()
	}
	return nil
}

// inherited returns what ends with the attempt.
func (a *attempt) inherited() []broker.ID {
	if k := a.kin.Load(); k != nil {
		return k.heirs.take()
	}
	return nil
}

// maxHeirs bounds how many calls of one attempt end with it.
const maxHeirs = 10_000

// heirs are what an attempt has sent that ends with it.
type heirs struct {
	mu  sync.Mutex
	ids map[broker.ID]struct{}
}

// Endow implements [client.Heirs]: what inherits has no more time than the task.
func (w *within) Endow(t *broker.Task) {
	end, ok := (*attempt)(w).deadline()
	if !ok {
		return
	}
	// One that has passed must stay one: 0 would mean none.
	if left := max(time.Until(end), time.Nanosecond); t.Deadline == 0 || left < t.Deadline {
		t.Deadline = left
	}
}

// Sent implements [client.Heirs].
func (w *within) Sent(id broker.ID) {
	h := &(*attempt)(w).family().heirs
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ids == nil {
		h.ids = make(map[broker.ID]struct{})
	}
	if len(h.ids) < maxHeirs {
		h.ids[id] = struct{}{}
	}
}

// take returns what has been sent.
func (h *heirs) take() []broker.ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.ids))
}

// noUpstream is why a task can't run that waited for a result and was started
// without it.
func noUpstream(d *broker.Delivery) error {
	why := d.Meta[flow.ReasonKey]
	if why == "" {
		why = "it could not be put among the arguments"
	}
	return fmt.Errorf("%w: parameter %s: %s", task.ErrNoUpstream, d.Upstream, why)
}
