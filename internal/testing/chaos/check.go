package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// grace is how long a minion that has a task already may take to learn of its kill.
const grace = time.Second

// Check judges a history. The events may be in any order. lease is the lease of the minions.
func Check(events []Event, lease time.Duration) *Report {
	h := read(events, int64(lease))
	r := h.newReport()
	keys := slices.Sorted(maps.Keys(h.tasks))
	for _, key := range keys { // before the judgement, so the results that parts were given are known
		h.passResults(h.tasks[key])
	}
	for _, key := range keys {
		t := h.tasks[key]
		if t.damaged { // the test itself has damaged it: nothing is promised of it, but all of the other tasks
			if t.struck {
				r.Damaged++
			}
			continue
		}
		h.count(r, t)
		if t.flow != nil {
			h.flow(r, t)
			continue
		}
		h.starts(r, t)
		h.results(r, t)
		h.kill(r, t)
	}
	for _, key := range keys {
		h.lost(r, h.tasks[key])
	}
	h.poison(r)
	h.forged(r)
	h.crowded(r)
	h.sequences(r)
	h.paused(r)
	h.bounds(r)
	h.uniqueKeys(r)
	h.late(r)
	h.ticks(r)
	if n := h.hits[ServerDied]; n > 0 {
		r.Broken[BroughtDown] = n
		r.Cases = append(r.Cases, fmt.Sprintf("%s: a server ended %d times without being killed", BroughtDown, n))
	}
	for _, f := range h.faults {
		if f.Fault == ProcessDied {
			r.Broken[BroughtDown]++
			r.Cases = append(r.Cases, fmt.Sprintf("%s: %s ended without being told to; %s", BroughtDown, f.Target, f.Value))
		}
	}
	for i, e := range h.long {
		r.Broken[TooLong]++
		if i < perVerdict {
			r.Cases = append(r.Cases, fmt.Sprintf("%s: %s", TooLong, e.Value))
		}
	}
	return r
}

// count adds a task to the numbers in the report.
func (h *history) count(r *Report, t *taskHistory) {
	switch {
	case t.flow == nil:
		r.Tasks++
	case t.flow.Pipe:
		r.Pipes++
	case t.flow.Squad:
		r.Squads++
		if h.begun(t) {
			r.SquadsStarted++
		}
	default:
		r.Groups++
	}
	switch {
	case t.accepted:
		r.Accepted++
	case t.refused:
		r.Refused++
	case t.sent > 0:
		r.Indeterminate++
		if len(t.attempts) > 0 || len(t.got) > 0 {
			r.IndeterminateThere++
		}
	}
	r.Attempts += len(t.attempts)
	if t.flow != nil {
		r.FlowKills += len(t.killed)
		return
	}
	r.Kills += len(t.killed)
	for _, k := range t.killed {
		if k.Outcome == NeverStarted {
			r.InTime++
		}
	}
}

// lost checks that every task in the system is done.
func (h *history) lost(r *Report, t *taskHistory) {
	if len(t.got) > 0 || t.damaged {
		return
	}
	if !t.accepted && len(t.attempts) == 0 && !h.kept(t) {
		return
	}
	switch {
	case t.accepted && len(t.attempts) == 0:
		r.add(t, Lost, "%s was accepted, but never started and has no result", t.key)
	case len(t.attempts) == 0:
		r.add(t, Lost, "%s was promised by an attempt that succeeded, but never started", t.key)
	default:
		a := t.attempts[len(t.attempts)-1]
		r.add(t, Lost, "%s has no result; its last start was attempt %d by %s", t.key, a.Attempt, a.Proc)
	}
}

// kept reports whether the attempt that settled the parent had promised t.
func (h *history) kept(t *taskHistory) bool {
	for _, p := range t.promises {
		parent := h.of(p.Parent)
		for _, g := range parent.got {
			a := parent.by(g.Value)
			if g.Outcome == Succeeded && a != nil && a.Attempt == p.Attempt {
				return true
			}
		}
	}
	return false
}

