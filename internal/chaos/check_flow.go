package chaos

import (
	"slices"
	"strconv"
)

// handDown tells the members of a flow what others saw of their results: the
// steps and callbacks that were given them, and who got the result of the whole.
func (h *history) handDown(t *record) {
	f := t.flow
	if f == nil {
		return
	}
	tell := func(member, value, by string) {
		m := h.record(member)
		m.downstream = append(m.downstream, sight{value, by})
	}
	if f.Pipe {
		for i, key := range f.Members[1:] {
			for _, a := range h.record(key).attempts {
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
	for _, a := range h.record(f.Callback).attempts {
		if len(a.Up) == len(f.Members) {
			for i, value := range a.Up {
				tell(f.Members[i], value, a.Proc)
			}
		}
	}
}

// flow checks a group or pipe.
func (h *history) flow(r *Report, t *record) {
	f := t.flow
	if t.done() && len(t.kills) == 0 {
		want := Succeeded
		if h.fails(f) || h.isGivenUp(f.Callback) {
			want = Failed
		}
		got := t.got[0].Outcome
		if got != want && !(got == Failed && (h.memberKilled(f) || h.isGivenUp(f.Finalizer))) {
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

// memberKilled says whether somebody has killed a member by itself.
func (h *history) memberKilled(f *Flow) bool {
	return slices.ContainsFunc(f.Members, func(key string) bool { return len(h.record(key).kills) > 0 })
}

// fails says whether a member of a flow has failed that it needs: it was meant to, or was
// given up.
func (h *history) fails(f *Flow) bool { return (f.Fails || h.memberGivenUp(f)) && !f.Collect }

// memberGivenUp says whether a member of a flow was given up.
func (h *history) memberGivenUp(f *Flow) bool { return slices.ContainsFunc(f.Members, h.isGivenUp) }

// partGivenUp says whether a part of a flow was given up.
func (h *history) partGivenUp(f *Flow) bool { return slices.ContainsFunc(f.parts(), h.isGivenUp) }

func (h *history) isGivenUp(key string) bool { return key != "" && h.record(key).ended(GivenUp) }

// blame checks that a flow that has failed names a member that has failed, was given up,
// or that somebody has killed: not one that was canceled because of it.
func (h *history) blame(r *Report, t *record) {
	for _, g := range t.got {
		n, err := strconv.Atoi(g.Value)
		if g.Outcome != Failed || err != nil || len(t.kills) > 0 {
			continue
		}
		if n >= len(t.flow.Members) {
			r.add(t, WrongEnd, "%s blames its member %d, and has %d members", t.key, n, len(t.flow.Members))
			continue
		}
		m := h.record(t.flow.Members[n])
		failed := slices.ContainsFunc(m.attempts, func(a *attempt) bool { return a.ret != nil && a.ret.Outcome == Fail })
		if !failed && len(m.kills) == 0 && !m.ended(GivenUp) {
			r.add(t, WrongEnd, "%s blames its member %s, which has not failed, and nobody killed it", t.key, m.key)
		}
	}
}

// pipe checks that each step starts after the one before has succeeded, with its
// result, and after nothing else.
func (h *history) pipe(r *Report, t *record) {
	for i, key := range t.flow.Members[1:] {
		before := h.record(t.flow.Members[i])
		for _, a := range h.record(key).attempts {
			var from *attempt
			if len(a.Up) == 1 {
				from = before.by(a.Up[0])
			}
			if from == nil || from.ret.Outcome != OK || from.ret.At > a.At {
				r.add(t, OutOfOrder, "pipe %s: step %d was started by %s with %v before step %d had returned that", t.key, i+2, a.Proc, a.Up, i+1)
				break
			}
		}
	}
}

// group checks its callback and its finalizer. That they do not run twice the
// rules for all tasks say.
func (h *history) group(r *Report, t *record) {
	f := t.flow
	killed := len(t.kills) > 0
	over := t.done() && !killed
	last := int64(0) // when all was done that the next part waits for
	for _, key := range f.Members {
		last = max(last, h.settled(h.record(key)))
	}
	if f.Callback != "" {
		c := h.record(f.Callback)
		runs := !h.fails(f)
		switch {
		case !runs && len(c.attempts) > 0:
			r.add(t, NotOnce, "group %s has failed, and its callback was started by %s", t.key, c.attempts[0].Proc)
		case runs && over && len(c.attempts) == 0:
			r.add(t, NotOnce, "group %s has ended, and its callback was never started", t.key)
		case runs:
			h.after(r, t, c, "callback", f.Members, last)
			last = max(last, h.settled(c))
		}
	}
	if f.Finalizer != "" {
		c := h.record(f.Finalizer)
		if t.done() && len(c.attempts) == 0 { // killed or not
			r.add(t, NotOnce, "group %s has ended, and its finalizer was never started", t.key)
		}
		var all []string
		if !killed && !h.fails(f) { // else members are canceled, and may never return
			all = f.parts()[:len(f.parts())-1]
		}
		h.after(r, t, c, "finalizer", all, last)
	}
}

// after checks that a part of a group starts when those before it are done.
func (h *history) after(r *Report, t, part *record, name string, before []string, last int64) {
	if len(part.attempts) == 0 {
		return
	}
	a := part.attempts[0]
	if a.At < last {
		r.add(t, OutOfOrder, "group %s: its %s was started by %s before all that it waits for was done", t.key, name, a.Proc)
		return
	}
	for _, key := range before {
		if h.settled(h.record(key)) == 0 && !h.isGivenUp(key) {
			r.add(t, OutOfOrder, "group %s: its %s was started by %s, and %s has not returned", t.key, name, a.Proc, key)
			return
		}
	}
}

// settled returns when the attempt returned that settled a task: the one whose
// result was seen, or else the first that returned one. It is 0 if none did.
func (h *history) settled(t *record) int64 {
	for _, s := range t.seen() {
		if a := t.by(s.value); a != nil {
			return a.ret.At
		}
	}
	if t.done() { // canceled: what it returned did not count
		return 0
	}
	for _, a := range t.attempts {
		if a.ret != nil && (a.ret.Outcome == OK || a.ret.Outcome == Fail) {
			return a.ret.At
		}
	}
	return 0
}
