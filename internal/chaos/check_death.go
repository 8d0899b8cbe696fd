package chaos

import (
	"cmp"
	"maps"
	"slices"
)

// deaths is how many minions must die that hold a task until it is given up, in all load
// of the suite: the first may have held it only, and the others must have started it.
const deaths = 3

// signOff is how many leases a minion may take after an outage to tell the broker that it
// lives: its handlers end first, some of which do not look at their contexts.
const signOff = 1

// givenUp checks that a task was given up for deaths of minions that had started it. An
// outage is no death once the minion has told the broker that it lives.
func (h *history) givenUp(r *Report, t *record) {
	r.GivenUp++
	all := h.recorded(t)
	judged := h.judged(t, all)
	struck, by := 0, make(map[string]bool)
	for i, a := range all {
		until := judged
		if i+1 < len(all) {
			next := all[i+1]
			if next.Kind == Start && next.Retried > a.Retried {
				continue // it was settled
			}
			until = next.At
		}
		f := h.death(a, until, judged)
		// Tasks that may have killed a minion do not run together, so of all the deaths
		// that one task causes another one is charged with one.
		if f == nil || f.Fault == Poisoned && f.Key != t.key && by[f.Key] {
			continue
		}
		if f.Fault == Poisoned {
			by[f.Key] = true
		}
		struck++
	}
	if struck < deaths-1 {
		r.add(t, Charged, "%s was given up, and %d minions have died or were out of reach that had started it, of %d attempts",
			t.key, struck, len(all))
	}
}

// recorded returns the attempts at a task that have started, and, in the simulation, those
// that were cut off between the record of their start and the start.
func (h *history) recorded(t *record) []*attempt {
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

// judged returns when a task was given up at the earliest: after its last attempt, or what
// cut that off. Whoever gave it up did not start it, and so has noted nothing.
func (h *history) judged(t *record, all []*attempt) int64 {
	if len(all) == 0 {
		return t.got[0].At
	}
	a := all[len(all)-1]
	at := a.At
	if a.Kind == Recorded { // its start was recorded and did not come: it may have been judged there and then
		return at
	}
	for _, f := range h.causes(a.Proc, a.At, t.got[0].At, true) {
		return max(at, f.At)
	}
	return at
}

// death returns a fault by which the minion of an attempt died before a time, or was out
// of reach from then until the task was judged; nil if there is none.
func (h *history) death(a *attempt, until, judged int64) *Event {
	if a.ret != nil { // it may not be settled yet
		until = min(until, a.ret.At+h.lease)
	}
	for _, f := range h.causes(a.Proc, a.At, until, true) {
		if f.ends() || f.Fault != EndProcess && h.away(a.Proc, f) >= judged {
			return &f
		}
	}
	return nil
}

// ends says whether a fault is the death of its process. One that is told to end is no
// death, since it gives back what it holds, unless another fault keeps it from that.
func (e *Event) ends() bool { return e.Fault == KillProcess || e.Fault == Poisoned }

// away returns until when a minion may be out of reach that a fault has struck. Others
// may hold it up before it is back, or end it: then it never is.
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

// poison checks that a task that ends the processes that run it is given up after so many
// of them. What has lost the registrations of minions has lost what they were charged with.
func (h *history) poison(r *Report) {
	ended := make(map[string][]Event)
	for _, f := range h.faults {
		if f.Fault == Poisoned {
			ended[f.Key] = append(ended[f.Key], f)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(ended)) {
		t, all := h.record(key), ended[key]
		r.Poison++
		most := deaths
		for _, f := range h.faults {
			if f.Fault == LoseRegistrations && all[0].At-h.lease <= f.At && f.At <= all[len(all)-1].At+h.lease {
				most++
			}
		}
		if len(all) > most {
			r.add(t, Charged, "%s has ended %d processes, want no more than %d", key, len(all), most)
		}
	}
}