// starts checks that each attempt has a cause.
func (h *history) starts(r *Report, t *taskHistory) {
	if t.refused && len(t.attempts) > 0 {
		r.add(t, AfterRefusal, "%s was refused for good, but was started by %s", t.key, t.attempts[0].Proc)
	}
	if len(t.promises) > 0 && len(t.attempts) > 0 && !h.kept(t) && h.of(t.promises[0].Parent).done() {
		r.add(t, Unexplained, "%s was started, but no attempt that promised it has succeeded", t.key)
	}
	if ids := t.ids(); len(ids) > 1 {
		r.add(t, Unexplained, "%s was stored as %d tasks: %v", t.key, len(ids), ids)
		return
	}
	byNumber := slices.Clone(t.attempts)
	slices.SortStableFunc(byNumber, func(a, b *attempt) int { return cmp.Compare(a.Attempt, b.Attempt) })
	retries := 0
	for i := 1; i < len(byNumber); i++ {
		a, next := byNumber[i-1], byNumber[i]
		if a.ret != nil && a.ret.Outcome == Retry {
			retries++
		}
		if next.Retried > retries {
			r.add(t, RetryUsed, "%s: attempt %d by %s was started with %d retries counted, but %d attempts had asked for one",
				t.key, next.Attempt, next.Proc, next.Retried, retries)
		}
		if a.Attempt == next.Attempt {
			r.add(t, Unexplained, "%s: attempt %d was started by both %s and %s", t.key, a.Attempt, a.Proc, next.Proc)
			continue
		}
		if a.ret != nil && a.ret.Outcome == Retry && next.At > a.ret.At {
			r.Retries++
			continue
		}
		h.again(r, t, a, next)
	}
}

func (r *taskHistory) done() bool { return len(r.got) > 0 }

// results checks that all observers of a result saw the same one, that an attempt returned it, and
// that no later attempt started.
func (h *history) results(r *Report, t *taskHistory) {
	seen := t.seen()
	for i, s := range seen {
		a := t.by(s.value)
		if a == nil {
			r.add(t, WrongResult, "%s: %s saw the result %q, which no attempt returned", t.key, s.by, s.value)
			continue
		}
		if s.value != seen[0].value {
			r.add(t, SettledTwice, "%s: %s saw the result %q, and %s saw %q", t.key, seen[0].by, seen[0].value, s.by, s.value)
			continue
		}
		for _, later := range t.attempts {
			if i == 0 && later.Attempt > a.Attempt {
				r.add(t, SettledTwice, "%s: attempt %d was settled, but attempt %d was started by %s", t.key, a.Attempt, later.Attempt, later.Proc)
				break
			}
		}
	}
	for _, g := range t.got {
		if g.Outcome != t.got[0].Outcome {
			r.add(t, SettledTwice, "%s: its outcome is %s for %s, and %s for %s", t.key, t.got[0].Outcome, t.got[0].Proc, g.Outcome, g.Proc)
		}
	}
	if !t.done() {
		return
	}
	switch g := t.got[0]; g.Outcome {
	case Succeeded, Failed:
		want := map[string]string{Succeeded: OK, Failed: Fail}[g.Outcome]
		if a := t.by(g.Value); a == nil && g.Value == "" {
			r.add(t, WrongEnd, "%s has %s without a result", t.key, g.Outcome)
		} else if a != nil && a.ret.Outcome != want && !(t.within > 0 && a.ret.Outcome == Retry) { // the retry would come after its deadline
			r.add(t, WrongEnd, "%s has %s, but attempt %d returned %s", t.key, g.Outcome, a.Attempt, a.ret.Outcome)
		}
	case Canceled:
		if len(t.kills) == 0 && !h.mayBeReplaced(t) && !slices.ContainsFunc(t.parts, func(flow string) bool { return h.mayCancel(flow) }) {
			r.add(t, WrongEnd, "%s was canceled, but nobody killed it", t.key)
		}
	case Expired:
		switch {
		case t.within == 0:
			r.add(t, WrongEnd, "%s has expired, but had no deadline", t.key)
		case g.At < t.sent+t.within-int64(time.Millisecond): // the deadline is rounded down
			r.add(t, WrongEnd, "%s has expired %v before its deadline", t.key, time.Duration(t.sent+t.within-g.At))
		default:
			r.Expired++
		}
	case GivenUp:
		h.givenUp(r, t)
	default:
		r.add(t, WrongEnd, "%s has ended as %s", t.key, g.Outcome)
	}
}

// mayCancel reports whether the parts of a flow may be canceled: the flow was killed, it fails, or
// one of its parts was killed or given up.
func (h *history) mayCancel(flow string) bool {
	f := h.of(flow)
	return len(f.kills) > 0 || f.flow != nil && (f.flow.Fails || h.memberKilled(f.flow) || h.partGivenUp(f.flow))
}
