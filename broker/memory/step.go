package memory

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var _ broker.Steps = (*Broker)(nil)

// saved is the saved state of a task. The record has it until the task is over. Its steps and
// signals are never changed, only replaced.
type saved struct {
	steps   map[string]savedStep
	signals map[string]broker.Signal
	size    int // bytes of all names and data
	places  int // how many steps were saved for the first time

	// The signal for which the task waits, and the attempt that is due when it comes. With
	// another attempt the name has no meaning any more.
	awaited string
	attempt uint32
}

// savedStep is a step.
type savedStep struct {
	data  []byte
	due   instant // when its wait is over; 0 if it has none
	place int     // the number of steps that were saved before it
}

// savedState returns the saved state of a task, and makes it if necessary.
func (r *record) savedState() *saved {
	if r.saved == nil {
		r.saved = &saved{steps: map[string]savedStep{}, signals: map[string]broker.Signal{}}
	}
	return r.saved
}

// room checks whether there is room for one more name, of so many bytes with its data, in place of
// what had before bytes. The error is about what.
func (s *saved) room(size, before int, what string) error {
	if n := len(s.steps) + len(s.signals); before == 0 && n >= broker.MaxSteps {
		return fmt.Errorf("%s: %w: it has %d steps and signals, the limit is %d", what, broker.ErrSteps, n, broker.MaxSteps)
	}
	if all := s.size - before + size; all > broker.MaxStepBytes {
		return fmt.Errorf("%s: %w: %d bytes, the limit is %d", what, broker.ErrSteps, all, broker.MaxStepBytes)
	}
	s.size += size - before
	return nil
}

// awaits reports whether a task that is about to be snoozed has the signal already. Otherwise it
// notes that the task waits for it.
func (r *record) awaits(signal string) (has bool) {
	if signal == "" {
		return false
	}
	s := r.savedState()
	if _, has = s.signals[signal]; !has {
		s.awaited, s.attempt = signal, r.attempt
	}
	return has
}

// owned calls fn with the record of an attempt, whose queue is locked, if the consumer of the
// delivery owns it.
func (b *Broker) owned(ctx context.Context, d *broker.Delivery, bad error, fn func(*record, instant) error) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	if bad != nil {
		return bad
	}
	r, _ := b.index.lock(d.ID, now)
	if r == nil {
		return lost(d)
	}
	defer r.queue.unlock()
	if r.state != broker.StateRunning || r.attempt != d.Attempt || r.holding.c.id != d.Minion || r.holding.c.ended.Load() {
		return lost(d)
	}
	return fn(r, now)
}

// SaveStep saves a step; see [broker.Steps].
func (b *Broker) SaveStep(ctx context.Context, d *broker.Delivery, step broker.Step) error {
	return b.owned(ctx, d, step.Check(), func(r *record, now instant) error {
		s, before := r.savedState(), 0
		if old, ok := s.steps[step.Name]; ok {
			before = len(step.Name) + len(old.data)
		}
		if err := s.room(len(step.Name)+len(step.Data), before, "task "+d.ID.String()+": step "+step.Name); err != nil {
			return err
		}
		one := savedStep{data: bytes.Clone(step.Data), place: s.places}
		if before > 0 {
			one.place = s.steps[step.Name].place
		} else {
			s.places++
		}
		if step.Wait > 0 {
			one.due = now.plus(step.Wait)
		}
		s.steps[step.Name] = one
		return nil
	})
}

// LoadSteps returns the saved state of a task; see [broker.Steps].
func (b *Broker) LoadSteps(ctx context.Context, d *broker.Delivery) (out broker.Saved, err error) {
	err = b.owned(ctx, d, nil, func(r *record, now instant) error {
		if r.saved == nil {
			return nil
		}
		for name, s := range r.saved.steps {
			step := broker.Step{Name: name, Data: bytes.Clone(s.data)}
			if s.due != 0 {
				step.Wait = time.Duration(s.due - now)
			}
			out.Steps = append(out.Steps, step)
		}
		for _, s := range r.saved.signals {
			s.Data = bytes.Clone(s.Data)
			out.Signals = append(out.Signals, s)
		}
		return nil
	})
	return out, err
}

// Signal gives a task a signal; see [broker.Steps].
func (b *Broker) Signal(ctx context.Context, id broker.ID, signal broker.Signal) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	what := "task " + id.String() + ": signal " + signal.Name
	if err := signal.Check(); err != nil {
		return err
	}
	r, grave := b.index.lock(id, now)
	switch {
	case r == nil && now < grave.visibleUntil:
		return fmt.Errorf("%s: %w", what, broker.ErrEnded)
	case r == nil:
		return fmt.Errorf("%s: %w", what, broker.ErrNotFound)
	}
	q := r.queue
	defer q.unlock()
	if r.state == broker.StateFailed { // a dead letter
		return fmt.Errorf("%s: %w", what, broker.ErrEnded)
	}
	s := r.savedState()
	if old, ok := s.signals[signal.Name]; ok {
		if old.ID == signal.ID {
			return nil
		}
		return fmt.Errorf("%s: %w: give it another name", what, broker.ErrSignaled)
	}
	if err := s.room(len(signal.Name)+len(signal.Data), 0, what); err != nil {
		return err
	}
	signal.Data = bytes.Clone(signal.Data)
	s.signals[signal.Name] = signal
	if r.state == broker.StateRetrying && s.awaited == signal.Name && s.attempt == r.attempt {
		q.detach(r)
		q.pushBack(r)
	}
	return nil
}

// DropSteps removes steps of a dead letter; see [broker.Steps].
func (b *Broker) DropSteps(ctx context.Context, id broker.ID, from string) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	if err := broker.CheckName("step", from); err != nil {
		return err
	}
	r, _ := b.index.lock(id, now)
	if r != nil {
		defer r.queue.unlock()
	}
	if r == nil || r.state != broker.StateFailed {
		return fmt.Errorf("dead letter %s: %w", id, broker.ErrNotFound)
	}
	first, ok := savedStep{}, false
	if r.saved != nil {
		first, ok = r.saved.steps[from]
	}
	if !ok {
		return fmt.Errorf("dead letter %s: step %s: %w", id, from, broker.ErrNotFound)
	}
	for name, step := range r.saved.steps {
		if step.place >= first.place {
			delete(r.saved.steps, name)
			r.saved.size -= len(name) + len(step.data)
		}
	}
	return nil
}
