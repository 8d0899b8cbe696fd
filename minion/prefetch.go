package minion

import (
	"slices"
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

// prefetchQueue is the queue of attempts that have not started, with the measurements that
// bound it. run.mu guards it.
type prefetchQueue struct {
	waits []*attempt // a queue whose first attempt is at head
	head  int
	slots int         // how many slots the attempts take
	timer *time.Timer // runs giveBackOld when the first attempt may have waited too long; nil until it is first needed
	armed bool        // the timer is running

	usual time.Duration // moving average of how long attempts take
	trip  time.Duration // moving average of how long requests take
	ended int           // how many attempts ended since mark
	mark  time.Time     // when the pace was last computed
	pace  int           // how many attempts end within reach; 0 if they are not brief
}

// reach returns how far ahead the minion prefetches.
func (q *prefetchQueue) reach() time.Duration { return min(max(lookAhead, 2*q.trip), farthest) }

// patience returns how long a prefetched attempt may wait before it is given back.
func (q *prefetchQueue) patience() time.Duration { return patience * q.reach() }

// requested updates the average duration of requests.
func (q *prefetchQueue) requested(d time.Duration) { q.trip += (min(d, farthest) - q.trip) / 4 }

func (q *prefetchQueue) push(a *attempt) {
	q.waits = append(q.waits, a)
	q.slots += int(a.slot.n)
}

// pushFront returns the attempt that pop has just returned.
func (q *prefetchQueue) pushFront(a *attempt) {
	if q.head > 0 {
		q.head--
		q.waits[q.head] = a
	} else {
		q.waits = slices.Insert(q.waits, 0, a)
	}
	q.slots += int(a.slot.n)
}

// first returns the attempt that has waited longest, or nil if there is none.
func (q *prefetchQueue) first() *attempt {
	if q.head == len(q.waits) {
		return nil
	}
	return q.waits[q.head]
}

func (q *prefetchQueue) len() int { return len(q.waits) - q.head }

// pop removes and returns the attempt that has waited longest, or nil if there is none.
func (q *prefetchQueue) pop() *attempt {
	if q.head == len(q.waits) {
		return nil
	}
	a := q.waits[q.head]
	q.waits[q.head] = nil
	q.head++
	q.slots -= int(a.slot.n)
	switch {
	case q.head == len(q.waits):
		q.waits, q.head = q.waits[:0], 0
	case q.head >= broker.MaxBatch: // few attempts have to be moved: pace bounds them
		n := copy(q.waits, q.waits[q.head:])
		clear(q.waits[n:])
		q.waits, q.head = q.waits[:n], 0
	}
	return a
}

// note counts an attempt that has ended, and updates the average duration of attempts.
func (q *prefetchQueue) note(a *attempt, st *broker.Settlement) {
	q.ended++
	if !a.started.IsZero() && !st.Outcome.Finished.IsZero() {
		q.usual += (st.Outcome.Finished.Sub(a.started) - q.usual) / memory
	}
}

// memory is the weight of the moving average usual: roughly the number of attempts in it.
const memory = 16

// measure computes the pace from the attempts that ended since the last measurement.
func (q *prefetchQueue) measure(now time.Time) {
	since, reach := now.Sub(q.mark), q.reach()
	if since < reach {
		return
	}
	q.pace = 0
	if q.usual <= brief {
		q.pace = int(min(int64(q.ended)*int64(reach)/int64(since), broker.MaxBatch))
	}
	q.ended, q.mark = 0, now
}

// room returns how many tasks may be dequeued now.
func (r locked) room() int {
	if r.offers.pending || r.gathering() || r.closed() {
		return 0
	}
	return r.slots.room(r.prefetched.slots, r.prefetched.pace)
}

// spare returns how many slots are free and not meant for anything yet.
func (r locked) spare() int { return r.slots.spare(r.prefetched.slots) }

// watchPrefetched starts the timer that returns prefetched attempts to their queues if they
// wait for too long.
func (r locked) watchPrefetched() {
	q := &r.prefetched
	if q.armed || r.slots.used()+q.slots <= r.slots.total {
		return // each attempt has its slots, and starts at once
	}
	q.arm(r.giveBackOld, q.patience())
}

// arm starts the timer, which runs f.
func (q *prefetchQueue) arm(f func(), in time.Duration) {
	q.armed = true
	if q.timer == nil {
		q.timer = time.AfterFunc(in, f)
	} else {
		q.timer.Reset(in)
	}
}

// giveBackOld gives all prefetched attempts back if the first has waited for too long.
func (r *run) giveBackOld() {
	l := r.lock()
	defer l.unlock()
	q := &r.prefetched
	q.armed = false
	first := q.first()
	if first == nil {
		return
	}
	now := time.Now()
	left := q.patience() - first.waited(now)
	switch {
	case l.gathering():
		left = l.watchGathering(now)
	case left <= 0 && !r.slots.fits(&first.slot): // otherwise it is about to start
		l.giveBack() // all of them: the rest would otherwise run after tasks that were behind it in the queue
	}
	if q.len() > 0 {
		q.arm(r.giveBackOld, max(left, brief))
	}
}

// giveBack returns the prefetched attempts to their queues. If their lease is lost, it
// only drops them.
func (r locked) giveBack() {
	for range r.prefetched.len() { // others that have waited for a limit may join meanwhile
		r.giveBackOne(r.prefetched.pop())
	}
	r.changed()
}

// giveAllBack is giveBack for all attempts that have not started.
func (r locked) giveAllBack() {
	r.giveBackWaiting()
	r.giveBack()
}

// giveBackOne returns an attempt that has not started to its queue. If its lease is lost, it
// only drops the attempt.
func (r locked) giveBackOne(a *attempt) {
	r.discard(a, &broker.Settlement{Delivery: a.d, Verb: broker.VerbGiveBack, Unstarted: true})
}

// waited returns how long the attempt has waited for its start in the minion.
func (a *attempt) waited(now time.Time) time.Duration { return now.Sub(a.received) - a.asked }
