package minion

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
	"github.com/go-arbiter/arbiter/task"
)

// The members of a squad start together. An arbiter first asks minions to reserve slots
// for them; only a minion knows which of its slots are free. Nothing else runs in reserved
// slots. Then the members are assigned to the minion, which reports when it has all of
// them and starts them when the arbiter, or the broker, says that the squad has started.
// A reservation ends by itself if the arbiter is not heard of. internal/engine/squad describes
// the whole protocol.

// maxReservation bounds how long slots stay reserved without a message from the arbiter.
const maxReservation = 30 * time.Second

// reservation is what a session keeps for one squad: the reserved slots, and the members that
// have arrived. A member for which no slot is reserved gets a reservation without slots, see
// stray. run.mu guards it.
type reservation struct {
	squad    broker.ID
	round    uint32
	arbiter  broker.ID // the arbiter's inbox
	slots    int       // how many slots are reserved; 0 for strays
	members  []*attempt
	until    time.Time   // when the reservation ends
	timer    *time.Timer // goes off then, or earlier to look for the decision
	looks    int         // how many looks have failed in a row
	deciding bool        // the broker is being asked for the decision
	done     bool
}

// stray reports whether the members came without a reservation: after a death, for a
// retry, or too late. They run like any other task if their squad has started.
func (h *reservation) stray() bool { return h.slots == 0 }

// spare returns how many slots are free and not meant for anything yet. The caller holds
// r.mu.
func (r *run) spare() int {
	return r.slots.spare(r.prefetched.len())
}

// reserve reserves slots for a squad, as many as m asks for or none, and returns the
// answer.
func (s *session) reserve(m squad.Message) squad.Message {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := s.reservations[m.Squad]; old != nil && len(old.members) == 0 {
		s.close(old) // the arbiter asks again
		r.slots.unreserve(old.slots)
		defer func() { // the new reservation may be smaller, or refused
			r.wake()
			r.changed()
		}()
	}
	kind := squad.Refused
	if s.reservations[m.Squad] == nil && m.N > 0 && !s.leaving() && r.slots.reserve(m.N, r.prefetched.len()) {
		h := &reservation{squad: m.Squad, round: m.Round, arbiter: m.From, slots: m.N}
		d := min(m.For, maxReservation)
		h.until = time.Now().Add(d)
		h.timer = time.AfterFunc(d, func() { s.mailbox.put(event{due: h}) })
		s.reservations[m.Squad] = h
		r.weigh()
		r.waiters.drop(m.Squad)
		r.waiters.seen(r.spare())
		if r.interrupt != nil { // the dequeue under way may bring more tasks than there is room for now
			r.interrupt()
		}
		kind = squad.Granted
	}
	a := s.numbers(kind, m)
	a.N = m.N
	return a
}

// leaving reports whether nothing new shall start. The caller holds r.mu.
func (s *session) leaving() bool { return s.lost || s.sealed || s.r.stop.Err() != nil }

// numbers returns a message with the numbers of this minion's slots. The caller holds
// r.mu.
func (s *session) numbers(kind squad.Kind, to squad.Message) squad.Message {
	m := squad.Message{Kind: kind, Squad: to.Squad, From: s.id, Round: to.Round}
	if !s.leaving() {
		m.Slots, m.Free, m.Reserved = s.r.slots.total, s.r.spare(), s.r.slots.reserved-len(s.r.starting)
	}
	return m
}

// assigned handles members that were assigned to this minion at the given time.
func (s *session) assigned(tasks []*broker.Delivery, at time.Time) {
	for _, d := range tasks {
		a, bad := newAttempt(s, d)
		var st broker.Settlement
		settled, refused := a.refuse(&st, bad)
		s.r.mu.Lock()
		if s.lost || s.sealed || s.running.find(d.ID) != nil { // the second case: it has come by a dequeue already
			s.r.mu.Unlock()
			continue
		}
		switch {
		case s.leaving():
			s.add(&broker.Settlement{Delivery: d, Verb: broker.VerbRelease, Unstarted: true})
		case refused:
			if settled {
				s.add(&st)
			}
			s.answer(s.reservations[d.Group], squad.Unfit)
		default:
			a.receive(at)
			s.enroll(a)
		}
		s.r.mu.Unlock()
	}
}

