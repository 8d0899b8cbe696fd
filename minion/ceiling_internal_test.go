package minion

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// ceilingModel is an independent account of the ceilings of a minion: it lists the attempts that
// run and those that wait, one by one.
type ceilingModel struct {
	*testing.T
	rng     *rand.Rand
	r       *run
	s       *session
	running []*runningAttempt
	has     map[*attempt]struct{} // attempts that the minion has and that do not run
	now     time.Time
}

// runningAttempt is an attempt whose handler runs.
type runningAttempt struct {
	*attempt
	lent      bool
	reclaimed bool // it has left its ceilings, and taken part again
}

func newCeilingModel(t *testing.T, seed uint64) *ceilingModel {
	rng := rand.New(rand.NewPCG(seed, 2))
	r := &run{slots: slots{total: 1 + rng.IntN(6)}, waking: true, log: logger{l: slog.New(slog.DiscardHandler)}} // no worker is to be started
	cfg := config{
		atMost:    map[string]int{"a": 1 + rng.IntN(3), "b": 1 + rng.IntN(3)},
		fromQueue: map[string]int{"q": 1 + rng.IntN(4)},
		queues:    []string{"q", "p"},
	}
	r.m = &Minion{cfg: cfg}
	r.ceilings = newCeilings(&cfg)
	r.prefetched.pace = rng.IntN(3)
	r.prefetched.armed, r.ceilings.armed = true, true // no timer is to run
	r.ceilings.timer = time.NewTimer(time.Hour)
	t.Cleanup(func() { r.ceilings.timer.Stop() })
	return &ceilingModel{
		T: t, rng: rng, r: r, s: &session{r: r, lost: true}, // what the minion gives back is only dropped
		has: map[*attempt]struct{}{}, now: time.Now(),
	}
}

// attempt returns an attempt with a name and a queue, which may have ceilings.
func (m *ceilingModel) attempt() *attempt {
	a := &attempt{s: m.s, received: m.now, d: &broker.Delivery{Attempt: 1, Start: 1, Left: broker.NoDeadline, Task: broker.Task{
		Name: []string{"a", "b", "c"}[m.rng.IntN(3)], Queue: []string{"p", "q"}[m.rng.IntN(2)],
	}}}
	a.ctx.parent = m.Context()
	a.slot.n = int32(1 + m.rng.IntN(m.r.slots.total))
	m.s.running.add(a)
	return a
}

// step does one random operation.
func (m *ceilingModel) step() {
	l := locked{m.r}
	switch op := m.rng.IntN(8); {
	case op <= 1: // the broker hands tasks out
		for range m.rng.IntN(4) {
			a := m.attempt()
			l.admit(a, m.now)
			m.has[a] = struct{}{}
		}
	case op == 2: // a worker takes an attempt
		if a := l.next(); a != nil {
			delete(m.has, a)
			m.running = append(m.running, &runningAttempt{attempt: a})
		}
	case op == 3 && len(m.running) > 0: // a handler returns, perhaps while it waits
		i := m.rng.IntN(len(m.running))
		h := m.running[i]
		m.running = slices.Delete(m.running, i, i+1)
		l.depart(h.attempt)
		m.r.slots.end(&h.slot)
		m.s.running.remove(h.attempt)
		if h.lent {
			m.r.reclaim(h.attempt, broker.ID{}) // the wait of a goroutine that it has left behind
		}
	case op == 4 && len(m.running) > 0: // a handler waits
		if h := m.running[m.rng.IntN(len(m.running))]; !h.lent {
			m.r.lend(h.attempt, broker.ID{})
			h.lent, h.reclaimed = true, false
		}
	case op == 5 && len(m.running) > 0: // its wait is over
		if h := m.running[m.rng.IntN(len(m.running))]; h.lent {
			m.r.reclaim(h.attempt, broker.ID{})
			h.lent, h.reclaimed = false, true
		}
	case op == 6: // a member of a squad starts
		a := m.attempt()
		fits := m.r.ceilings.reached(a) == nil
		if got := l.join(a); got != fits {
			m.Errorf("join reports %t for task %s of queue %s", got, a.d.Name, a.d.Queue)
		} else if got && m.r.slots.take(&a.slot) {
			m.running = append(m.running, &runningAttempt{attempt: a})
		} else {
			l.discard(a, nil)
		}
	case op == 7: // time passes
		m.now = m.now.Add(time.Second)
		for a := range m.has {
			a.received = a.received.Add(-time.Second)
		}
		m.r.offers.looking = true // it has no broker to ask
		m.r.watchCeilings()
		m.r.offers.looking = false
		if m.rng.IntN(4) == 0 { // another minion has room for all of one name
			name := []string{"a", "b"}[m.rng.IntN(2)]
			l.giveBackLong([]broker.MinionInfo{{ID: broker.NewID(broker.KindParty, "", 0), Queues: []string{"p", "q"}, Slots: 10, Tasks: map[string]uint64{name: 1}}})
		}
		if m.rng.IntN(4) == 0 {
			l.giveBack()
		}
	}
	for a := range m.has {
		if !a.listed { // it was given back, or put off
			delete(m.has, a)
		}
	}
}

