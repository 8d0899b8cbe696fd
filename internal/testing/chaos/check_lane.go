package chaos

import (
	"cmp"
	"slices"
	"time"
)

// crowded checks that tasks which share a limit of one do not run at the same time. The minion of
// the first one may have lost its lease by a fault; its handler may then still run.
func (h *history) crowded(r *Report) {
	byLimit := make(map[string][]*attempt)
	for _, t := range h.tasks {
		if t.alone != "" && !t.damaged {
			byLimit[t.alone] = append(byLimit[t.alone], t.attempts...)
		}
	}
	for limit, all := range byLimit {
		slices.SortStableFunc(all, func(a, b *attempt) int { return cmp.Compare(a.At, b.At) })
		var running []*attempt
		for _, b := range all {
			running = slices.DeleteFunc(running, func(a *attempt) bool {
				if a.ret != nil && a.ret.At <= b.At || a.ID == b.ID { // attempts at one task are judged by again
					return true
				}
				after := time.Duration(b.At - a.At).Round(time.Millisecond)
				faults := h.causes(a.Proc, a.At, b.At, true)
				from := fellSilent(faults)
				switch {
				case len(faults) == 0:
					r.add(h.of(b.Key), Crowded, "%s was started by %s, %v after %s by %s, which had not returned; both share the limit of one %s",
						b.Key, b.Proc, after, a.Key, a.Proc, limit)
				case from > 0 && b.At > a.At && b.At < from+h.lease/2:
					r.add(h.of(b.Key), Crowded, "%s was started by %s %v after the minion of %s, %s, fell silent, within its lease; both share the limit of one %s",
						b.Key, b.Proc, time.Duration(b.At-from).Round(time.Millisecond), a.Key, a.Proc, limit)
				}
				return true // it was judged
			})
			running = append(running, b)
		}
	}
}

// fellSilent is silent for faults that may be none.
func fellSilent(faults []Event) int64 {
	if len(faults) == 0 {
		return 0
	}
	return silent(faults)
}

// sequences checks that the tasks of a sequence start in their order, and that no attempt at one
// follows the start of a later one. The order is known if all sends of the tasks were accepted at once.
func (h *history) sequences(r *Report) {
	byLine := make(map[string][]*taskHistory)
	for _, t := range h.tasks {
		if t.line != "" && !t.damaged {
			byLine[t.line] = append(byLine[t.line], t)
		}
	}
	for line, all := range byLine {
		if slices.ContainsFunc(all, func(t *taskHistory) bool { return !t.accepted || t.doubted }) {
			continue
		}
		slices.SortFunc(all, func(a, b *taskHistory) int { return cmp.Compare(a.place, b.place) })
		var last *attempt // the last start of the tasks before
		for _, t := range all {
			if len(t.attempts) == 0 {
				continue
			}
			if first := t.attempts[0]; last != nil && first.At < last.At {
				r.add(t, OutOfOrder, "%s was started by %s, and %s, which is before it in the sequence %s, was started %v later by %s",
					t.key, first.Proc, last.Key, line, time.Duration(last.At-first.At).Round(time.Millisecond), last.Proc)
			}
			if end := t.attempts[len(t.attempts)-1]; last == nil || end.At > last.At {
				last = end
			}
		}
	}
}
