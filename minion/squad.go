package minion

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
	"github.com/go-arbiter/arbiter/task"
)

// The members of a squad start together, in slots that are reserved for them.
// [squad.Reservations] decides how many slots a squad gets, and when its members start. Each
// session has its own reservations. This file gives them the slots and the attempts of the minion.
//
// The lock of the reservations comes before run.mu. So no method of them is called with
// run.mu held, except Poke.

// squadMinion is a session as its reservations see it.
type squadMinion session

var _ squad.Minion[*attempt] = (*squadMinion)(nil)

// newReservations returns the reservations of a session.
func newReservations(s *session) *squad.Reservations[*attempt] {
	r := s.r
	return squad.New[*attempt]((*squadMinion)(s), r.m.b, &r.waiters, r.log.debug)
}

// openReservations lets the reservations handle posts and members until the settler of
// the session has ended.
func (s *session) openReservations() {
	r := s.r
	s.squads.Open(squad.Session{ID: s.id, Lease: s.ctx, Stop: r.stop, End: s.bg, Timeout: s.lease / 3, Go: r.wg.Go})
	r.wg.Go(func() { s.squads.Run(s.flushed) })
}

// onAssign receives members that were assigned to this minion. The broker calls it, so it
// must not block.
func (s *session) onAssign(tasks []*broker.Delivery) {
	at := time.Now() // their deadlines count from here
	s.squads.Later(func() { s.assigned(tasks, at) })
}

// assigned handles members that were assigned to this minion at the given time.
func (s *session) assigned(tasks []*broker.Delivery, at time.Time) {
	for _, d := range tasks {
		a, bad := newAttempt(s, d)
		var st broker.Settlement
		settled, refused := a.refuse(&st, bad)
		switch {
		case !refused:
			a.receive(at)
			s.squads.Enroll(d.Flow.ID, a)
		case s.refuseMember(d, &st, settled):
			s.squads.Unfit(d.Flow.ID)
		}
	}
}

// refuseMember settles a member that can't run. It reports whether that concerns its
// squad: it does not if the minion does not own the member, or gives it back because
// it stops.
func (s *session) refuseMember(d *broker.Delivery, st *broker.Settlement, settled bool) bool {
	l := s.r.lock()
	defer l.unlock()
	switch {
	case s.lost || s.sealed || s.running.find(d.ID) != nil:
		return false
	case l.leaving(s):
		l.add(s, &broker.Settlement{Delivery: d, Verb: broker.VerbGiveBack, Unstarted: true})
		return false
	case settled:
		l.add(s, st)
	}
	return true
}

// leaving reports whether nothing new shall start in a session.
func (r locked) leaving(s *session) bool { return s.lost || s.sealed || r.stop.Err() != nil }

// Slots implements [squad.Minion].
func (q *squadMinion) Slots() (total, free, reserved int) {
	r := q.r
	l := r.lock()
	defer l.unlock()
	if l.leaving((*session)(q)) {
		return 0, 0, 0
	}
	return r.slots.total, l.spare(), r.slots.reserved - slotsOf(r.starting)
}

// Reserve implements [squad.Minion].
func (q *squadMinion) Reserve(n, instead int) bool {
	r := q.r
	l := r.lock()
	defer l.unlock()
	r.slots.unreserve(instead)
	ok := n > 0 && !l.leaving((*session)(q)) && r.slots.reserve(n, r.prefetched.slots)
	if ok {
		l.weigh()
		r.waiters.Seen(l.spare())
		if r.interrupt != nil { // the dequeue under way may bring more tasks than there is room for now
			r.interrupt()
		}
	}
	if instead > 0 { // fewer slots are reserved now, or none
		l.wake()
		l.changed()
	}
	return ok
}

