package minion

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A minion prefetches: it takes more tasks than it has free slots. When tasks take
// microseconds, slots that fetch their next task only when they are free would idle
// for a round trip each time. The number of prefetched tasks is bounded by the pace:
// what all slots finish in lookAhead or, if the broker is far away, in the time of two
// requests. As soon as attempts take longer than brief on average, nothing is
// prefetched. A task that has waited for patience times as long, because tasks take
// longer now, goes back to the front of its queue, where another minion can take it.
const (
	brief     = time.Millisecond
	lookAhead = 2 * time.Millisecond
	farthest  = 100 * time.Millisecond // the upper limit of reach, however slow requests are
	patience  = 5
)

// ahead is the queue of attempts that have not started, with the measurements that
// bound it. run.mu guards it.
type ahead struct {
	waits []*attempt // a queue whose first attempt is at head
	head  int
	timer *time.Timer // runs giveBackOld when the first attempt may have waited too long; nil until it is first needed
	armed bool        // the timer is running

	usual time.Duration // moving average of how long attempts take
	trip  time.Duration // moving average of how long requests take
	ended int           // how many attempts ended since mark
	mark  time.Time     // when the pace was last computed
	pace  int           // how many attempts end within reach; 0 if they are not brief
}

// reach returns how far ahead the minion prefetches.
func (h *ahead) reach() time.Duration { return min(max(lookAhead, 2*h.trip), farthest) }

// patience returns how long a prefetched attempt may wait before it is given back.
func (h *ahead) patience() time.Duration { return patience * h.reach() }

// requested updates the average duration of requests.
func (h *ahead) requested(d time.Duration) { h.trip += (min(d, farthest) - h.trip) / 4 }

func (h *ahead) push(a *attempt) { h.waits = append(h.waits, a) }

func (h *ahead) len() int { return len(h.waits) - h.head }

// pop removes and returns the attempt that has waited longest, or nil if there is none.
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
	case h.head >= broker.MaxBatch: // few attempts have to be moved: pace bounds them
		n := copy(h.waits, h.waits[h.head:])
		clear(h.waits[n:])
		h.waits, h.head = h.waits[:n], 0
	}
	return a
}

// note counts an attempt that has ended, and updates the average duration of attempts.
func (h *ahead) note(a *attempt, st *broker.Settlement) {
	h.ended++
	if !a.started.IsZero() && !st.Outcome.Finished.IsZero() {
		h.usual += (st.Outcome.Finished.Sub(a.started) - h.usual) / memory
	}
}

// memory is the weight of the moving average usual: roughly the number of attempts in it.
const memory = 16

// measure computes the pace from the attempts that ended since the last measurement.
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

// room returns how many tasks may be dequeued now. While all slots are busy it returns
// 0 until half the pace is free, so that requests fetch many tasks instead of few. The
// caller holds r.mu.
func (r *run) room() int {
	taken := r.busy + r.ahead.len() + r.reserved + r.asking
	n := r.slots + r.ahead.pace - taken
	if taken >= r.slots && n < (r.ahead.pace+1)/2 {
		return 0
	}
	return max(n, 0)
}

// watchAhead starts the timer that gives prefetched attempts back if they wait for too
// long. The caller holds r.mu.
func (r *run) watchAhead() {
	h := &r.ahead
	if h.armed || r.busy+r.reserved+h.len() <= r.slots {
		return // each attempt has a slot, and starts at once
	}
	h.armed = true
	if h.timer == nil {
		h.timer = time.AfterFunc(h.patience(), r.giveBackOld)
	} else {
		h.timer.Reset(h.patience())
	}
}

// giveBackOld gives all prefetched attempts back if the first has waited for too long.
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
	if left > 0 || r.busy+r.reserved < r.slots { // an attempt with a free slot is about to start
		h.armed = true
		h.timer.Reset(max(left, brief))
		return
	}
	r.giveBack() // all of them: the rest would otherwise run after tasks that were behind it in the queue
}

// giveBack returns the prefetched attempts to their queues. If their lease is lost, it
// only drops them. The caller holds r.mu.
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
