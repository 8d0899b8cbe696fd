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
	tasks  []*broker.Delivery // or what was assigned
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

func (s *session) onAssign(tasks []*broker.Delivery) { s.desk.put(event{tasks: tasks}) }

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
		s.assigned(e.tasks)
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

// waiters are the squads that wait for slots of this minion, the first one
// first. r.mu guards them.
type waiters struct {
	list []waiter
}

type waiter struct {
	squad.Message
	until time.Time
	had   int // the fewest free slots since it asked: it waits for more
}

// maxWaiters bounds them. A squad that is not told asks again by itself.
const maxWaiters = 10_000

// add lets a squad wait: as what it was before, if it does already.
func (w *waiters) add(m squad.Message, free int) {
	until := time.Now().Add(m.For)
	for i := range w.list {
		if w.list[i].Squad == m.Squad {
			w.list[i] = waiter{m, until, free}
			return
		}
	}
	if len(w.list) < maxWaiters {
		w.list = append(w.list, waiter{m, until, free})
	}
}

// seen notes how many slots are free after some were taken.
func (w *waiters) seen(free int) {
	for i := range w.list {
		w.list[i].had = min(w.list[i].had, free)
	}
}

func (w *waiters) drop(id broker.ID) {
	for i := range w.list {
		if w.list[i].Squad == id {
			w.list = append(w.list[:i], w.list[i+1:]...)
			return
		}
	}
}

// next removes those that can be told now that free slots are there, and returns
// them: no more than these may be enough for.
func (w *waiters) next(free int) (told []squad.Message) {
	if free == 0 || len(w.list) == 0 {
		return nil
	}
	now := time.Now()
	rest := w.list[:0]
	for _, one := range w.list {
		switch {
		case !now.Before(one.until):
		case free > one.had:
			told = append(told, one.Message)
			free -= max(one.N, 1)
		default:
			rest = append(rest, one)
		}
	}
	clear(w.list[len(rest):])
	w.list = rest
	return told
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