// Hold implements [squad.Minion].
func (q *squadMinion) Hold(a *attempt, reserved int) (held, unfit bool) {
	s, r := (*session)(q), q.r
	l := r.lock()
	defer l.unlock()
	switch {
	case s.lost || s.sealed || s.running.find(a.d.ID) != nil: // the last: it has come by a dequeue and by an assignment
		return false, false
	case l.leaving(s):
		l.add(s, &broker.Settlement{Delivery: a.d, Verb: broker.VerbGiveBack, Unstarted: true})
		return false, false
	case reserved > 0 && !l.join(a):
		l.add(s, &broker.Settlement{Delivery: a.d, Verb: broker.VerbGiveBack, Unstarted: true})
		return false, true
	}
	if _, ok := s.early[a.d.ID]; ok {
		a.ctx.end(task.ErrCanceled)
	}
	s.running.add(a)
	if reserved > 0 {
		a.slot.n = min(a.slot.n, int32(reserved))
	} else {
		r.slots.await(&a.slot)
		r.waiters.Seen(l.spare())
	}
	return true, false
}

// Start implements [squad.Minion].
func (q *squadMinion) Start(members []*attempt, reserved int) {
	s, r := (*session)(q), q.r
	l := r.lock()
	defer l.unlock()
	switch {
	case l.leaving(s):
		l.giveMembersBack(members, reserved)
	case reserved == 0:
		now := time.Now()
		for _, a := range members {
			r.slots.decided(&a.slot)
			a.asked = now.Sub(a.received)
			l.admit(a, now)
		}
		l.watchPrefetched()
	default:
		r.slots.unreserve(reserved - slotsOf(members)) // some members have not come, or take fewer slots
		for _, a := range members {
			a.together = true
		}
		r.starting = append(r.starting, members...)
	}
	l.wake()
	l.changed()
}

// Cancel implements [squad.Minion].
func (q *squadMinion) Cancel(members []*attempt, reserved int) {
	s, r := (*session)(q), q.r
	l := r.lock()
	defer l.unlock()
	for _, a := range members {
		l.discard(a, &broker.Settlement{Delivery: a.d, Verb: broker.VerbFinish, Unstarted: true, Outcome: broker.Outcome{
			State: broker.StateCanceled, Name: a.d.Name, Attempts: a.d.Start - 1, Retried: a.d.Retried,
			Minion: s.id, Enqueued: a.d.Enqueued, Finished: time.Now(),
		}})
	}
	l.freeMembers(members, reserved)
	l.wake()
	l.changed()
}

// GiveBack implements [squad.Minion].
func (q *squadMinion) GiveBack(members []*attempt, reserved int) {
	l := q.r.lock()
	defer l.unlock()
	l.giveMembersBack(members, reserved)
	l.changed()
}

// Asked implements [squad.Minion].
func (q *squadMinion) Asked(err error) {
	if err != nil {
		q.r.out.failed("squads", err)
	} else {
		q.r.out.over("squads")
	}
}

// giveMembersBack returns members to their queues and frees their slots.
func (r locked) giveMembersBack(members []*attempt, reserved int) {
	r.freeMembers(members, reserved)
	for _, a := range members {
		r.discard(a, &broker.Settlement{Delivery: a.d, Verb: broker.VerbGiveBack, Unstarted: true})
	}
}

// freeMembers frees the slots that are reserved for members or, without any, ends the
// claims of the members.
func (r locked) freeMembers(members []*attempt, reserved int) {
	if reserved > 0 {
		r.slots.unreserve(reserved)
		return
	}
	for _, a := range members {
		r.slots.decided(&a.slot)
	}
}

// slotsOf returns how many slots attempts take.
func slotsOf(list []*attempt) (n int) {
	for _, a := range list {
		n += int(a.slot.n)
	}
	return n
}

// dropStarting gives back the members of a session that may start and have not yet.
func (r locked) dropStarting(s *session) {
	var members []*attempt
	rest := r.starting[:0]
	for _, a := range r.starting {
		if a.s == s {
			members = append(members, a)
		} else {
			rest = append(rest, a)
		}
	}
	clear(r.starting[len(rest):])
	r.starting = rest
	r.giveMembersBack(members, slotsOf(members))
	r.changed()
}

// discard settles an attempt that has not started. If the lease is lost, it only drops
// the attempt.
func (r locked) discard(a *attempt, st *broker.Settlement) {
	s := a.s
	s.running.remove(a)
	r.depart(a)
	if !s.lost && !s.sealed {
		r.add(s, st)
	}
	a.ctx.end(nil)
}
