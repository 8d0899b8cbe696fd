package brokertest

import (
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A parked task whose time is over, in a queue without consumers, is abandoned. The broker asks a
// consumer of another queue for its outcome, and ends it.
var abandonedTests = []test{
	{"AbandonedEnds", abandonedEnds, needJump | needInspector | needFlows},
	{"AbandonedWaitsForAConsumer", abandonedAskedOf, needJump},
	{"ServedIsNotAbandoned", abandonedServed, needJump},
	{"AbandonedByTheLastConsumer", abandonedByTheLast, needJump},
	{"AbandonedMany", abandonedMany, needJump},
}

// witness is a consumer of another queue that answers with the outcome of abandoned tasks.
type witness struct {
	*minion
	mu    sync.Mutex
	asked []*broker.Delivery
}

func (r *rig) witness(state broker.State) *witness {
	r.Helper()
	w := &witness{}
	w.minion = r.consumer(r.Broker, func(cfg *broker.ConsumerConfig) {
		cfg.OnAbandoned = func(d *broker.Delivery) broker.Outcome {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked = append(w.asked, d)
			return broker.Outcome{State: state, Name: d.Name, Attempts: d.Start - 1, Err: &broker.Failure{Message: "nobody came"}}
		}
	}, "elsewhere")
	return w
}

func (w *witness) heard() []*broker.Delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// abandons parks tasks, and lets their time there pass and most of the time until they are
// abandoned.
func (r *rig) abandons(alive *minion, tasks ...*broker.Task) {
	r.Helper()
	r.parks(tasks...)
	r.pass(time.Hour+broker.AbandonedAfter-5*time.Second, alive)
	for _, st := range r.lookup(idsOf(tasks)...) {
		if st.State.Final() {
			r.Fatalf("a parked task is %s before it is abandoned, want parked or pending", st.State)
		}
	}
}

func abandonedEnds(r *rig) {
	w := r.witness(broker.StateFailed)
	mail := r.mail()
	_, members := r.team(1, inbox(mail.id), keyed("k"), kept(time.Hour, 2*time.Hour))
	task := members[0]
	r.abandons(w.minion, task)
	r.pass(10*time.Second, w.minion)
	r.eventually("the abandoned task has failed", func() bool { return r.lookup(task.ID)[0].State == broker.StateFailed })
	d := w.heard()[0]
	if d.ID != task.ID || d.Name != task.Name || d.Queue != "q" || !d.Overdue || d.Err != nil || d.Attempt != 2 || d.Start != 2 {
		r.Fatalf("the consumer was asked about %+v", d)
	}
	o := r.outcome(task.ID)
	if o.Err == nil || o.Err.Message != "nobody came" || o.Attempts != 1 {
		r.Fatalf("the abandoned task has the outcome %+v", o)
	}
	if l := mail.take(1)[0]; l.ID != task.ID || l.Outcome.State != broker.StateFailed {
		r.Fatalf("the inbox got a notice that task %s is %s", l.ID, l.Outcome.State)
	}
	r.arrived(task, o)
	r.parked()
	r.canceled(task.ID, broker.CancelTooLate)
	next := r.task(keyed("k")) // the key is free
	r.enqueue(next)
	r.canceled(next.ID, broker.CancelPrevented)
	if dead := deadLetters(r, "q", 10); len(dead) != 1 || dead[task.ID] == nil {
		r.Fatalf("DeadLetters returned %v, want the abandoned task", dead)
	}
	requeue(r, task.ID)
	m := r.minion()
	again := m.take1()
	if again.ID != task.ID || again.Overdue || again.Start != 2 || again.Attempt <= 2 {
		r.Fatalf("the requeued task is handed out as %+v", again)
	}
	m.settle(m.succeed(again))
	r.in(broker.StateSucceeded, task.ID)
}

// The task waits until there is a consumer that can be asked, and until the answer is a failure.
func abandonedAskedOf(r *rig) {
	task := r.task()
	r.parks(task)
	r.pass(2 * time.Hour)
	waits := func(why string) {
		r.Helper()
		if st := r.lookup(task.ID)[0]; st.State.Final() {
			r.Fatalf("the task is %s, although %s", st.State, why)
		}
	}
	waits("there is no consumer")
	other := r.minion("elsewhere")
	r.pass(2*broker.AbandonedAfter, other)
	waits("no consumer can be asked")
	w := r.witness(broker.StateSucceeded)
	r.eventually("the consumer is asked for the outcome of the abandoned task", func() bool { beat(w.minion); return len(w.heard()) > 0 })
	r.pass(2*broker.AbandonedAfter, w.minion)
	waits("the answer is no failure")
	w.close()
	w = r.witness(broker.StateFailed)
	r.eventually("the task has failed", func() bool {
		r.pass(broker.AbandonedAfter, w.minion)
		return r.lookup(task.ID)[0].State == broker.StateFailed
	})
}

// A task is not abandoned while its queue has a consumer, or had one a short time ago: that
// consumer may be able to run it.
func abandonedServed(r *rig) {
	w := r.witness(broker.StateFailed)
	task := r.task()
	r.parks(task)
	served := r.minion()
	r.pass(time.Hour+2*broker.AbandonedAfter, w.minion, served)
	if len(w.heard()) > 0 {
		r.Fatalf("a consumer of another queue was asked, although the queue has a consumer")
	}
	d := served.take1()
	if d.ID != task.ID || !d.Overdue {
		r.Fatalf("the consumer of the queue got %+v, want the overdue task", d)
	}
	served.close() // gives the task back
	r.pass(broker.AbandonedAfter-5*time.Second, w.minion)
	if len(w.heard()) > 0 {
		r.Fatalf("a consumer of another queue was asked right after the last consumer of the queue had closed")
	}
	knows := r.knowing("test.task")
	knows.settle(knows.succeed(knows.take1()))
	r.in(broker.StateSucceeded, task.ID)
	r.pass(2*broker.AbandonedAfter, w.minion, knows)
	r.in(broker.StateSucceeded, task.ID)
}

// The queue still has a consumer when the time of its parked tasks is over. The consumer takes some
// of them and leaves. All of them are abandoned then.
func abandonedByTheLast(r *rig) {
	w := r.witness(broker.StateFailed)
	tasks := r.batch(3)
	served := r.minion()
	for _, task := range tasks[:2] { // one after the other, so the second becomes overdue while the first one is held
		r.parks(task)
		r.pass(time.Hour+time.Second, w.minion, served)
		if d := served.take1(); d.ID != task.ID || !d.Overdue {
			r.Fatalf("the consumer of the queue got %+v, want the overdue task", d)
		}
	}
	r.parks(tasks[2])
	other := r.task()
	r.enqueue(other)
	r.pass(time.Hour+time.Second, w.minion, served)
	if d := served.take1(); d.ID != other.ID {
		r.Fatalf("the consumer of the queue got %s, want the task that was pending first", d.ID)
	}
	r.in(broker.StatePending, tasks[2].ID)
	served.close()
	r.pass(broker.AbandonedAfter-5*time.Second, w.minion)
	if len(w.heard()) > 0 {
		r.Fatalf("a consumer of another queue was asked right after the last consumer of the queue had closed")
	}
	r.pass(10*time.Second, w.minion)
	r.eventually("the abandoned tasks have failed", func() bool {
		for _, st := range r.lookup(idsOf(tasks)...) {
			if st.State != broker.StateFailed {
				return false
			}
		}
		return true
	})
	r.in(broker.StatePending, other.ID)
}

// Many abandoned tasks end, and the other waiting tasks of the queue stay.
func abandonedMany(r *rig) {
	w := r.witness(broker.StateFailed)
	others := append(r.batch(300), r.batch(300, after(time.Minute))...)
	tasks := r.batch(broker.MaxBatch + 500)
	r.parks(tasks...)
	r.enqueue(others...)
	r.pass(time.Hour+2*broker.AbandonedAfter, w.minion)
	r.eventually("all abandoned tasks have failed", func() bool {
		for from := 0; from < len(tasks); from += broker.MaxBatch {
			for _, st := range r.lookup(idsOf(tasks[from:min(from+broker.MaxBatch, len(tasks))])...) {
				if st.State != broker.StateFailed {
					return false
				}
			}
		}
		return true
	})
	r.in(broker.StatePending, idsOf(others)...)
}
