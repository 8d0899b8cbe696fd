package chaos

import (
	"cmp"
	"slices"
)

// crowds checks that the tasks that run at once in a minion never take more slots than it has, and
// that no more tasks of a name run at once than its limit allows. An attempt runs from its start to
// its return, as its handler notes them: it has its slots for somewhat longer. One that has not
// returned runs until its process ends, and a process does not start again under its name.
//
// Tasks that wait for others are not counted. They lend their slots, and may take them back at any
// time. Without them the sum is too small at times, and never too large.
func (h *history) crowds(r *Report) {
	type edge struct {
		at    int64
		sign  int
		start *attempt
		task  *taskHistory
	}
	edges := make(map[string][]edge) // by process
	for _, t := range h.tasks {
		for _, a := range t.attempts {
			if a.Slots == 0 {
				continue
			}
			edges[a.Proc] = append(edges[a.Proc], edge{a.At, 1, a, t})
			if a.ret != nil {
				edges[a.Proc] = append(edges[a.Proc], edge{a.ret.At, -1, a, t})
			}
		}
	}
	for _, list := range edges {
		slices.SortFunc(list, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.sign, b.sign)) })
		slots, limited := 0, 0
		for _, e := range list {
			slots += e.sign * e.start.Slots
			if e.start.Most > 0 {
				limited += e.sign
			}
			if e.sign < 0 {
				continue
			}
			if slots > e.start.Of {
				r.add(e.task, Crowded, "%s was started in %d slots by %s, and then %d of its %d slots were taken", e.task.key, e.start.Slots, e.start.Proc, slots, e.start.Of)
			}
			if most := e.start.Most; most > 0 && limited > most {
				r.add(e.task, Crowded, "%s was started by %s beside %d tasks of its name, of which %d may run", e.task.key, e.start.Proc, limited-1, most)
			}
		}
	}
}
