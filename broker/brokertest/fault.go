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
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
)

// Requests fail before or after they are carried out, or are carried out twice. Clients repeat
// them, as the contract allows.
var faultTests = []test{
	{"EachTaskEndsOnce", faultTasks, 0},
	{"EachMemberCountsOnce", faultMembers, needFlows},
}

var faultRates = faulty.Rates{Before: 100, After: 100, Twice: 100}

// struck returns a client of the broker whose requests have faults. The seed and the number of the
// caller decide which.
func (r *rig) struck(seed uint64, caller int) broker.Broker {
	r.Helper()
	b := r.Broker
	if caller%2 == 1 {
		b = r.other()
	}
	w := faulty.New(raw(b))
	w.Set(faulty.Seeded(seed, itoa(caller), faultRates, nil))
	return r.watch(w)
}

// insist repeats a request until its outcome is known, and returns its error.
func insist(r *rig, what string, request func() error) (err error) {
	for range 200 {
		err = request()
		unknown, nothing := doubt(err)
		if !unknown && !nothing {
			return err
		}
	}
	r.Errorf("%s failed or was unknown two hundred times in a row, the last time with: %v", what, err)
	return err
}

// faulted runs submitters and consumers whose requests have faults.
type faulted struct {
	*rig
	history *history
	left    atomic.Int32 // the number of submitters that are not done
	ctx     context.Context
}

// faultTasks runs submitters, consumers and a goroutine that cancels. Each stored task must end
// once, in the state of an accepted settlement or cancel, and its inbox must be notified.
func faultTasks(r *rig) {
	const submitters, consumers = 2, 3
	n := 400
	if r.light {
		n = 150
	}
	mail := r.mail()
	ctx, stop := context.WithCancel(r.ctx)
	defer stop()
	f := &faulted{rig: r, history: newHistory(r), ctx: ctx}
	tasks := r.batch(n, inbox(mail.id))
	for i, t := range tasks {
		if i%3 > 0 { // delayed, so some tasks still wait when they are cancelled
			t.Delay = time.Duration(i%50) * time.Millisecond
		}
	}
	f.left.Store(submitters)
	var all sync.WaitGroup
	for i := range submitters {
		b := r.struck(1, i)
		all.Go(func() { f.submit(b, tasks[i*n/submitters:(i+1)*n/submitters]) })
	}
	for i := range consumers {
		b := r.struck(2, i)
		all.Go(func() { f.consume(b, uint64(i)) })
	}
	killer := r.struck(3, submitters)
	all.Go(func() { f.cancel(killer, tasks) })
	r.eventually("all tasks are final", func() bool {
		final := 0
		for _, st := range r.lookup(idsOf(tasks)...) {
			if st.State.Final() {
				final++
			}
		}
		return r.Failed() || f.left.Load() == 0 && final == n
	})
	stop()
	all.Wait()
	if !r.Failed() {
		f.history.check(tasks, mail)
		f.forgotten(tasks)
	}
}

// forgotten checks that no reason for a retry is stored any more. A requeued dead letter is not
// final, so Lookup would show a reason that was left over.
func (f *faulted) forgotten(tasks []*broker.Task) {
	r := f.rig
	var dead []broker.ID
	for _, st := range r.lookup(idsOf(tasks)...) {
		if st.Failed != nil {
			r.Fatalf("Lookup of a task that is %s returned the last failure %+v, want none", st.State, st.Failed)
		}
		if st.State == broker.StateFailed {
			dead = append(dead, st.ID)
		}
	}
	if _, ok := can[broker.Inspector](r.Broker); !ok {
		return
	}
	errs, err := r.inspector().Requeue(r.ctx, dead)
	if err != nil || slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		r.Fatalf("Requeue: %v, %v", errs, err)
	}
	for _, st := range r.lookup(dead...) {
		if st.State != broker.StatePending || st.Failed != nil {
			r.Fatalf("Lookup of a requeued task that is %s returned the last failure %+v, want none", st.State, st.Failed)
		}
	}
}

func (f *faulted) submit(b broker.Broker, tasks []*broker.Task) {
	defer f.left.Add(-1)
	rng := rand.New(rand.NewPCG(uint64(len(tasks)), 5))
	for len(tasks) > 0 {
		part := tasks[:min(len(tasks), 1+rng.IntN(8))]
		tasks = tasks[len(part):]
		err := insist(f.rig, "Enqueue", func() error { return b.Enqueue(f.rig.ctx, part) })
		for _, t := range part {
			f.history.enqueued(t, err)
		}
	}
}

// consume takes and settles tasks until all are final. Some attempts are retried, and some are
// given back.
func (f *faulted) consume(b broker.Broker, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 6))
	ctx := f.rig.ctx
	for f.ctx.Err() == nil {
		var c broker.Consumer
		if err := insist(f.rig, "Consume", func() (err error) {
			c, err = b.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 20})
			return err
		}); err != nil {
			f.Errorf("Consume: %v", err)
			return
		}
		f.serve(c, rng)
		if err := insist(f.rig, "Close", func() error { return c.Close(ctx) }); err != nil && !errors.Is(err, broker.ErrClosed) {
			f.Errorf("Close: %v", err)
		}
	}
}

