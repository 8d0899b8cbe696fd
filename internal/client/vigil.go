package client

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// vigils are the waits under way, in levels: each is for waits that are to be checked
// after a time of the level's own, so all of a level are in the order in which they are
// due. See check.
type vigils struct {
	levels [vigilCount]vigil
}

// vigil is a list of watches, the one that is due first at its front.
type vigil struct{ first, last *Watch }

const (
	// checkAfter is how long a wait lasts before it is checked, and checkEvery how
	// long after each check it is checked again.
	checkAfter = 5 * time.Second
	checkEvery = time.Minute

	// A wait whose context ends is checked after longestSpan divided by a power of
	// two, so that between three and six eighths of the time that is left are over.
	longestSpan = 8 * checkAfter
	firstLevel  = 3 // of a wait that is not checked yet: checkAfter
	spans       = 12

	vigilEvery  = spans     // checkEvery
	vigilRest   = spans + 1 // their contexts end too soon for another check
	vigilAsleep = spans + 2 // nothing changes; see Client.settle
	vigilCount  = spans + 3
)

// span is the time of a level.
func span(level int) time.Duration {
	if level == vigilEvery {
		return checkEvery
	}
	return longestSpan >> level
}

// levelFor returns the first level, from one on, whose time is at most three quarters of
// what is left. Less than 30 ms are too few for any.
func levelFor(left time.Duration, from int) int {
	for level := from; level < spans; level++ {
		if span(level) <= left*3/4 {
			return level
		}
	}
	return vigilRest
}

// join begins the vigil of a watch, whose wait ends at a time; zero is never.
func (v *vigils) join(w *Watch, now, until time.Time) {
	w.since, w.until, w.checks, w.seen = now, until, 0, nil
	v.put(w, levelFor(w.left(now), firstLevel), now)
}

// again puts off a watch that was checked to its next check.
func (v *vigils) again(w *Watch, now time.Time) {
	left := w.left(now)
	level := vigilEvery
	if span(vigilEvery) > left*3/4 {
		if level = levelFor(left, 0); level != vigilRest && span(level) < time.Second { // no news till then
			level = vigilRest
		}
	}
	v.leave(w)
	v.put(w, level, now)
}

// left returns how much time a wait has.
func (w *Watch) left(now time.Time) time.Duration {
	if w.until.IsZero() {
		return broker.MaxDuration
	}
	return w.until.Sub(now)
}

func (v *vigils) put(w *Watch, level int, now time.Time) {
	if level < vigilRest {
		w.due = now.Add(span(level))
	}
	l := &v.levels[level]
	w.vigil, w.prev, w.next = l, l.last, nil
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
}

// leave ends the vigil of a watch, if there is one.
func (v *vigils) leave(w *Watch) {
	l := w.vigil
	if l == nil {
		return
	}
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.vigil, w.prev, w.next = nil, nil, nil
}

// nextDue returns when the next check is due, if one is.
func (v *vigils) nextDue() (at time.Time, ok bool) {
	for level := range vigilRest {
		if w := v.levels[level].first; w != nil && (!ok || w.due.Before(at)) {
			at, ok = w.due, true
		}
	}
	return at, ok
}

// wake lets watches be checked again to which something may have changed.
func (v *vigils) wake(now time.Time) {
	for range maxChecked {
		w := v.levels[vigilAsleep].first
		if w == nil {
			return
		}
		v.leave(w)
		w.checks = 0
		v.put(w, vigilEvery, now)
	}
}

// take returns a watch whose check is due, nil if there is none.
func (v *vigils) take(now time.Time) *Watch {
	for level := range vigilRest {
		if w := v.levels[level].first; w != nil && !w.due.After(now) {
			return w
		}
	}
	return nil
}
