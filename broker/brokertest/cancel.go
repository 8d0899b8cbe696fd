package brokertest

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A waiting task that is cancelled is final at once, and never starts.
var cancelTests = []test{
	{"Verdicts", cancelVerdicts, 0},
	{"Nothing", func(r *rig) { r.cancel() }, 0},
	{"Unknown", cancelUnknown, 0},
	{"Repeated", cancelRepeated, 0},
	{"TwiceInOneBatch", cancelTwiceInOneBatch, 0},
	{"WaitingNeverStarts", cancelWaitingNeverStarts, 0},
	{"ScheduledNeverStarts", cancelScheduled, 0},
	{"RetryingNeverStarts", cancelRetrying, 0},
	{"GivenBackNeverStarts", cancelGivenBack, needLapse},
	{"AmongOthers", cancelAmongOthers, 0},
	{"All", cancelAll, 0},
	{"MoreThanMaxBatch", cancelMoreThanMaxBatch, 0},
	{"Outcome", cancelOutcome, 0},
	{"AcrossQueues", cancelAcrossQueues, 0},
	{"WaitingConsumerIsNotStuck", cancelWaitingConsumer, 0},
	{"IsByID", cancelThenNewTask, 0},
	{"RacesWithDequeue", cancelRaces, 0},
}

func cancelVerdicts(r *rig) {
	m := r.minion()
	running := r.batch(6)
	r.enqueue(running...)
	var ids []broker.ID
	for i, d := range m.take(6) {
		ids = append(ids, d.ID)
		switch {
		case i < 4:
			m.settle(m.finish(d, finals[i]))
		case i == 4:
			m.settle(retry(d, time.Hour))
		}
	}
	pending, scheduled := r.task(), r.task(after(time.Hour))
	r.enqueue(pending, scheduled)
	ids = append(ids, pending.ID, broker.NewID(broker.KindTask, "q", 0), scheduled.ID)
	want := []broker.CancelVerdict{
		broker.CancelTooLate, broker.CancelTooLate, broker.CancelTooLate, broker.CancelTooLate,
		broker.CancelPrevented, broker.CancelRequested,
		broker.CancelPrevented, broker.CancelUnknown, broker.CancelPrevented,
	}
	if got := r.cancel(ids...); !slices.Equal(got, want) {
		r.Fatalf("verdicts are %v, want %v", got, want)
	}
	for i, st := range r.lookup(ids[:4]...) { // a cancel that was too late changes nothing
		if st.State != finals[i] {
			r.Fatalf("task %d is %s after a cancel that was too late, want %s", i, st.State, finals[i])
		}
	}
	r.in(broker.StateCanceled, ids[4], ids[6], ids[8])
	r.in(broker.StateRunning, ids[5])
	r.in(broker.StateUnknown, ids[7])
	m.none()
}

func cancelUnknown(r *rig) {
	task := r.task()
	r.canceled(task.ID, broker.CancelUnknown)
	r.enqueue(task) // a cancel of an unknown id does not forbid a later task with that id
	r.same(takenOf(r.minion().take(1)), []broker.ID{task.ID})
}

func cancelRepeated(r *rig) {
	m := r.minion()
	pending, running := r.task(), r.task()
	r.enqueue(running)
	d := m.take1()
	r.enqueue(pending)
	r.canceled(pending.ID, broker.CancelPrevented)
	for range 3 {
		r.canceled(pending.ID, broker.CancelTooLate)
		r.canceled(running.ID, broker.CancelRequested)
	}
	m.settle(m.finish(d, broker.StateCanceled))
	r.canceled(running.ID, broker.CancelTooLate)
	m.none()
}

func cancelTwiceInOneBatch(r *rig) {
	m, mail := r.minion(), r.mail()
	pending, running := r.task(inbox(mail.id)), r.task()
	r.enqueue(running)
	d := m.take1()
	r.enqueue(pending)
	got := r.cancel(pending.ID, running.ID, pending.ID, running.ID)
	if got[0] != broker.CancelPrevented || got[1] != broker.CancelRequested || got[3] != broker.CancelRequested ||
		(got[2] != broker.CancelPrevented && got[2] != broker.CancelTooLate) {
		r.Fatalf("verdicts on one id that is twice in the batch are %v", got)
	}
	mail.take(1)
	mail.none()
	m.settle(m.finish(d, broker.StateCanceled))
	m.none()
}

func cancelWaitingNeverStarts(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	r.canceled(task.ID, broker.CancelPrevented)
	r.in(broker.StateCanceled, task.ID)
	m.none()
	r.enqueue(r.task())
	m.settle(m.succeed(m.take1()))
	m.none()
	m.close()
	r.minion().none()
}

