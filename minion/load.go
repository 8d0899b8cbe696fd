package minion

import "time"

// An arbiter that asks for workers is answered from the minions' last
// heartbeats. So a minion also sends one soon after its load has changed.
const (
	// loadCalm is how long a change waits for others. A task that ends before that
	// changes nothing.
	loadCalm = 50 * time.Millisecond
	// loadGap is the least time between two heartbeats, of which the second one is
	// only for the load: a load that always changes costs one or two a second.
	loadGap = 750 * time.Millisecond
)

// gauge notices that the load is not what the broker was told. run.mu guards it.
type gauge struct {
	told  int           // with the last heartbeat
	moved bool          // the load has differed since, and wake has been sent
	wake  chan struct{} // of the session that has the lease
}

// load returns how many slots are busy, or held for members of squads. More
// handlers than slots may run when lent slots came back. r.mu is held.
func (r *run) load() int { return min(r.busy+r.reserved, r.slots) }

// weigh tells the session if the load is not what the broker knows. It is
// called after all that changes the load. r.mu is held.
func (r *run) weigh() {
	g := &r.gauge
	if g.moved || r.load() == g.told {
		return
	}
	g.moved = true
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// newGauge is called when a session begins: the broker has been told of no load.
// r.mu is held.
func (r *run) newGauge() (wake <-chan struct{}) {
	c := make(chan struct{}, 1)
	r.gauge = gauge{wake: c}
	r.weigh()
	return c
}

// tell returns the load for a heartbeat that is about to be sent. It reports
// false if the broker knows this load.
func (r *run) tell() (load int, news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	load = r.load()
	news = load != r.gauge.told
	r.gauge.told, r.gauge.moved = load, false
	return load, news
}
