package brokertest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Many clients work at once, and their recorded history is checked afterwards.
var stressTests = []test{
	{"Everything", stressEverything, needLapse},
	{"ConsumersComeAndGo", stressComeAndGo, 0},
}

// stress is the state of such a test.
type stress struct {
	*rig
	ctx     context.Context // ends when all tasks are final
	history *history
	wg      sync.WaitGroup
	busy    atomic.Int32 // the number of submitters that are not done

	mu     sync.Mutex
	alive  map[*minion]bool
	deaths int // the number of consumers that may still die
}

// stressEverything runs submitters that repeat requests, consumers that end attempts with every
// verb or die, and goroutines that cancel.
func stressEverything(r *rig) {
	n := 3000
	if r.light {
		n = 600
	}
	const submitters, consumers = 3, 5
	mail := r.mail()
	ctx, stop := context.WithCancel(r.ctx)
	s := &stress{rig: r, ctx: ctx, history: newHistory(r), alive: map[*minion]bool{}, deaths: 6}
	other := r.other()
	tasks := r.batch(n, inbox(mail.id))
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	for i, task := range tasks {
		if rng.IntN(4) == 0 {
			task.Delay = time.Duration(rng.IntN(200)) * time.Millisecond
		}
		task.Queue = []string{"a", "b"}[i%2]
		task.ID = s.id(task.Queue)
		if rng.IntN(3) == 0 { // most of these keys are free again by then
			task.Unique.Key = itoa(rng.IntN(n))
		}
	}
	for i := range consumers {
		s.consume(uint64(i), []broker.Broker{r.Broker, other}[i%2])
	}
	s.busy.Store(submitters)
	for i := range submitters {
		part := tasks[i*n/submitters : (i+1)*n/submitters]
		s.wg.Go(func() { s.submit(uint64(i), []broker.Broker{other, r.Broker}[i%2], part) })
	}
	s.wg.Go(func() { s.cancelSome(99, other, tasks) })

	s.eventuallyFinal(tasks)
	stop()
	s.wg.Wait()
	if r.Failed() {
		return
	}
	s.history.check(tasks, mail)
}

// eventuallyFinal sends heartbeats of the living consumers until every task is final or was
// refused.
func (s *stress) eventuallyFinal(tasks []*broker.Task) {
	s.Helper()
	ids := idsOf(tasks)
	for start := time.Now(); !s.Failed(); {
		every := s.beatAll()
		s.Advance(every / 2)
		left := int(s.busy.Load())
		for _, st := range s.lookup(ids...) {
			if !st.State.Final() && !s.history.refused(st.ID) {
				left++
			}
		}
		if left == 0 {
			return
		}
		if time.Since(start) > 20*s.Lease+patience {
			s.Errorf("%d of %d tasks are not final after %v", left, len(ids), time.Since(start))
			return
		}
	}
}

// beatAll sends a heartbeat of every living consumer.
func (s *stress) beatAll() (every time.Duration) {
	s.mu.Lock()
	living := make([]*minion, 0, len(s.alive))
	for m := range s.alive {
		living = append(living, m)
	}
	s.mu.Unlock()
	every = s.Lease / 3
	for _, m := range living {
		// An error means that the consumer has just died or lost its lease. It finds out by itself.
		_ = m.Heartbeat(s.ctx, broker.Load{})
		_, every = m.Lease()
	}
	return every
}

// consume runs a consumer, and opens the next one after its death.
func (s *stress) consume(seed uint64, b broker.Broker) {
	s.wg.Go(func() {
		rng := rand.New(rand.NewPCG(seed, 1))
		for s.ctx.Err() == nil {
			m := &minion{r: s.rig, queues: []string{"a", "b"}, killed: map[broker.ID]int{}}
			if seed%2 == 1 {
				slices.Reverse(m.queues)
			}
			c, err := b.Consume(s.ctx, broker.ConsumerConfig{Queues: m.queues, Slots: 20, OnCancel: m.onCancel})
			if err != nil {
				s.report("Consume", err)
				return
			}
			m.Consumer = c
			s.mu.Lock()
			s.alive[m] = true
			s.mu.Unlock()
			s.live(rng, m)
			s.mu.Lock()
			delete(s.alive, m)
			s.mu.Unlock()
		}
	})
}

// live lets a consumer work until it dies, or until all tasks are final.
func (s *stress) live(rng *rand.Rand, m *minion) {
	for s.ctx.Err() == nil {
		began := s.history.now()
		ds, err := m.Dequeue(s.ctx, m.queues, 1+rng.IntN(20), min(s.Lease/3, 200*time.Millisecond))
		if err != nil {
			s.report("Dequeue", err)
			if errors.Is(err, broker.ErrLeaseLost) {
				return
			}
			continue
		}
		s.history.taken(ds, began)
		var batch []broker.Settlement
		for _, d := range ds {
			batch = append(batch, s.decide(rng, m, d))
		}
		if s.dies(rng, len(ds)) {
			after := time.Duration(rng.Int64N(2 * int64(s.Lease)))
			s.wg.Go(func() { s.settleLate(after, m, batch) })
			return
		}
		s.settle(m, batch)
		if rng.IntN(5) == 0 { // a repeat, as after a lost reply
			s.settle(m, batch)
		}
	}
}

func (s *stress) dies(rng *rand.Rand, held int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held == 0 || s.deaths == 0 || rng.IntN(25) > 0 {
		return false
	}
	s.deaths--
	return true
}

// settleLate settles the tasks of a dead consumer late, perhaps before its death was noticed.
func (s *stress) settleLate(after time.Duration, m *minion, batch []broker.Settlement) {
	select {
	case <-s.ctx.Done():
	case <-time.After(after):
	}
	s.settle(m, batch)
}

