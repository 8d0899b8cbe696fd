package minion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/internal/engine/durable"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// A handler can store what it has done (package step). The state of its steps is made when it uses the
// first one; a handler without steps costs nothing.

// attemptSteps are the durable steps of an attempt.
type attemptSteps struct {
	*durable.State
	a     *attempt
	await string // the signal that the task waits for; State.Suspend writes it before the handler returns
}

// durable returns the durable steps of the attempt, and makes them if necessary.
func (a *attempt) durable() *attemptSteps {
	if s := a.steps.Load(); s != nil {
		return s
	}
	s := &attemptSteps{a: a}
	s.State = durable.New(s, seal.Plain(a.plain()), a.s.r.codecs, a.d.Attempt == 1)
	a.steps.CompareAndSwap(nil, s)
	return a.steps.Load()
}

// plain returns the codec of the task, which encodes the bytes that the handler gets.
func (a *attempt) plain() codec.Codec {
	if s := a.opened(); s != nil {
		return s.Plain()
	}
	return a.codec
}

// awaited returns the signal for which the task waits if the attempt ends with a snooze.
func (a *attempt) awaited() string {
	if s := a.steps.Load(); s != nil {
		return s.await
	}
	return ""
}

// The pauses between tries to save or load a step while the broker is not available.
const (
	stepPause        = 50 * time.Millisecond
	longestStepPause = 5 * time.Second
)

// lateSave is how long a step may take to be saved after its context has ended. It is less than the
// two seconds after which a minion that stops gives the task back.
const lateSave = time.Second

// withSteps calls f until the broker has answered. A step that is saved or loaded again does no harm.
func (s *attemptSteps) withSteps(ctx context.Context, f func(broker.Steps) error) error {
	b, err := broker.StepsOf(s.a.s.r.m.b, "a durable step")
	if err != nil {
		return task.NoRetry(err)
	}
	for try := 0; ; try++ {
		err := f(b)
		if err == nil || !errors.Is(err, broker.ErrUnavailable) || !backoff.Sleep(ctx, backoff.Delay(try, stepPause, longestStepPause)) {
			return err
		}
	}
}

// Save implements [durable.Store].
func (s *attemptSteps) Save(ctx context.Context, step broker.Step) error {
	a := s.a
	if open := a.opened(); open != nil {
		data, err := seal.Step(open.Sealer, a.d.ID, step.Name, step.Data)
		if err != nil {
			return err
		}
		step.Data = data
	}
	save := func(ctx context.Context) error {
		return s.withSteps(ctx, func(b broker.Steps) error { return b.SaveStep(ctx, a.d, step) })
	}
	err := save(ctx)
	if err != nil && ctx.Err() != nil {
		// The step is done, so it is saved although its context has ended, for example because the minion
		// stops or the time of the attempt is over. Otherwise a later attempt would do it again.
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateSave)
		defer cancel()
		err = save(late)
	}
	return err
}

// Load implements [durable.Store].
func (s *attemptSteps) Load(ctx context.Context) (saved broker.Saved, err error) {
	a := s.a
	err = s.withSteps(ctx, func(b broker.Steps) (err error) {
		saved, err = b.LoadSteps(ctx, a.d)
		return err
	})
	if err != nil {
		return saved, err
	}
	if open := a.opened(); open != nil {
		for i := range saved.Steps {
			one := &saved.Steps[i]
			if one.Data, err = seal.OpenStep(open.Sealer, a.d.ID, one.Name, one.Data); err != nil {
				return saved, fmt.Errorf("saved step %s: %w", one.Name, err)
			}
		}
	}
	for i := range saved.Signals {
		one := &saved.Signals[i]
		c, err := codec.ByName(one.Codec, a.s.r.codecs...)
		if sealer := seal.Of(c); err == nil && sealer != nil {
			one.Data, err = seal.OpenSignal(sealer, a.d.ID, one.Name, one.Data)
		}
		if err != nil {
			return saved, fmt.Errorf("signal %s: %w", one.Name, err)
		}
	}
	return saved, nil
}

// Await implements [durable.Store].
func (s *attemptSteps) Await(signal string) { s.await = signal }
