package minion

import (
	"context"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/squad"
)

// desk is where a session is told of squads, and where its answers go out, in
// the order in which they were made. One goroutine does both: the broker's
// callbacks must not block.
type desk struct {
	mu     sync.Mutex
	events []event
	out    []letter
	wake   chan struct{}
}

// event is something that the session is told.
type event struct {
	post   []byte             // what an arbiter says
	tasks  []*broker.Delivery // or what was assigned,
	at     time.Time          // and when: their deadlines count from then
	silent *hold              // or that its arbiter says nothing any more
}

type letter struct {
	to broker.ID
	m  squad.Message
}

const (
	// deskRoom is how many posts wait at most. What is lost is asked again.
	deskRoom = 10_000
	// postTime is how long one may take to go out.
	postTime = time.Second
)

func newDesk() desk { return desk{wake: make(chan struct{}, 1)} }

// poke lets the desk look whether there is something to do.
func (d *desk) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// put tells the desk something. It does not block.
func (d *desk) put(e event) {
	d.mu.Lock()
	if e.post == nil || len(d.events) < deskRoom {
		d.events = append(d.events, e)
	}
	d.mu.Unlock()
	d.poke()
}

// send lets a message go out. It does not block.
func (d *desk) send(to broker.ID, m squad.Message) {
	d.mu.Lock()
	d.out = append(d.out, letter{to, m})
	d.mu.Unlock()
	d.poke()
}

// take returns what there is to do.
func (d *desk) take() (events []event, out []letter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	events, out, d.events, d.out = d.events, d.out, nil, nil
	return events, out
}

func (s *session) onPost(payload []byte) {
	if payload != nil {
		s.desk.put(event{post: payload})
	}
}

func (s *session) onAssign(tasks []*broker.Delivery) {
	s.desk.put(event{tasks: tasks, at: time.Now()})
}

// runDesk works until the session has nothing left to settle.
func (s *session) runDesk() {
	for {
		events, out := s.desk.take()
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
		case <-s.desk.wake:
		case <-s.flushed:
			return
		}
	}
}

// attend does what follows from an event.
func (s *session) attend(e event) {
	r := s.r
	switch {
	case e.tasks != nil:
		s.assigned(e.tasks, e.at)
		return
	case e.silent != nil:
		s.look(e.silent)
		return
	}
	m, err := squad.Parse(e.post)
	if err != nil {
		r.log.debug("a post can't be read", "error", err)
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
		if h := s.holds[m.Squad]; h != nil && h.round == m.Round {
			s.release(h)
		}
		r.mu.Unlock()
	case squad.Go:
		r.mu.Lock()
		if h := s.holds[m.Squad]; h != nil {
			s.conclude(h, true)
		}
		r.mu.Unlock()
	}
}

// post sends a message as well as that is possible.
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

// tellVacant tells squads that wait that there are free slots.
func (s *session) tellVacant() {
	r := s.r
	var out []letter
	r.mu.Lock()
	if !s.leaving() {
		for _, m := range r.waiters.next(r.spare()) {
			out = append(out, letter{m.From, s.numbers(squad.Vacant, m)})
		}
	}
	r.mu.Unlock()
	for _, l := range out {
		s.post(l.to, l.m)
	}
}
