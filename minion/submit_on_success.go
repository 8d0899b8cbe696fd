package minion

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// A handler can send tasks that must be stored only if it succeeds (task.OnSuccess). They
// are collected here while the handler runs, and travel with its settlement: the broker
// stores them in the same step as the success. If the attempt fails they are dropped.

// onSuccess is an attempt as the submitter of task.OnSuccess.
type onSuccess attempt

// Submit implements [task.Submitter].
func (o *onSuccess) Submit(_ context.Context, calls ...task.Bound) error {
	a := (*attempt)(o)
	e := &task.SubmitError{Total: len(calls)}
	now := time.Now()
	for i, call := range calls {
		if call != nil && call.Request().Spreads() {
			request.Spread(calls)
		}
		if err := a.submitOnSuccess(call, now); err != nil {
			f := task.FailedCall{Index: i, Name: "call", Err: err}
			if call != nil && call.Request() != nil {
				f.ID, f.Name = call.Request().ID(), call.Request().Name()
			}
			e.Failed = append(e.Failed, f)
		}
	}
	if e.Failed == nil {
		return nil
	}
	return e
}

// Await implements [task.Submitter].
func (o *onSuccess) Await(_ context.Context, id task.ID, _ any) error {
	return fmt.Errorf("task %s: %w", id, task.ErrNotSubmitted)
}

func (a *attempt) submitOnSuccess(call task.Bound, now time.Time) error {
	if call != nil && call.Request() != nil && call.Request().Flow() != nil {
		return fmt.Errorf("%s: %w: only single tasks can be sent on success; send a task that sends the group or pipe", call.Request().Name(), broker.ErrInvalid)
	}
	k := a.sentCalls()
	if _, err := broker.FlowsOf(a.s.r.m.b, "sending on success"); err != nil {
		return err
	}
	t, err := k.child.Prepare(call, now)
	if err != nil {
		return err
	}
	if err := k.submits.add(t); err != nil {
		return fmt.Errorf("task %s: %w", t.Name, err)
	}
	return nil
}

// submits collects the tasks that an attempt sends if it succeeds.
type submits struct {
	mu     sync.Mutex
	tasks  []*broker.Task
	bytes  int
	closed bool // the attempt has returned: add returns an error
}

func (s *submits) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks, s.bytes = nil, 0
}

// close makes add return an error from now on.
func (s *submits) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// take returns the tasks, and makes add return an error from now on.
func (s *submits) take() []*broker.Task {
	s.close()
	return s.tasks
}

func (s *submits) add(t *broker.Task) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("%w: the handler that sends it on success has returned; send it before that", broker.ErrInvalid)
	}
	for _, other := range s.tasks {
		if other.ID == t.ID {
			return nil // the handler has sent the same call again
		}
	}
	size := t.Size()
	switch {
	case len(s.tasks) == broker.MaxBatch:
		return fmt.Errorf("%w: more than %d tasks sent on success", broker.ErrTooLarge, broker.MaxBatch)
	case s.bytes+size > broker.MaxBatchBytes:
		return fmt.Errorf("%w: the tasks sent on success have %d bytes, the limit is %d", broker.ErrTooLarge, s.bytes+size, broker.MaxBatchBytes)
	}
	s.tasks = append(s.tasks, t)
	s.bytes += size
	return nil
}
