package arbiter

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// survey reads the status of a group or pipe. It holds one page of members at a time, and only as many results as a
// status may have.
type survey struct {
	a     *Arbiter
	b     broker.Flows
	f     *FlowStatus
	list  bool    // list the members, and not only count them
	bytes int     // the size of the results so far
	seek  bool    // a member has made the group fail, and it is to be found
	blame *Status // the first member that did not succeed and was not cancelled
}

// flowStatus returns the status of a group or pipe. The group is done when its outcome is stored, after callback and
// finalizers. It is pending until one of its tasks has started.
func (a *Arbiter) flowStatus(ctx context.Context, id task.ID, cfg statusConfig) (Status, error) {
	p, err := a.lookupFlow(ctx, id)
	if err != nil {
		return Status{ID: id, Type: kindOf(id)}, err
	}
	f := &FlowStatus{
		Size: p.Flow.Size, Quorum: p.Flow.Quorum, Succeeded: p.Succeeded,
		Killed: p.Marks&broker.MarkKilled != 0,
	}
	const over = broker.MarkKilled | broker.MarkDropped
	s := &survey{
		a: a, b: a.b.(broker.Flows), f: f, list: !cfg.counts,
		seek: p.Doomed() && p.Marks&over == 0 && !p.Flow.Callback.IsZero(),
	}
	if s.list {
		f.Tasks = make([]Status, 0, min(p.Listed, MaxStatusTasks)+2)
	}
	err = s.members(ctx, p, "")
	if err == nil {
		err = s.blameFirst(ctx, p)
	}
	if err == nil {
		f.listed = len(f.Tasks)
		err = s.ends(ctx, p)
	}
	if err != nil {
		return Status{ID: id, Type: kindOf(id)}, err
	}
	f.Reason = reason(f, p, s.blame)

	state := broker.StatePending
	switch {
	case p.Outcome != nil:
		state = p.Outcome.State
	case f.Running > 0 || f.Done > 0:
		state = broker.StateRunning
	}
	st := a.status(id, "", state, p.Outcome)
	st.Flow = f
	return st, nil
}

// members counts the members of a flow, and lists the first of them. Kind is the type that they are listed with; if it is
// empty, it follows from their ids.
func (s *survey) members(ctx context.Context, p *broker.Progress, kind string) error {
	s.f.Initiated += p.Flow.Size - p.Listed // members that are not stored yet
	from := 0
	read := func(limit int, list bool) error {
		page, err := s.b.Members(ctx, p.Flow.ID, from, limit, list)
		if err == nil && len(page) == 0 {
			err = fmt.Errorf("%w: there is no member %d", broker.ErrNotFound, from)
		}
		if err == nil {
			err = s.page(ctx, p.Flow.ID, page, from, kind, list)
		}
		if err != nil {
			return fmt.Errorf("members of %s %s: %w", kindOf(p.Flow.ID), p.Flow.ID, err)
		}
		from += len(page)
		return nil
	}
	for s.list && from < min(p.Listed, MaxStatusTasks) {
		if err := read(min(p.Listed, MaxStatusTasks)-from, true); err != nil {
			return err
		}
	}
	for from < p.Listed {
		if p.Arrived() == p.Listed && (!s.seek || s.blame != nil) {
			s.f.Done += p.Listed - from
			return nil
		}
		if err := read(min(p.Listed-from, broker.MaxBatch), false); err != nil {
			return err
		}
	}
	return nil
}

// blameFirst finds the member that made the flow fail if none has failed by itself. It is the canceled member that was
// counted first, since the others may have been canceled because of it.
func (s *survey) blameFirst(ctx context.Context, p *broker.Progress) error {
	if !s.seek || s.blame != nil || p.First < 0 {
		return nil
	}
	one, err := s.b.Members(ctx, p.Flow.ID, p.First, 1, true)
	if err != nil {
		return fmt.Errorf("members of %s %s: %w", kindOf(p.Flow.ID), p.Flow.ID, err)
	}
	if len(one) == 1 && one[0].State.Final() {
		st := s.a.status(one[0].ID, "", one[0].State, one[0].Outcome)
		s.blame = &st
	}
	return nil
}