func cancelScheduled(r *rig) {
	m := r.minion()
	tasks := r.batch(3, after(100*time.Millisecond))
	r.enqueue(tasks...)
	r.canceled(tasks[1].ID, broker.CancelPrevented)
	r.in(broker.StateCanceled, tasks[1].ID)
	r.sameSet(takenOf(m.take(2)), []broker.ID{tasks[0].ID, tasks[2].ID})
	r.pass(50*time.Millisecond, m)
	m.none()
	r.in(broker.StateCanceled, tasks[1].ID)
}

func cancelRetrying(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	m.settle(retry(m.take1(), 80*time.Millisecond))
	r.canceled(task.ID, broker.CancelPrevented)
	r.in(broker.StateCanceled, task.ID)
	r.pass(120*time.Millisecond, m)
	m.none()
	r.in(broker.StateCanceled, task.ID)
}

func cancelGivenBack(r *rig) {
	m, dying := r.minion(), r.minion()
	tasks := r.batch(4)
	r.enqueue(tasks...)
	dying.take(1) // returns to the queue when its owner dies
	m.settle(giveBack(m.take1()), retry(m.take1(), 0))
	r.reap([]*minion{m}, dying)
	r.back([]broker.ID{tasks[0].ID, tasks[1].ID, tasks[3].ID}, m)
	for _, task := range tasks[:3] {
		r.canceled(task.ID, broker.CancelPrevented)
	}
	r.same(takenOf(m.take(1)), []broker.ID{tasks[3].ID})
	m.none()
}

func cancelAmongOthers(r *rig) {
	m := r.minion()
	tasks := r.batch(40)
	r.enqueue(tasks...)
	var cancelled []broker.ID
	var stay []broker.ID
	for i, task := range tasks {
		if i < 5 || i%3 == 0 || i > 35 {
			cancelled = append(cancelled, task.ID)
			continue
		}
		stay = append(stay, task.ID)
	}
	for i, verdict := range r.cancel(cancelled...) {
		if verdict != broker.CancelPrevented {
			r.Fatalf("the verdict on task %d is %q", i, verdict)
		}
	}
	last := r.task()
	r.enqueue(last)
	var got []broker.ID
	for range len(stay) + 1 { // one by one, so each dequeue has to skip cancelled tasks
		got = append(got, takenOf(m.take(1))...)
	}
	r.same(got, append(stay, last.ID))
	m.none()
	r.in(broker.StateCanceled, cancelled...)
}

func cancelAll(r *rig) {
	m := r.minion()
	for range 3 {
		tasks := r.batch(20)
		r.enqueue(tasks...)
		for _, verdict := range r.cancel(idsOf(tasks)...) {
			if verdict != broker.CancelPrevented {
				r.Fatalf("the verdict is %q", verdict)
			}
		}
		m.none()
	}
	task := r.task()
	r.enqueue(task)
	r.same(takenOf(m.take(1)), []broker.ID{task.ID})
}

func cancelMoreThanMaxBatch(r *rig) {
	const n = 2*broker.MaxBatch + 345
	m := r.minion()
	tasks := r.batch(n)
	r.enqueue(tasks...)
	for i, verdict := range r.cancel(idsOf(tasks[:n-1])...) {
		if verdict != broker.CancelPrevented {
			r.Fatalf("the verdict on task %d is %q", i, verdict)
		}
	}
	r.in(broker.StateCanceled, idsOf(tasks[:n-1])...)
	r.same(takenOf(m.take(1)), idsOf(tasks[n-1:]))
	m.none()
}

func cancelOutcome(r *rig) {
	m, mail := r.minion(), r.mail()
	retrying, pending, scheduled := r.task(inbox(mail.id)), r.task(inbox(mail.id)), r.task(inbox(mail.id), after(time.Hour))
	r.enqueue(retrying)
	m.settle(retry(m.take1(), time.Hour))
	r.enqueue(pending, scheduled)
	r.cancel(retrying.ID, pending.ID, scheduled.ID)
	notices := map[broker.ID]broker.Outcome{}
	for _, l := range mail.take(3) {
		notices[l.ID] = l.Outcome
	}
	for _, task := range []*broker.Task{retrying, pending, scheduled} {
		o := r.outcome(task.ID)
		if o.State != broker.StateCanceled || !o.Minion.IsZero() || len(o.Result) > 0 || !o.Started.IsZero() {
			r.Fatalf("the outcome of a task that was cancelled while it waited is %+v", o)
		}
		r.equal(notices[task.ID], o)
	}
	mail.none()
}

