package client

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/list"
)

// The waits under way are kept in lists by the pause until their next check. All waits of a
// list have the same pause, so a list is in the order in which its waits are due, and both
// adding a wait and finding the next one take constant time. See check.go for the checks.
//
// A wait is checked after five seconds, and then every minute. If its context ends sooner, it
// is checked when about half of its time has passed, so that its error can give the cause.

// checkSchedule is the set of all such lists, which are called levels.
type checkSchedule struct {
	levels [checkLevels]checkList
}

// checkList is the list of the waits of one level; the first is due first.
type checkList = list.List[Watch, *Watch]

const (
	// checkAfter is how long a wait lasts before its first check. checkEvery is the time
	// between two checks of it after that.
	checkAfter = 5 * time.Second
	checkEvery = time.Minute

	// A wait whose context ends is checked after longestSpan divided by a power of two, which
	// is between three eighths and three quarters of the time that it has left.
	longestSpan = 8 * checkAfter
	firstLevel  = 3  // level of a wait without a check yet: its pause is checkAfter
	spans       = 12 // number of such levels

	checkLevelEvery  = spans     // its pause is checkEvery
	checkLevelNone   = spans + 1 // waits whose contexts end too soon for another check
	checkLevelAsleep = spans + 2 // waits that are not checked until something changes; see Client.postpone
	checkLevels      = spans + 3
)

// span returns the pause of a level.
func span(level int) time.Duration {
	if level == checkLevelEvery {
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
	return checkLevelNone
}

// add schedules the first check of a wait that ends at until; the zero time is never.
func (v *checkSchedule) add(w *Watch, now, until time.Time) {
	w.since, w.until, w.checks, w.seen = now, until, 0, nil
	v.put(w, levelFor(w.left(now), firstLevel), now)
}

// reschedule schedules the next check of a wait.
func (v *checkSchedule) reschedule(w *Watch, now time.Time) {
	// A minute from now, or earlier if the context of the wait ends soon.
	left := w.left(now)
	level := checkLevelEvery
	if span(checkLevelEvery) > left*3/4 {
		if level = levelFor(left, 0); level != checkLevelNone && span(level) < time.Second {
			// No news is expected until then.
			level = checkLevelNone
		}
	}
	v.remove(w)
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
func (v *checkSchedule) put(w *Watch, level int, now time.Time) {
	if level < checkLevelNone {
		w.due = now.Add(span(level))
	}
	w.checkList = &v.levels[level]
	w.checkList.PushBack(w)
}

// remove ends the checks of a wait, if there are any.
func (v *checkSchedule) remove(w *Watch) {
	if w.checkList != nil {
		w.checkList.Remove(w)
		w.checkList = nil
	}
}

// nextDue returns the time of the next check, if there is one.
func (v *checkSchedule) nextDue() (at time.Time, ok bool) {
	// Each list is in order, so only the first of each matters.
	for level := range checkLevelNone {
		if w := v.levels[level].First(); w != nil && (!ok || w.due.Before(at)) {
			at, ok = w.due, true
		}
	}
	return at, ok
}

// wake schedules the waits that were not checked because nothing changed.
func (v *checkSchedule) wake(now time.Time) {
	for range maxChecked {
		w := v.levels[checkLevelAsleep].First()
		if w == nil {
			return
		}
		v.remove(w)
		w.checks = 0
		v.put(w, checkLevelEvery, now)
	}
}

// takeDue returns a wait whose check is due, or nil.
func (v *checkSchedule) takeDue(now time.Time) *Watch {
	for level := range checkLevelNone {
		if w := v.levels[level].First(); w != nil && !w.due.After(now) {
			return w
		}
	}
	return nil
}
