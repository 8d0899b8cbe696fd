package chaos

import (
	"maps"
	"slices"
)

// replay records that data sealed for one task was stored again as another task.
func (h *history) replay(e *Event) {
	if h.replays == nil {
		h.replays = make(map[string]*Event)
	}
	h.replays[e.ID] = e
}

// Refusals returns how many tasks with the seal of another task are known to have failed.
func (r *Report) Refusals() (n int) {
	for _, e := range r.h.replays {
		if e.Outcome == Failed {
			n++
		}
	}
	return n
}

// forged checks that no task starts with the seal of another one.
func (h *history) forged(r *Report) {
	for _, key := range slices.Sorted(maps.Keys(h.tasks)) {
		t := h.tasks[key]
		for _, a := range t.attempts {
			if e := h.replays[a.ID]; e != nil {
				r.add(t, Forged, "%s: %s has started task %s, which was sealed for task %s", key, a.Proc, a.ID, e.Value)
				break
			}
		}
	}
}