// page counts the members of a page, and lists them if list is true. It looks up the members that have not ended.
func (s *survey) page(ctx context.Context, id task.ID, page []broker.Member, from int, kind string, list bool) error {
	var ids []task.ID
	for _, m := range page {
		if !m.State.Final() {
			ids = append(ids, m.ID)
		}
	}
	var found []broker.Status
	if len(ids) > 0 {
		var err error
		if found, err = s.a.b.Lookup(ctx, ids); err != nil {
			return err
		}
	}
	for i, m := range page {
		var st Status
		if m.State.Final() {
			st = s.a.status(m.ID, "", m.State, m.Outcome)
		} else {
			st, found = s.a.found(&found[0], found[0].Outcome), found[1:]
		}
		s.count(&st)
		if kind != "" {
			st.Type = kind
		}
		if kind == "" && s.seek && s.blame == nil && st.State.Final() && st.State != broker.StateSucceeded && st.State != broker.StateCanceled {
			culprit := st
			if m.State.Final() && m.Outcome == nil {
				one, err := s.b.Members(ctx, id, from+i, 1, true)
				if err != nil {
					return err
				}
				if len(one) == 1 {
					culprit = s.a.status(m.ID, "", m.State, one[0].Outcome)
				}
			}
			s.blame = &culprit
		}
		if list {
			s.add(st)
		}
	}
	return nil
}

// count counts a task by its state. A task that is not stored yet is blocked: it waits for the rest of its group.
func (s *survey) count(st *Status) {
	if st.State == broker.StateUnknown {
		st.State = broker.StateBlocked
	}
	switch st.Phase() {
	case broker.PhaseDone:
		s.f.Done++
	case broker.PhaseRunning:
		s.f.Running++
	default:
		s.f.Initiated++
	}
}

// add lists a task. Its result is left out if the results would exceed their limit.
func (s *survey) add(st Status) {
	if o := st.outcome; o.Outcome != nil && len(o.Result) > 0 {
		if s.bytes+len(o.Result) > MaxStatusResults {
			small := *o.Outcome
			small.Result = nil
			st.outcome.Outcome, st.ResultOmitted = &small, true
			s.f.ResultsOmitted++
		} else {
			s.bytes += len(o.Result)
		}
	}
	s.f.Tasks = append(s.f.Tasks, st)
}

// The types of callback and finalizers in a status, in the words of the original.
const (
	typeCallback  = "callback"
	typeFinalizer = "finalize"
)

// ends counts and lists the callback and the finalizers.
func (s *survey) ends(ctx context.Context, p *broker.Progress) error {
	if id := p.Flow.Callback; !id.IsZero() {
		st, err := s.end(ctx, id, p.Callback, typeCallback)
		if err != nil {
			return err
		}
		s.count(&st)
		s.f.Callback = s.ended(st)
	}
	id := p.Flow.Finalizer
	if id.IsZero() {
		return nil
	}
	st, err := s.end(ctx, id, p.Finalizer, typeFinalizer)
	if err != nil {
		return err
	}
	if id.Kind() == broker.KindGroup { // several finalizers are a group
		several, err := s.a.lookupFlow(ctx, id)
		if err == nil {
			s.f.Finalizer = &st
			return s.members(ctx, several, typeFinalizer)
		}
		if !errors.Is(err, broker.ErrNotFound) {
			return err
		}
	}
	s.count(&st)
	s.f.Finalizer = s.ended(st)
	return nil
}

// ended lists a callback or finalizer and returns its status as listed.
func (s *survey) ended(st Status) *Status {
	if s.list {
		s.add(st)
		st = s.f.Tasks[len(s.f.Tasks)-1]
	}
	return &st
}

// end returns the status of a callback or finalizer.
func (s *survey) end(ctx context.Context, id task.ID, state broker.State, kind string) (Status, error) {
	var st Status
	if !s.list && state.Final() {
		st = s.a.status(id, "", state, nil)
	} else {
		found, err := s.a.b.Lookup(ctx, []task.ID{id})
		if err != nil {
			return Status{}, fmt.Errorf("status of %s %s: %w", kindOf(id), id, err)
		}
		if found[0].State == broker.StateUnknown { // no longer kept
			found[0].ID, found[0].State = id, state
		}
		st = s.a.found(&found[0], found[0].Outcome)
	}
	if st.State == broker.StateUnknown { // not stored yet; a group of finalizers is not counted
		st.State = broker.StateBlocked
	}
	st.Type = kind
	return st, nil
}
