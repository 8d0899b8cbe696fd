package chaos

import "time"

// together is how far apart the members of a squad may start that no fault holds
// up: the word of an arbiter may be lost, and then a minion looks every second.
const together = 2 * time.Second

// begun says whether a member of a flow has started.
func (h *history) begun(t *record) bool {
	for _, key := range t.flow.Members {
		if len(h.record(key).attempts) > 0 {
			return true
		}
	}
	return false
}

// squad checks that either all members of a squad start, about at once, or
// nothing of it ever does. Members that were killed, or end with one that fails,
// may not come to it.
func (h *history) squad(r *Report, t *record) {
	f := t.flow
	if !h.begun(t) {
		if len(t.kills) > 0 { // its finalizer may run alone
			return
		}
		for _, key := range []string{f.Callback, f.Finalizer} {
			if p := h.record(key); key != "" && len(p.attempts) > 0 {
				r.add(t, InPart, "squad %s has no member that was started, and its %s was started by %s", t.key, key, p.attempts[0].Proc)
			}
		}
		if t.accepted {
			r.add(t, Lost, "squad %s was told to have started, and no member was", t.key)
		}
		return
	}
	if t.refused {
		r.add(t, AfterRefusal, "squad %s was refused, and members of it were started", t.key)
	}
	var first *attempt
	for _, key := range f.Members {
		if p := h.record(key); len(p.attempts) > 0 && (first == nil || p.attempts[0].At < first.At) {
			first = p.attempts[0]
		}
	}
	for _, key := range f.Members {
		p := h.record(key)
		switch {
		case len(p.attempts) == 0 && !h.mayCancel(t.key):
			r.add(t, InPart, "squad %s: %s was started by %s, and %s never", t.key, first.Key, first.Proc, key)
			return
		case len(p.attempts) > 0 && p.attempts[0].At > first.At+int64(together) && !h.delayed(first, p.attempts[0]) && !h.suspected(p, first):
			r.add(t, InPart, "squad %s: %s was started by %s, and %s %v later by %s", t.key, first.Key, first.Proc, key,
				time.Duration(p.attempts[0].At-first.At).Round(time.Millisecond), p.attempts[0].Proc)
			return
		}
	}
}

// delayed says whether a fault may have kept a member of a squad from starting
// with the first one. A fault at its own minion may have, at any time since then.
// So may one at another minion, which held the member and did not come to start it:
// nobody notes who that was, and the number of the attempt does not tell, since it
// counts starts only. But once the effect of such a fault is over, the member
// starts as soon as another one would.
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

// suspected reports whether a minion that has died since the first member started had
// recorded the start of this member, which did not come. The member is suspected of that
// death, and so it waits until no other suspect runs, however long that takes.
func (h *history) suspected(p *record, first *attempt) bool {
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
