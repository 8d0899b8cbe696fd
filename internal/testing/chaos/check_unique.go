package chaos

import (
	"slices"
	"time"
)

// uniqueKeys checks that no send was refused because of a task that had given its unique key back, and
// that no task started that had been replaced. That tasks with one key do not run at the same time is
// judged by crowded.
func (h *history) uniqueKeys(r *Report) {
	byID := make(map[string]*taskHistory)
	for _, t := range h.tasks {
		if t.id != "" {
			byID[t.id] = t
		}
		for _, a := range t.attempts {
			byID[a.ID] = t
		}
	}
	for _, t := range h.tasks {
		if t.damaged {
			continue
		}
		r.Duplicates += len(t.refusals)
		h.ranOn(r, t)
		for _, e := range t.refusals {
			// Nobody but its sender knows a holder that has not started.
			if holder := byID[e.Holder]; holder != nil && holder.unique != nil && !holder.damaged {
				h.outlived(r, t, holder)
			}
		}
		for _, g := range t.got {
			by := byID[g.By]
			if g.By == "" || by == nil || by.stored == 0 || by.damaged {
				continue
			}
			r.Replaced++
			for _, a := range t.attempts {
				if a.At > by.stored {
					r.addBoth(t, by, AfterKill, "%s was started by %s %v after %s had replaced it", t.key, a.Proc, time.Duration(a.At-by.stored), by.key)
					break
				}
			}
		}
	}
}

// ranOn checks that a task that ran when t was stored, with the same key, was cancelled if t cancels such a task.
func (h *history) ranOn(r *Report, t *taskHistory) {
	if t.unique == nil || !t.unique.Cancels || t.storedFirst == 0 || t.doubted {
		return
	}
	for _, u := range h.tasks {
		if u == t || u.damaged || u.unique == nil || u.unique.Key != t.unique.Key || !u.unique.Long {
			continue
		}
		for _, a := range u.attempts {
			if a.ret == nil || a.At >= t.sent { // it may have started when t had been stored
				continue
			}
			// Only faults until then can have kept the minion from ending it in time.
			if on := a.ret.At - t.storedFirst; on > int64(2*grace) && len(h.causes(a.Proc, t.sent, t.storedFirst+int64(2*grace), true)) == 0 {
				r.addBoth(u, t, AfterKill, "%s ran on in %s for %v after %s had cancelled it", u.key, a.Proc, time.Duration(on).Round(time.Millisecond), t.key)
			}
		}
	}
}

// outlived checks that a holder whose key was refused to t had not given it back before t was sent.
func (h *history) outlived(r *Report, t, holder *taskHistory) {
	if holder.unique.Window {
		return
	}
	if len(holder.got) > 0 && holder.got[0].At < t.sent {
		r.addBoth(t, holder, Outlived, "%s was refused its unique key because of %s, which had ended %v before", t.key, holder.key, time.Duration(t.sent-holder.got[0].At))
		return
	}
	if holder.unique.Start && len(holder.attempts) > 0 && holder.attempts[0].At < t.sent {
		r.addBoth(t, holder, Outlived, "%s was refused its unique key because of %s, which had started %v before", t.key, holder.key, time.Duration(t.sent-holder.attempts[0].At))
	}
}

// mayBeReplaced reports whether t may have been canceled because another task has taken its key.
func (h *history) mayBeReplaced(t *taskHistory) bool {
	if t.unique == nil {
		return false
	}
	for _, other := range h.tasks {
		if other != t && other.unique != nil && other.unique.Key == t.unique.Key && other.unique.Replaces &&
			!slices.ContainsFunc(t.got, func(g Event) bool { return g.At < other.sent }) {
			return true
		}
	}
	return false
}

// addBoth is add for a broken rule that concerns two tasks: a loss of data of either explains it.
func (r *Report) addBoth(t, other *taskHistory, v Verdict, format string, args ...any) {
	if r.h.excused(other) {
		t = other
	}
	r.add(t, v, format, args...)
	r.broken[other.key] = true
}
