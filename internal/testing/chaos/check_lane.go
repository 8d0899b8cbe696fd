package chaos

import (
	"cmp"
	"slices"
	"time"
)

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