func cancelAcrossQueues(r *rig) {
	a, b := r.batch(2, onQueue("a")), r.batch(2, onQueue("b"))
	r.enqueue(append(a, b...)...)
	r.cancelAt(r.other(), b[1].ID, a[0].ID)
	m := r.minion("a", "b")
	r.same(takenOf(m.take(2)), []broker.ID{a[1].ID, b[0].ID})
	m.none()
}

// A dequeue is woken by tasks that are cancelled before it gets them. It must go on waiting, and be
// woken by the next task.
func cancelWaitingConsumer(r *rig) {
	m := r.minion()
	done := m.waiting(r.ctx, 5, patience)
	const wait = time.Second // long enough that each task is cancelled before it is due
	for range 10 {
		task := r.task(after(wait))
		r.enqueue(task)
		r.canceled(task.ID, broker.CancelPrevented)
	}
	r.Advance(wait + 50*time.Millisecond)
	task := r.task()
	start := time.Now()
	r.enqueue(task)
	r.same(takenOf(r.woken(done, start)), []broker.ID{task.ID})
}

// A cancel is remembered by the id of the task, not by its content or its position in the queue.
func cancelThenNewTask(r *rig) {
	m := r.minion()
	old := r.task()
	r.enqueue(old)
	r.canceled(old.ID, broker.CancelPrevented)
	fresh := *old
	fresh.ID = broker.NewID(broker.KindTask, "q", 0)
	r.enqueue(&fresh)
	r.same(takenOf(m.take(1)), []broker.ID{fresh.ID})
	m.none()
}

// Cancels race with dequeues. A prevented task is never handed out, and every other task is.
func cancelRaces(r *rig) {
	n := 10_000
	if r.light {
		n = 2000
	}
	const consumers, cancellers = 3, 3
	tasks := r.batch(n)
	ids := idsOf(tasks)
	r.enqueue(tasks...)
	other := r.other()
	minions := make([]*minion, consumers)
	for i := range minions {
		if minions[i] = r.minion(); i%2 == 1 {
			minions[i] = r.minionAt(other)
		}
	}
	var mu sync.Mutex
	prevented, taken := map[broker.ID]bool{}, map[broker.ID]int{}
	var busy atomic.Int32
	busy.Store(cancellers)
	dequeue := many(consumers, func(i int) {
		m := minions[i]
		for last := false; ; {
			stop := busy.Load() == 0
			ds, err := m.Dequeue(r.ctx, m.queues, 1+3*i, r.Slack)
			if err != nil {
				r.Errorf("Dequeue: %v", err)
				return
			}
			var batch []broker.Settlement
			mu.Lock()
			for _, d := range ds {
				taken[d.ID]++
				batch = append(batch, m.succeed(d))
			}
			mu.Unlock()
			if errs, err := m.Settle(r.ctx, batch); err != nil || slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
				r.Errorf("Settle: %v, %v", errs, err)
			}
			if err := m.Heartbeat(r.ctx, broker.Load{}); err != nil {
				r.Errorf("Heartbeat: %v", err)
				return
			}
			if last && len(ds) == 0 {
				return
			}
			last = stop && len(ds) == 0
		}
	})
	cancel := many(cancellers, func(i int) {
		defer busy.Add(-1)
		rng := rand.New(rand.NewPCG(uint64(i), 3))
		for at := i * n / cancellers; at < (i+1)*n/cancellers; {
			part := ids[n-1-min(n-1, at+rng.IntN(12)) : n-at] // from the end, so cancels and dequeues meet in the middle
			at += len(part)
			verdicts, err := other.Cancel(r.ctx, part)
			if err != nil {
				r.Errorf("Cancel: %v", err)
				return
			}
			mu.Lock()
			for j, verdict := range verdicts {
				if verdict == broker.CancelPrevented {
					prevented[part[j]] = true
				}
			}
			mu.Unlock()
			runtime.Gosched() // in a bubble, a sleep would let the other goroutines finish first
		}
	})
	together(append(dequeue, cancel...)...)
	for i, st := range r.lookup(ids...) {
		switch {
		case prevented[st.ID] && taken[st.ID] > 0:
			r.Fatalf("task %d was handed out, although the verdict of its cancel was CancelPrevented", i)
		case prevented[st.ID]:
			if st.State != broker.StateCanceled {
				r.Fatalf("task %d is %s, want canceled", i, st.State)
			}
		case taken[st.ID] != 1:
			r.Fatalf("task %d was not prevented, and was handed out %d times, want once", i, taken[st.ID])
		case st.State != broker.StateSucceeded:
			r.Fatalf("task %d is %s, want succeeded", i, st.State)
		}
	}
	r.Logf("the cancels prevented %d of %d tasks", len(prevented), n)
}
