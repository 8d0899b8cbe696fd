package minion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/engine/isolate"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// This is the minion's side of an isolated attempt: it sends the attempt to a child, and
// answers the requests of the handler there, which may send tasks, await them, and
// publish events. While the handler waits for another task, its slot is lent as it is
// for a handler in the minion, and the pool may start one more child.

// runIsolated runs the handler in a child and returns its result.
func (a *attempt) runIsolated(ctx context.Context) ([]byte, error) {
	done, err := a.runChild(ctx, func() {})
	if err != nil {
		return nil, err
	}
	return done.Result, done.Err.unpack()
}

// runChild runs the handler in a child. It calls handed when a child is ready, right
// before the task is sent to it.
func (a *attempt) runChild(ctx context.Context, handed func()) (done wireDone, err error) {
	info := a.about()
	job := wireJob{
		ID: info.ID, Name: info.Name, Queue: info.Queue,
		Attempt: info.Attempt, Retried: info.Retried, MaxRetries: info.MaxRetries, Recoveries: info.Recoveries,
		Meta: info.Meta, Enqueued: info.Enqueued,
		Codec: a.d.Codec, Payload: a.d.Payload, Limit: a.s.r.limits.Result,
	}
	if s := a.opened(); s != nil { // the child gets the plain arguments
		job.Payload = s.args
	}
	end, timed := ctx.Deadline()
	if timed {
		job.LeftCause = "deadline exceeded" // the cause if middleware has set an earlier deadline
		if own, ok := a.limits().Deadline(); ok && own.Equal(end) {
			_, cause := a.allowed()
			job.LeftCause = causeName(cause)
		}
	}
	body := func() []byte {
		handed()
		if timed {
			job.Left = max(time.Until(end), time.Nanosecond)
		}
		return pack(&job)
	}
	out, err := a.pool().Run(ctx, isolate.Job{Body: body, Tag: a.d, Call: a.answer})
	if err != nil {
		return done, err
	}
	return done, unpack(out, &done)
}

// pool returns the pool of children that runs the attempt.
func (a *attempt) pool() *isolate.Pool {
	if a.h.isolated {
		return a.s.r.pool
	}
	return a.s.r.suspectPool
}

// answer handles a request of the handler in the child.
func (a *attempt) answer(ctx context.Context, body []byte) []byte {
	var call wireCall
	var reply wireReply
	if err := unpack(body, &call); err != nil {
		reply.Err = packError(err)
	} else if call.Topic != "" {
		reply.Err = packError(a.s.r.client.Publish(ctx, call.Topic, call.Event))
	} else if call.Await.IsZero() {
		reply.submitted(a.submitFor(ctx, &call))
	} else {
		reply.Outcome, reply.Err = a.awaitFor(ctx, &call)
	}
	return pack(&reply)
}

func (a *attempt) submitFor(ctx context.Context, call *wireCall) error {
	bound := make([]task.Bound, len(call.Calls))
	for i := range call.Calls {
		req, err := call.Calls[i].request()
		if err != nil {
			return err
		}
		bound[i] = req
	}
	if call.OnSuccess {
		return (*onSuccess)(a).Submit(ctx, bound...)
	}
	return (*submitter)(a).Submit(ctx, bound...)
}

// submitted sets the reply to the result of a submission.
func (r *wireReply) submitted(err error) {
	var sub *task.SubmitError
	if !errors.As(err, &sub) {
		r.Err = packError(err)
		return
	}
	for _, f := range sub.Failed {
		r.Failed = append(r.Failed, wireFailed{f.Index, packError(f.Err)})
	}
}

// awaitFor waits for a task on behalf of the child, and lends the slot meanwhile. The
// wait ends at the same time as the context in the child, so that the child gets the
// reason why the task is not done.
func (a *attempt) awaitFor(ctx context.Context, call *wireCall) ([]byte, *wireError) {
	id := call.Await
	if call.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, call.Limit)
		defer cancel()
	}
	r := a.s.r
	defer a.pool().Lend(a.d)() // begins before the slot is lent, and ends after it is back
	r.lend(a)
	defer r.reclaim(a)
	o, err := r.client.AwaitOutcome(ctx, id)
	if err != nil {
		return nil, packError(err)
	}
	return wire.AppendOutcome(nil, o), nil
}

// request returns the request that a child has prepared.
func (w *wireRequest) request() (*request.Request, error) {
	if w == nil {
		return nil, nil
	}
	if len(w.Task) > 0 {
		t, err := wire.ParseSubmit(w.Task)
		if err != nil {
			return nil, err
		}
		return request.Prepared(t, w.Inherit), nil
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
