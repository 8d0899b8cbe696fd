package chaos

import "time"

// prompt is how long tasks may wait on average that are sent to idle minions. A
// wake-up takes a few milliseconds; who was not woken looks with its next
// heartbeat, in hundreds.
const prompt = 80 * time.Millisecond

// late checks that idle minions are woken. Nothing is lost if they are not, so no
// other rule would tell. What a slow machine has hit does not count.
func (h *history) late(r *Report) {
	var waited, n int64
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
	}
	if n == 0 {
		return
	}
	r.Prompt = time.Duration(waited / n)
	if r.Prompt > prompt {
		r.add(last, Late, "%d tasks that were sent to idle minions waited for %v on average", n, r.Prompt.Round(time.Millisecond))
	}
}