// decide draws how an attempt ends.
func (s *stress) decide(rng *rand.Rand, m *minion, d *broker.Delivery) broker.Settlement {
	delay := time.Duration(rng.IntN(30)) * time.Millisecond
	switch n := rng.IntN(100); {
	case d.Canceled:
		return m.finish(d, broker.StateCanceled)
	case n < 15 && d.Retried < 4:
		return retry(d, delay)
	case n < 20:
		return snooze(d, delay)
	case n < 27:
		return giveBack(d)
	case n < 37:
		return m.finish(d, finals[1+rng.IntN(3)])
	}
	return m.succeed(d)
}

// settle settles a batch, and records the accepted settlements.
func (s *stress) settle(m *minion, batch []broker.Settlement) {
	errs, err := m.Settle(context.WithoutCancel(s.ctx), batch)
	if err != nil {
		s.report("Settle", err)
		return
	}
	for i, err := range errs {
		if err == nil {
			s.history.settled(batch[i])
		} else if !errors.Is(err, broker.ErrLeaseLost) {
			s.Errorf("Settle refused settlement %d of the batch: %v", i, err)
		}
	}
}

// submit enqueues tasks in batches, and enqueues some of them again.
func (s *stress) submit(seed uint64, b broker.Broker, tasks []*broker.Task) {
	defer s.busy.Add(-1)
	rng := rand.New(rand.NewPCG(seed, 2))
	for at := 0; at < len(tasks); {
		to := min(len(tasks), at+1+rng.IntN(40))
		from := max(0, at-rng.IntN(30))
		batch := tasks[from:to]
		err := b.Enqueue(s.ctx, batch)
		var some *broker.BatchError
		if err != nil && !errors.As(err, &some) {
			s.report("Enqueue", err)
			return
		}
		for i, task := range batch {
			var refusal error
			if some != nil {
				refusal = some.Errs[i]
			}
			s.history.enqueued(task, refusal)
		}
		at = to
		if rng.IntN(3) == 0 {
			time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
		}
	}
}

// cancelSome cancels a tenth of the tasks. Some of them are not enqueued yet.
func (s *stress) cancelSome(seed uint64, b broker.Broker, tasks []*broker.Task) {
	rng := rand.New(rand.NewPCG(seed, 3))
	for range len(tasks) / 20 {
		ids := []broker.ID{tasks[rng.IntN(len(tasks))].ID, tasks[rng.IntN(len(tasks))].ID}
		if s.ctx.Err() != nil {
			return
		}
		verdicts, err := b.Cancel(context.WithoutCancel(s.ctx), ids)
		if err != nil {
			s.report("Cancel", err)
			return
		}
		for i, id := range ids {
			s.history.canceled(id, verdicts[i])
		}
		time.Sleep(time.Duration(rng.IntN(6)) * time.Millisecond)
	}
}

// report fails the test unless the error is an expected one.
func (s *stress) report(what string, err error) {
	if s.ctx.Err() != nil || errors.Is(err, broker.ErrLeaseLost) {
		return
	}
	s.Errorf("%s: %v", what, err)
}

// stressComeAndGo opens and closes consumers all the time. No task may be lost, run twice, or have
// a retry or recovery counted.
func stressComeAndGo(r *rig) {
	n := 2000
	if r.light {
		n = 400
	}
	const consumers = 4
	tasks := r.batch(n)
	other := r.other()
	var mu sync.Mutex
	var done []broker.ID
	left := func() int {
		mu.Lock()
		defer mu.Unlock()
		return n - len(done)
	}
	fns := many(consumers, func(i int) {
		rng := rand.New(rand.NewPCG(uint64(i), 4))
		b := []broker.Broker{r.Broker, other}[i%2]
		for start := time.Now(); left() > 0 && time.Since(start) < 2*patience; {
			c, err := b.Consume(r.ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
			if err != nil {
				r.Errorf("Consume: %v", err)
				return
			}
			for range 1 + rng.IntN(3) {
				ds, err := c.Dequeue(r.ctx, []string{"q"}, 1+rng.IntN(30), 10*time.Millisecond)
				if err != nil {
					r.Errorf("Dequeue: %v", err)
				}
				ds = ds[:min(len(ds), 1+rng.IntN(30))] // the consumer closes with the other tasks in hand
				batch := make([]broker.Settlement, len(ds))
				for j, d := range ds {
					if d.Retried > 0 || d.Recoveries > 0 {
						r.Errorf("task %s has retried %d and recoveries %d, want 0 and 0", d.ID, d.Retried, d.Recoveries)
					}
					batch[j].Delivery, batch[j].Outcome.State = d, broker.StateSucceeded
				}
				errs, err := c.Settle(r.ctx, batch)
				if err != nil {
					r.Errorf("Settle: %v", err)
				}
				mu.Lock()
				for j, err := range errs {
					if err != nil {
						r.Errorf("Settle refused settlement %d of the batch: %v", j, err)
						continue
					}
					done = append(done, batch[j].Delivery.ID)
				}
				mu.Unlock()
			}
			if err := c.Close(r.ctx); err != nil {
				r.Errorf("Close: %v", err)
			}
		}
	})
	fns = append(fns, func() {
		for part := range slices.Chunk(tasks, 50) {
			if err := r.Broker.Enqueue(r.ctx, part); err != nil {
				r.Errorf("Enqueue: %v", err)
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	together(fns...)
	r.sameSet(done, idsOf(tasks))
	r.in(broker.StateSucceeded, idsOf(tasks)...)
}
