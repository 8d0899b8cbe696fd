package minion

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// slotModel is an independent account of the slots of a minion: it lists the handlers, the
// reservations, the undecided members and the queued attempts one by one, each with its slots.
type slotModel struct {
	*testing.T
	rng       *rand.Rand
	slots     slots
	handlers  []*modelHandler
	reserved  []int // the sizes of the reservations
	undecided []*slotUse
	queue     []*slotUse // the attempts in the prefetch queue
}

// modelHandler is a handler that has started.
type modelHandler struct {
	use       *slotUse
	waits     int
	lent      bool
	reclaimed bool // it has taken back lent slots
}

// attempt returns an attempt, which often is heavy.
func (m *slotModel) attempt() *slotUse {
	n := 1
	if m.rng.IntN(3) == 0 {
		n += m.rng.IntN(m.slots.total)
	}
	return &slotUse{n: int32(n)}
}

// sum returns how many slots the handlers that satisfy f take.
func (m *slotModel) sum(f func(h *modelHandler) bool) (n int) {
	for _, h := range m.handlers {
		if f(h) {
			n += int(h.use.n)
		}
	}
	return n
}

// used returns how many slots are busy or reserved.
func (m *slotModel) used() int {
	n := m.sum(func(h *modelHandler) bool { return !h.lent })
	for _, r := range m.reserved {
		n += r
	}
	return n
}

// all returns how many slots the attempts take.
func all(list []*slotUse) (n int) {
	for _, u := range list {
		n += int(u.n)
	}
	return n
}

// step does one random operation, and checks its answer.
func (m *slotModel) step() {
	total, used := m.slots.total, m.used()
	queued, undecided := all(m.queue), all(m.undecided)
	pick := func() *modelHandler { return m.handlers[m.rng.IntN(len(m.handlers))] }
	switch op := m.rng.IntN(9); {
	case op == 0:
		for range m.rng.IntN(3) {
			m.queue = append(m.queue, m.attempt())
		}
	case op == 1: // a worker takes an attempt of the queue
		if len(m.queue) == 0 {
			return
		}
		u := m.queue[0]
		fits := used+int(u.n) <= total
		if m.slots.fits(u) != fits {
			m.Errorf("fits reports %t for %d slots with %d of %d used", !fits, u.n, used, total)
		}
		if got := m.slots.take(u); got != fits {
			m.Errorf("take reports %t for %d slots with %d of %d used", got, u.n, used, total)
		} else if got {
			m.queue = m.queue[1:]
			m.handlers = append(m.handlers, &modelHandler{use: u})
		}
	case op == 2 && len(m.handlers) > 0: // a handler returns, perhaps while it waits
		h := pick()
		m.slots.end(h.use)
		m.handlers = slices.DeleteFunc(m.handlers, func(other *modelHandler) bool { return other == h })
		if m.slots.lend(h.use) || m.slots.reclaim(h.use) {
			m.Error("a handler that has returned lends or reclaims slots")
		}
	case op == 3 && len(m.handlers) > 0: // one of its goroutines begins to wait
		h := pick()
		h.waits++
		first := h.waits == 1
		if got := m.slots.lend(h.use); got != first {
			m.Errorf("lend reports %t for wait %d", got, h.waits)
		}
		h.lent = h.lent || first
		h.reclaimed = h.reclaimed && !first
	case op == 4 && len(m.handlers) > 0: // and stops waiting
		h := pick()
		if h.waits == 0 {
			return
		}
		h.waits--
		last := h.waits == 0
		if got := m.slots.reclaim(h.use); got != last {
			m.Errorf("reclaim reports %t with %d waits left", got, h.waits)
		}
		if last {
			h.lent, h.reclaimed = false, true
		}
	case op == 5: // a squad asks for slots
		n := 1 + m.rng.IntN(total)
		fits := n <= total-used-undecided-queued
		if got := m.slots.reserve(n, queued); got != fits {
			m.Errorf("reserve(%d) reports %t with %d of %d slots used, %d undecided, %d queued", n, got, used, total, undecided, queued)
		} else if got {
			m.reserved = append(m.reserved, n)
		}
	case op == 6 && len(m.reserved) > 0: // some of its members start, the others do not come
		i := m.rng.IntN(len(m.reserved))
		var members []*slotUse
		for left := m.reserved[i]; left > 0 && m.rng.IntN(4) > 0; {
			u := &slotUse{n: int32(1 + m.rng.IntN(left))}
			left -= int(u.n)
			members = append(members, u)
		}
		m.slots.unreserve(m.reserved[i] - all(members))
		for _, u := range members {
			m.slots.takeReserved(u)
			m.handlers = append(m.handlers, &modelHandler{use: u})
		}
		m.reserved = slices.Delete(m.reserved, i, i+1)
	case op == 7: // a member without a reservation comes
		u := m.attempt()
		m.slots.await(u)
		m.undecided = append(m.undecided, u)
	case op == 8 && len(m.undecided) > 0: // and is decided on
		u := m.undecided[0]
		m.slots.decided(u)
		m.undecided = m.undecided[1:]
		if m.rng.IntN(2) == 0 {
			m.queue = append(m.queue, u)
		}
	}
}

// check compares the slots with the model, and checks the invariant.
func (m *slotModel) check() {
	s := &m.slots
	used, queued, undecided := m.used(), all(m.queue), all(m.undecided)
	lent := 0
	for _, h := range m.handlers {
		if h.lent {
			lent++
		}
	}
	if s.used() != used || s.lent != lent || s.idle() != (len(m.handlers) == 0) || s.undecided != undecided {
		m.Fatalf("%+v, want %d used, %d lent, %d undecided, idle %t", *s, used, lent, undecided, len(m.handlers) == 0)
	}
	if s.busy < 0 || s.lent < 0 || s.reserved < 0 || s.undecided < 0 {
		m.Fatalf("%+v has a negative count", *s)
	}
	reclaimed := m.sum(func(h *modelHandler) bool { return h.reclaimed })
	if s.used() > s.total+reclaimed {
		m.Fatalf("%d slots are used, more than %d and the %d that were reclaimed", s.used(), s.total, reclaimed)
	}
	claimed := used + undecided + queued
	if got, want := s.spare(queued), max(s.total-claimed, 0); got != want {
		m.Fatalf("%d slots are spare, want %d", got, want)
	}
	if got := s.load(); got > s.total {
		m.Fatalf("the load of %d slots is %d", s.total, got)
	}
	for _, pace := range []int{0, 1, 10} {
		if room := s.room(queued, pace); room < 0 || room > 0 && claimed+room > s.total+pace {
			m.Fatalf("room for %d tasks with %d claims on %d slots and a pace of %d", room, claimed, s.total, pace)
		}
	}
}

// Random operations keep the invariant of slots, and every count agrees with a list of
// handlers and reservations.
func TestSlots(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := &slotModel{T: t, rng: rng, slots: slots{total: 1 + rng.IntN(8)}}
		for range 400 {
			m.step()
			m.check()
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// A handler beyond maxLent keeps its slots while it waits, and gets no further ones after it.
func TestSlotsLentAreBounded(t *testing.T) {
	s := slots{total: 1, busy: 1, lent: maxLent}
	u := slotUse{n: 1}
	if s.lend(&u) || s.busy != 1 {
		t.Errorf("a slot was lent beyond the limit: %+v", s)
	}
	if s.reclaim(&u) || s.busy != 1 {
		t.Errorf("a slot that was not lent was reclaimed: %+v", s)
	}
	if s.end(&u); s.busy != 0 || s.lent != maxLent {
		t.Errorf("after the end: %+v", s)
	}
}
