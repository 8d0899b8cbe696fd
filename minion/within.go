package minion

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/client"
	"github.com/go-arbiter/arbiter/internal/flow"
	"github.com/go-arbiter/arbiter/internal/seal"
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

// childless stands for the kin of an attempt that had sent nothing when it returned. It
// is a mark: nobody reads or writes what is in it.
var childless kin

// family returns what the attempt has sent, to add something. A handler can leave a
// goroutine behind, which sends for the first time when the attempt has returned. It
// gets a family that refuses what the end of the attempt would have to see to.
func (a *attempt) family() *kin {
	for {
		old := a.kin.Load()
		if old != nil && old != &childless {
			return old
		}
		k := &kin{}
		k.child.Client, k.child.Parent, k.child.Attempt, k.child.Heirs = a.s.r.client, a.d.ID, a.d.Start, (*within)(a)
		k.child.Afresh = a.d.Afresh
		k.submits.closed, k.heirs.closed = old == &childless, old == &childless
		if a.kin.CompareAndSwap(old, k) {
			return k
		}
	}
}

// conclude notes that the attempt has returned, and returns what it has sent, nil if
// that is nothing. From then on nothing is accepted that depends on how it ends.
func (a *attempt) conclude() *kin {
	for {
		k := a.kin.Load()
		switch {
		case k == &childless:
			return nil
		case k != nil:
			k.submits.close()
			k.heirs.close()
			return k
		case a.kin.CompareAndSwap(nil, &childless):
			return nil
		}
	}
}

// submitted returns what is stored with the attempt's success.
func (a *attempt) submitted() []*broker.Task {
	if k := a.conclude(); k != nil {
		return k.submits.take()
	}
	return nil
}

// inherited returns what ends with the attempt.
func (a *attempt) inherited() []broker.ID {
	if k := a.conclude(); k != nil {
		return k.heirs.take()
	}
	return nil
}

// maxHeirs bounds how many calls of one attempt end with it.
const maxHeirs = 10_000

// heirs are what an attempt has sent that ends with it.
type heirs struct {
	mu     sync.Mutex
	ids    map[broker.ID]struct{}
	closed bool // the attempt has returned: nobody would end what comes now
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
func (w *within) Sent(id broker.ID) error {
	h := &(*attempt)(w).family().heirs
	h.mu.Lock()
	defer h.mu.Unlock()
	_, known := h.ids[id]
	switch {
	case known: // it is sent again
	case h.closed:
		return fmt.Errorf("%w: it is to inherit from a task that has returned; send it before, or without task.Inherit", broker.ErrInvalid)
	case len(h.ids) == maxHeirs:
		return fmt.Errorf("%w: more than %d calls inherit from one attempt; send a group of them", broker.ErrTooLarge, maxHeirs)
	case h.ids == nil:
		h.ids = make(map[broker.ID]struct{})
	}
	h.ids[id] = struct{}{}
	return nil
}

// close refuses what comes later: the attempt has returned.
func (h *heirs) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// take returns what has been sent, and refuses what comes later.
func (h *heirs) take() []broker.ID {
	h.close()
	return slices.Collect(maps.Keys(h.ids))
}

// noUpstream is why a task can't run that waited for a result and was started
// without it.
func noUpstream(d *broker.Delivery, s codec.Sealer) error {
	why := d.Meta[flow.ReasonKey]
	if s != nil {
		why = seal.OpenReason(s, d.ID, why)
	}
	if why == "" {
		why = "it could not be put among the arguments"
	}
	return fmt.Errorf("%w: parameter %s: %s", task.ErrNoUpstream, d.Upstream, why)
}
