package memory

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A group or pipe is stored as a flow, in the shard of its id. It lists its members in
// parts, and counts their outcomes as drivers report them (Arrive). A flow that has ended
// is kept for its retention, and its id for at least broker.MinTombstone. A flow in which
// nothing happens is forgotten after a long time (broker.FlowPatience). The expiry queue of the
// shard finds both.

// flow is a group or pipe, guarded by the lock of its shard. Outcomes are never changed, so
// a pointer that was read with the lock may be used without it.
type flow struct {
	progress broker.Progress
	parts    [][]member

	visibleUntil instant // until when it can be found
	idUntil      instant // when the id may be used again; later than visibleUntil only if the flow has ended
	changedAt    instant // when something last happened in it
	checkAt      instant // when the expiry queue comes to it next
}

// member is one position of a flow.
type member struct {
	id      broker.ID
	outcome *broker.Outcome // nil until it has arrived
}

const (
	// flowCheck is the shortest interval at which the expiry queue comes to a flow to see whether
	// it is idle. The interval grows with the time in which nothing has happened. With a
	// single entry at the end of FlowPatience, the expiry queue would keep the ids of ended flows
	// for years.
	flowCheck = time.Hour

	// memberPart is how many members share an allocation, so a large flow grows without
	// being copied.
	memberPart = 1024
)

// isFlow reports whether the id is a flow's.
func isFlow(id broker.ID) bool {
	return id.Kind() == broker.KindGroup || id.Kind() == broker.KindPipe
}

// flow returns a flow that can be found, or nil.
func (s *shard) flow(id broker.ID, now instant) *flow {
	if f, _ := s.flows.Get(id); f != nil && now < f.visibleUntil {
		return f
	}
	return nil
}

// known returns a flow whose id can't be used again yet, or nil.
func (s *shard) known(id broker.ID, now instant) *flow {
	if f, _ := s.flows.Get(id); f != nil && now < f.idUntil {
		return f
	}
	return nil
}

// noteFlow adds a flow to the expiry queue, for the next time at which it may have to be
// forgotten.
func (s *shard) noteFlow(f *flow, now instant) {
	idle := time.Duration(now - f.changedAt)
	at := min(f.visibleUntil, now.plus(max(flowCheck, idle/2)))
	if now >= f.visibleUntil {
		at = f.idUntil
	}
	f.checkAt = at
	s.expiry.add(at, f.progress.Flow.ID)
}

// expireFlow forgets a flow, or the parts of it that are no longer kept. It is called when
// the expiry queue comes to the id.
func (s *shard) expireFlow(id broker.ID, now instant) {
	f, ok := s.flows.Get(id)
	switch {
	case !ok || f.checkAt > now:
	case f.idUntil <= now:
		s.flows.Drop(id)
	default:
		if f.visibleUntil <= now {
			f.strip()
		}
		s.noteFlow(f, now)
	}
}

// strip drops everything but the data by which a repeated call is recognised.
func (f *flow) strip() {
	f.parts = nil
	f.progress.Outcome = nil
}

// changed extends how long a flow that has not ended is kept.
func (f *flow) changed(now instant) {
	f.changedAt = now
	if p := &f.progress; p.Outcome == nil {
		keep := broker.FlowPatience
		if p.Listed < p.Flow.Size && p.Arrived() == 0 {
			keep = broker.OpenPatience
		}
		f.visibleUntil = now.plus(keep)
		f.idUntil = f.visibleUntil
	}
}

// member returns the member at a position that is listed.
func (f *flow) member(i int) *member { return &f.parts[i/memberPart][i%memberPart] }

// list adds the next members.
func (f *flow) list(ids []broker.ID) {
	for len(ids) > 0 {
		if f.progress.Listed%memberPart == 0 {
			f.parts = append(f.parts, nil)
		}
		last := &f.parts[len(f.parts)-1]
		have, more := len(*last), min(len(ids), memberPart-len(*last))
		if have+more > cap(*last) {
			*last = append(make([]member, 0, min(max(2*have, have+more), memberPart)), *last...)
		}
		for _, id := range ids[:more] {
			*last = append(*last, member{id: id})
		}
		f.progress.Listed += more
		ids = ids[more:]
	}
}

// arrive counts the outcome at a step of the flow, unless that step was counted before.
func (f *flow) arrive(step uint32, o *broker.Outcome, now instant) {
	p := &f.progress
	switch step {
	case broker.StepCallback:
		if p.Callback != broker.StateUnknown {
			return
		}
		p.Callback = o.State
	case broker.StepFinalizer:
		if p.Finalizer != broker.StateUnknown {
			return
		}
		p.Finalizer = o.State
	default:
		m := f.member(int(step))
		if m.outcome != nil {
			return
		}
		m.outcome = o
		if o.State == broker.StateSucceeded {
			p.Succeeded++
		} else {
			if p.Failed == 0 {
				p.First = int(step)
			}
			p.Failed++
		}
	}
	f.changed(now)
}

// end gives a flow its outcome.
func (f *flow) end(o *broker.Outcome, now instant) {
	keep := f.progress.Flow.Retention
	f.progress.Outcome = o
	f.visibleUntil = now.plus(keep)
	f.idUntil = now.plus(max(keep, broker.MinTombstone))
	if keep <= 0 {
		f.strip()
	}
}

// flowStatus sets the status of a flow, in the states of a task.
func (x *index) flowStatus(st *broker.Status, now instant) {
	s := x.shard(st.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flow(st.ID, now)
	switch {
	case f == nil:
	case f.progress.Outcome != nil:
		st.State, st.Outcome = f.progress.Outcome.State, copyOutcome(f.progress.Outcome)
	case f.progress.Arrived() > 0:
		st.State = broker.StateRunning
	default:
		st.State = broker.StatePending
	}
}