// serve takes and settles tasks with one consumer, as long as it keeps its lease.
func (f *faulted) serve(c broker.Consumer, rng *rand.Rand) {
	ctx, m := f.rig.ctx, &minion{Consumer: c, r: f.rig}
	beaten := time.Now()
	_, every := c.Lease()
	began := 0 // when the first dequeue began whose reply was lost; 0 if none was
	for f.ctx.Err() == nil {
		if time.Since(beaten) > every/2 {
			beaten = time.Now()
			if err := insist(f.rig, "Heartbeat", func() error { return c.Heartbeat(ctx, broker.Load{}) }); err != nil {
				return // the caller opens another consumer
			}
		}
		if began == 0 {
			began = f.history.now()
		}
		got, err := c.Dequeue(ctx, []string{"q"}, 1+rng.IntN(10), 5*time.Millisecond)
		if unknown, nothing := doubt(err); unknown || nothing {
			continue
		}
		if err != nil {
			return
		}
		f.history.taken(got, began)
		began = 0
		var batch []broker.Settlement
		for _, d := range got {
			batch = append(batch, faultEnd(m, d, rng))
		}
		if len(batch) > 0 {
			f.settle(c, batch)
		}
	}
}

// faultEnd draws how an attempt ends.
func faultEnd(m *minion, d *broker.Delivery, rng *rand.Rand) broker.Settlement {
	switch {
	case d.Canceled:
		return m.finish(d, broker.StateCanceled)
	case d.Attempt > 3:
	case d.Retried > 0 && rng.IntN(2) == 0: // a dead letter after a retry: its last failure must not be left over
		return m.finish(d, broker.StateFailed)
	case rng.IntN(8) == 0:
		return m.failing(d, time.Duration(rng.IntN(10))*time.Millisecond)
	case rng.IntN(8) == 0:
		return giveBack(d)
	case rng.IntN(8) == 0:
		return m.finish(d, broker.StateFailed)
	}
	return m.succeed(d)
}

// settle settles a batch, and records the accepted settlements. A repeated retry or give-back may be
// refused if it has taken effect before. A repeated finish may be refused only if the lease is
// lost.
func (f *faulted) settle(c broker.Consumer, batch []broker.Settlement) {
	var errs []error
	err := insist(f.rig, "Settle", func() (err error) {
		errs, err = c.Settle(f.rig.ctx, batch)
		return err
	})
	if err != nil {
		if !errors.Is(err, broker.ErrLeaseLost) {
			f.Errorf("Settle: %v", err)
		}
		return
	}
	for i, err := range errs {
		switch {
		case err == nil:
			f.history.settled(batch[i])
		case errors.Is(err, broker.ErrLeaseLost) && (batch[i].Verb != broker.VerbFinish || f.lostLease(c)):
		default:
			f.Errorf("Settle refused settlement %d of the batch: %v", i, err)
		}
	}
}

// lostLease reports whether a consumer has lost its lease.
func (f *faulted) lostLease(c broker.Consumer) bool {
	err := insist(f.rig, "Heartbeat", func() error { return c.Heartbeat(f.rig.ctx, broker.Load{}) })
	return errors.Is(err, broker.ErrLeaseLost)
}

// cancel cancels a tenth of the tasks. A verdict whose reply was lost is ignored. If a cancel is
// carried out twice, the second verdict is about a task that is cancelled already.
func (f *faulted) cancel(b broker.Broker, tasks []*broker.Task) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range len(tasks) / 10 {
		id := tasks[rng.IntN(len(tasks))].ID
		f.history.canceled(id, broker.CancelRequested) // from now on the task may be cancelled
		var verdicts []broker.CancelVerdict
		err := insist(f.rig, "Cancel", func() (err error) {
			verdicts, err = b.Cancel(f.rig.ctx, []broker.ID{id})
			return err
		})
		if err != nil {
			f.Errorf("Cancel: %v", err)
			return
		}
		if verdicts[0] == broker.CancelPrevented {
			f.history.canceled(id, verdicts[0])
		}
		time.Sleep(time.Millisecond)
	}
}

// faultMembers settles the members of a group and counts their arrivals. Every request has faults,
// and several clients do the same. Each member must count once.
func faultMembers(r *rig) {
	const n = 60
	flows := func(seed uint64, caller int) (broker.Broker, broker.Flows) {
		b := r.struck(seed, caller)
		return b, r.flowsAt(b)
	}
	must := func(what string, request func() error) {
		r.Helper()
		if err := insist(r, what, request); err != nil {
			r.Fatalf("%s: %v", what, err)
		}
	}
	b, f := flows(11, 0)
	flow := &broker.Flow{ID: broker.NewID(broker.KindGroup, "", 0), Size: n, Quorum: n, Retention: time.Hour}
	tasks := r.batch(n)
	for i, t := range tasks {
		t.Flow.ID, t.Flow.Step = flow.ID, uint32(i)
	}
	must("OpenFlow", func() error { return f.OpenFlow(r.ctx, flow, 0, idsOf(tasks)) })
	must("Enqueue", func() error { return b.Enqueue(r.ctx, tasks) })
	m := r.minion()
	for _, d := range m.take(n) {
		m.settle(m.succeed(d))
	}
	drain := func(i int) {
		_, f := flows(12, i)
		for {
			var found []broker.Arrival
			if err := insist(r, "Arrivals", func() (err error) {
				found, err = f.Arrivals(r.ctx, "q", 7)
				return err
			}); err != nil || len(found) == 0 {
				return
			}
			for _, request := range []func() error{
				func() error { _, err := f.Arrive(r.ctx, flow.ID, found); return err },
				func() error { return f.Confirm(r.ctx, found) },
			} {
				if err := insist(r, "Arrive and Confirm", request); err != nil {
					r.Errorf("Arrive and Confirm: %v", err)
					return
				}
			}
		}
	}
	together(many(3, drain)...)
	var p *broker.Progress
	must("LookupFlow", func() (err error) {
		p, err = f.LookupFlow(r.ctx, flow.ID)
		return err
	})
	if p.Listed != n || p.Succeeded != n || p.Failed != 0 {
		r.Fatalf("%d members are listed, %d have succeeded and %d have failed; want %d, %d and 0", p.Listed, p.Succeeded, p.Failed, n, n)
	}
}
