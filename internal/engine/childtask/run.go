package childtask

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/engine/failure"
	"github.com/go-arbiter/arbiter/internal/engine/isolate"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// This is the minion's side of an attempt: it sends the attempt to a child, and answers
// the requests of the handler there. While the handler waits for another task, the pool
// may start one more child.

// Parent answers the requests of a handler in a child. It is the attempt in the minion.
type Parent interface {
	// Submit sends calls: at once, or only if the task succeeds.
	Submit(ctx context.Context, onSuccess bool, calls []task.Bound) error
	// Await waits until a task has ended.
	Await(ctx context.Context, id task.ID) (*broker.Outcome, error)
	// Publish publishes an event that client.EncodeEvent has encoded.
	Publish(ctx context.Context, topic string, event []byte) error
	// SaveStep saves a durable step. Its data are plain.
	SaveStep(ctx context.Context, s broker.Step) error
	// LoadSteps loads the durable steps. Their data are plain.
	LoadSteps(ctx context.Context) (broker.Saved, error)
}

// Run runs a job in a child of the pool. tag is the isolate.Job.Tag of the attempt. Run
// calls handed when a child is ready, right before the job is sent to it. If the job has a
// time limit, it is the deadline of ctx.
func Run(ctx context.Context, pool *isolate.Pool, job *Job, tag any, p Parent, handed func()) (done Done, err error) {
	end, timed := ctx.Deadline()
	body := func() []byte {
		handed()
		if timed {
			job.Left = max(time.Until(end), time.Nanosecond)
		}
		return pack(job)
	}
	a := answerer{pool, tag, p}
	out, err := pool.Run(ctx, isolate.Job{Body: body, Tag: tag, Call: a.answer})
	if err != nil {
		return done, err
	}
	return done, unpack(out, &done)
}

// answerer answers the requests of one job.
type answerer struct {
	pool   *isolate.Pool
	tag    any
	parent Parent
}

// answer handles a request of the handler in the child.
func (a answerer) answer(ctx context.Context, body []byte) []byte {
	var q query
	var r reply
	err := unpack(body, &q)
	switch {
	case err != nil:
		r.Err = failure.Pack(err)
	case q.Topic != "":
		r.Err = failure.Pack(a.parent.Publish(ctx, q.Topic, q.Event))
	case q.Save != nil:
		r.Err = failure.Pack(a.parent.SaveStep(ctx, *q.Save))
	case q.Load:
		saved, err := a.parent.LoadSteps(ctx)
		r.Saved, r.Err = &saved, failure.Pack(err)
	case q.Await.IsZero():
		r.submitted(a.submit(ctx, &q))
	default:
		r.Outcome, r.Err = a.await(ctx, &q)
	}
	return pack(&r)
}

func (a answerer) submit(ctx context.Context, q *query) error {
	bound := make([]task.Bound, len(q.Calls))
	for i := range q.Calls {
		req, err := q.Calls[i].request()
		if err != nil {
			return err
		}
		bound[i] = req
	}
	return a.parent.Submit(ctx, q.OnSuccess, bound)
}

// submitted sets the reply to the result of a submission.
func (r *reply) submitted(err error) {
	var sub *task.SubmitError
	if !errors.As(err, &sub) {
		r.Err = failure.Pack(err)
		return
	}
	for _, f := range sub.Failed {
		r.Failed = append(r.Failed, failedCall{f.Index, failure.Pack(f.Err)})
	}
}

// await waits for a task on behalf of the child. The wait ends at the same time as the
// context in the child, so that the child gets the reason why the task is not done.
func (a answerer) await(ctx context.Context, q *query) ([]byte, *failure.Wire) {
	if q.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, q.Limit)
		defer cancel()
	}
	defer a.pool.Lend(a.tag)() // begins before the parent lends its slot, and ends after the slot is back
	o, err := a.parent.Await(ctx, q.Await)
	if err != nil {
		return nil, failure.Pack(err)
	}
	return wire.AppendOutcome(nil, o), nil
}

// request returns the request that a child has prepared.
func (w *prepared) request() (*request.Request, error) {
	if w == nil {
		return nil, nil
	}
	if len(w.Task) > 0 {
		t, err := wire.ParseSubmit(w.Task)
		if err != nil {
			return nil, err
		}
		return request.Prepared(t, w.Inherit, w.WaitForRoom), nil
	}
	f := &request.Flow{Kind: w.Kind, Members: make([]*request.Request, len(w.Members))}
	for i := range w.Members {
		m, err := w.Members[i].request()
		if err != nil {
			return nil, fmt.Errorf("member %d: %w", i, err)
		}
		f.Members[i] = m
	}
	var err error
	if f.Callback, err = w.Callback.request(); err != nil {
		return nil, fmt.Errorf("callback: %w", err)
	}
	if f.Finalizer, err = w.Finalizer.request(); err != nil {
		return nil, fmt.Errorf("finalizer: %w", err)
	}
	f.Quorum, f.Timeout, f.Timeouts = w.Quorum, w.Timeout, w.Timeouts
	return request.PreparedFlow(w.ID, f, w.Retention, w.Inherit), nil
}
