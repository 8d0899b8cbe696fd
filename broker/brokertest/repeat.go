package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Enqueueing a task again has no effect as long as its record is stored.
var repeatTests = []test{
	{"Pending", repeatPending, 0},
	{"Scheduled", repeatScheduled, 0},
	{"Running", repeatRunning, 0},
	{"Retrying", repeatRetrying, 0},
	{"Final", repeatFinal, 0},
	{"CanceledWhileWaiting", repeatCanceled, 0},
	{"TombstoneOfRetention0", repeatTombstone, 0},
	{"TombstoneLastsTenMinutes", repeatTombstoneLasts, needJump},
	{"UntilRetentionEnds", repeatUntilRetentionEnds, needJump},
	{"InOneBatch", repeatInOneBatch, 0},
	{"AmongNew", repeatAmongNew, 0},
	{"Concurrent", repeatConcurrent, 0},
	{"OtherContent", repeatOtherContent, 0},
	{"OtherContentInOneBatch", repeatOtherContentInOneBatch, 0},
}

func repeatPending(r *rig) {
	task := r.task()
	r.enqueue(task)
	r.enqueue(task)
	if err := r.other().Enqueue(r.ctx, []*broker.Task{task}); err != nil {
		r.Fatalf("Enqueue of the same task at another client: %v", err)
	}
	m := r.minion()
	r.same(takenOf(m.take(1)), []broker.ID{task.ID})
	m.none()
}

func repeatScheduled(r *rig) {
	m := r.minion()
	task := r.task(after(300 * time.Millisecond))
	due := r.Now().Add(task.Delay)
	r.enqueue(task)
	r.enqueue(task)
	r.before(due, func() { r.in(broker.StateScheduled, task.ID) })
	r.same(takenOf(m.take(1)), []broker.ID{task.ID})
	m.none()
	r.pass(400*time.Millisecond, m)
	m.none()
}

func repeatRunning(r *rig) {
	m, task := r.minion(), r.task()
	r.enqueue(task)
	d := m.take1()
	r.enqueue(task)
	r.in(broker.StateRunning, task.ID)
	m.none()
	m.settle(m.succeed(d))
	m.none()
	r.in(broker.StateSucceeded, task.ID)
}

func repeatRetrying(r *rig) {
	m, task := r.minion(), r.task()
	r.enqueue(task)
	d := m.take1()
	due := r.Now().Add(200 * time.Millisecond)
	m.settle(retry(d, 200*time.Millisecond))
	r.enqueue(task)
	r.before(due, func() { r.in(broker.StateRetrying, task.ID) })
	d = m.take1()
	r.attempt(d, 2, 1, 0)
	r.enqueue(task)
	m.none()
	m.settle(m.succeed(d))
	m.none()
}

func repeatFinal(r *rig) {
	m := r.minion()
	for _, state := range finals {
		task := r.task()
		r.enqueue(task)
		want := m.finish(m.take1(), state)
		m.settle(want)
		r.enqueue(task)
		m.none()
		r.in(state, task.ID)
		r.equal(r.outcome(task.ID), want.Outcome)
	}
}

func repeatCanceled(r *rig) {
	m := r.minion()
	now, later := r.task(), r.task(after(100*time.Millisecond))
	r.enqueue(now, later)
	r.cancel(now.ID, later.ID)
	r.enqueue(now, later)
	r.in(broker.StateCanceled, now.ID, later.ID)
	r.pass(200*time.Millisecond, m)
	m.none()
}

// tombstones returns a settled task for each final state. Their retention is 0, so only their
// states are stored.
func tombstones(r *rig, m *minion) []*broker.Task {
	r.Helper()
	tasks := r.batch(len(finals), kept(0, 0))
	r.enqueue(tasks...)
	for i, d := range m.take(len(tasks)) {
		m.settle(m.finish(d, finals[i]))
	}
	waiting := r.task(kept(0, 0))
	r.enqueue(waiting)
	r.canceled(waiting.ID, broker.CancelPrevented)
	return append(tasks, waiting)
}

func repeatTombstone(r *rig) {
	m := r.minion()
	tasks := tombstones(r, m)
	r.enqueue(tasks...)
	m.none()
	r.pass(300*time.Millisecond, m)
	r.enqueue(tasks...)
	m.none()
}

func repeatTombstoneLasts(r *rig) {
	tasks := tombstones(r, r.minion())
	r.Advance(broker.MinTombstone - time.Minute)
	m := r.minion()
	r.enqueue(tasks...)
	m.none()
}

func repeatUntilRetentionEnds(r *rig) {
	m := r.minion()
	long := r.batch(4, kept(5*time.Hour, 5*time.Hour))
	short := r.batch(4, kept(time.Hour, time.Hour))
	r.enqueue(long...)
	r.enqueue(short...)
	for i, d := range m.take(8) {
		m.settle(m.finish(d, finals[i%4]))
	}
	r.Advance(time.Hour - time.Minute)
	m = r.minion()
	r.enqueue(append(short, long...)...)
	m.none()
	r.Advance(3 * time.Hour)
	m = r.minion()
	beat(m)
	r.enqueue(long...)
	m.none()
}

func repeatInOneBatch(r *rig) {
	a, b := r.task(), r.task()
	r.enqueue(a, b, a, a, b)
	m := r.minion()
	r.same(takenOf(m.take(2)), []broker.ID{a.ID, b.ID})
	m.none()
}

func repeatAmongNew(r *rig) {
	m := r.minion()
	tasks := r.batch(9)
	r.enqueue(tasks[0], tasks[4], tasks[8])
	ds := m.take(3)
	m.settle(m.succeed(ds[0]))
	m.settle(retry(ds[1], time.Minute))
	r.enqueue(tasks...)
	var fresh []*broker.Task
	for i, task := range tasks {
		if i%4 != 0 {
			fresh = append(fresh, task)
		}
	}
	r.same(takenOf(m.take(6)), idsOf(fresh))
	m.none()
}

func repeatConcurrent(r *rig) {
	tasks := r.batch(20)
	brokers := []broker.Broker{r.Broker, r.other()}
	together(many(8, func(i int) {
		if err := brokers[i%2].Enqueue(r.ctx, tasks); err != nil {
			r.Errorf("Enqueue: %v", err)
		}
	})...)
	m := r.minion()
	r.sameSet(takenOf(m.take(20)), idsOf(tasks))
	m.none()
}

func repeatOtherContent(r *rig) {
	m, task := r.minion(), r.task()
	refuse := func() {
		r.Helper()
		other := *task
		other.Payload = []byte("other")
		r.duplicate(r.refused(&other), task.ID, task.ID, "")
		other = *task
		other.Name = "other.name"
		r.duplicate(r.refused(&other), task.ID, task.ID, "")
	}
	r.enqueue(task)
	refuse()
	d := m.take1()
	if string(d.Payload) != string(task.Payload) || d.Name != task.Name {
		r.Fatalf("the refused content was delivered: name %s, payload %q", d.Name, d.Payload)
	}
	refuse()
	m.settle(m.succeed(d))
	refuse()
	m.none()
	r.in(broker.StateSucceeded, task.ID)
}

func repeatOtherContentInOneBatch(r *rig) {
	first := r.task()
	second := *first
	second.Payload = []byte("other")
	errs := r.refusals([]*broker.Task{r.task(), first, &second, r.task()}, 2)
	r.duplicate(errs[2], first.ID, first.ID, "")
	m := r.minion()
	if d := m.take(3)[1]; string(d.Payload) != string(first.Payload) {
		r.Fatalf("the refused content was delivered: payload %q", d.Payload)
	}
	m.none()
}
