package chaos

import (
	"slices"
	"time"
)

// kill checks that nothing starts after a kill. If the kill came while the task ran, or was about
// to start, its minion has a moment to learn of it. A minion that was stopped itself may start a
// task that it held before.
func (h *history) kill(r *Report, t *taskHistory) {
	for _, k := range t.killed {
		for _, a := range t.attempts {
			late := k.At
			if k.Outcome != NeverStarted && !t.returned(k.At, a.At) {
				late += int64(grace)
			}
			if a.At > late && (h.ranElsewhere(t, a, k) || !h.heldUp(a, k)) {
				r.add(t, AfterKill, "%s: a kill returned %q, but attempt %d was started %v later by %s",
					t.key, k.Outcome, a.Attempt, time.Duration(a.At-k.At).Round(time.Millisecond), a.Proc)
			}
		}
		if k.Outcome == NeverStarted && t.done() && !t.ended(Canceled) {
			r.add(t, AfterKill, "%s: a kill returned %q, but the task has %s", t.key, k.Outcome, t.got[0].Outcome)
		}
	}
}

// returned reports whether an attempt returned between two times. Then the next attempt is not one
// that a minion had been about to start.
func (r *taskHistory) returned(from, to int64) bool {
	return slices.ContainsFunc(r.attempts, func(a *attempt) bool {
		return a.ret != nil && from < a.ret.At && a.ret.At < to
	})
}

// ranElsewhere reports whether an earlier attempt than a ran on another minion when a kill returned,
// and no fault could have cost that minion its lease by then. So the minion of a did not hold the
// task yet. It got the task after the kill, and heard of the kill with it, whatever has struck it.
func (h *history) ranElsewhere(t *taskHistory, a *attempt, k Event) bool {
	return slices.ContainsFunc(t.attempts, func(b *attempt) bool {
		return b.Attempt < a.Attempt && b.Proc != a.Proc && b.At < k.At && (b.ret == nil || b.ret.At > k.At) &&
			len(h.causes(b.Proc, b.At, k.At, true)) == 0
	})
}

// heldUp reports whether a fault kept the minion of an attempt from learning of a kill. The killer
// does not see the tasks of a minion whose registration is lost. Such a minion notices the loss
// within a lease.
func (h *history) heldUp(a *attempt, k Event) bool {
	return len(h.causes(a.Proc, k.At-h.lease, a.At, false)) > 0 ||
		slices.ContainsFunc(h.faults, func(f Event) bool {
			return f.Fault == LoseRegistrations && f.At <= a.At && a.At <= f.Until+h.lease
		})
}

// killFlow checks that after the kill of a group or pipe no part of it starts except the finalizer.
// The verdicts of the parts say which parts had not started. A minion may have been about to start
// one of the others.
func (h *history) killFlow(r *Report, t *taskHistory) {
	f := t.flow
	for _, k := range t.killed {
		for _, key := range f.parts() {
			p := h.of(key)
			if key == f.Finalizer || len(p.attempts) == 0 {
				continue
			}
			if a := p.attempts[0]; a.At > k.At+int64(grace) && !h.heldUp(a, k) {
				r.add(t, AfterKill, "%s was killed, but its part %s was started %v later by %s",
					t.key, key, time.Duration(a.At-k.At).Round(time.Millisecond), a.Proc)
			}
		}
		if k.Outcome == NeverStarted && t.done() && !t.ended(Canceled) && !h.hadFailed(t, k) {
			r.add(t, AfterKill, "a part of %s was killed before it started, but the flow has %s", t.key, t.got[0].Outcome)
		}
	}
}

// hadFailed reports whether a flow failed because of a member, before the kill returned. Then the
// members that never started may be canceled because of that failure.
func (h *history) hadFailed(t *taskHistory, k Event) bool {
	if !t.ended(Failed) || t.flow.Collect {
		return false
	}
	if h.memberGivenUp(t.flow) { // the time of that is not recorded
		return true
	}
	if !t.flow.Fails {
		return false
	}
	for _, key := range t.flow.Members {
		for _, a := range h.of(key).attempts {
			if a.ret != nil && a.ret.Outcome == Fail && a.ret.At < k.At {
				return true
			}
		}
	}
	return false
}