// check compares the ceilings with the model.
func (m *ceilingModel) check() {
	m.Helper()
	cs := m.r.ceilings
	queued := make(map[*attempt]bool)
	for _, a := range m.r.prefetched.waits[m.r.prefetched.head:] {
		queued[a] = true
	}
	for _, one := range cs.order {
		part := func(a *attempt) bool { both := cs.of(a); return both[0] == one || both[1] == one }
		used, reclaimed := 0, 0
		for _, h := range m.running {
			if part(h.attempt) && !h.lent {
				used++
			}
			if part(h.attempt) && h.reclaimed {
				reclaimed++
			}
		}
		for a := range queued {
			if part(a) && a.entry == inside {
				used++
			}
		}
		if one.used != used {
			m.Fatalf("%d attempts take part in a ceiling, want %d", one.used, used)
		}
		if used > one.most+reclaimed {
			m.Fatalf("%d attempts take part in a ceiling of %d, and %d have waited", used, one.most, reclaimed)
		}
		if len(one.waits) > 0 && one.used < one.most {
			m.Fatalf("%d attempts wait for a ceiling of %d, and %d take part", len(one.waits), one.most, one.used)
		}
		for _, a := range one.waits {
			if a.entry != waiting || queued[a] || !part(a) {
				m.Fatalf("an attempt waits for a ceiling with the entry %d; it waits elsewhere: %t; the ceiling is its own: %t", a.entry, queued[a], part(a))
			}
			queued[a] = true
		}
	}
	for a := range m.has {
		if !queued[a] {
			m.Fatalf("task %s of queue %s is neither prefetched nor does it wait for a ceiling", a.d.Name, a.d.Queue)
		}
	}
	if len(m.has) != len(queued) {
		m.Fatalf("%d attempts are prefetched or wait, want %d", len(queued), len(m.has))
	}
}

// Random operations keep the ceilings, no attempt waits for a ceiling that is not reached, and
// none is forgotten.
func TestCeilings(t *testing.T) {
	for seed := range uint64(300) {
		m := newCeilingModel(t, seed)
		for range 400 {
			m.step()
			m.check()
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// The number of tasks that are put off at once, and per second, is bounded.
func TestPutOffsAreBounded(t *testing.T) {
	now := time.Now()
	var p putOffs
	put := func(n int) {
		if p.debt == 0 {
			p.at = now
		}
		p.debt += n
	}
	if n := p.allowed(now); n != broker.MaxBatch {
		t.Errorf("%d at once, want %d", n, broker.MaxBatch)
	}
	put(broker.MaxBatch)
	if n, d := p.allowed(now), p.wait(now, 10); n != 0 || d != 10*time.Second/putOffRate {
		t.Errorf("%d more, and a wait of %v", n, d)
	}
	total := 0
	for range 10_000 {
		now = now.Add(time.Millisecond)
		n := p.allowed(now)
		put(n)
		total += n
	}
	if total < 9*putOffRate || total > 11*putOffRate {
		t.Errorf("%d in ten seconds, want %d per second", total, putOffRate)
	}
	now = now.Add(time.Hour)
	if n, d := p.allowed(now), p.wait(now, 1000); n != broker.MaxBatch || d != 0 {
		t.Errorf("%d after a pause, and a wait of %v", n, d)
	}
}
