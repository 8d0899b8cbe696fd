package minion

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// slotModel is an independent account of the slots of a minion: it lists the handlers, the
// reservations and the undecided members one by one.
type slotModel struct {
	*testing.T
	rng       *rand.Rand
	slots     slots
	handlers  []*modelHandler
	reserved  []int // the sizes of the reservations
	undecided int
	queued    int // attempts in the prefetch queue
}

// modelHandler is a handler that has started.
type modelHandler struct {
	use       slotUse
	waits     int
	lent      bool
	reclaimed bool // it has taken back a lent slot
}

// count returns how many handlers satisfy f.
func (m *slotModel) count(f func(h *modelHandler) bool) (n int) {
	for _, h := range m.handlers {
		if f(h) {
			n++
		}
	}
	return n
}

// used returns how many slots are busy or reserved.
func (m *slotModel) used() int {
	n := m.count(func(h *modelHandler) bool { return !h.lent })
	for _, r := range m.reserved {
		n += r
	}
	return n
}

// step does one random operation, and checks its answer.
func (m *slotModel) step() {
	total, used := m.slots.total, m.used()
	pick := func() *modelHandler { return m.handlers[m.rng.IntN(len(m.handlers))] }
	switch op := m.rng.IntN(9); {
	case op == 0:
		m.queued += m.rng.IntN(3)
	case op == 1: // a worker takes an attempt of the queue
		if m.queued == 0 {
			return
		}
		if got := m.slots.take(); got != (used < total) {
			m.Errorf("take reports %t with %d of %d slots used", got, used, total)
		} else if got {
			m.queued--
			m.handlers = append(m.handlers, &modelHandler{})
		}
	case op == 2 && len(m.handlers) > 0: // a handler returns, perhaps while it waits
		h := pick()
		m.slots.end(&h.use)
		m.handlers = slices.DeleteFunc(m.handlers, func(other *modelHandler) bool { return other == h })
		if m.slots.lend(&h.use) || m.slots.reclaim(&h.use) {
			m.Error("a handler that has returned lends or reclaims a slot")
		}
	case op == 3 && len(m.handlers) > 0: // one of its goroutines begins to wait
		h := pick()
		h.waits++
		first := h.waits == 1
		if got := m.slots.lend(&h.use); got != first {
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
		if got := m.slots.reclaim(&h.use); got != last {
			m.Errorf("reclaim reports %t with %d waits left", got, h.waits)
		}
		if last {
			h.lent, h.reclaimed = false, true
		}
	case op == 5: // a squad asks for slots
		n := 1 + m.rng.IntN(total)
		fits := n <= total-used-m.undecided-m.queued
		if got := m.slots.reserve(n, m.queued); got != fits {
			m.Errorf("reserve(%d) reports %t with %d of %d slots used, %d undecided, %d queued", n, got, used, total, m.undecided, m.queued)
		} else if got {
			m.reserved = append(m.reserved, n)
		}
	case op == 6 && len(m.reserved) > 0: // some of its members start, the others do not come
		i := m.rng.IntN(len(m.reserved))
		start := m.rng.IntN(m.reserved[i] + 1)
		m.slots.unreserve(m.reserved[i] - start)
		for range start {
			m.slots.takeReserved()
			m.handlers = append(m.handlers, &modelHandler{})
		}
		m.reserved = slices.Delete(m.reserved, i, i+1)
	case op == 7: // a member without a reservation comes
		m.slots.await()
		m.undecided++
	case op == 8 && m.undecided > 0: // and is decided on
		m.slots.decided(1)
		m.undecided--
		m.queued += m.rng.IntN(2)
	}
}

// check compares the slots with the model, and checks the invariant.
func (m *slotModel) check() {
	s := &m.slots
	used := m.used()
	lent := m.count(func(h *modelHandler) bool { return h.lent })
	if s.used() != used || s.lent != lent || s.handlers() != len(m.handlers) || s.undecided != m.undecided {
		m.Fatalf("%+v, want %d used, %d lent, %d handlers, %d undecided", *s, used, lent, len(m.handlers), m.undecided)
	}
	if s.busy < 0 || s.lent < 0 || s.reserved < 0 || s.undecided < 0 {
		m.Fatalf("%+v has a negative count", *s)
	}
	reclaimed := m.count(func(h *modelHandler) bool { return h.reclaimed })
	if s.used() > s.total+reclaimed {
		m.Fatalf("%d slots are used, more than %d and the %d that were reclaimed", s.used(), s.total, reclaimed)
	}
	claimed := used + m.undecided + m.queued
	if got, want := s.spare(m.queued), max(s.total-claimed, 0); got != want {
		m.Fatalf("%d slots are spare, want %d", got, want)
	}
	if got := s.load(); got > s.total {
		m.Fatalf("the load of %d slots is %d", s.total, got)
	}
	for _, pace := range []int{0, 1, 10} {
		if room := s.room(m.queued, pace); room < 0 || room > 0 && claimed+room > s.total+pace {
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

// A handler beyond maxLent keeps its slot while it waits, and gets no second one after it.
func TestSlotsLentAreBounded(t *testing.T) {
	s := slots{total: 1, busy: 1, lent: maxLent}
	var u slotUse
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
