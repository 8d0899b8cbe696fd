package arbiter

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// MaxStatusTasks is how many members a [FlowStatus] lists.
const MaxStatusTasks = 1000

// FlowStatus is what is known of the members of a group or pipe.
type FlowStatus struct {
	Size      int  // how many members there are
	Initiated int  // how many have not started
	Running   int  // how many run
	Done      int  // how many are done
	Succeeded int  // how many of these have succeeded
	Need      int  // how many must
	Killed    bool // somebody has killed it

	// Tasks are the first MaxStatusTasks members, in the order given, without
	// their results. [Group.Wait] yields all of them.
	Tasks []Status

	// Callback and Finalizer are nil if there is none.
	Callback  *Status
	Finalizer *Status
	// Reason says why the callback will never run; empty if it may, or did.
	Reason string
}

// flowJSON is the status of a group or pipe in JSON: the original's keys, and
// those of a task that make sense.
type flowJSON struct {
	statusJSON
	Initiated int      `json:"initiated"`
	Running   int      `json:"running"`
	Done      int      `json:"done"`
	Tasks     []Status `json:"tasks"`
	More      int      `json:"more,omitempty"`
	Need      int      `json:"need"`
	Killed    bool     `json:"killed,omitempty"`
	Callback  *Status  `json:"callback,omitempty"`
	Finalizer *Status  `json:"finalizer,omitempty"`
	Reason    string   `json:"reason,omitempty"`
}

func (f *FlowStatus) json(st statusJSON) flowJSON {
	return flowJSON{
		statusJSON: st, Initiated: f.Initiated, Running: f.Running, Done: f.Done,
		Tasks: f.Tasks, More: f.Size - len(f.Tasks), Need: f.Need, Killed: f.Killed,
		Callback: f.Callback, Finalizer: f.Finalizer, Reason: f.Reason,
	}
}

// flowStatus returns the status of a group or pipe. It is done when its outcome
// is there, callback and finalizer included; initiated as long as no member has
// started.
func (a *Arbiter) flowStatus(ctx context.Context, id task.ID) (Status, error) {
	p, err := a.lookupFlow(ctx, id)
	if err != nil {
		return Status{ID: id}, err
	}
	f := &FlowStatus{
		Size: p.Flow.Size, Need: p.Flow.Need, Succeeded: p.Succeeded,
		Killed: p.Marks&broker.MarkKilled != 0,
	}
	var blame *Status
	var page []broker.Member
	flush := func() error {
		err := a.addMembers(ctx, f, page, &blame)
		page = page[:0]
		return err
	}
	for m, err := range a.members(ctx, id) {
		if err == nil {
			if page = append(page, m); len(page) < broker.MaxBatch {
				continue
			}
			err = flush()
		}
		if err != nil {
			return Status{ID: id}, err
		}
	}
	if err := flush(); err != nil {
		return Status{ID: id}, err
	}
	f.Initiated += p.Flow.Size - p.Listed // what is not stored yet
	if err := a.addEnds(ctx, f, p); err != nil {
		return Status{ID: id}, err
	}
	f.Reason = reason(f, p, blame)

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

// addMembers adds members: those that have not arrived are looked up.
func (a *Arbiter) addMembers(ctx context.Context, f *FlowStatus, page []broker.Member, blame **Status) error {
	var ids []task.ID
	for _, m := range page {
		if !m.State.Final() {
			ids = append(ids, m.ID)
		}
	}
	var found []broker.Status
	if len(ids) > 0 {
		var err error
		if found, err = a.b.Lookup(ctx, ids); err != nil {
			return fmt.Errorf("status of members: %w", err)
		}
	}
	for _, m := range page {
		var st Status
		if m.State.Final() {
			st = a.status(m.ID, "", m.State, m.Outcome)
			st.outcome = withoutResult(m.Outcome)
		} else {
			look := &found[0]
			found = found[1:]
			st = a.found(look, withoutResult(look.Outcome))
		}
		switch st.State {
		case broker.PhaseDone:
			f.Done++
		case broker.PhaseRunning:
			f.Running++
		default: // or not stored yet
			st.State = broker.PhaseInitiated
			f.Initiated++
		}
		if *blame == nil && st.State == broker.PhaseDone && st.Outcome != Succeeded && st.Outcome != Canceled {
			*blame = &st
		}
		if len(f.Tasks) < MaxStatusTasks {
			f.Tasks = append(f.Tasks, st)
		}
	}
	return nil
}

// withoutResult returns an outcome that takes little room: a group has many.
func withoutResult(o *broker.Outcome) *broker.Outcome {
	if o == nil {
		return nil
	}
	small := *o
	small.Result = nil
	return &small
}

// addEnds adds callback and finalizer.
func (a *Arbiter) addEnds(ctx context.Context, f *FlowStatus, p *broker.Progress) error {
	for _, end := range []struct {
		id    task.ID
		state broker.State
		to    **Status
	}{{p.Flow.Callback, p.Callback, &f.Callback}, {p.Flow.Finalizer, p.Finalizer, &f.Finalizer}} {
		if end.id.IsZero() {
			continue
		}
		found, err := a.b.Lookup(ctx, []task.ID{end.id})
		if err != nil {
			return fmt.Errorf("status of %s %s: %w", kindOf(end.id), end.id, err)
		}
		look := found[0]
		if look.State == broker.StateUnknown { // not kept any more
			look.State = end.state
		}
		st := a.found(&look, look.Outcome)
		if st.State == broker.PhaseUnknown {
			st.State = broker.PhaseInitiated
		}
		*end.to = &st
	}
	return nil
}

// reason returns why a callback will never run.
func reason(f *FlowStatus, p *broker.Progress, blame *Status) string {
	if p.Flow.Callback.IsZero() || p.Callback.Final() && p.Callback != broker.StateCanceled {
		return ""
	}
	switch {
	case p.Marks&broker.MarkDropped != 0:
		return "the squad did not start"
	case f.Killed:
		return "the " + kindOf(p.Flow.ID) + " was killed"
	case p.Doomed() && blame != nil:
		why := string(blame.Outcome)
		if blame.Error != nil {
			why += ": " + blame.Error.Message
		}
		name := blame.Name
		if name == "" {
			name = blame.ID.String()
		}
		return fmt.Sprintf("%d of %d members had to succeed, and %s did not: %s", p.Flow.Need, p.Flow.Size, name, why)
	case p.Doomed():
		return fmt.Sprintf("%d of %d members had to succeed, and %d were canceled", p.Flow.Need, p.Flow.Size, p.Failed)
	case p.Callback == broker.StateCanceled:
		return "it was killed"
	}
	return ""
}
