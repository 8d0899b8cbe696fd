package childtask

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/engine/isolate"
	"github.com/go-arbiter/arbiter/internal/engine/title"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// A handler in a child process sends and awaits tasks through its minion. The child
// prepares each call, encodes its arguments, and derives the same id that the minion
// would derive; the minion stores the task and answers. To await a task, the child asks
// the minion, which waits and returns the outcome.

// submitter is the submitter of a handler in a child.
type submitter struct {
	s     *Server
	w     *isolate.Work
	child client.Child
}

// answerTime bounds how long a wait that has timed out stays open for the minion's answer, which
// says why the task is not done. The minion answers at once, unless the machine is overloaded.
const answerTime = time.Second

// Submit implements [task.Submitter].
func (p *submitter) Submit(ctx context.Context, calls ...task.Bound) error {
	return p.submit(ctx, false, calls)
}

// Await implements [task.Submitter].
func (p *submitter) Await(ctx context.Context, id task.ID, into any) error {
	if err := ctx.Err(); err != nil {
		return &task.WaitError{ID: id, Err: err}
	}
	q := query{Await: id}
	longer, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	if until, ok := ctx.Deadline(); ok {
		q.Limit = max(time.Until(until), time.Nanosecond)
	}
	defer context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) { // the minion is about to answer why the task is not done
			time.AfterFunc(answerTime, end)
		} else {
			end()
		}
	})()
	r, err := p.ask(longer, &q, answerTime)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return &task.WaitError{ID: id, Err: err}
	}
	if r.Err != nil {
		return r.Err.Unpack()
	}
	o, err := wire.ParseOutcome(r.Outcome)
	if err != nil {
		return fmt.Errorf("%s: %w", title.Of(id, ""), err)
	}
	return client.Decode(id, &o, into, p.s.codecs)
}

// Emit implements [task.Emitter]. The event is encoded here, and the minion publishes it.
func (p *submitter) Emit(ctx context.Context, topic string, payload any) error {
	data, err := client.EncodeEvent(topic, payload, p.s.codec)
	if err != nil {
		return err
	}
	r, err := p.ask(ctx, &query{Topic: topic, Event: data}, 0)
	if err != nil {
		return fmt.Errorf("emit to topic %s: %w", topic, err)
	}
	return r.Err.Unpack()
}

// onSuccess is the submitter for calls that are sent only if the task succeeds.
type onSuccess submitter

// Submit implements [task.Submitter].
func (l *onSuccess) Submit(ctx context.Context, calls ...task.Bound) error {
	return (*submitter)(l).submit(ctx, true, calls)
}

// Await implements [task.Submitter].
func (l *onSuccess) Await(_ context.Context, id task.ID, _ any) error {
	return fmt.Errorf("task %s: %w", id, task.ErrNotSubmitted)
}

func (p *submitter) submit(ctx context.Context, onSuccess bool, calls []task.Bound) error {
	e := &task.SubmitError{Total: len(calls)}
	fail := func(i int, err error) {
		f := task.FailedCall{Index: i, Name: "call", Err: err}
		if calls[i] != nil && calls[i].Request() != nil {
			f.ID, f.Name = calls[i].Request().ID(), calls[i].Request().Name()
		}
		e.Failed = append(e.Failed, f)
	}
	msg := query{OnSuccess: onSuccess}
	var indexes []int
	now := time.Now()
	for i, call := range calls {
		if call == nil || call.Request() == nil {
			fail(i, fmt.Errorf("%w: the zero Call; make one with Bind", broker.ErrInvalid))
			continue
		}
		if call.Request().Spreads() {
			request.Spread(calls)
		}
		req, err := p.prepare(call.Request(), now, 0)
		if err != nil {
			fail(i, err)
			continue
		}
		msg.Calls = append(msg.Calls, req)
		indexes = append(indexes, i)
	}
	if len(msg.Calls) > 0 {
		r, err := p.ask(ctx, &msg, 0)
		if err == nil {
			err = r.Err.Unpack()
		}
		for k := range indexes {
			if err != nil {
				fail(indexes[k], fmt.Errorf("not sent: %w", err))
			}
		}
		if err == nil {
			for _, f := range r.Failed {
				fail(indexes[f.Index], f.Err.Unpack())
			}
		}
	}
	if e.Failed == nil {
		return nil
	}
	return e
}

// maxDepth is the maximum depth of groups and pipes inside each other.
const maxDepth = 100

// prepare encodes a request and gives it its id.
func (p *submitter) prepare(req *request.Request, now time.Time, depth int) (prepared, error) {
	f := req.Flow()
	if f == nil {
		t, err := p.child.Record(req, p.s.codec, now)
		if err != nil {
			return prepared{}, err
		}
		return prepared{Task: wire.AppendSubmit(nil, t), Inherit: req.Settings().Inherit, WaitForRoom: req.WaitsForRoom()}, nil
	}
	if depth == maxDepth {
		return prepared{}, fmt.Errorf("%s: %w: more than %d flows in each other", req.Name(), broker.ErrInvalid, maxDepth)
	}
	if err := req.Check(); err != nil {
		return prepared{}, err
	}
	w := prepared{
		Kind: f.Kind, Quorum: f.Quorum, Timeout: f.Timeout, Timeouts: f.Timeouts,
		Retention: req.Settings().Retention, Inherit: req.Settings().Inherit,
	}
	ids := make([]broker.ID, len(f.Members))
	for i, m := range f.Members {
		r, err := p.prepare(m, now, depth+1)
		if err != nil {
			return prepared{}, fmt.Errorf("member %d: %w", i, err)
		}
		w.Members = append(w.Members, r)
		ids[i] = m.ID()
	}
	follow := make([]broker.ID, 2)
	for i, follows := range []struct {
		what string
		req  *request.Request
		to   **prepared
	}{{"callback", f.Callback, &w.Callback}, {"finalizer", f.Finalizer, &w.Finalizer}} {
		if follows.req == nil {
			continue
		}
		r, err := p.prepare(follows.req, now, depth+1)
		if err != nil {
			return prepared{}, fmt.Errorf("%s: %w", follows.what, err)
		}
		*follows.to = &r
		follow[i] = follows.req.ID()
	}
	w.ID = req.FlowID(func(kind broker.Kind) broker.ID { return p.child.FlowID(kind, ids, follow...) })
	return w, nil
}

func (p *submitter) ask(ctx context.Context, q *query, patience time.Duration) (*reply, error) {
	out, err := p.w.Call(ctx, pack(q), patience)
	if err != nil {
		return nil, err
	}
	r := new(reply)
	return r, unpack(out, r)
}
