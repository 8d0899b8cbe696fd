package memory

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// badFlow returns an error that wraps broker.ErrInvalid.
func badFlow(id broker.ID, format string, args ...any) error {
	return fmt.Errorf("flow %s: %w: %s", id, broker.ErrInvalid, fmt.Sprintf(format, args...))
}

func noFlow(id broker.ID) error { return fmt.Errorf("flow %s: %w", id, broker.ErrNotFound) }

// OpenFlow stores a flow or a part of its members; see [broker.Flows].
func (b *Broker) OpenFlow(ctx context.Context, f *broker.Flow, from int, members []broker.ID) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	if err := f.Check(); err != nil {
		return err
	}
	if len(members) > broker.MaxBatch {
		return fmt.Errorf("flow %s: %w: a part of %d members, the limit is %d", f.ID, broker.ErrTooLarge, len(members), broker.MaxBatch)
	}
	if from < 0 || from > f.Size-len(members) {
		return badFlow(f.ID, "positions %d to %d of %d", from, from+len(members), f.Size)
	}
	s := b.index.shard(f.ID)
	s.mu.Lock()
	err = s.open(f, from, members, now)
	b.index.sweep.set(s.expiry.next())
	s.mu.Unlock()
	b.helpSweep(now)
	return err
}

// open stores a flow, or the next part of its members, unless that was done before.
func (s *shard) open(f *broker.Flow, from int, members []broker.ID, now instant) error {
	k := s.known(f.ID, now)
	switch {
	case k == nil && from > 0:
		return badFlow(f.ID, "it is opened from position %d on", from)
	case k == nil:
		k = &flow{progress: broker.Progress{Flow: *f}}
		k.changed(now)
		s.flows.Put(f.ID, k)
		s.noteFlow(k, now)
	case k.progress.Flow != *f:
		return &broker.DuplicateError{ID: f.ID, Holder: f.ID}
	case now >= k.visibleUntil || k.progress.Outcome != nil:
		return nil // it has ended
	case from > k.progress.Listed:
		return badFlow(f.ID, "positions %d to %d are missing", k.progress.Listed, from)
	}
	again := min(k.progress.Listed-from, len(members))
	for i, id := range members[:again] {
		if k.member(from+i).id != id {
			return &broker.DuplicateError{ID: f.ID, Holder: f.ID}
		}
	}
	if again < len(members) {
		k.list(members[again:])
		k.changed(now)
	}
	return nil
}

// view calls fn with a flow that can be found, while its shard is locked.
func (b *Broker) view(id broker.ID, now instant, fn func(f *flow) error) error {
	s := b.index.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flow(id, now)
	if f == nil {
		return noFlow(id)
	}
	return fn(f)
}

// copyProgress returns a copy for the caller.
func copyProgress(p broker.Progress) *broker.Progress {
	if p.Outcome != nil {
		p.Outcome = copyOutcome(p.Outcome)
	}
	return &p
}

// LookupFlow returns the progress of a flow; see [broker.Flows].
func (b *Broker) LookupFlow(ctx context.Context, id broker.ID) (*broker.Progress, error) {
	return b.Arrive(ctx, id, nil)
}

// Arrive counts members; see [broker.Flows]. It counts none of them if one is not final, or
// is not at a position of the flow.
func (b *Broker) Arrive(ctx context.Context, id broker.ID, arrivals []broker.Arrival) (*broker.Progress, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	outcomes := make([]*broker.Outcome, len(arrivals))
	for i := range arrivals {
		if o := &arrivals[i].Outcome; o.State.Final() {
			outcomes[i] = copyOutcome(o)
		} else {
			return nil, badFlow(id, "an arrival with the state %s, which is not final", o.State)
		}
	}
	var p broker.Progress
	err = b.view(id, now, func(f *flow) error {
		for i := range arrivals {
			step := arrivals[i].Step
			if step < broker.StepFinalizer && int(step) >= f.progress.Listed {
				return badFlow(id, "an arrival at position %d of %d", step, f.progress.Listed)
			}
		}
		for i, o := range outcomes {
			f.arrive(arrivals[i].Step, o, now)
		}
		p = f.progress
		return nil
	})
	if err != nil {
		return nil, err
	}
	return copyProgress(p), nil
}

// Members lists members; see [broker.Flows].
func (b *Broker) Members(ctx context.Context, id broker.ID, from, limit int, outcomes bool) ([]broker.Member, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	if from < 0 || limit < 1 {
		return nil, badFlow(id, "%d members from position %d on", limit, from)
	}
	var out []broker.Member
	err = b.view(id, now, func(f *flow) error {
		bytes := 0
		end := min(f.progress.Listed, from+min(limit, broker.MaxBatch, f.progress.Listed))
		for i := from; i < end && bytes < broker.MaxBatchBytes; i++ {
			m := f.member(i)
			member := broker.Member{ID: m.id}
			if m.outcome != nil {
				member.State = m.outcome.State
				if outcomes {
					member.Outcome = m.outcome
					bytes += len(m.outcome.Result)
				}
			}
			out = append(out, member)
		}
		return nil
	})
	for i := range out {
		if o := out[i].Outcome; o != nil {
			out[i].Outcome = copyOutcome(o)
		}
	}
	return out, err
}

// MarkFlow sets marks; see [broker.Flows].
func (b *Broker) MarkFlow(ctx context.Context, id broker.ID, marks broker.Marks) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	return b.view(id, now, func(f *flow) error {
		marks &= broker.MarkKilled | broker.MarkSwept
		if f.progress.Marks|marks != f.progress.Marks {
			f.progress.Marks |= marks
			f.changed(now)
		}
		return nil
	})
}

// EndFlow gives a flow its outcome; see [broker.Flows].
func (b *Broker) EndFlow(ctx context.Context, id broker.ID, o *broker.Outcome) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	switch {
	case o == nil:
		return badFlow(id, "no outcome")
	case !o.State.Final():
		return badFlow(id, "it ends as %s, which is not a final state", o.State)
	case len(o.Result) > b.limits.Result:
		return fmt.Errorf("flow %s: %w: result of %d bytes, the limit is %d", id, broker.ErrTooLarge, len(o.Result), b.limits.Result)
	}
	o = copyOutcome(o)
	notices := newNoticeBatch(b, 1)
	s := b.index.shard(id)
	s.mu.Lock()
	f := s.known(id, now)
	if f != nil && now < f.visibleUntil && f.progress.Outcome == nil {
		notices.add(f.progress.Flow.Inbox, id, notices.encode(o))
		f.end(o, now)
		s.noteFlow(f, now)
		b.index.sweep.set(s.expiry.next())
	}
	s.mu.Unlock()
	if f == nil {
		return noFlow(id)
	}
	notices.deliver(b)
	b.helpSweep(now)
	return nil
}
