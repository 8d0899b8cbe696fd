package brokertest

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var dequeueTests = []test{
	{"FirstInFirstOut", dequeueFIFO, 0},
	{"FirstInFirstOutOverConsumers", dequeueFIFOOverConsumers, 0},
	{"AtMostMax", dequeueMax, 0},
	{"OrderOfQueues", dequeueOrderOfQueues, 0},
	{"SomeOfTheQueues", dequeueSomeQueues, 0},
	{"NothingOfOtherQueues", dequeueOtherQueues, 0},
	{"ManyQueues", dequeueManyQueues, 0},
	{"WaitElapses", dequeueWaitElapses, 0},
	{"WithoutWaiting", dequeueWithoutWaiting, 0},
	{"EachTaskOnce", dequeueEachTaskOnce, 0},
	{"ContextEnds", dequeueContextEnds, 0},
	{"ContextEndsLosesNothing", dequeueContextEndsLosesNothing, 0},
}

func dequeueFIFO(r *rig) {
	tasks := r.batch(60)
	for i := 0; i < 30; i += 3 {
		r.enqueue(tasks[i : i+3]...)
	}
	for _, task := range tasks[30:] {
		r.enqueue(task)
	}
	m := r.minion()
	var got []broker.ID
	for _, n := range []int{1, 9, 1, 1, 40, 8} {
		got = append(got, takenOf(m.take(n))...)
	}
	r.same(got, idsOf(tasks))
}

func dequeueFIFOOverConsumers(r *rig) {
	a, b := r.minion(), r.minionAt(r.other())
	tasks := r.batch(12)
	r.enqueue(tasks...)
	var got []broker.ID
	for range 3 {
		got = append(got, takenOf(a.take(1))...)
		got = append(got, takenOf(b.take(3))...)
	}
	r.same(got, idsOf(tasks))
}

func dequeueMax(r *rig) {
	m := r.minion()
	tasks := r.batch(20)
	r.enqueue(tasks...)
	var got []broker.ID
	for len(got) < 20 {
		max := 1 + len(got)%4
		ds, err := m.Dequeue(r.ctx, m.queues, max, 0)
		if err != nil || len(ds) == 0 {
			r.Fatalf("Dequeue returned %d tasks, %v", len(ds), err)
		}
		m.check(ds, m.queues, max)
		got = append(got, takenOf(ds)...)
	}
	r.same(got, idsOf(tasks))
}

func dequeueOrderOfQueues(r *rig) {
	m := r.minion("a", "b", "c")
	a, b, c := r.batch(2, onQueue("a")), r.batch(2, onQueue("b")), r.batch(2, onQueue("c"))
	for i := range 2 {
		r.enqueue(a[i], b[i], c[i])
	}
	want := append(append(idsOf(c), idsOf(a)...), idsOf(b)...)
	r.same(takenOf(m.takeFrom([]string{"c", "a", "b"}, 6)), want)

	r.enqueue(r.batch(3, onQueue("a"))...)
	first := r.task(onQueue("b"))
	r.enqueue(first)
	r.Advance(r.Slack) // a broker may learn of the tasks of each queue at a different moment
	r.same(takenOf(m.takeFrom([]string{"b", "a"}, 1)), []broker.ID{first.ID})
}

func dequeueSomeQueues(r *rig) {
	m := r.minion("a", "b")
	a, b := r.task(onQueue("a")), r.task(onQueue("b"))
	r.enqueue(a, b)
	r.same(takenOf(m.takeFrom([]string{"b"}, 1)), []broker.ID{b.ID})
	if ds, err := m.Dequeue(r.ctx, []string{"b"}, 5, r.Slack); err != nil || len(ds) != 0 {
		r.Fatalf("Dequeue of queue b alone returned %v, %v", takenOf(ds), err)
	}
	r.same(takenOf(m.takeFrom([]string{"a"}, 1)), []broker.ID{a.ID})
}

func dequeueOtherQueues(r *rig) {
	r.enqueue(r.task(onQueue("q1")), r.task(onQueue("Q")), r.task(onQueue("q.")), r.task(onQueue("default")))
	r.minion("q").none()
}

func dequeueManyQueues(r *rig) {
	var queues []string
	var tasks []*broker.Task
	for i := range 26 {
		queues = append(queues, string(rune('a'+i)))
		tasks = append(tasks, r.task(onQueue(queues[i])))
	}
	r.enqueue(tasks...)
	m := r.minion(queues...)
	r.same(takenOf(m.take(26)), idsOf(tasks))
	m.none()
}

