package minion

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/squad"
	"github.com/go-arbiter/arbiter/task"
)

// A squad's members start together. A minion holds places for it, which are
// slots that nothing else gets, then the members themselves, and starts them when
// it is known that the squad has started; internal/squad has the whole story. The
// minion alone knows which of its slots are free, so it alone gives them.

// maxHold bounds how long places are held without a word from the arbiter.
const maxHold = 30 * time.Second

// hold is what a session keeps for a squad. r.mu guards it.
type hold struct {
	squad    broker.ID
	round    uint32
	arbiter  broker.ID // its inbox
	places   int       // slots that are held: none for strays
	members  []*attempt
	until    time.Time   // how long they are held
	timer    *time.Timer // goes off then, or to look
	looks    int         // how often in a row looking has failed
	deciding bool        // the broker is asked what was decided
	done     bool
}

// stray reports whether its members came without a place being held for them:
// after a death, for a retry, or too late. They run as any other task if their
// squad has started.
func (h *hold) stray() bool { return h.places == 0 }

// spare returns how many slots nobody has a claim on. r.mu is held.
func (r *run) spare() int {
	return max(r.slots-r.busy-r.ahead.len()-r.reserved-r.asking, 0)
}

// reserve holds places for a squad, all that are asked for or none, and returns
// the answer.
func (s *session) reserve(m squad.Message) squad.Message {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := s.holds[m.Squad]; old != nil && len(old.members) == 0 {
		s.close(old) // it asks again
		r.reserved -= old.places
		defer func() { // it may not get as many
			r.wake()
			r.changed()
		}()
	}
	kind := squad.Refused
	if s.holds[m.Squad] == nil && m.N > 0 && !s.leaving() && r.spare() >= m.N {
		h := &hold{squad: m.Squad, round: m.Round, arbiter: m.From, places: m.N}
		d := min(m.For, maxHold)
		h.until = time.Now().Add(d)
		h.timer = time.AfterFunc(d, func() { s.desk.put(event{silent: h}) })
		s.holds[m.Squad] = h
		r.reserved += m.N
		r.weigh()
		r.waiters.drop(m.Squad)
		r.waiters.seen(r.spare())
		if r.interrupt != nil { // it may bring more than there is room for now
			r.interrupt()
		}
		kind = squad.Granted
	}
	a := s.numbers(kind, m)
	a.N = m.N
	return a
}

// leaving reports whether nothing new shall begin. r.mu is held.
func (s *session) leaving() bool { return s.lost || s.sealed || s.r.stop.Err() != nil }

// numbers returns a message that tells of this minion's slots. r.mu is held.
func (s *session) numbers(kind squad.Kind, to squad.Message) squad.Message {
	m := squad.Message{Kind: kind, Squad: to.Squad, From: s.id, Round: to.Round}
	if !s.leaving() {
		m.Slots, m.Free, m.Held = s.r.slots, s.r.spare(), s.r.reserved-len(s.r.starting)
	}
	return m
}

// assigned takes in what was assigned to this minion at a time.
func (s *session) assigned(tasks []*broker.Delivery, at time.Time) {
	for _, d := range tasks {
		a, bad := newAttempt(s, d)
		var st broker.Settlement
		settled, refused := a.refuse(&st, bad)
		s.r.mu.Lock()
		if s.lost || s.sealed || s.running.find(d.ID) != nil { // which knows it already
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
			s.answer(s.holds[d.Group], squad.Unfit)
		default:
			a.receive(at)
			s.enroll(a)
		}
		s.r.mu.Unlock()
	}
}

// enroll puts a member at the place that is held for it, or finds out whether it
// may start without. r.mu is held.
func (s *session) enroll(a *attempt) {
	if _, ok := s.early[a.d.ID]; ok {
		a.life.end(task.ErrCanceled)
	}
	s.running.add(a)
	h := s.holds[a.d.Group]
	if h == nil || h.deciding || len(h.members) == h.places {
		stray := &hold{squad: a.d.Group, members: []*attempt{a}}
		s.strays[stray] = struct{}{}
		s.r.asking++
		s.r.waiters.seen(s.r.spare())
		s.decide(stray)
		return
	}
	if h.members = append(h.members, a); len(h.members) == h.places {
		s.answer(h, squad.Ready)
		s.lookLater(h)
	}
}

// answer tells the arbiter of a hold something. r.mu is held.
func (s *session) answer(h *hold, kind squad.Kind) {
	if h != nil {
		s.desk.send(h.arbiter, squad.Message{Kind: kind, Squad: h.squad, From: s.id, Round: h.round, N: len(h.members)})
	}
}

// release ends a hold that the arbiter has no use for, or from whom nothing was
// heard. If there are members, others may have started. r.mu is held.
func (s *session) release(h *hold) {
	switch {
	case h == nil || h.done:
	case len(h.members) == 0:
		s.conclude(h, false)
	default:
		s.decide(h)
	}
}

// conclude starts the members of a hold, or ends them as canceled. Only the first
// call counts. r.mu is held.
func (s *session) conclude(h *hold, started bool) {
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
		r.reserved -= h.places
		if h.stray() {
			r.asking -= len(h.members)
		}
	case h.stray():
		r.asking -= len(h.members)
		for _, a := range h.members {
			a.asked = time.Since(a.received)
			r.ahead.push(a)
		}
		r.watchAhead()
	default:
		r.reserved -= h.places - len(h.members)
		for _, a := range h.members {
			a.together = true
		}
		r.starting = append(r.starting, h.members...)
	}
	r.wake()
	r.changed()
}

// close takes a hold off the books, but not its places. r.mu is held.
func (s *session) close(h *hold) {
	h.done = true
	if h.timer != nil {
		h.timer.Stop()
	}
	if s.holds[h.squad] == h {
		delete(s.holds, h.squad)
	}
	delete(s.strays, h)
}

// discard ends an attempt that has not started. r.mu is held.
func (s *session) discard(a *attempt, st *broker.Settlement) {
	s.running.remove(a)
	if !s.lost && !s.sealed {
		s.add(st)
	}
	a.life.end(nil)
}

// giveUpSquads gives back all members that have not started, or drops them if their
// lease is lost, and frees all places. r.mu is held.
func (s *session) giveUpSquads() {
	r := s.r
	var members []*attempt
	for _, h := range s.holds {
		s.close(h)
		r.reserved -= h.places
		members = append(members, h.members...)
	}
	for h := range s.strays {
		s.close(h)
		r.asking -= len(h.members)
		members = append(members, h.members...)
	}
	rest := r.starting[:0]
	for _, a := range r.starting {
		if a.s != s {
			rest = append(rest, a)
			continue
		}
		r.reserved--
		members = append(members, a)
	}
	clear(r.starting[len(rest):])
	r.starting = rest
	for _, a := range members {
		s.discard(a, &broker.Settlement{Delivery: a.d, Verb: broker.VerbRelease, Unstarted: true})
	}
	r.changed()
}
