package chaos

import "time"

// prompt is how long tasks may wait on average that are sent to idle minions. A
// wake-up takes a few milliseconds; who was not woken looks with its next
// heartbeat, in hundreds.
const prompt = 80 * time.Millisecond

// slowness is how many times as long as the submission of such a task its start may take:
// that is one request, and tells how slow the machine is.
const slowness = 3

// recovery is how many leases a task may wait that is sent when all faults are
// over: its queue is served again, also if all that had it have died, or ask a
// server that is gone.
const recovery = 4

// late checks that tasks start in time. Nothing is lost if they do not, so no
// other rule would tell. What a slow machine has hit does not count.
func (h *history) late(r *Report) {
	h.slowToRecover(r)
	h.slowToExpire(r)
	h.slowToWake(r)
}

// slowToRecover checks tasks that are sent when all faults are over.
func (h *history) slowToRecover(r *Report) {
	for _, t := range h.tasks {
		if !t.over || len(t.attempts) == 0 {
			continue
		}
		a := t.attempts[0]
		waited := a.At - t.sent
		for _, f := range h.causes(a.Proc, t.sent, a.At, true) {
			waited -= max(0, min(f.Until, a.At)-max(f.At, t.sent))
		}
		r.Recovery = max(r.Recovery, time.Duration(waited))
		if waited > recovery*h.lease {
			r.add(t, Late, "%s waited for %v when all faults were over", t.key, time.Duration(waited).Round(time.Millisecond))
		}
	}
}

// expiry is how many leases after its deadline whoever has sent a task may see that it has
// expired. It takes a second at most; the rest is for what the network can do to the news.
const expiry = 10

// slowToExpire checks tasks that have a deadline: none starts after it, and one that waits
// ends soon after it, whatever it waits for. It counts from when a task is stored, which
// was before the sender knew of it.
func (h *history) slowToExpire(r *Report) {
	for _, t := range h.tasks {
		if t.within == 0 || t.stored == 0 {
			continue
		}
		deadline := t.stored + t.within
		for _, a := range t.attempts {
			if late := a.At - deadline; late > h.lease && len(h.causes(a.Proc, t.sent, a.At, true)) == 0 {
				r.add(t, Late, "%s: attempt %d started %v after its deadline", t.key, a.Attempt, time.Duration(late).Round(time.Millisecond))
			}
		}
		if len(t.attempts) > 0 {
			continue // it may have run when its deadline passed
		}
		for _, g := range t.got {
			if g.Proc != t.sender {
				continue
			}
			waited := g.At - deadline
			for _, f := range h.causes(g.Proc, t.sent, g.At, true) {
				waited -= max(0, min(f.Until, g.At)-max(f.At, deadline))
			}
			if waited > expiry*h.lease {
				r.add(t, Late, "%s ended %v after its deadline", t.key, time.Duration(waited).Round(time.Millisecond))
			}
		}
	}
}

// slowToWake checks that idle minions are woken.
func (h *history) slowToWake(r *Report) {
	var waited, stored, n int64
	var last *record
	for _, t := range h.tasks {
		if !t.prompt || len(t.attempts) == 0 {
			continue
		}
		a := t.attempts[0]
		if len(h.causes(a.Proc, t.sent+h.lease, a.At, true)) > 0 { // causes last for a lease, slowness does not
			continue
		}
		waited, n, last = waited+a.At-t.sent, n+1, t
		if t.stored > 0 {
			stored += t.stored - t.sent
		}
	}
	if n == 0 {
		return
	}
	r.Prompt = time.Duration(waited / n)
	if r.Prompt > max(prompt, slowness*time.Duration(stored/n)) {
		r.add(last, Late, "%d tasks that were sent to idle minions waited for %v on average", n, r.Prompt.Round(time.Millisecond))
	}
}
