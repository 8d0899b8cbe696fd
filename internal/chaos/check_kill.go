package chaos

import (
	"slices"
	"time"
)

// kill checks that a kill has the last word. One that came while the task ran, or
// was about to, leaves its minion a moment; a minion that was stopped itself may
// start what it had in hand before.
func (h *history) kill(r *Report, t *record) {
	for _, k := range t.killed {
		for _, a := range t.attempts {
			late := k.At
			if k.Outcome != NeverStarted && !t.returned(k.At, a.At) {
				late += int64(grace)
			}
			if a.At > late && !h.heldUp(a, k) {
				r.add(t, AfterKill, "%s: a kill had returned %q, and attempt %d was started %v later by %s",
					t.key, k.Outcome, a.Attempt, time.Duration(a.At-k.At).Round(time.Millisecond), a.Proc)
			}
		}
		if k.Outcome == NeverStarted && t.done() && !t.ended(Canceled) {
			r.add(t, AfterKill, "%s: a kill had returned %q, and it has %s", t.key, k.Outcome, t.got[0].Outcome)
		}
	}
}

// returned says whether an attempt returned between two times: what starts then
// is no attempt that a minion had been about to start.
func (r *record) returned(from, to int64) bool {
	return slices.ContainsFunc(r.attempts, func(a *attempt) bool {
		return a.ret != nil && from < a.ret.At && a.ret.At < to
	})
}

// heldUp says whether a fault kept the minion of an attempt from learning of a
// kill. Who kills does not see what a minion holds that is not registered; this one
// notices within a lease.
func (h *history) heldUp(a *attempt, k Event) bool {
	return len(h.causes(a.Proc, k.At-h.lease, a.At, false)) > 0 ||
		slices.ContainsFunc(h.faults, func(f Event) bool {
			return f.Fault == LoseRegistrations && f.At <= a.At && a.At <= f.Until+h.lease
		})
}

// killFlow checks that after the kill of a group or pipe no part of it starts but
// the finalizer. Which parts had not started, their own verdicts tell; of the
// others a minion may have been about to start one.
func (h *history) killFlow(r *Report, t *record) {
	f := t.flow
	for _, k := range t.killed {
		for _, key := range f.parts() {
			p := h.record(key)
			if key == f.Finalizer || len(p.attempts) == 0 {
				continue
			}
			if a := p.attempts[0]; a.At > k.At+int64(grace) && !h.heldUp(a, k) {
				r.add(t, AfterKill, "%s: it was killed, and its part %s was started %v later by %s",
					t.key, key, time.Duration(a.At-k.At).Round(time.Millisecond), a.Proc)
			}
		}
		if k.Outcome == NeverStarted && t.done() && !t.ended(Canceled) && !h.hadFailed(t, k) {
			r.add(t, AfterKill, "%s: a part of it was killed before it started, and it has %s", t.key, t.got[0].Outcome)
		}
	}
}

// hadFailed says whether a flow has failed by the fault of a member, and had when
// the kill returned: then those that never started may be canceled for that.
func (h *history) hadFailed(t *record, k Event) bool {
	if !t.ended(Failed) || t.flow.Collect {
		return false
	}
	if h.memberGivenUp(t.flow) { // nobody notes when that is
		return true
	}
	if !t.flow.Fails {
		return false
	}
	for _, key := range t.flow.Members {
		for _, a := range h.record(key).attempts {
			if a.ret != nil && a.ret.Outcome == Fail && a.ret.At < k.At {
				return true
			}
		}
	}
	return false
}
