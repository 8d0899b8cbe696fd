package brokertest

import (
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A broker does not poll: a task that becomes pending wakes a waiting consumer.
var wakeTests = []test{
	{"ByEnqueue", wakeByEnqueue, 0},
	{"ByEnqueueElsewhere", wakeByEnqueueElsewhere, 0},
	{"AnyQueue", wakeAnyQueue, 0},
	{"AllIdle", wakeAllIdle, 0},
	{"AllIdleOneByOne", wakeAllIdleOneByOne, 0},
	{"AllIdleOfSeveralQueues", wakeAllIdleOfSeveralQueues, 0},
	{"PastAConsumerThatGaveUp", wakePastOneThatGaveUp, 0},
	{"ByGiveBack", wakeByGiveBack, 0},
	{"ByRetry", wakeByRetry, 0},
	{"ByClose", wakeByClose, 0},
	{"ByDeath", wakeByDeath, needLapse},
	{"ByRequeue", wakeByRequeue, needInspector},
	{"AgainAndAgain", wakeAgainAndAgain, 0},
}

func wakeByEnqueue(r *rig) {
	m, task := r.minion(), r.task()
	done := m.waiting(r.ctx, 5, patience)
	start := time.Now()
	r.enqueue(task)
	r.same(takenOf(r.woken(done, start)), []broker.ID{task.ID})
}

func wakeByEnqueueElsewhere(r *rig) {
	other := r.other()
	m, task := r.minion(), r.task()
	done := m.waiting(r.ctx, 5, patience)
	start := time.Now()
	if err := other.Enqueue(r.ctx, []*broker.Task{task}); err != nil {
		r.Fatalf("Enqueue: %v", err)
	}
	r.same(takenOf(r.woken(done, start)), []broker.ID{task.ID})
}

func wakeAnyQueue(r *rig) {
	m := r.minion("a", "b", "c")
	for _, queue := range []string{"c", "a", "b", "b"} {
		task := r.task(onQueue(queue))
		done := m.waiting(r.ctx, 5, patience)
		start := time.Now()
		r.enqueue(task)
		r.same(takenOf(r.woken(done, start)), []broker.ID{task.ID})
	}
}

// crowd returns n dequeues that wait for one task each.
func crowd(r *rig, n int, queues ...string) []<-chan dequeued {
	r.Helper()
	other := r.other()
	dones := make([]<-chan dequeued, n)
	for i := range dones {
		b := r.Broker
		if i%2 == 1 {
			b = other
		}
		dones[i] = r.minionAt(b, queues...).start(r.ctx, 1, patience)
	}
	r.idle()
	return dones
}

func wakeAllIdle(r *rig) {
	dones := crowd(r, 8, "q")
	tasks := r.batch(8)
	start := time.Now()
	r.enqueue(tasks...)
	var got []broker.ID
	for _, done := range dones {
		got = append(got, takenOf(r.woken(done, start))...)
	}
	r.sameSet(got, idsOf(tasks))
}

func wakeAllIdleOneByOne(r *rig) {
	dones := crowd(r, 5, "q")
	for range dones {
		task := r.task()
		start := time.Now()
		r.enqueue(task)
		// Exactly one of the dequeues gets the task. The others go on waiting.
		i, got := first(dones)
		if got.err != nil || len(got.tasks) != 1 || got.at.Sub(start) > r.prompt() {
			r.Fatalf("a waiting Dequeue returned %d tasks, %v, after %v", len(got.tasks), got.err, got.at.Sub(start))
		}
		r.same(takenOf(got.tasks), []broker.ID{task.ID})
		dones = slices.Delete(slices.Clone(dones), i, i+1)
	}
}

// first returns the first of the dequeues that returns.
func first(dones []<-chan dequeued) (int, dequeued) {
	for {
		for i, done := range dones {
			select {
			case got := <-done:
				return i, got
			default:
			}
		}
		time.Sleep(time.Millisecond / 4)
	}
}

func wakeAllIdleOfSeveralQueues(r *rig) {
	dones := slices.Concat(crowd(r, 3, "a", "b"), crowd(r, 3, "b", "a"))
	tasks := slices.Concat(r.batch(3, onQueue("a")), r.batch(3, onQueue("b")))
	start := time.Now()
	r.enqueue(tasks...)
	var got []broker.ID
	for _, done := range dones {
		got = append(got, takenOf(r.woken(done, start))...)
	}
	r.sameSet(got, idsOf(tasks))
}

// A wake-up that went to a consumer that has stopped waiting is passed on.
func wakePastOneThatGaveUp(r *rig) {
	quitter, m := r.minion(), r.minion()
	quit := quitter.waiting(r.ctx, 1, 100*time.Millisecond)
	done := m.waiting(r.ctx, 1, patience)
	if got := <-quit; got.err != nil || len(got.tasks) != 0 {
		r.Fatalf("Dequeue from an empty queue returned %d tasks, %v", len(got.tasks), got.err)
	}
	task := r.task()
	start := time.Now()
	r.enqueue(task)
	r.same(takenOf(r.woken(done, start)), []broker.ID{task.ID})
}

func wakeByGiveBack(r *rig) { wakeBySettling(r, giveBack) }

func wakeByRetry(r *rig) {
	wakeBySettling(r, func(d *broker.Delivery) broker.Settlement { return retry(d, 0) })
}

func wakeBySettling(r *rig, settle func(d *broker.Delivery) broker.Settlement) {
	owner, m := r.minion(), r.minionAt(r.other())
	r.enqueue(r.batch(3)...)
	ds := owner.take(3)
	done := m.waiting(r.ctx, 1, patience)
	start := time.Now()
	owner.settle(settle(ds[1]))
	r.same(takenOf(r.woken(done, start)), []broker.ID{ds[1].ID})
}

func wakeByClose(r *rig) {
	owner, m := r.minion(), r.minionAt(r.other())
	r.enqueue(r.batch(3)...)
	ds := owner.take(3)
	done := m.waiting(r.ctx, 1, patience)
	start := time.Now()
	owner.close()
	first := r.woken(done, start)
	r.sameSet(append(takenOf(first), takenOf(m.take(2))...), takenOf(ds))
}

func wakeByDeath(r *rig) {
	dying, m, keeper := r.minion(), r.minion(), r.minion("elsewhere", "q")
	task := r.task()
	r.enqueue(task)
	dying.take1()
	done := m.waiting(r.ctx, 1, 3*r.Lease)
	r.pass(r.Lease+r.Slack, keeper, m)
	r.eventually("the waiting Dequeue returns the task", func() bool {
		beat(keeper, m)
		return len(done) > 0
	})
	got := <-done
	if got.err != nil {
		r.Fatalf("Dequeue: %v", got.err)
	}
	r.same(takenOf(got.tasks), []broker.ID{task.ID})
	r.attempt(got.tasks[0], 2, 0, 1)
}

func wakeByRequeue(r *rig) {
	m, waiter := r.minion(), r.minionAt(r.other())
	task := r.task()
	r.enqueue(task)
	m.settle(m.finish(m.take1(), broker.StateFailed))
	done := waiter.waiting(r.ctx, 1, patience)
	start := time.Now()
	requeue(r, task.ID)
	r.same(takenOf(r.woken(done, start)), []broker.ID{task.ID})
}

// A consumer that begins to wait just when a task becomes pending is woken too.
func wakeAgainAndAgain(r *rig) {
	rounds := 300
	if r.light {
		rounds = 100
	}
	m, other := r.minion(), r.other()
	for i := range rounds {
		task := r.task()
		b := r.Broker
		if i%2 == 1 {
			b = other
		}
		var got dequeued
		var enqueued time.Time
		together(func() {
			got.tasks, got.err = m.Dequeue(r.ctx, m.queues, 1, patience)
			got.at = time.Now()
		}, func() {
			if err := b.Enqueue(r.ctx, []*broker.Task{task}); err != nil {
				r.Errorf("Enqueue: %v", err)
			}
			enqueued = time.Now()
		})
		if late := got.at.Sub(enqueued); got.err != nil || len(got.tasks) != 1 || late > r.prompt() {
			r.Fatalf("round %d: Dequeue returned %d tasks, %v, after %v", i, len(got.tasks), got.err, late)
		}
		m.settle(m.succeed(got.tasks[0]))
	}
}
