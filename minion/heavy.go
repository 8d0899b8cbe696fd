package minion

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A heavy task takes several slots while it runs (see [task.Slots]). It starts when that many
// are free at once. In a minion whose slots are taken by smaller tasks as soon as they are
// free, it would never start. So when it is first in the prefetch queue it gathers slots:
// nothing behind it starts, and nothing is dequeued, until it has enough. What waits behind
// it goes back to the queue. So a heavy task starts at the latest when the tasks that ran
// here when it came have ended.
//
// If these take long, another minion may have enough free slots before this one has. So the
// minion asks the broker for the loads of the others from time to time. If one has room, it
// gives the task back, to the front of the queue, and takes no task itself for a moment. If
// none has, the task stays: another minion would have to begin gathering anew.
//
// A task that takes more slots than the minion has takes all of them.

const (
	// offerEvery is how often a minion looks for one with more room.
	offerEvery = 2 * time.Second
	// offerAfter is how long a task gathers slots before such a look. Where tasks are brief
	// it has its slots before. The time is short because several minions may wait for tasks,
	// and the one that gets the task need not be the one with room: then it looks, too.
	offerAfter = 200 * time.Millisecond
	// offerFor is how long a minion takes no task after it has given one back. The
	// other one gets it within that time, since it waits for tasks.
	offerFor = 200 * time.Millisecond
	// gatherLook is how often a minion looks whether the task has ended while it gathers
	// slots. It also is the longest time that a task waits behind it.
	gatherLook = 100 * time.Millisecond
)

// offers is the state of the search for a minion with more room. run.mu guards it.
type offers struct {
	looked  time.Time // when the last look began
	looking bool      // the broker is being asked
	pending bool      // a task was given back within offerFor, and no task is taken
}

// setSlots sets how many slots the attempt takes.
func (a *attempt) setSlots() {
	n, total := a.wants(), a.s.r.slots.total
	a.slot.n = int32(min(n, total))
	if n > total {
		a.s.r.tooHeavy(a, n)
	}
}

// wants returns how many slots the task should take: its own number, else the one of the
// handler's registration, else one.
func (a *attempt) wants() int {
	n := int(min(a.d.Slots, broker.MaxSlots))
	if n == 0 && a.h != nil {
		n = a.h.Settings.Slots
	}
	return max(n, 1)
}

// tooHeavy logs that a task takes more slots than the minion has. It is logged once for each
// name.
func (r *run) tooHeavy(a *attempt, n int) {
	if _, known := r.heavy.LoadOrStore(a.d.Name, nil); !known {
		r.log.task(slog.LevelWarn, "the task takes more slots than the minion has, so it runs here alone; give the minion more slots, or let a larger one serve the queue",
			a.d, "slots", n, "minion_slots", r.slots.total)
	}
}

// gathering reports whether the first attempt of the prefetch queue gathers slots.
func (r locked) gathering() bool {
	a := r.prefetched.first()
	return a != nil && a.slot.n > 1 && !r.slots.fits(&a.slot)
}

// watchGathering ends the wait of the attempt that gathers slots if its task has ended, and
// the wait of those behind it if they have waited for too long. It returns when to look
// again.
func (r locked) watchGathering(now time.Time) (again time.Duration) {
	q := &r.prefetched
	a := q.pop()
	if next := q.first(); next != nil && next.waited(now) >= q.patience() {
		r.giveBack() // all of them, in their order
	}
	if end, limited := a.deadline(); a.ctx.cause() != nil || limited && !now.Before(end) {
		r.giveBackOne(a) // which ends a task that was cancelled, or is too late
		r.wake()
		r.changed()
		return brief
	}
	q.pushFront(a)
	if a.waited(now) >= offerAfter {
		r.look(now, a.s, func(minions []broker.MinionInfo) bool {
			if !r.gathering() || r.prefetched.first() != a || !roomElsewhere(minions, a) {
				return false
			}
			r.giveBack()
			return true
		})
	}
	return gatherLook
}

// roomElsewhere reports whether another minion has the slots for an attempt.
func roomElsewhere(minions []broker.MinionInfo, a *attempt) bool {
	return slices.ContainsFunc(minions, func(m broker.MinionInfo) bool {
		return m.ID != a.s.id && canRun(&m, a.d) && m.Slots-m.Active >= int(a.slot.n)
	})
}

// look asks the broker for the loads of all minions, unless the last look was a short time ago.
// Then it calls give with mu held, which gives attempts back that another minion has room for.
func (r locked) look(now time.Time, s *session, give func([]broker.MinionInfo) bool) {
	c := &r.offers
	if c.looking || now.Sub(c.looked) < offerEvery {
		return
	}
	c.looking, c.looked = true, now
	r.wg.Go(func() { r.offer(s, give) })
}

func (r *run) offer(s *session, give func([]broker.MinionInfo) bool) {
	ctx, cancel := context.WithTimeout(s.bg, s.lease/3)
	minions, err := r.m.b.Minions(ctx)
	cancel()
	l := r.lock()
	defer l.unlock()
	r.offers.looking = false
	if err != nil || !give(minions) {
		return
	}
	r.offers.pending = true
	if r.interrupt != nil { // a dequeue under way could bring the task back
		r.interrupt()
	}
	time.AfterFunc(offerFor, func() {
		l := r.lock()
		defer l.unlock()
		r.offers.pending = false
		l.changed()
	})
}
