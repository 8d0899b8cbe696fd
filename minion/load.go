package minion

import "time"

// A minion reports its load, the number of busy slots, with each heartbeat. Arbiters that
// ask for workers are answered from these reports. A heartbeat comes only every few
// seconds, so the minion sends an extra one soon after its load has changed. The
// constants below bound how many extra ones there are.

const (
	// loadCalm is the delay of the extra heartbeat after a change. A task that starts
	// and ends within it causes none.
	loadCalm = 50 * time.Millisecond
	// loadGap is the minimum time from any heartbeat to an extra one: a load that
	// changes all the time costs one or two heartbeats per second.
	loadGap = 750 * time.Millisecond
)

// gauge notices that the load differs from what the broker was told. run.mu guards it.
type gauge struct {
	told  int           // the load in the last heartbeat
	moved bool          // the load has differed since then, and wake has been sent
	wake  chan struct{} // wakes the heartbeats of the session that has the lease
}

// weigh wakes the heartbeats if the load differs from what the broker knows. Everything
// that changes the load calls it.
func (r locked) weigh() {
	g := &r.gauge
	if g.moved || r.slots.load() == g.told {
		return
	}
	g.moved = true
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// newGauge starts with a new session, of which the broker knows no load yet.
func (r locked) newGauge() (wake <-chan struct{}) {
	c := make(chan struct{}, 1)
	r.gauge = gauge{wake: c}
	r.weigh()
	return c
}

// tell returns the load for a heartbeat that is about to be sent. news reports whether it
// differs from the one that the broker knows.
func (r *run) tell() (load int, news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	load = r.slots.load()
	news = load != r.gauge.told
	r.gauge.told, r.gauge.moved = load, false
	return load, news
}
