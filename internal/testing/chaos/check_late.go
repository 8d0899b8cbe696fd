package chaos

import "time"

// prompt is the longest average time that tasks for idle minions may wait. A wake-up takes a few
// milliseconds. A minion that was not woken looks with its next heartbeat, which takes hundreds of
// milliseconds.
const prompt = 80 * time.Millisecond

// slowness is the allowed ratio of the time until a task starts to the time of its submission. A
// submission is one request, so it shows how slow the machine is.
const slowness = 3

// recovery is how many leases a task may wait that is sent when all faults are over. Within that
// time its queue must be served again, even if all its minions have died, or still ask a server
// that was replaced.
const recovery = 4

// late checks that tasks start in time. A delay loses nothing, so no other rule would find it.
// Tasks that a slow machine has delayed do not count.
func (h *history) late(r *Report) {
	h.slowToRecover(r)
	h.slowToServe(r)
	h.slowToExpire(r)
	h.slowToWake(r)
}

// slowToRecover checks the tasks that are sent when all faults are over.
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
			r.add(t, Late, "%s waited for %v although all faults were over", t.key, time.Duration(waited).Round(time.Millisecond))
		}
	}
}

// slowToServe checks that each minion serves all its queues again when all faults are over.
func (h *history) slowToServe(r *Report) {
	for _, e := range h.served {
		waited := e.Until - e.At
		for _, f := range h.causes(e.Target, e.At, e.Until, true) {
			waited -= max(0, min(f.Until, e.Until)-max(f.At, e.At))
		}
		switch {
		case waited <= recovery*h.lease:
		case e.Value != "":
			r.add(h.of(e.Target), Late, "%s does not serve the queue %s, %v after all faults were over", e.Target, e.Value, time.Duration(waited).Round(time.Millisecond))
		default:
			r.add(h.of(e.Target), Late, "%s served all its queues %v after all faults were over", e.Target, time.Duration(waited).Round(time.Millisecond))
		}
	}
}

// expiry is how many leases after a deadline the sender of the task may learn that it has expired.
// The task expires within a second. The rest is for delays that the network may add.
const expiry = 10

// slowToExpire checks tasks with a deadline. None starts after its deadline, and a waiting task
// expires soon after it, in whatever state it waits. The deadline counts from the time when the
// task is stored, which is before the sender knows of it.
func (h *history) slowToExpire(r *Report) {
	for _, t := range h.tasks {
		if t.within == 0 || t.stored == 0 {
			continue
		}
		deadline := t.stored + t.within
		for _, a := range t.attempts {
			if late := a.At - deadline; late > h.lease && len(h.causes(a.Proc, t.sent, a.At, true)) == 0 {
				r.add(t, Late, "%s: attempt %d started %v after the deadline", t.key, a.Attempt, time.Duration(late).Round(time.Millisecond))
			}
		}
		if len(t.attempts) > 0 {
			continue // the task may have been running when its deadline passed
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
	var last *taskHistory
	for _, t := range h.tasks {
		if !t.prompt || len(t.attempts) == 0 {
			continue
		}
		a := t.attempts[0]
		if len(h.causes(a.Proc, t.sent+h.lease, a.At, true)) > 0 { // faults have effects for a lease longer, but a slow machine has not
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
		r.add(last, Late, "%d tasks for idle minions waited for %v on average", n, r.Prompt.Round(time.Millisecond))
	}
}
