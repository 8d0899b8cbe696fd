package minion

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/childtask"
	"github.com/go-arbiter/arbiter/internal/engine/failure"
	"github.com/go-arbiter/arbiter/internal/engine/isolate"
	"github.com/go-arbiter/arbiter/task"
)

// This is the minion's side of an isolated attempt: internal/engine/childtask sends it to
// a child, and passes the requests of the handler there to the attempt. While the handler waits
// for another task, its slot is lent as it is for a handler in the minion.

// runIsolated runs the handler in a child and returns its result.
func (a *attempt) runIsolated(ctx context.Context) ([]byte, error) {
	done, err := a.runChild(ctx, func() {})
	if err != nil {
		return nil, err
	}
	return done.Result, done.Err.Unpack()
}

// runChild runs the handler in a child. It calls handed when a child is ready, right
// before the task is sent to it.
func (a *attempt) runChild(ctx context.Context, handed func()) (childtask.Done, error) {
	info := a.about()
	job := childtask.Job{
		ID: info.ID, Name: info.Name, Queue: info.Queue,
		Attempt: info.Attempt, Retried: info.Retried, MaxRetries: info.MaxRetries, Recoveries: info.Recoveries,
		Meta: info.Meta, Enqueued: info.Enqueued,
		Codec: a.d.Codec, Payload: a.d.Payload, Limit: a.s.r.limits.Result,
	}
	if s := a.opened(); s != nil { // the child gets the plain arguments
		job.Payload = s.args
	}
	if end, timed := ctx.Deadline(); timed {
		cause := context.DeadlineExceeded // the cause if middleware has set an earlier deadline
		if own, ok := a.limits().Deadline(); ok && own.Equal(end) {
			_, cause = a.allowed()
		}
		job.LeftCause = failure.CauseName(cause)
	}
	done, err := childtask.Run(ctx, a.pool(), &job, a.d, (*childParent)(a), handed)
	if err == nil && done.Signal != "" {
		a.durable().Await(done.Signal)
	}
	return done, err
}

// pool returns the pool of children that runs the attempt.
func (a *attempt) pool() *isolate.Pool {
	if a.h.isolated {
		return a.s.r.pool
	}
	return a.s.r.suspectPool
}

// childParent is an attempt that answers its handler in a child.
type childParent attempt

// Submit implements [childtask.Parent].
func (p *childParent) Submit(ctx context.Context, onlySuccess bool, calls []task.Bound) error {
	if onlySuccess {
		return (*onSuccess)(p).Submit(ctx, calls...)
	}
	return (*submitter)(p).Submit(ctx, calls...)
}

// Await implements [childtask.Parent]. It lends the slot meanwhile.
func (p *childParent) Await(ctx context.Context, id task.ID) (*broker.Outcome, error) {
	a, r := (*attempt)(p), p.s.r
	r.lend(a, id)
	defer r.reclaim(a, id)
	return r.client.AwaitOutcome(ctx, id)
}

// Publish implements [childtask.Parent].
func (p *childParent) Publish(ctx context.Context, topic string, event []byte) error {
	return p.s.r.client.Publish(ctx, topic, event)
}

// SaveStep implements [childtask.Parent].
func (p *childParent) SaveStep(ctx context.Context, s broker.Step) error {
	return (*attempt)(p).durable().Save(ctx, s)
}

// LoadSteps implements [childtask.Parent].
func (p *childParent) LoadSteps(ctx context.Context) (broker.Saved, error) {
	return (*attempt)(p).durable().Load(ctx)
}
