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
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/engine/flow"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// A handler can send tasks and wait for them through the submitter of its context. Ids of
// calls are derived from the id of the handler's task, so a repeated attempt does not send
// a call twice (see client.Child). An attempt remembers which calls inherit its end, to
// end them with it (task.Inherit). All of this is allocated with the first call, because
// most handlers send nothing.

// submitter is an attempt as the submitter of its handler. It sends calls at once.
type submitter attempt

// Submit implements [task.Submitter].
func (s *submitter) Submit(ctx context.Context, calls ...task.Bound) error {
	return (*attempt)(s).sentCalls().child.Submit(ctx, calls...)
}

// Await implements [task.Submitter]. It lends the slot meanwhile.
func (s *submitter) Await(ctx context.Context, id task.ID, into any) error {
	a := (*attempt)(s)
	r := a.s.r
	r.lend(a, id)
	defer r.reclaim(a, id)
	return r.client.Await(ctx, id, into)
}

// AwaitTurn waits for another goroutine of the handler, which has already lent the slot.
func (s *submitter) AwaitTurn(ctx context.Context, id task.ID, turn <-chan struct{}) error {
	return (*attempt)(s).s.r.client.AwaitTurn(ctx, id, turn)
}

// Emit implements [task.Emitter].
func (s *submitter) Emit(ctx context.Context, topic string, payload any) error {
	return (*attempt)(s).s.r.client.Emit(ctx, topic, payload)
}

// sentCalls has the calls that an attempt has sent.
type sentCalls struct {
	child   client.Child
	submits submits
	heirs   heirs
}

// sentNothing marks an attempt that had sent nothing when it returned. Its fields are never
// used.
var sentNothing sentCalls

// sentCalls returns the list of the attempt's calls, so that one can be added, and makes the
// list if necessary. A goroutine of the handler may call it for the first time after the
// attempt has returned. It then gets a list that refuses calls which depend on the end of
// the attempt.
func (a *attempt) sentCalls() *sentCalls {
	for {
		old := a.sent.Load()
		if old != nil && old != &sentNothing {
			return old
		}
		k := &sentCalls{}
		k.child.Client, k.child.Parent, k.child.Attempt, k.child.Heirs = a.s.r.client, a.d.ID, a.d.Start, (*submitter)(a)
		k.child.Afresh = a.d.Afresh
		k.submits.closed, k.heirs.closed = old == &sentNothing, old == &sentNothing
		if a.sent.CompareAndSwap(old, k) {
			return k
		}
	}
}

// conclude notes that the attempt has returned, and returns the list of its calls, or nil if
// it has sent none. From then on calls that depend on the end of the attempt are refused.
func (a *attempt) conclude() *sentCalls {
	for {
		k := a.sent.Load()
		switch {
		case k == &sentNothing:
			return nil
		case k != nil:
			k.submits.close()
			k.heirs.close()
			return k
		case a.sent.CompareAndSwap(nil, &sentNothing):
			return nil
		}
	}
}

// submitted returns the tasks to store with the attempt's success.
func (a *attempt) submitted() []*broker.Task {
	if k := a.conclude(); k != nil {
		return k.submits.take()
	}
	return nil
}

// inherited returns the calls that end with the attempt.
func (a *attempt) inherited() []broker.ID {
	if k := a.conclude(); k != nil {
		return k.heirs.take()
	}
	return nil
}

// maxHeirs is how many calls of one attempt may end with it.
const maxHeirs = 10_000

// heirs are the calls of an attempt that end with it.
type heirs struct {
	mu     sync.Mutex
	ids    map[broker.ID]struct{}
	closed bool // the attempt has returned: Sent returns an error for a new call
}

// Endow implements [client.Heirs]: a call that inherits has no later deadline than the
// task.
func (s *submitter) Endow(t *broker.Task) {
	end, ok := (*attempt)(s).deadline()
	if !ok {
		return
	}
	// A deadline that has passed stays a deadline: 0 would mean that there is none.
	if left := max(time.Until(end), time.Nanosecond); t.Deadline == 0 || left < t.Deadline {
		t.Deadline = left
	}
}

// Sent implements [client.Heirs].
func (s *submitter) Sent(id broker.ID) error {
	h := &(*attempt)(s).sentCalls().heirs
	h.mu.Lock()
	defer h.mu.Unlock()
	_, known := h.ids[id]
	switch {
	case known: // the handler has sent the same call again
	case h.closed:
		return fmt.Errorf("%w: the handler of the task from which it inherits has returned; send it before that, or without task.Inherit", broker.ErrInvalid)
	case len(h.ids) == maxHeirs:
		return fmt.Errorf("%w: more than %d calls inherit from one attempt; send a group of them", broker.ErrTooLarge, maxHeirs)
	case h.ids == nil:
		h.ids = make(map[broker.ID]struct{})
	}
	h.ids[id] = struct{}{}
	return nil
}

// close makes Sent return an error for new calls.
func (h *heirs) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// take returns the calls, and makes Sent return an error for new ones.
func (h *heirs) take() []broker.ID {
	h.close()
	return slices.Collect(maps.Keys(h.ids))
}

// noUpstream returns the error of a task that was to get the result of the step before it
// and was started without.
func noUpstream(d *broker.Delivery, s codec.Sealer) error {
	why := d.Meta[flow.ReasonKey]
	if s != nil {
		why = seal.OpenReason(s, d.ID, why)
	}
	if why == "" {
		why = "it could not be put among the arguments"
	}
	return fmt.Errorf("%w: parameter %s: %s", task.ErrNoUpstream, d.Flow.Upstream, why)
}
