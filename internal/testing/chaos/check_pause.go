package chaos

import (
	"math"
	"time"
)

// span is a time in which a pause was in force for sure: from the return of the request that has
// begun it to the first request that may have ended it.
type span struct{ from, to int64 }

// pause notes the begin or the end of a pause.
func (h *history) pause(e *Event) {
	list := h.pauses[e.Pause]
	n := len(list)
	switch open := n > 0 && list[n-1].to == math.MaxInt64; {
	case e.Kind == Paused && !open:
		h.pauses[e.Pause] = append(list, span{e.At, math.MaxInt64})
	case e.Kind == Resuming && open:
		list[n-1].to = e.At
	}
}

// paused checks that no task starts while it is paused. Tasks that were sent before the pause are
// left out: a minion may have got one before. A server that has lost what it has written may have
// lost the pause.
func (h *history) paused(r *Report) {
	for _, t := range h.tasks {
		for _, s := range h.pauses[t.pause] {
			if t.damaged || t.sent < s.from {
				continue
			}
			for _, a := range t.attempts {
				if a.At > s.from && a.At < s.to && len(h.causes("", s.from, a.At, true)) == 0 {
					r.add(t, AfterPause, "%s was started by %s %v after it was paused: %s", t.key, a.Proc, time.Duration(a.At-s.from).Round(time.Millisecond), t.pause)
				}
			}
		}
	}
}
