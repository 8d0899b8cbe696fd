package minion

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// limitModel is an independent account of the limits of a minion: it lists the attempts that
// run and those that wait, one by one.
type limitModel struct {
	*testing.T
	rng     *rand.Rand
	r       *run
	s       *session
	running []*limitedAttempt
	has     map[*attempt]struct{} // attempts that the minion has and that do not run
	now     time.Time
}

// limitedAttempt is an attempt whose handler runs.
type limitedAttempt struct {
	*attempt
	lent      bool
	reclaimed bool // it has left its limits, and taken part again
}

func newLimitModel(t *testing.T, seed uint64) *limitModel {
	rng := rand.New(rand.NewPCG(seed, 2))
	r := &run{slots: slots{total: 1 + rng.IntN(6)}, waking: true} // no worker is to be started
	cfg := config{
		atMost:    map[string]int{"a": 1 + rng.IntN(3), "b": 1 + rng.IntN(3)},
		fromQueue: map[string]int{"q": 1 + rng.IntN(4)},
		queues:    []string{"q", "p"},
	}
	r.m = &Minion{cfg: cfg}
	r.atMost = newLimits(&cfg)
	r.prefetched.pace = rng.IntN(3)
	r.prefetched.armed, r.atMost.armed = true, true // no timer is to run
	r.atMost.timer = time.NewTimer(time.Hour)
	t.Cleanup(func() { r.atMost.timer.Stop() })
	return &limitModel{
		T: t, rng: rng, r: r, s: &session{r: r, lost: true}, // what the minion gives back is only dropped
		has: map[*attempt]struct{}{}, now: time.Now(),
	}
}

// attempt returns an attempt with a name and a queue, which may have limits.
func (m *limitModel) attempt() *attempt {
	a := &attempt{s: m.s, received: m.now, d: &broker.Delivery{Attempt: 1, Start: 1, Left: broker.NoDeadline, Task: broker.Task{
		Name: []string{"a", "b", "c"}[m.rng.IntN(3)], Queue: []string{"p", "q"}[m.rng.IntN(2)],
	}}}
	a.slot.n = int32(1 + m.rng.IntN(m.r.slots.total))
	m.s.running.add(a)
	return a
}

// step does one random operation.
func (m *limitModel) step() {
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
			m.running = append(m.running, &limitedAttempt{attempt: a})
		}
	case op == 3 && len(m.running) > 0: // a handler returns, perhaps while it waits
		i := m.rng.IntN(len(m.running))
		h := m.running[i]
		m.running = slices.Delete(m.running, i, i+1)
		l.depart(h.attempt)
		m.r.slots.end(&h.slot)
		m.s.running.remove(h.attempt)
		if h.lent {
			m.r.reclaim(h.attempt) // the wait of a goroutine that it has left behind
		}
	case op == 4 && len(m.running) > 0: // a handler waits
		if h := m.running[m.rng.IntN(len(m.running))]; !h.lent {
			m.r.lend(h.attempt)
			h.lent, h.reclaimed = true, false
		}
	case op == 5 && len(m.running) > 0: // its wait is over
		if h := m.running[m.rng.IntN(len(m.running))]; h.lent {
			m.r.reclaim(h.attempt)
			h.lent, h.reclaimed = false, true
		}
	case op == 6: // a member of a squad starts
		a := m.attempt()
		fits := m.r.atMost.reached(a) == nil
		if got := l.join(a); got != fits {
			m.Errorf("join reports %t for task %s of queue %s", got, a.d.Name, a.d.Queue)
		} else if got && m.r.slots.take(&a.slot) {
			m.running = append(m.running, &limitedAttempt{attempt: a})
		} else {
			l.discard(a, nil)
		}
	case op == 7: // time passes
		m.now = m.now.Add(time.Second)
		for a := range m.has {
			a.received = a.received.Add(-time.Second)
		}
		m.r.watchLimits()
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

// check compares the limits with the model.
func (m *limitModel) check() {
	m.Helper()
	ls := m.r.atMost
	queued := make(map[*attempt]bool)
	for _, a := range m.r.prefetched.waits[m.r.prefetched.head:] {
		queued[a] = true
	}
	for _, one := range ls.order {
		part := func(a *attempt) bool { both := ls.of(a); return both[0] == one || both[1] == one }
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
			m.Fatalf("%d attempts take part in a limit, want %d", one.used, used)
		}
		if used > one.most+reclaimed {
			m.Fatalf("%d attempts take part in a limit of %d, and %d have waited", used, one.most, reclaimed)
		}
		if len(one.waits) > 0 && one.used < one.most {
			m.Fatalf("%d attempts wait for a limit of %d, and %d take part", len(one.waits), one.most, one.used)
		}
		for _, a := range one.waits {
			if a.entry != waiting || queued[a] || !part(a) {
				m.Fatalf("an attempt waits for a limit with the entry %d; it waits elsewhere: %t; the limit is its own: %t", a.entry, queued[a], part(a))
			}
			queued[a] = true
		}
	}
	for a := range m.has {
		if !queued[a] {
			m.Fatalf("task %s of queue %s is neither prefetched nor does it wait for a limit", a.d.Name, a.d.Queue)
		}
	}
	if len(m.has) != len(queued) {
		m.Fatalf("%d attempts are prefetched or wait, want %d", len(queued), len(m.has))
	}
}

// Random operations keep the limits, no attempt waits for a limit that is not reached, and
// none is forgotten.
func TestLimits(t *testing.T) {
	for seed := range uint64(300) {
		m := newLimitModel(t, seed)
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
