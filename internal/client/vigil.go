package client

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The waits under way are kept in lists by the pause until their next check. All waits of a
// list have the same pause, so a list is in the order in which its waits are due, and both
// adding a wait and finding the next one take constant time. See check.go for the checks.
//
// A wait is checked after five seconds, and then every minute. If its context ends sooner, it
// is checked when about half of its time has passed, so that its error can give the cause.

// vigils is the set of all such lists, which are called levels.
type vigils struct {
	levels [vigilCount]vigil
}

// vigil is the list of the waits of one level; the first is due first.
type vigil struct{ first, last *Watch }

const (
	// checkAfter is how long a wait lasts before its first check. checkEvery is the time
	// between two checks of it after that.
	checkAfter = 5 * time.Second
	checkEvery = time.Minute

	// A wait whose context ends is checked after longestSpan divided by a power of two, which
	// is between three eighths and three quarters of the time that it has left.
	longestSpan = 8 * checkAfter
	firstLevel  = 3 // level of a wait without a check yet: its pause is checkAfter
	spans       = 12 // number of such levels

	vigilEvery  = spans // its pause is checkEvery
	vigilRest   = spans + 1 // waits whose contexts end too soon for another check
	vigilAsleep = spans + 2 // waits that are not checked until something changes; see Client.settle
	vigilCount  = spans + 3
)

// span returns the pause of a level.
func span(level int) time.Duration {
	if level == vigilEvery {
		return checkEvery
	}
	return longestSpan >> level
}

// levelFor returns the first level, counting from from, whose pause is at most three quarters
// of the time left. If less than about 30 ms are left, no level fits and there is no check.
func levelFor(left time.Duration, from int) int {
	for level := from; level < spans; level++ {
		if span(level) <= left*3/4 {
			return level
		}
	}
	return vigilRest
}

// join schedules the first check of a wait that ends at until; the zero time is never.
func (v *vigils) join(w *Watch, now, until time.Time) {
	w.since, w.until, w.checks, w.seen = now, until, 0, nil
	v.put(w, levelFor(w.left(now), firstLevel), now)
}

// again schedules the next check of a wait.
func (v *vigils) again(w *Watch, now time.Time) {
	// A minute from now, or earlier if the context of the wait ends soon.
	left := w.left(now)
	level := vigilEvery
	if span(vigilEvery) > left*3/4 {
		if level = levelFor(left, 0); level != vigilRest && span(level) < time.Second {
			// No news is expected until then.
			level = vigilRest
		}
	}
	v.leave(w)
	v.put(w, level, now)
}

// left returns how much time a wait has left.
func (w *Watch) left(now time.Time) time.Duration {
	if w.until.IsZero() {
		return broker.MaxDuration
	}
	return w.until.Sub(now)
}

// put appends a wait to a level.
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

// leave ends the checks of a wait, if there are any.
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

// nextDue returns the time of the next check, if there is one.
func (v *vigils) nextDue() (at time.Time, ok bool) {
	// Each list is in order, so only the first of each matters.
	for level := range vigilRest {
		if w := v.levels[level].first; w != nil && (!ok || w.due.Before(at)) {
			at, ok = w.due, true
		}
	}
	return at, ok
}

// wake schedules the waits that were not checked because nothing changed.
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

// take returns a wait whose check is due, or nil.
func (v *vigils) take(now time.Time) *Watch {
	for level := range vigilRest {
		if w := v.levels[level].first; w != nil && !w.due.After(now) {
			return w
		}
	}
	return nil
}