// enroll adds a member to its reservation. A member without one is a stray: the broker is
// asked whether it may start. The caller holds r.mu.
func (s *session) enroll(a *attempt) {
	if _, ok := s.early[a.d.ID]; ok {
		a.ctx.end(task.ErrCanceled)
	}
	s.running.add(a)
	h := s.reservations[a.d.Group]
	if h == nil || h.deciding || len(h.members) == h.slots {
		stray := &reservation{squad: a.d.Group, members: []*attempt{a}}
		s.strays[stray] = struct{}{}
		s.r.slots.await()
		s.r.waiters.seen(s.r.spare())
		s.decide(stray)
		return
	}
	if h.members = append(h.members, a); len(h.members) == h.slots {
		s.answer(h, squad.Ready)
		s.lookLater(h)
	}
}

// answer sends a message to the arbiter of a reservation. The caller holds r.mu.
func (s *session) answer(h *reservation, kind squad.Kind) {
	if h != nil {
		s.mailbox.send(h.arbiter, squad.Message{Kind: kind, Squad: h.squad, From: s.id, Round: h.round, N: len(h.members)})
	}
}

// release ends a reservation that the arbiter does not need any more, or whose time is
// over. If it has members, the squad may have started elsewhere, so the broker is asked.
// The caller holds r.mu.
func (s *session) release(h *reservation) {
	switch {
	case h == nil || h.done:
	case len(h.members) == 0:
		s.conclude(h, false)
	default:
		s.decide(h)
	}
}

// conclude starts the members of a reservation, or ends them as canceled. Only the first
// call has an effect. The caller holds r.mu.
func (s *session) conclude(h *reservation, started bool) {
	r := s.r
	if h.done {
		return
	}
	s.close(h)
	switch {
	case !started:
		for _, a := range h.members {
			st := broker.Settlement{Delivery: a.d, Verb: broker.VerbFinish, Unstarted: true, Outcome: broker.Outcome{
				State: broker.StateCanceled, Name: a.d.Name, Attempts: a.d.Start - 1, Retried: a.d.Retried,
				Minion: s.id, Enqueued: a.d.Enqueued, Finished: time.Now(),
			}}
			s.discard(a, &st)
		}
		s.freeSlots(h)
	case h.stray():
		s.freeSlots(h)
		for _, a := range h.members {
			a.asked = time.Since(a.received)
			r.prefetched.push(a)
		}
		r.watchPrefetched()
	default:
		r.slots.unreserve(h.slots - len(h.members)) // members that have not come
		for _, a := range h.members {
			a.together = true
		}
		r.starting = append(r.starting, h.members...)
	}
	r.wake()
	r.changed()
}

// close removes a reservation from the session, but does not free its slots. The caller
// holds r.mu.
func (s *session) close(h *reservation) {
	h.done = true
	if h.timer != nil {
		h.timer.Stop()
	}
	if s.reservations[h.squad] == h {
		delete(s.reservations, h.squad)
	}
	delete(s.strays, h)
}

// freeSlots frees the slots of a reservation, or ends the claim of a stray. The caller holds
// r.mu.
func (s *session) freeSlots(h *reservation) {
	if h.stray() {
		s.r.slots.decided(len(h.members))
	} else {
		s.r.slots.unreserve(h.slots)
	}
}

// discard settles an attempt that has not started. The caller holds r.mu.
func (s *session) discard(a *attempt, st *broker.Settlement) {
	s.running.remove(a)
	if !s.lost && !s.sealed {
		s.add(st)
	}
	a.ctx.end(nil)
}

// giveUpSquads returns all members that have not started to their queues and frees all
// reserved slots. If the lease is lost, it only drops the members. The caller holds r.mu.
func (s *session) giveUpSquads() {
	r := s.r
	var members []*attempt
	for _, h := range s.reservations {
		s.close(h)
		s.freeSlots(h)
		members = append(members, h.members...)
	}
	for h := range s.strays {
		s.close(h)
		s.freeSlots(h)
		members = append(members, h.members...)
	}
	rest := r.starting[:0]
	for _, a := range r.starting {
		if a.s != s {
			rest = append(rest, a)
			continue
		}
		r.slots.unreserve(1)
		members = append(members, a)
	}
	clear(r.starting[len(rest):])
	r.starting = rest
	for _, a := range members {
		s.discard(a, &broker.Settlement{Delivery: a.d, Verb: broker.VerbRelease, Unstarted: true})
	}
	r.changed()
}