func dequeueWaitElapses(r *rig) {
	const wait = 200 * time.Millisecond
	for _, queues := range [][]string{{"q"}, {"q", "r"}} {
		m := r.minion(queues...)
		got := <-m.waiting(r.ctx, 3, wait)
		if got.err != nil || len(got.tasks) != 0 {
			r.Fatalf("Dequeue from an empty queue returned %d tasks, %v", len(got.tasks), got.err)
		}
		if got.took > wait+r.prompt() {
			r.Fatalf("Dequeue returned after %v, want %v", got.took, wait)
		}
		m.close()
	}
}

func dequeueWithoutWaiting(r *rig) {
	for _, queues := range [][]string{{"q"}, {"q", "r"}} {
		m := r.minion(queues...)
		start := time.Now()
		ds, err := m.Dequeue(r.ctx, m.queues, 3, 0)
		if took := time.Since(start); err != nil || len(ds) != 0 || took > r.prompt() {
			r.Fatalf("Dequeue without a wait returned %d tasks, %v, after %v", len(ds), err, took)
		}
		task := r.task()
		r.enqueue(task)
		if ds, err = m.Dequeue(r.ctx, m.queues, 3, 0); err != nil {
			r.Fatalf("Dequeue: %v", err)
		}
		r.same(takenOf(ds), []broker.ID{task.ID})
		m.settle(m.succeed(ds[0]))
		m.close()
	}
}

func dequeueEachTaskOnce(r *rig) {
	const consumers, each = 8, 100
	tasks := r.batch(consumers * each)
	other := r.other()
	minions := make([]*minion, consumers)
	for i := range minions {
		if minions[i] = r.minion(); i%2 == 1 {
			minions[i] = r.minionAt(other)
		}
	}
	taken := make([][]broker.ID, consumers)
	fns := many(consumers, func(i int) {
		for {
			ds, err := minions[i].Dequeue(r.ctx, []string{"q"}, 1+i, r.Slack*2)
			if err != nil {
				r.Errorf("Dequeue: %v", err)
				return
			}
			if len(ds) == 0 {
				return
			}
			taken[i] = append(taken[i], takenOf(ds)...)
		}
	})
	r.enqueue(tasks[:len(tasks)/2]...)
	together(append(fns, func() {
		for i := len(tasks) / 2; i < len(tasks); i += 50 {
			if err := r.Broker.Enqueue(r.ctx, tasks[i:i+50]); err != nil {
				r.Errorf("Enqueue: %v", err)
			}
		}
	})...)
	var all []broker.ID
	for _, ids := range taken {
		all = append(all, ids...)
	}
	all = append(all, takenOf(r.minion().tryTake(len(tasks)))...)
	r.sameSet(all, idsOf(tasks))
}

func dequeueContextEnds(r *rig) {
	for _, queues := range [][]string{{"q"}, {"q", "r"}} {
		m := r.minion(queues...)
		ctx, cancel := context.WithCancel(r.ctx)
		done := m.waiting(ctx, 3, patience)
		start := time.Now()
		cancel()
		got := <-done
		r.is(got.err, context.Canceled)
		if late := got.at.Sub(start); late > r.prompt() || len(got.tasks) != 0 {
			r.Fatalf("Dequeue returned %d tasks, %v after its context ended; want none, at once", len(got.tasks), late)
		}
		other := r.minion(queues...)
		task := r.task()
		r.enqueue(task) // the dequeue that gave up must not take this task
		d := other.take1()
		r.same([]broker.ID{d.ID}, []broker.ID{task.ID})
		other.settle(other.succeed(d))
		m.close()
		other.close()
	}
}

// A context ends while a task becomes pending. This dequeue returns the task, or the next one does.
func dequeueContextEndsLosesNothing(r *rig) {
	for _, queues := range [][]string{{"q"}, {"q", "r"}} {
		m := r.minion(queues...)
		for i := range 25 {
			ctx, cancel := context.WithCancel(r.ctx)
			done := make(chan dequeued, 1)
			go func() {
				ds, err := m.Dequeue(ctx, queues, 2, patience)
				done <- dequeued{tasks: ds, err: err}
			}()
			if i%2 == 0 {
				r.idle()
			}
			task := r.task()
			together(cancel, func() {
				if err := r.Broker.Enqueue(r.ctx, []*broker.Task{task}); err != nil {
					r.Errorf("Enqueue: %v", err)
				}
			})
			got := <-done
			if got.err != nil {
				r.is(got.err, context.Canceled)
				if len(got.tasks) > 0 {
					r.Fatalf("Dequeue returned tasks together with an error")
				}
				got.tasks = m.take(1)
			}
			r.same(takenOf(got.tasks), []broker.ID{task.ID})
			r.attempt(got.tasks[0], 1, 0, 0)
			m.settle(m.succeed(got.tasks[0]))
		}
		m.close()
	}
}
