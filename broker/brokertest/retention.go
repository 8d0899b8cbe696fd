package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// An outcome is stored as long as the task asks for. After that it reads as absent.
var retentionTests = []test{
	{"ReadableUntilItsEnd", retentionReadable, 0},
	{"PerTask", retentionPerTask, 0},
	{"FromTheFinalState", retentionFromFinal, 0},
	{"ZeroKeepsNone", retentionZero, 0},
	{"OfCancelledWhileWaiting", retentionOfCanceled, 0},
	{"OfFailed", retentionOfFailed, 0},
	{"DeadLettersEnd", retentionDeadLetters, needInspector},
	{"AbsentToCancelAndRequeue", retentionAbsent, needInspector},
	{"Hours", retentionHours, needJump},
	{"LongOneDoesNotPinOthers", retentionDoesNotPin, needJump},
	{"WaitingTaskOutlivesOthers", retentionWaiting, needJump},
	{"DeadLettersForWeeks", retentionDeadWeeks, needJump | needInspector},
}

// absent checks that nothing is stored of a task, except that its final state may be.
func (r *rig) absent(state broker.State, ids ...broker.ID) {
	r.Helper()
	for _, st := range r.lookup(ids...) {
		if st.Outcome != nil || (st.State != broker.StateUnknown && st.State != state) {
			r.Fatalf("task %s is %s with the outcome %v after its retention; want no outcome", st.ID, st.State, st.Outcome)
		}
	}
}

func retentionReadable(r *rig) {
	const keep = time.Second
	m := r.minion()
	for _, state := range finals {
		task := r.task(kept(keep, keep))
		r.enqueue(task)
		s := m.finish(m.take1(), state)
		end := r.Now().Add(keep)
		m.settle(s)
		r.pass(keep/2, m)
		r.before(end, func() { r.equal(r.outcome(task.ID), s.Outcome) })
		r.pass(keep/2+r.Slack, m)
		r.absent(state, task.ID)
	}
}

func retentionPerTask(r *rig) {
	m := r.minion()
	tasks := []*broker.Task{
		r.task(kept(time.Hour, time.Hour)), r.task(kept(300*time.Millisecond, time.Hour)),
		r.task(kept(time.Minute, time.Hour)), r.task(kept(0, time.Hour)),
	}
	r.enqueue(tasks...)
	for _, d := range m.take(4) {
		m.settle(m.succeed(d))
	}
	r.pass(300*time.Millisecond+r.Slack, m)
	r.in(broker.StateSucceeded, tasks[0].ID, tasks[2].ID)
	r.outcome(tasks[0].ID)
	r.outcome(tasks[2].ID)
	r.absent(broker.StateSucceeded, tasks[1].ID, tasks[3].ID)
}

func retentionFromFinal(r *rig) {
	m := r.minion()
	task := r.task(kept(300*time.Millisecond, 0))
	r.enqueue(task)
	r.pass(200*time.Millisecond, m)
	d := m.take1()
	r.pass(200*time.Millisecond, m)
	m.settle(retry(d, 200*time.Millisecond))
	s := m.succeed(m.take1())
	end := r.Now().Add(task.Retention)
	m.settle(s)
	r.pass(150*time.Millisecond, m)
	r.before(end, func() { r.outcome(task.ID) })
	r.pass(150*time.Millisecond+r.Slack, m)
	r.absent(broker.StateSucceeded, task.ID)
}

func retentionZero(r *rig) {
	m := r.minion()
	for _, state := range finals {
		task := r.task(kept(0, 0))
		r.enqueue(task)
		m.settle(m.finish(m.take1(), state))
		r.pass(r.Slack, m)
		r.absent(state, task.ID)
	}
}

func retentionOfCanceled(r *rig) {
	m := r.minion()
	short, long := r.task(kept(300*time.Millisecond, 0)), r.task(kept(time.Hour, 0))
	r.enqueue(short, long)
	end := r.Now().Add(short.Retention)
	r.cancel(short.ID, long.ID)
	r.before(end, func() {
		r.in(broker.StateCanceled, short.ID)
		r.outcome(short.ID)
	})
	r.in(broker.StateCanceled, long.ID)
	r.pass(300*time.Millisecond+r.Slack, m)
	// A broker that can't read the message may keep the outcome for DefaultRetention.
	r.outcome(long.ID)
}

// The record of a failed task is stored as long as the task is a dead letter.
func retentionOfFailed(r *rig) {
	m := r.minion()
	short := r.task(kept(200*time.Millisecond, 500*time.Millisecond))
	long := r.task(kept(0, time.Hour))
	r.enqueue(short, long)
	ds := m.take(2)
	end := r.Now().Add(short.DeadFor)
	for _, d := range ds {
		m.settle(m.finish(d, broker.StateFailed))
	}
	r.pass(200*time.Millisecond+r.Slack, m)
	r.before(end, func() { r.in(broker.StateFailed, short.ID) })
	r.in(broker.StateFailed, long.ID)
	r.pass(300*time.Millisecond+r.Slack, m)
	r.absent(broker.StateFailed, short.ID)
	r.in(broker.StateFailed, long.ID)
	r.enqueue(short, long)
	m.none()
}

