package chaos

import "time"

// together is how far apart the members of a squad may start without a fault. The message of the
// arbiter may be lost, and then a minion asks the broker every second.
const together = 2 * time.Second

// begun reports whether a member of a flow has started.
func (h *history) begun(t *taskHistory) bool {
	for _, key := range t.flow.Members {
		if len(h.of(key).attempts) > 0 {
			return true
		}
	}
	return false
}

// squad checks that either all members of a squad start, at about the same time, or no part of it
// starts. A member that was killed, or that ends because another member failed, may never start.
func (h *history) squad(r *Report, t *taskHistory) {
	f := t.flow
	if !h.begun(t) {
		if len(t.kills) > 0 { // the finalizer may run alone
			return
		}
		for _, key := range []string{f.Callback, f.Finalizer} {
			if p := h.of(key); key != "" && len(p.attempts) > 0 {
				r.add(t, InPart, "no member of squad %s was started, but its %s was started by %s", t.key, key, p.attempts[0].Proc)
			}
		}
		if t.accepted {
			r.add(t, Lost, "squad %s was reported as started, but no member was started", t.key)
		}
		return
	}
	if t.refused {
		r.add(t, AfterRefusal, "squad %s was refused, but members of it were started", t.key)
	}
	var first *attempt
	for _, key := range f.Members {
		if p := h.of(key); len(p.attempts) > 0 && (first == nil || p.attempts[0].At < first.At) {
			first = p.attempts[0]
		}
	}
	for _, key := range f.Members {
		p := h.of(key)
		switch {
		case len(p.attempts) == 0 && !h.mayCancel(t.key):
			r.add(t, InPart, "squad %s: %s was started by %s, but %s never was", t.key, first.Key, first.Proc, key)
			return
		case len(p.attempts) > 0 && p.attempts[0].At > first.At+int64(together) && !h.delayed(first, p.attempts[0]) && !h.suspected(p, first):
			r.add(t, InPart, "squad %s: %s was started by %s, but %s %v later by %s", t.key, first.Key, first.Proc, key,
				time.Duration(p.attempts[0].At-first.At).Round(time.Millisecond), p.attempts[0].Proc)
			return
		}
	}
}

// delayed reports whether a fault may have kept a member of a squad from starting together with the
// first one. It may be a fault of its own minion, at any time since the first start. It may also be
// a fault of another minion that held the member and did not start it. No record says which minion
// that was, and the number of the attempt counts starts only. But when the effect of such a fault
// is over, the member starts as soon as any other task would.
func (h *history) delayed(first, a *attempt) bool {
	if len(h.causes(a.Proc, first.At-h.lease, a.At, true)) > 0 {
		return true
	}
	for _, f := range h.faults {
		if over := max(f.At, f.Until) + h.lease; f.At <= a.At && over >= first.At && over+int64(together) >= a.At {
			return true
		}
	}
	return false
}

// suspected reports whether a minion had recorded the start of this member and died before the
// start, since the first member started. Then the member is suspected of that death, and waits until
// no other suspect runs, however long that takes.
func (h *history) suspected(p *taskHistory, first *attempt) bool {
	a := p.attempts[0]
	for _, n := range h.noted[a.ID] {
		if n.At < first.At-h.lease || n.At >= a.At {
			continue
		}
		for _, f := range h.causes(n.Proc, n.At, a.At, true) {
			if f.ends() {
				return true
			}
		}
	}
	return false
}
