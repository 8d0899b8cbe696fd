// Package step makes parts of a handler durable: what a step has done is stored with the task, and a later
// attempt goes on behind it.
//
//	func order(ctx context.Context, o Order) (Receipt, error) {
//		id, err := step.Run(ctx, "charge", func(ctx context.Context) (string, error) { return charge(ctx, o) })
//		if err != nil {
//			return Receipt{}, err
//		}
//		ok, err := step.Wait[bool](ctx, "approval", 24*time.Hour)
//		…
//	}
//
// A step has a name, which is unique in the handler. The handler runs from its beginning in each attempt, and so must
// come to the same steps each time: what is decided between steps must follow from the arguments and from results of
// steps. Times and random numbers belong into steps.
//
// The function of a step runs once, or again if its attempt was cut off before the result was stored. So it should be
// idempotent, as a handler should.
//
// Return the errors of this package, wrapped or not: with some of them the task gives its slot back and goes on later.
//
// A task has up to 1,000 steps and signals, of 2 MiB in all; see [broker.ErrSteps]. The steps stay with the task until it
// ends. A dead letter keeps them, and goes on behind them when it is requeued.
package step

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/durable"
)

// ErrNoSignal is wrapped by the error of [Wait] if the signal did not come in time.
var ErrNoSignal = errors.New("the signal did not come in time")

// stateOf returns the state of the attempt that ctx belongs to.
func stateOf(ctx context.Context, name string) (*durable.State, error) {
	if s, ok := ctx.Value(durable.Key{}).(*durable.State); ok && s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("step %s: %w: steps work only in the context of a running task; elsewhere call the function itself", name, broker.ErrInvalid)
}

// Run calls fn and stores its result with the task. If an earlier attempt has stored it, Run returns the stored result
// and does not call fn. An error of fn is returned as it is, and not stored: if the task is retried, fn is called again.
// That holds for [task.NoRetry], too, whose task becomes a dead letter, and calls fn again when it is requeued.
func Run[T any](ctx context.Context, name string, fn func(context.Context) (T, error)) (T, error) {
	var out, none T
	s, err := stateOf(ctx, name)
	if err != nil {
		return none, err
	}
	data, _, found, err := s.Begin(ctx, name, false, durable.KindRun)
	if err != nil {
		return none, err
	}
	if found {
		err := s.Decode(name, data[1:], &out)
		return out, err
	}
	if out, err = fn(ctx); err != nil {
		return none, err
	}
	if data, err = s.Encode(name, out); err != nil {
		return none, err
	}
	if err := s.Save(ctx, name, 0, durable.KindRun, data); err != nil {
		return none, err
	}
	return out, nil
}

// Sleep lets the task rest: it returns an error, with which the handler must return. The task gives its slot back, uses
// no retry, and is due again when d is over, by the clock of the broker and from the first call on, whatever happens to
// minions and the broker meanwhile. Then Sleep returns nil. A d of 0 or less does not rest.
func Sleep(ctx context.Context, name string, d time.Duration) error {
	s, err := stateOf(ctx, name)
	if err != nil {
		return err
	}
	_, left, found, err := s.Begin(ctx, name, false, durable.KindSleep)
	if err != nil {
		return err
	}
	if !found {
		left = max(d, 0)
		if err := s.Save(ctx, name, left, durable.KindSleep, nil); err != nil {
			return err
		}
	}
	if left <= 0 {
		return nil
	}
	return s.Suspend(name, left, "")
}

// Wait waits until the task gets the signal of that name, for up to d, and returns its value; see Arbiter.Signal. A signal
// that came before is there at once. As long as it has not come, Wait returns an error as [Sleep] does, with
// which the handler must return. If d is over, the error wraps [ErrNoSignal], in later attempts, too, also if the signal
// comes late. A d of 0 or less takes only a signal that is there.
func Wait[T any](ctx context.Context, name string, d time.Duration) (T, error) {
	var out, none T
	s, err := stateOf(ctx, name)
	if err != nil {
		return none, err
	}
	data, left, found, err := s.Begin(ctx, name, true, durable.KindWait, durable.KindOver)
	if err != nil {
		return none, err
	}
	missed := fmt.Errorf("step %s: %w", name, ErrNoSignal)
	if found && data[0] == durable.KindOver {
		return none, missed
	}
	if has, err := s.Signal(name, &out); has || err != nil {
		return out, err
	}
	if !found {
		left = d
	}
	if left <= 0 {
		if err := s.Save(ctx, name, 0, durable.KindOver, nil); err != nil {
			return none, err
		}
		return none, missed
	}
	if !found {
		if err := s.Save(ctx, name, d, durable.KindWait, nil); err != nil {
			return none, err
		}
	}
	return none, s.Suspend(name, left, name)
}

// Each calls fn for each item, in order, and stores after each how many are done. A later attempt goes on behind the
// last one that is stored. So it repeats an item whose attempt was cut off before that was stored. The items must be the same in each attempt. An error of fn ends the loop, and is returned as it is.
func Each[T any](ctx context.Context, name string, items []T, fn func(ctx context.Context, i int, item T) error) error {
	s, err := stateOf(ctx, name)
	if err != nil {
		return err
	}
	data, _, found, err := s.Begin(ctx, name, false, durable.KindEach)
	if err != nil {
		return err
	}
	done := 0
	if found {
		if done, err = strconv.Atoi(string(data[1:])); err != nil || done > len(items) {
			return fmt.Errorf("step %s: %w: %q items are done of %d; the items must be the same in each attempt", name, broker.ErrInvalid, data[1:], len(items))
		}
	}
	for i := done; i < len(items); i++ {
		if err := fn(ctx, i, items[i]); err != nil {
			return err
		}
		if err := s.Save(ctx, name, 0, durable.KindEach, strconv.AppendInt(nil, int64(i+1), 10)); err != nil {
			return err
		}
	}
	return nil
}

// Changed reports whether the task may run the new code of a handler that was changed. It is false for a task that has
// gone past this point before Changed was added, since it has stored steps that come behind. The answer is stored, so it is the
// same in all attempts. The name is that of the change, such as "v2".
func Changed(ctx context.Context, name string) (bool, error) {
	s, err := stateOf(ctx, name)
	if err != nil {
		return false, err
	}
	data, _, found, err := s.Begin(ctx, name, false, durable.KindChanged)
	if err != nil {
		return false, err
	}
	if found {
		return string(data[1:]) == "1", nil
	}
	is, answer := !s.Left(), "0"
	if is {
		answer = "1"
	}
	return is, s.Save(ctx, name, 0, durable.KindChanged, []byte(answer))
}
