package chaos

import (
	"slices"
	"time"
)

// lag is how far a replica may be behind its master. It is also how long before the server has
// stored something its client may have recorded it.
const lag = time.Second

// excused reports whether a fault of the server may have lost data of a task, or of a task that
// belongs with it. A power failure has struck since the time from which the file has lost data.
func (h *history) excused(t *taskHistory) bool {
	for _, f := range h.faults {
		if (f.Fault == Failover || f.Fault == PowerFailure) && h.touched(t, f.At-int64(lag), f.Until) {
			return true
		}
	}
	return false
}

// touched reports whether an event of a task, of its flow, or of the task that promised it happened
// between two times.
func (h *history) touched(t *taskHistory, from, to int64) bool {
	family := []*taskHistory{t}
	for _, p := range t.promises {
		family = append(family, h.of(p.Parent))
	}
	for _, key := range t.parts {
		family = append(family, h.of(key))
	}
	for _, r := range family {
		if r.flow != nil {
			for _, key := range r.flow.parts() {
				family = append(family, h.of(key))
			}
		}
	}
	return slices.ContainsFunc(family, func(r *taskHistory) bool {
		return slices.ContainsFunc(r.moments, func(at int64) bool { return from <= at && at <= to })
	})
}
