package minion

import (
	"context"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
)

// The squad mailbox of a session connects it to arbiters that start squads. The broker
// calls onPost and onAssign when messages or members arrive, and these callbacks must
// not block. So they queue an event, and one goroutine handles the events and sends the
// answers in the order in which they were made. Messages may be lost in either
// direction; see internal/engine/squad for the protocol and squad.go for the reservations.

// mailbox is the queue of events and the queue of answers.
type mailbox struct {
	mu     sync.Mutex
	events []event
	out    []outgoing
	wake   chan struct{}
}

// event is something for the mailbox's goroutine to handle. Exactly one of post, tasks
// and due is set.
type event struct {
	post  []byte             // an encoded message of an arbiter
	tasks []*broker.Delivery // members that were assigned to this minion
	at    time.Time          // when they were assigned: their deadlines count from then
	due   *reservation       // the time of this reservation is over, or it is time to look for the decision
}

type outgoing struct {
	to broker.ID
	m  squad.Message
}

const (
	// mailboxRoom bounds the posts that wait. An arbiter repeats a request that was lost.
	mailboxRoom = 10_000
	// postTime is how long sending one message may take.
	postTime = time.Second
)

func newMailbox() mailbox { return mailbox{wake: make(chan struct{}, 1)} }

// poke wakes the goroutine.
func (b *mailbox) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// put queues an event. It does not block.
func (b *mailbox) put(e event) {
	b.mu.Lock()
	if e.post == nil || len(b.events) < mailboxRoom {
		b.events = append(b.events, e)
	}
	b.mu.Unlock()
	b.poke()
}

// send queues a message for an arbiter. It does not block.
func (b *mailbox) send(to broker.ID, m squad.Message) {
	b.mu.Lock()
	b.out = append(b.out, outgoing{to, m})
	b.mu.Unlock()
	b.poke()
}

// take removes and returns everything that is queued.
func (b *mailbox) take() (events []event, out []outgoing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	events, out, b.events, b.out = b.events, b.out, nil, nil
	return events, out
}

func (s *session) onPost(payload []byte) {
	if payload != nil {
		s.mailbox.put(event{post: payload})
	}
}

func (s *session) onAssign(tasks []*broker.Delivery) {
	s.mailbox.put(event{tasks: tasks, at: time.Now()})
}

// runMailbox handles events and sends answers until the session's settler has ended.
func (s *session) runMailbox() {
	for {
		events, out := s.mailbox.take()
		for _, l := range out {
			s.post(l.to, l.m)
		}
		for _, e := range events {
			s.attend(e)
		}
		s.tellVacant()
		if len(events)+len(out) > 0 {
			continue
		}
		select {
		case <-s.mailbox.wake:
		case <-s.flushed:
			return
		}
	}
}

// attend handles one event.
func (s *session) attend(e event) {
	r := s.r
	switch {
	case e.tasks != nil:
		s.assigned(e.tasks, e.at)
		return
	case e.due != nil:
		s.look(e.due)
		return
	}
	m, err := squad.Parse(e.post)
	if err != nil {
		r.log.debug("a message of an arbiter can't be read", "error", err)
		return
	}
	switch m.Kind {
	case squad.Ask:
		r.mu.Lock()
		a := s.numbers(squad.Numbers, m)
		if m.For > 0 {
			r.waiters.add(m, a.Free)
		}
		r.mu.Unlock()
		s.post(m.From, a)
	case squad.Reserve:
		s.post(m.From, s.reserve(m))
	case squad.Free:
		r.mu.Lock()
		r.waiters.drop(m.Squad)
		if h := s.reservations[m.Squad]; h != nil && h.round == m.Round {
			s.release(h)
		}
		r.mu.Unlock()
	case squad.Go:
		r.mu.Lock()
		if h := s.reservations[m.Squad]; h != nil {
			s.conclude(h, true)
		}
		r.mu.Unlock()
	}
}

// post sends a message. If it fails, the message is lost; the protocol allows that.
func (s *session) post(to broker.ID, m squad.Message) {
	b, ok := s.r.m.b.(broker.Squads)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(s.bg, postTime)
	defer cancel()
	if err := b.Post(ctx, to, m.Append(nil)); err != nil {
		s.r.log.debug("could not answer an arbiter", "error", err)
	}
}

// tellVacant tells waiting squads that slots are free.
func (s *session) tellVacant() {
	r := s.r
	var out []outgoing
	r.mu.Lock()
	if !s.leaving() {
		for _, m := range r.waiters.next(r.spare()) {
			out = append(out, outgoing{m.From, s.numbers(squad.Vacant, m)})
		}
	}
	r.mu.Unlock()
	for _, l := range out {
		s.post(l.to, l.m)
	}
}
