package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// resource is something of which the attempts that run at once may use only so much.
type resource struct {
	name string
	most int
	// shared says that attempts in several processes use it. Otherwise it belongs to one process.
	shared bool
}

// use is the use of a resource by one attempt.
type use struct {
	*attempt
	takes int
}

// uses returns what an attempt uses: the limit and the unique key of its task, the slots of its minion, and its part
// of the ceiling of its name there. A task that waits for others is not counted in its minion: it
// lends its slots, and may take them back at any time. Without it the sum is too small at times, and
// never too large.
func (r *taskHistory) uses(a *attempt) map[resource]use {
	all := make(map[resource]use)
	if r.alone != "" && !r.damaged {
		all[resource{"the limit " + r.alone, 1, true}] = use{a, 1}
	}
	if u := r.unique; u != nil && !u.Start && !r.damaged {
		all[resource{"the unique key " + u.Key, 1, true}] = use{a, 1}
	}
	if a.Slots > 0 {
		all[resource{"the slots of " + a.Proc, a.Of, false}] = use{a, a.Slots}
	}
	if a.Most > 0 {
		all[resource{"the ceiling of its name in " + a.Proc, a.Most, false}] = use{a, 1}
	}
	return all
}

// crowded checks that the attempts that run at once do not use more of a resource than there is.
// An attempt runs from its start to its return, as its handler notes them: it has its slots for
// somewhat longer. In its own minion, one that has not returned runs until its process ends, and a
// process does not start again under its name.
func (h *history) crowded(r *Report) {
	users := make(map[resource][]use)
	for _, t := range h.tasks {
		for _, a := range t.attempts {
			for res, u := range t.uses(a) {
				users[res] = append(users[res], u)
			}
		}
	}
	for res, all := range users {
		slices.SortStableFunc(all, func(a, b use) int { return cmp.Compare(a.At, b.At) })
		var running []use
		for _, b := range all {
			sum := b.takes
			var others []string
			running = slices.DeleteFunc(running, func(a use) bool {
				if a.ret != nil && a.ret.At <= b.At || res.shared && h.mayRunBeside(a.attempt, b.attempt) {
					return true
				}
				sum += a.takes
				others = append(others, fmt.Sprintf("%s by %s since %v", a.Key, a.Proc, time.Duration(b.At-a.At).Round(time.Millisecond)))
				return false
			})
			if sum > res.most {
				r.add(h.of(b.Key), Crowded, "%s was started by %s, and then %d of %s were in use, of which there are %d; there also ran %s",
					b.Key, b.Proc, sum, res.name, res.most, strings.Join(others, ", "))
				running = nil // they were judged
			}
			running = append(running, b)
		}
	}
}

// mayRunBeside reports whether an attempt may still run when b starts, although both use the same
// limit of one. The minion of the first one may have lost its lease by a fault; its handler
// may then still run.
func (h *history) mayRunBeside(a, b *attempt) bool {
	if a.ID == b.ID { // attempts at one task are judged by again
		return true
	}
	faults := h.causes(a.Proc, a.At, b.At, true)
	if len(faults) == 0 {
		return false
	}
	from := silent(faults)
	return from == 0 || b.At <= a.At || b.At >= from+h.lease/2
}
