package chaos

import (
	"cmp"
	"maps"
	"slices"
)

// deaths is how many minions that hold a task must die before the task is given up, in all load of
// the suite. The first one may only have held it. The others must have recorded its start.
const deaths = 3

// signOff is how many leases a minion may take after an outage to tell the broker that it is alive.
// It ends its handlers first, and some of them ignore their contexts.
const signOff = 1

// givenUp checks that a task was given up because enough minions that had started it died. An
// outage is not a death once the minion has told the broker that it is alive.
func (h *history) givenUp(r *Report, t *taskHistory) {
	r.GivenUp++
	all := h.recorded(t)
	judged := h.judged(t, all)
	struck, by := 0, make(map[string]*attempt) // the first attempt that each task has ended
	for i, a := range all {
		until := judged
		if i+1 < len(all) {
			next := all[i+1]
			if a.Kind == Start && next.Kind == Start && next.Retried > a.Retried {
				continue // the attempt was settled
			}
			until = next.At
		}
		f := h.death(a, until, judged)
		if f == nil || !h.chargeable(a) {
			continue
		}
		if f.Fault == Poisoned && f.Key != t.key {
			if first := by[f.Key]; first == nil {
				by[f.Key] = a
			} else if h.alreadyCharged(first, f) {
				continue
			}
		}
		struck++
	}
	if struck < deaths-1 {
		r.add(t, Charged, "%s was given up, but only %d of its %d attempts can be charged with the death of a minion",
			t.key, struck, len(all))
	}
}

// chargeable reports whether the death of a minion may be charged to an attempt: only if its start
// was recorded. The simulation notes which starts were. In TestChaos nothing notes them, and a
// process may be killed after the record and before the start. So there all attempts count that
// have started.
func (h *history) chargeable(a *attempt) bool {
	return len(h.noted) == 0 || slices.ContainsFunc(h.noted[a.ID], func(b *attempt) bool { return b.Attempt == a.Attempt })
}

// alreadyCharged reports whether an attempt can't be charged with a death that another task has
// caused, because the same task has caused the death of an earlier attempt. Two suspects do not run at
// the same time, so a suspect is not charged with a death that another suspect causes. A task
// becomes a suspect when it has ended two processes, because its second start is recorded. Before that,
// another task can be charged with both deaths, if a minion that died had held it before.
func (h *history) alreadyCharged(first *attempt, f *Event) bool {
	ended := 0
	for _, g := range h.faults {
		if g.Fault == Poisoned && g.Key == f.Key && g.At < f.At {
			ended++
		}
	}
	return ended >= 2 || first.Attempt == 1
}

// recorded returns the attempts of a task that have started. In the simulation it also returns
// attempts that were cut off between the record of their start and the start.
func (h *history) recorded(t *taskHistory) []*attempt {
	all := slices.Clone(t.attempts)
	ids := t.ids()
	if len(ids) == 0 {
		ids = []string{t.id}
	}
	for _, a := range h.noted[ids[0]] {
		if !slices.ContainsFunc(all, func(b *attempt) bool { return b.Attempt == a.Attempt }) {
			all = append(all, a)
		}
	}
	slices.SortStableFunc(all, func(a, b *attempt) int { return cmp.Compare(a.Attempt, b.Attempt) })
	return all
}

// judged returns the earliest time at which a task was given up: after its last attempt, or after
// the fault that ended it. The minion that gave it up did not start it, so it has recorded nothing.
func (h *history) judged(t *taskHistory, all []*attempt) int64 {
	if len(all) == 0 {
		return t.got[0].At
	}
	a := all[len(all)-1]
	at := a.At
	if a.Kind == Recorded { // the start was recorded and did not follow, so the task may have been judged at this time
		return at
	}
	for _, f := range h.causes(a.Proc, a.At, t.got[0].At, true) {
		return max(at, f.At)
	}
	return at
}

// death returns a fault by which the minion of an attempt died before until, or was out of reach
// until the task was judged. It returns nil if there is none.
func (h *history) death(a *attempt, until, judged int64) *Event {
	if a.ret != nil { // the settlement may not have arrived yet
		until = min(until, a.ret.At+h.lease)
	}
	for _, f := range h.causes(a.Proc, a.At, until, true) {
		if f.ends() || f.Fault != EndProcess && h.away(a.Proc, f) >= judged {
			return &f
		}
	}
	return nil
}

// ends reports whether a fault is the death of its process. A process that is told to end does not
// count: it gives its tasks back, unless another fault prevents that.
func (e *Event) ends() bool { return e.Fault == KillProcess || e.Fault == Poisoned }

// away returns until when a minion may be out of reach after a fault. Other faults may delay its
// return, or end it, and then it never returns.
func (h *history) away(proc string, f Event) int64 {
	over := func(f Event) int64 { return max(f.At, f.Until) + signOff*h.lease }
	until := over(f)
	for _, g := range h.faults {
		if g.At > until {
			break
		}
		if over(g) < f.At || !strikes(g.Target, proc, true) {
			continue
		}
		if g.ends() || g.Fault == EndProcess {
			return never
		}
		until = max(until, over(g))
	}
	return until
}

const never = 1<<63 - 1

// poison checks that a task that ends the processes that run it is given up after enough of them. A
// fault that loses the registrations of minions also loses the deaths that were counted for their
// tasks.
func (h *history) poison(r *Report) {
	ended := make(map[string][]Event)
	for _, f := range h.faults {
		if f.Fault == Poisoned {
			ended[f.Key] = append(ended[f.Key], f)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(ended)) {
		t, all := h.of(key), ended[key]
		if t.ended(GivenUp) {
			r.Poison++
		}
		most := deaths
		for _, f := range h.faults {
			if f.Fault == LoseRegistrations && all[0].At-h.lease <= f.At && f.At <= all[len(all)-1].At+h.lease {
				most++
			}
		}
		if len(all) > most {
			r.add(t, Charged, "%s has ended %d processes, want at most %d", key, len(all), most)
		}
	}
}
