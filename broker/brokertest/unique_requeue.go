package brokertest

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A dead letter does not hold its key. Requeue takes the key again, or leaves the task a dead
// letter if another task holds it.
var uniqueRequeueTests = []test{
	{"RequeueTakesTheKey", uniqueRequeue, needInspector},
	{"RequeueWhileHeld", uniqueRequeueHeld, needInspector},
	{"RequeueManySomeRefused", uniqueRequeueMany, needInspector},
	{"RequeueOfLargeOnes", uniqueRequeueLarge, needInspector},
	{"RequeueConcurrently", uniqueRequeueConcurrently, needInspector},
}

func uniqueRequeue(r *rig) {
	m := r.minion()
	task := r.task(keyed("k"))
	bury(r, m, task)
	requeue(r, task.ID)
	keyHeld(r, task.ID) // pending
	d := m.take1()
	m.equals(d, task)
	keyHeld(r, task.ID) // running
	m.settle(retry(d, 0))
	keyHeld(r, task.ID)
	m.settle(m.finish(m.take1(), broker.StateFailed))
	other := r.task(keyed("k")) // the key is free again
	r.enqueue(other)
	m.settle(m.succeed(m.take1()))
	requeue(r, task.ID)
	keyHeld(r, task.ID)
	r.canceled(task.ID, broker.CancelPrevented)
	r.enqueue(r.task(keyed("k")))
}

func uniqueRequeueHeld(r *rig) {
	m := r.minion()
	dead := r.task(keyed("k"))
	failed := bury(r, m, dead)[0]
	stays := func(holder broker.ID) {
		r.Helper()
		r.duplicate(requeued(r, dead.ID)[0], dead.ID, holder, "k")
		r.in(broker.StateFailed, dead.ID)
		letter := deadLetters(r, "q", 10)[dead.ID]
		if letter == nil {
			r.Fatalf("the dead letter was removed by a refused requeue")
		}
		r.equal(letter.Outcome, failed.Outcome)
	}
	holder := r.task(keyed("k"), after(50*time.Millisecond))
	r.enqueue(holder)
	stays(holder.ID) // scheduled
	d := m.take1()
	stays(holder.ID) // running
	m.settle(retry(d, time.Hour))
	stays(holder.ID)
	r.canceled(holder.ID, broker.CancelPrevented)

	holder = r.task(keyed("k"))
	r.enqueue(holder)
	stays(holder.ID) // pending
	r.canceled(holder.ID, broker.CancelPrevented)
	requeue(r, dead.ID)
	keyHeld(r, dead.ID)
	r.same(takenOf(m.take(1)), []broker.ID{dead.ID})
	m.none()
}

// A refused dead letter does not prevent others from being requeued. Of several with one key, the
// first gets it.
func uniqueRequeueMany(r *rig) {
	m := r.minion()
	first, second := r.task(keyed("k")), r.task(keyed("k"))
	bury(r, m, first)
	bury(r, m, second)
	plain, late, other, elsewhere := r.task(), r.task(keyed("l")), r.task(keyed("m")), r.task(keyed("k"), onQueue("other"))
	bury(r, m, plain, late, other)
	bury(r, r.minion("other"), elsewhere)
	holder := r.task(keyed("l"), after(time.Hour))
	r.enqueue(holder)

	errs := requeued(r, late.ID, first.ID, plain.ID, second.ID, broker.NewID(broker.KindTask, "q", 0), other.ID, elsewhere.ID, first.ID)
	r.duplicate(errs[0], late.ID, holder.ID, "l")
	r.duplicate(errs[3], second.ID, first.ID, "k")
	r.is(errs[4], broker.ErrNotFound)
	r.is(errs[7], broker.ErrNotFound) // it was requeued earlier in the same call
	for _, i := range []int{1, 2, 5, 6} {
		if errs[i] != nil {
			r.Fatalf("Requeue refused id %d of the call: %v", i, errs[i])
		}
	}
	dead := deadLetters(r, "q", 10)
	if len(dead) != 2 || dead[late.ID] == nil || dead[second.ID] == nil {
		r.Fatalf("DeadLetters returned %d tasks, want the two that were refused", len(dead))
	}
	for _, d := range m.take(3) {
		m.settle(m.succeed(d))
	}
	m.none()
	requeue(r, second.ID)
	r.same(takenOf(m.take(1)), []broker.ID{second.ID})
}

// Requeue finds the key, whatever else is in the task.
func uniqueRequeueLarge(r *rig) {
	const n = 7
	m := r.minion()
	size := min(r.Broker.Limits().Payload, 512<<10)
	var tasks []*broker.Task
	for i := range n {
		t := r.task(keyed(itoa(i)), payload(make([]byte, size)))
		bury(r, m, t)
		tasks = append(tasks, t)
	}
	taken := r.task(keyed(itoa(n - 1)))
	r.enqueue(taken)
	errs := requeued(r, idsOf(tasks)...)
	for i, err := range errs[:n-1] {
		if err != nil {
			r.Fatalf("Requeue refused id %d of the call: %v", i, err)
		}
		again := r.task(keyed(itoa(i)))
		r.duplicate(r.refused(again), again.ID, tasks[i].ID, itoa(i))
	}
	r.duplicate(errs[n-1], tasks[n-1].ID, taken.ID, itoa(n-1))
}

// A requeue and an enqueue want the same key at the same time. One of them gets it.
func uniqueRequeueConcurrently(r *rig) {
	const rounds = 10
	m := r.minion()
	for range rounds {
		dead := r.batch(2, keyed("k"))
		for _, t := range dead {
			bury(r, m, t)
		}
		fresh := r.batch(2, keyed("k"))
		var won atomic.Int32
		note := func(err error) {
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, broker.ErrDuplicate):
				r.Errorf("the refused one got the error %v, want ErrDuplicate", err)
			}
		}
		together(many(4, func(i int) {
			if i < 2 {
				note(r.Broker.Enqueue(r.ctx, fresh[i:i+1]))
				return
			}
			errs, err := r.inspector().Requeue(r.ctx, []broker.ID{dead[i-2].ID})
			if err != nil {
				r.Errorf("Requeue: %v", err)
				return
			}
			note(errs[0])
		})...)
		if won.Load() != 1 {
			r.Fatalf("%d of them got the key, want 1", won.Load())
		}
		d := m.take1()
		m.none()
		m.settle(m.succeed(d))
	}
}
