package minion

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// When tasks take microseconds, a request for each set of free slots would keep
// them waiting. So a minion takes some tasks ahead: no more than its slots finish
// in lookAhead or, where the broker is far away, in two requests; and none while one
// takes longer than brief. What has waited for several times as long, because tasks
// take longer now, goes back to the front of its queue.
const (
	brief     = time.Millisecond
	lookAhead = 2 * time.Millisecond
	farthest  = 100 * time.Millisecond // what lookAhead may come to, however slow requests are
	patience  = 5
)

// ahead are the attempts that have not started. r.mu guards it.
type ahead struct {
	waits []*attempt // the first of them at head
	head  int
	timer *time.Timer // goes off when the first may have waited too long; nil before there was one
	armed bool        // it will

	usual time.Duration // about how long attempts take
	trip  time.Duration // about how long requests take
	ended int           // how many ended since mark
	mark  time.Time     // when the pace was last taken
	pace  int           // how many end within reach, if they are brief
}

// reach is how far the minion looks ahead.
func (h *ahead) reach() time.Duration { return min(max(lookAhead, 2*h.trip), farthest) }

// patience is how long an attempt may wait.
func (h *ahead) patience() time.Duration { return patience * h.reach() }

// requested takes note of how long a request has taken.
func (h *ahead) requested(d time.Duration) { h.trip += (min(d, farthest) - h.trip) / 4 }

func (h *ahead) push(a *attempt) { h.waits = append(h.waits, a) }

func (h *ahead) len() int { return len(h.waits) - h.head }

// pop returns the attempt that has waited longest, nil if there is none.
func (h *ahead) pop() *attempt {
	if h.head == len(h.waits) {
		return nil
	}
	a := h.waits[h.head]
	h.waits[h.head] = nil
	h.head++
	switch {
	case h.head == len(h.waits):
		h.waits, h.head = h.waits[:0], 0
	case h.head >= broker.MaxBatch: // the rest is small: it is bounded by pace
		n := copy(h.waits, h.waits[h.head:])
		clear(h.waits[n:])
		h.waits, h.head = h.waits[:n], 0
	}
	return a
}

// note takes note of an attempt that has ended with a settlement.
func (h *ahead) note(a *attempt, st *broker.Settlement) {
	h.ended++
	if !a.started.IsZero() && !st.Outcome.Finished.IsZero() {
		h.usual += (st.Outcome.Finished.Sub(a.started) - h.usual) / memory
	}
}

// memory is over how many attempts usual is the mean, more or less.
const memory = 16

// measure takes the pace of what has ended lately.
func (h *ahead) measure(now time.Time) {
	since, reach := now.Sub(h.mark), h.reach()
	if since < reach {
		return
	}
	h.pace = 0
	if h.usual <= brief {
		h.pace = int(min(int64(h.ended)*int64(reach)/int64(since), broker.MaxBatch))
	}
	h.ended, h.mark = 0, now
}

// room returns how many tasks can be taken now. As long as all slots are busy
// it is none rather than a few. r.mu is held.
func (r *run) room() int {
	taken := r.busy + r.ahead.len() + r.reserved + r.asking
	n := r.slots + r.ahead.pace - taken
	if taken >= r.slots && n < (r.ahead.pace+1)/2 {
		return 0
	}
	return max(n, 0)
}

// watchAhead sees to it that what waits does not wait for long. r.mu is held.
func (r *run) watchAhead() {
	h := &r.ahead
	if h.armed || r.busy+r.reserved+h.len() <= r.slots {
		return // each has a slot
	}
	h.armed = true
	if h.timer == nil {
		h.timer = time.AfterFunc(h.patience(), r.giveBackOld)
	} else {
		h.timer.Reset(h.patience())
	}
}

// giveBackOld gives back what waits if the first has waited for too long.
func (r *run) giveBackOld() {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := &r.ahead
	h.armed = false
	if h.len() == 0 {
		return
	}
	first := h.waits[h.head]
	left := h.patience() - (time.Since(first.received) - first.asked)
	if left > 0 || r.busy+r.reserved < r.slots { // what has a slot is about to start
		h.armed = true
		h.timer.Reset(max(left, brief))
		return
	}
	r.giveBack() // all of it, or the rest would come to stand before this
}

// giveBack releases the attempts that wait, or drops them if their lease is
// lost. r.mu is held.
func (r *run) giveBack() {
	for a := r.ahead.pop(); a != nil; a = r.ahead.pop() {
		s := a.s
		s.running.remove(a)
		if !s.lost && !s.sealed {
			s.add(&broker.Settlement{Delivery: a.d, Verb: broker.VerbRelease, Unstarted: true})
		}
		a.life.end(nil)
	}
	r.changed()
}
