package squad_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
)

// member is an attempt at a member of a squad.
type member struct {
	squad broker.ID
	held  bool
	ends  int // how often it was started, canceled or given back
}

// host is a minion that counts its slots, and its members that start, end and are given back.
type host struct {
	t *testing.T

	mu        sync.Mutex
	total     int
	reserved  int
	undecided int
	leaving   bool
}

func (h *host) free() int { return max(h.total-h.reserved-h.undecided, 0) }

func (h *host) Slots() (total, free, reserved int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leaving {
		return 0, 0, 0
	}
	return h.total, h.free(), h.reserved
}

func (h *host) Reserve(n, instead int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reserved -= instead
	if n == 0 || h.leaving || h.free() < n {
		return false
	}
	h.reserved += n
	return true
}

func (h *host) Hold(m *member, reserved int) (held, unfit bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leaving {
		return false, false
	}
	m.held = true
	if reserved == 0 {
		h.undecided++
	}
	return true, false
}

// end notes the end of members, and frees their slots.
func (h *host) end(members []*member, reserved int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range members {
		m.ends++
	}
	if len(members) > reserved && reserved > 0 {
		h.t.Errorf("%d members have %d slots", len(members), reserved)
	}
	h.reserved -= reserved
	if reserved == 0 {
		h.undecided -= len(members)
	}
	if h.reserved < 0 || h.undecided < 0 {
		h.t.Errorf("%d slots are reserved, and %d undecided", h.reserved, h.undecided)
	}
}

func (h *host) Start(members []*member, reserved int)    { h.end(members, reserved) }
func (h *host) Cancel(members []*member, reserved int)   { h.end(members, reserved) }
func (h *host) GiveBack(members []*member, reserved int) { h.end(members, reserved) }

func (h *host) Asked(err error) {
	if err != nil {
		h.t.Error(err)
	}
}

// court is a broker that decides about squads, and receives the answers of the minion.
type court struct {
	broker.Broker
	answers chan squad.Message // nil if nobody reads them
}

func (c court) Post(_ context.Context, _ broker.ID, payload []byte) error {
	m, err := squad.Parse(payload)
	if err == nil && c.answers != nil {
		c.answers <- m
	}
	return err
}

func (c court) Assign(context.Context, broker.ID, []broker.ID) error { return nil }

func (c court) Decide(_ context.Context, id broker.ID, _ bool) (bool, error) {
	return id[0]%2 == 0, nil
}

// stage has reservations that run until end is called.
type stage struct {
	*squad.Reservations[*member]
	host *host
	end  func()
}

func newStage(t *testing.T, slots int, c court) *stage {
	h := &host{t: t, total: slots}
	s := &stage{Reservations: squad.New[*member](h, c, new(squad.Waiters), func(string, ...any) {}), host: h}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	s.Open(squad.Session{ID: broker.ID{99}, Lease: ctx, Stop: ctx, End: ctx, Timeout: time.Minute, Go: wg.Go})
	done := make(chan struct{})
	wg.Go(func() { s.Run(done) })
	s.end = func() {
		h.mu.Lock()
		h.leaving = true
		h.mu.Unlock()
		cancel()
		s.GiveUp()
		close(done)
		wg.Wait()
	}
	return s
}

func (s *stage) say(m squad.Message) { s.Deliver(m.Append(nil)) }

// An arbiter reserves slots, the members come, and the minion reports that. The slots are free
// again when the squad has started and the members are ended.
func TestReservations(t *testing.T) {
	synctest.Test(t, testReservations)
}

func testReservations(t *testing.T) {
	c := court{answers: make(chan squad.Message, 10)}
	s := newStage(t, 4, c)
	hears := func(kind squad.Kind, n, free int) {
		t.Helper()
		if m := <-c.answers; m.Kind != kind || m.N != n || m.Free != free || m.From != (broker.ID{99}) {
			t.Errorf("%+v, want kind %d with N %d and %d free slots", m, kind, n, free)
		}
	}
	a, b := broker.ID{1}, broker.ID{2}
	s.say(squad.Message{Kind: squad.Reserve, Squad: a, N: 3, For: time.Hour})
	hears(squad.Granted, 3, 1)
	s.say(squad.Message{Kind: squad.Reserve, Squad: b, N: 2, For: time.Hour})
	hears(squad.Refused, 2, 1)
	s.say(squad.Message{Kind: squad.Ask, Squad: b, N: 2, For: time.Hour})
	hears(squad.Numbers, 0, 1)
	s.say(squad.Message{Kind: squad.Reserve, Squad: a, Round: 1, N: 2, For: time.Hour}) // in place of the three
	hears(squad.Granted, 2, 2)
	hears(squad.Vacant, 0, 2)
	members := []*member{{squad: a}, {squad: a}, {squad: a}}
	s.Unfit(a)
	hears(squad.Unfit, 0, 0)
	for _, m := range members[:2] {
		s.Enroll(a, m)
	}
	hears(squad.Ready, 2, 0)
	s.say(squad.Message{Kind: squad.Reserve, Squad: a, Round: 2, N: 1, For: time.Hour}) // too late: its members are here
	hears(squad.Refused, 1, 2)
	s.say(squad.Message{Kind: squad.Go, Squad: a, Round: 1})
	s.say(squad.Message{Kind: squad.Ask, Squad: b})
	hears(squad.Numbers, 0, 4)
	s.Enroll(a, members[2]) // a stray
	s.end()
	for i, m := range members {
		if m.ends != 1 {
			t.Errorf("member %d was ended %d times", i, m.ends)
		}
	}
}

// Whatever comes at the same time, each member that the minion holds is ended once, and in the
// end no slot is reserved.
func TestReservationsStress(t *testing.T) {
	t.Parallel()
	for range 50 {
		s := newStage(t, 10, court{})
		var wg sync.WaitGroup
		all := make([][]*member, 4)
		for g := range all {
			wg.Go(func() {
				for range 100 {
					m := squad.Message{Squad: broker.ID{byte(rand.N(6))}, Round: uint32(rand.N(2)), N: rand.N(6), For: time.Hour}
					switch rand.N(6) {
					case 0, 1:
						m.Kind = squad.Reserve
					case 2:
						m.Kind = squad.Free
					case 3:
						m.Kind = squad.Go
					case 4:
						m.Kind = squad.Ask
					case 5:
						one := &member{squad: m.Squad}
						all[g] = append(all[g], one)
						s.Enroll(one.squad, one)
						continue
					}
					s.say(m)
				}
			})
		}
		if rand.N(2) == 0 {
			wg.Wait()
		}
		s.end()
		wg.Wait()
		for _, members := range all {
			for _, m := range members {
				if m.held && m.ends != 1 || !m.held && m.ends != 0 {
					t.Fatalf("a member was ended %d times; held: %t", m.ends, m.held)
				}
			}
		}
		if s.host.reserved != 0 || s.host.undecided != 0 {
			t.Fatalf("at the end %d slots are reserved, and %d undecided", s.host.reserved, s.host.undecided)
		}
	}
}
