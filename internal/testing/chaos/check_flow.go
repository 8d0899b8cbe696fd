package chaos

import (
	"slices"
	"strconv"
)

// passResults adds to the records of the members of a flow what others saw of their results: the steps
// and callbacks that got a result as an argument, and the receivers of the result of the flow.
func (h *history) passResults(t *taskHistory) {
	f := t.flow
	if f == nil {
		return
	}
	tell := func(member, value, by string) {
		m := h.of(member)
		m.downstream = append(m.downstream, sight{value, by})
	}
	if f.Pipe {
		for i, key := range f.Members[1:] {
			for _, a := range h.of(key).attempts {
				if len(a.Up) == 1 {
					tell(f.Members[i], a.Up[0], a.Proc)
				}
			}
		}
		for _, g := range t.got {
			if g.Outcome == Succeeded {
				tell(f.Members[len(f.Members)-1], g.Value, g.Proc)
			}
		}
		return
	}
	for _, g := range t.got {
		if g.Outcome == Succeeded {
			tell(f.Callback, g.Value, g.Proc)
		}
	}
	for _, a := range h.of(f.Callback).attempts {
		if len(a.Up) == len(f.Members) {
			for i, value := range a.Up {
				tell(f.Members[i], value, a.Proc)
			}
		}
	}
}

// flow checks a group or pipe.
func (h *history) flow(r *Report, t *taskHistory) {
	f := t.flow
	if t.done() && len(t.kills) == 0 {
		want := Succeeded
		if h.fails(f) || h.isGivenUp(f.Callback) {
			want = Failed
		}
		got := t.got[0].Outcome
		failed := got == Failed && (h.memberKilled(f) || h.isGivenUp(f.Finalizer))
		inherited := got == GivenUp && h.isGivenUp(f.Callback) // the outcome of a group is that of its callback
		if got != want && !failed && !inherited {
			r.add(t, WrongEnd, "%s has %s, want %s", t.key, got, want)
		}
	}
	h.blame(r, t)
	h.killFlow(r, t)
	if f.Pipe {
		h.pipe(r, t)
		return
	}
	if f.Squad {
		h.squad(r, t)
	}
	h.group(r, t)
}

// memberKilled reports whether a member of the flow was killed by itself.
func (h *history) memberKilled(f *Flow) bool {
	return slices.ContainsFunc(f.Members, func(key string) bool { return len(h.of(key).kills) > 0 })
}

// fails reports whether a member that the flow needs has failed: it was meant to fail, or it was
// given up.
func (h *history) fails(f *Flow) bool { return (f.Fails || h.memberGivenUp(f)) && !f.Collect }

// memberGivenUp reports whether a member of the flow was given up.
func (h *history) memberGivenUp(f *Flow) bool { return slices.ContainsFunc(f.Members, h.isGivenUp) }

// partGivenUp reports whether a part of the flow was given up.
func (h *history) partGivenUp(f *Flow) bool { return slices.ContainsFunc(f.parts(), h.isGivenUp) }

func (h *history) isGivenUp(key string) bool { return key != "" && h.of(key).ended(GivenUp) }

// blame checks that the error of a failed flow names a member that failed, was given up or was
// killed, and not a member that was canceled because of it.
func (h *history) blame(r *Report, t *taskHistory) {
	for _, g := range t.got {
		n, err := strconv.Atoi(g.Value)
		if g.Outcome != Failed || err != nil || len(t.kills) > 0 {
			continue
		}
		if n >= len(t.flow.Members) {
			r.add(t, WrongEnd, "the error of %s names member %d, but it has %d members", t.key, n, len(t.flow.Members))
			continue
		}
		m := h.of(t.flow.Members[n])
		failed := slices.ContainsFunc(m.attempts, func(a *attempt) bool { return a.ret != nil && a.ret.Outcome == Fail })
		if !failed && len(m.kills) == 0 && !m.ended(GivenUp) {
			r.add(t, WrongEnd, "the error of %s names member %s, which has not failed and was not killed", t.key, m.key)
		}
	}
}

// pipe checks that each step starts after the previous one has succeeded, and with its result.
func (h *history) pipe(r *Report, t *taskHistory) {
	for i, key := range t.flow.Members[1:] {
		before := h.of(t.flow.Members[i])
		for _, a := range h.of(key).attempts {
			var from *attempt
			if len(a.Up) == 1 {
				from = before.by(a.Up[0])
			}
			if from == nil || from.ret.Outcome != OK || from.ret.At > a.At {
				r.add(t, OutOfOrder, "pipe %s: step %d was started by %s with the result %v, which step %d had not returned by then", t.key, i+2, a.Proc, a.Up, i+1)
				break
			}
		}
	}
}

// group checks the callback and the finalizer of a group. The rules for all tasks check that they
// do not run twice.
func (h *history) group(r *Report, t *taskHistory) {
	f := t.flow
	killed := len(t.kills) > 0
	over := t.done() && !killed
	last := int64(0) // when the parts were done that the next part waits for
	for _, key := range f.Members {
		last = max(last, h.settled(h.of(key)))
	}
	if f.Callback != "" {
		c := h.of(f.Callback)
		runs := !h.fails(f)
		switch {
		case !runs && len(c.attempts) > 0:
			r.add(t, NotOnce, "group %s has failed, but its callback was started by %s", t.key, c.attempts[0].Proc)
		case runs && over && len(c.attempts) == 0:
			r.add(t, NotOnce, "group %s has ended, but its callback was never started", t.key)
		case runs:
			h.after(r, t, c, "callback", f.Members, last)
			last = max(last, h.settled(c))
		}
	}
	if f.Finalizer != "" {
		c := h.of(f.Finalizer)
		if t.done() && len(c.attempts) == 0 { // whether it was killed or not
			r.add(t, NotOnce, "group %s has ended, but its finalizer was never started", t.key)
		}
		var all []string
		if !killed && !h.fails(f) { // otherwise members are canceled, and may never return
			all = f.parts()[:len(f.parts())-1]
		}
		h.after(r, t, c, "finalizer", all, last)
	}
}

// after checks that a part of a group starts only when the parts before it are done.
func (h *history) after(r *Report, t, part *taskHistory, name string, before []string, last int64) {
	if len(part.attempts) == 0 {
		return
	}
	a := part.attempts[0]
	if a.At < last {
		r.add(t, OutOfOrder, "group %s: its %s was started by %s before the parts that it waits for were done", t.key, name, a.Proc)
		return
	}
	for _, key := range before {
		if h.settled(h.of(key)) == 0 && !h.isGivenUp(key) {
			r.add(t, OutOfOrder, "group %s: its %s was started by %s, but %s has not returned", t.key, name, a.Proc, key)
			return
		}
	}
}

// settled returns when the attempt that settled a task returned: the attempt whose result was seen
// or, if there is none, the first one that returned a result. It is 0 if no attempt did.
func (h *history) settled(t *taskHistory) int64 {
	for _, s := range t.seen() {
		if a := t.by(s.value); a != nil {
			return a.ret.At
		}
	}
	if t.done() { // canceled: the result of the attempt did not count
		return 0
	}
	for _, a := range t.attempts {
		if a.ret != nil && (a.ret.Outcome == OK || a.ret.Outcome == Fail) {
			return a.ret.At
		}
	}
	return 0
}