func retentionDeadLetters(r *rig) {
	m := r.minion()
	short, long, none := r.task(kept(300*time.Millisecond, 200*time.Millisecond)), r.task(kept(0, time.Hour)), r.task(kept(time.Hour, 0))
	r.enqueue(short, long, none)
	ds := m.take(3)
	end := r.Now().Add(short.Retention)
	for _, d := range ds {
		m.settle(m.finish(d, broker.StateFailed))
	}
	r.before(end, func() { r.in(broker.StateFailed, short.ID) })
	r.in(broker.StateFailed, none.ID)
	r.pass(300*time.Millisecond+r.Slack, m)
	dead := deadLetters(r, "q", 10)
	if len(dead) != 1 || dead[long.ID] == nil {
		r.Fatalf("DeadLetters returned %d tasks, want only the one with the long retention", len(dead))
	}
	if errs := requeued(r, short.ID, none.ID); errs[0] == nil || errs[1] == nil {
		r.Fatalf("Requeue accepted a dead letter after its retention")
	}
}

func retentionAbsent(r *rig) {
	m := r.minion()
	task := r.task(kept(100*time.Millisecond, 100*time.Millisecond))
	r.enqueue(task)
	m.settle(m.finish(m.take1(), broker.StateFailed))
	r.pass(100*time.Millisecond+r.Slack, m)
	if got := r.cancel(task.ID)[0]; got != broker.CancelUnknown && got != broker.CancelTooLate {
		r.Fatalf("the verdict on a task after its retention is %q", got)
	}
	r.is(requeued(r, task.ID)[0], broker.ErrNotFound)
	m.none()
}

func retentionHours(r *rig) {
	keeps := []time.Duration{time.Minute, 90 * time.Minute, 26 * time.Hour, 31 * 24 * time.Hour}
	m := r.minion()
	ids := make([][]broker.ID, len(keeps))
	for i, keep := range keeps {
		for _, state := range finals {
			task := r.task(kept(keep, keep))
			r.enqueue(task)
			m.settle(m.finish(m.take1(), state))
			ids[i] = append(ids[i], task.ID)
		}
	}
	m.close()
	passed := time.Duration(0)
	for i, keep := range keeps {
		r.Advance(keep - passed - 30*time.Second)
		beat(r.minion())
		for j, id := range ids[i] {
			r.in(finals[j], id)
			r.outcome(id)
		}
		r.Advance(time.Minute)
		for range 2 { // before and after a client cleans up
			for j, id := range ids[i] {
				r.absent(finals[j], id)
			}
			beat(r.minion())
		}
		passed = keep + 30*time.Second
	}
}

func retentionDoesNotPin(r *rig) {
	m := r.minion()
	month := 30 * 24 * time.Hour
	tasks := r.batch(20)
	for i, task := range tasks {
		if task.Retention = time.Hour; i == 7 {
			task.Retention = month
		}
	}
	r.enqueue(tasks...)
	for _, d := range m.take(20) {
		m.settle(m.succeed(d))
	}
	r.Advance(2 * time.Hour)
	beat(r.minion())
	r.outcome(tasks[7].ID)
	for i, task := range tasks {
		if i != 7 {
			r.absent(broker.StateSucceeded, task.ID)
		}
	}
	r.Advance(month)
	beat(r.minion())
	r.absent(broker.StateSucceeded, tasks[7].ID)
}

func retentionWaiting(r *rig) {
	month := 30 * 24 * time.Hour
	scheduled, retrying, done := r.task(after(month)), r.task(), r.task()
	r.enqueue(scheduled, retrying, done)
	m := r.minion()
	ds := m.take(2)
	m.settle(retry(ds[0], month), m.succeed(ds[1]))
	m.close()
	pending := r.task(onQueue("p"))
	r.enqueue(pending)
	r.Advance(month - time.Hour)
	beat(r.minion())
	r.in(broker.StateScheduled, scheduled.ID)
	r.in(broker.StateRetrying, retrying.ID)
	r.in(broker.StatePending, pending.ID)
	r.absent(broker.StateSucceeded, done.ID)
	r.Advance(2 * time.Hour)
	r.enqueue(pending) // still without effect
	m = r.minion()
	r.sameSet(takenOf(m.take(2)), []broker.ID{scheduled.ID, retrying.ID})
	m = r.minion("p")
	r.same(takenOf(m.take(1)), []broker.ID{pending.ID})
	m.none()
}

func retentionDeadWeeks(r *rig) {
	m := r.minion()
	task := r.task(kept(time.Hour, 7*24*time.Hour))
	r.enqueue(task)
	m.settle(m.finish(m.take1(), broker.StateFailed))
	m.close()
	r.Advance(6 * 24 * time.Hour)
	m = r.minion()
	beat(m)
	r.in(broker.StateFailed, task.ID)
	if dead := deadLetters(r, "q", 10); dead[task.ID] == nil {
		r.Fatalf("the dead letter was removed before the end of its retention")
	}
	r.enqueue(task)
	m.none()
	r.Advance(25 * time.Hour)
	beat(r.minion())
	r.absent(broker.StateFailed, task.ID)
	if dead := deadLetters(r, "q", 10); len(dead) > 0 {
		r.Fatalf("the dead letter is listed after the end of its retention")
	}
	if n := counts(r, "q").Dead; n != 0 {
		r.Fatalf("the queue is counted with %d dead letters, want none", n)
	}
}
