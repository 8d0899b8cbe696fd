package minion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/isolate"
	"github.com/go-arbiter/arbiter/task"
)

// runIsolated has a child run the handler and returns its result.
func (a *attempt) runIsolated(ctx context.Context) ([]byte, error) {
	done, err := a.runChild(ctx, func() {})
	if err != nil {
		return nil, err
	}
	return done.Result, done.Err.unpack()
}

// runChild has a child run the handler. Handed is called when the child is there and is
// about to get the task.
func (a *attempt) runChild(ctx context.Context, handed func()) (done wireDone, err error) {
	info := a.about()
	job := wireJob{
		ID: info.ID, Name: info.Name, Queue: info.Queue,
		Attempt: info.Attempt, Retried: info.Retried, MaxRetries: info.MaxRetries, Recoveries: info.Recoveries,
		Meta: info.Meta, Enqueued: info.Enqueued,
		Codec: a.d.Codec, Payload: a.d.Payload, Limit: a.s.r.limits.Result,
	}
	if s := a.opened(); s != nil { // the child gets what was in the seal
		job.Payload = s.args
	}
	end, timed := ctx.Deadline()
	if timed {
		job.LeftCause = "deadline exceeded" // middleware's, unless it is the attempt's
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
	return a.s.r.apart
}

// answer does what the handler in the child asks for.
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
	if call.Later {
		return (*later)(a).Submit(ctx, bound...)
	}
	return (*within)(a).Submit(ctx, bound...)
}

// submitted notes what came of a submission.
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

// awaitFor waits for a task, for which the slot is lent. The wait ends when the context
// in the child does, so that the child hears why the task is not done.
func (a *attempt) awaitFor(ctx context.Context, call *wireCall) ([]byte, *wireError) {
	id := call.Await
	if call.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, call.Limit)
		defer cancel()
	}
	r := a.s.r
	defer a.pool().Lend(a.d)() // before a slot is free, until none is
	r.lend(a)
	defer r.reclaim(a)
	o, err := r.client.AwaitOutcome(ctx, id)
	if err != nil {
		return nil, packError(err)
	}
	return broker.AppendOutcome(nil, o), nil
}

// request returns the request that a child has prepared.
func (w *wireRequest) request() (*task.Request, error) {
	if w == nil {
		return nil, nil
	}
	if len(w.Task) > 0 {
		t, err := broker.ParseSubmit(w.Task)
		if err != nil {
			return nil, err
		}
		return task.Prepared(t, w.Inherit), nil
	}
	f := &task.Flow{Kind: w.Kind, Members: make([]*task.Request, len(w.Members))}
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
	f.Need, f.Timeout, f.Timeouts = w.Need, w.Timeout, w.Timeouts
	return task.PreparedFlow(w.ID, f, w.Retention, w.Inherit), nil
}
