package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A running task is cancelled: its owner is notified within a second, and the task is never
// retried.
var killTests = []test{
	{"OwnerIsNotified", killOwnerIsNotified, 0},
	{"OwnerIsNotifiedWhileItWaits", killNotifiedWhileWaiting, 0},
	{"OnlyTheOwnerIsNotified", killOnlyOwner, 0},
	{"ByAnotherClient", killByAnotherClient, 0},
	{"WaitingTasksFirst", killWaitingFirst, 0},
	{"ManyAreNotified", killMany, 0},
	{"NobodyListens", killNobodyListens, 0},
	{"SettledAsCanceled", killSettledAsCanceled, 0},
	{"SuccessIsAccepted", killSuccess, 0},
	{"NeverRetried", killNeverRetried, 0},
	{"NeverGivenBackByClose", killClose, 0},
	{"OwnerDies", killOwnerDies, needLapse},
	{"OwnerDiesTwice", killOwnerDiesTwice, needLapse},
	{"NextTaskIsNotMarked", killNextNotMarked, 0},
}

// isNotified waits until OnCancel reports the task to m, and checks that this is soon after start.
func (m *minion) isNotified(id broker.ID, start time.Time) {
	m.r.Helper()
	m.r.eventually("OnCancel is called", func() bool { return m.notified(id) })
	if late := time.Since(start); late > m.r.late(min(m.r.Prompt, time.Second)) {
		m.r.Fatalf("OnCancel was called only after %v", late)
	}
}

func killOwnerIsNotified(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	r.idle()
	start := time.Now()
	r.canceled(task.ID, broker.CancelRequested)
	m.isNotified(task.ID, start) // although it makes no call
	r.in(broker.StateRunning, task.ID)
	m.settle(m.finish(d, broker.StateCanceled))
	r.in(broker.StateCanceled, task.ID)
}

func killNotifiedWhileWaiting(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	m.take1()
	done := m.waiting(r.ctx, 1, patience)
	start := time.Now()
	r.canceled(task.ID, broker.CancelRequested)
	m.isNotified(task.ID, start)
	next := r.task()
	start = time.Now()
	r.enqueue(next)
	r.same(takenOf(r.woken(done, start)), []broker.ID{next.ID})
}

func killOnlyOwner(r *rig) {
	a, b := r.minion(), r.minion()
	tasks := r.batch(2)
	r.enqueue(tasks...)
	a.take1()
	b.take1()
	start := time.Now()
	r.cancel(tasks[1].ID)
	b.isNotified(tasks[1].ID, start)
	r.idle()
	if a.notified(tasks[0].ID) || b.notified(tasks[0].ID) || a.notified(tasks[1].ID) {
		r.Fatalf("OnCancel was called for a task that the consumer does not own, or that was not cancelled")
	}
}

func killByAnotherClient(r *rig) {
	other := r.other()
	m := r.minion("a", "q", "b")
	task := r.task()
	r.enqueue(task)
	m.take1()
	r.idle()
	start := time.Now()
	if got := r.cancelAt(other, task.ID)[0]; got != broker.CancelRequested {
		r.Fatalf("the verdict is %q", got)
	}
	m.isNotified(task.ID, start)
}

// The running task is the first of the batch, but its owner must be notified last. Otherwise it
// would have a free slot for one of the tasks that are still to be cancelled.
func killWaitingFirst(r *rig) {
	m := r.minion()
	tasks := r.batch(50)
	r.enqueue(tasks...)
	m.take(2)
	m.onKill = func(broker.ID) { // runs on a goroutine of the broker
		statuses, err := r.Broker.Lookup(r.ctx, idsOf(tasks[2:]))
		if err != nil {
			r.Errorf("Lookup: %v", err)
		}
		for _, st := range statuses {
			if st.State != broker.StateCanceled {
				r.Errorf("when OnCancel was called for a running task, a waiting task of the same Cancel was %s, want canceled", st.State)
				return
			}
		}
	}
	start := time.Now()
	r.cancel(idsOf(tasks)...)
	m.isNotified(tasks[0].ID, start)
	m.isNotified(tasks[1].ID, start)
}

func killMany(r *rig) {
	const n = broker.MaxBatch + 200
	m := r.minion()
	tasks := r.batch(n)
	r.enqueue(tasks...)
	ds := m.take(n)
	for _, verdict := range r.cancel(idsOf(tasks)...) {
		if verdict != broker.CancelRequested {
			r.Fatalf("the verdict is %q", verdict)
		}
	}
	r.eventually("OnCancel is called for all", func() bool {
		for _, task := range tasks {
			if !m.notified(task.ID) {
				return false
			}
		}
		return true
	})
	batch := make([]broker.Settlement, n)
	for i, d := range ds {
		batch[i] = retry(d, 0)
	}
	m.settle(batch...)
	r.in(broker.StateCanceled, idsOf(tasks)...)
	m.none()
}

func killNobodyListens(r *rig) {
	c, err := r.Broker.Consume(r.ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
	if err != nil {
		r.Fatalf("Consume: %v", err)
	}
	m := &minion{Consumer: c, r: r, queues: []string{"q"}, beaten: r.Now()}
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	r.canceled(task.ID, broker.CancelRequested)
	r.idle()
	m.settle(retry(d, 0))
	r.in(broker.StateCanceled, task.ID)
}

func killSettledAsCanceled(r *rig) {
	m, mail := r.minion(), r.mail()
	task := r.task(inbox(mail.id))
	r.enqueue(task)
	d := m.take1()
	r.canceled(task.ID, broker.CancelRequested)
	mail.none() // the notice is sent when the task has ended
	s := m.finish(d, broker.StateCanceled)
	m.settle(s)
	r.equal(r.outcome(task.ID), s.Outcome)
	r.equal(mail.take(1)[0].Outcome, s.Outcome)
	mail.none()
	m.none()
}

// A task that is settled before the cancel reaches it keeps its outcome.
func killSuccess(r *rig) {
	m := r.minion()
	for _, state := range finals {
		task := r.task()
		r.enqueue(task)
		d := m.take1()
		r.canceled(task.ID, broker.CancelRequested)
		s := m.finish(d, state)
		m.settle(s)
		r.in(state, task.ID)
		r.equal(r.outcome(task.ID), s.Outcome)
		r.canceled(task.ID, broker.CancelTooLate)
	}
	m.none()
}

func killNeverRetried(r *rig) {
	m, mail := r.minion(), r.mail()
	for _, settle := range []func(d *broker.Delivery) broker.Settlement{
		func(d *broker.Delivery) broker.Settlement { return retry(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return retry(d, 20*time.Millisecond) },
		func(d *broker.Delivery) broker.Settlement { return snooze(d, 0) },
		giveBack,
	} {
		task := r.task(inbox(mail.id))
		r.enqueue(task)
		d := m.take1()
		r.canceled(task.ID, broker.CancelRequested)
		m.settle(settle(d))
		r.in(broker.StateCanceled, task.ID)
		l := mail.take(1)[0]
		if l.ID != task.ID || l.Outcome.State != broker.StateCanceled {
			r.Fatalf("the inbox got a notice that task %s is %s", l.ID, l.Outcome.State)
		}
		r.equal(r.outcome(task.ID), l.Outcome)
		r.pass(30*time.Millisecond, m)
		m.none()
		m.never(d)
		r.in(broker.StateCanceled, task.ID)
	}
	mail.none()
}

// endsCanceled checks that a cancelled task, whose owner has closed or died, becomes canceled. The broker
// may hand it out once more, marked as cancelled, only to be settled.
func endsCanceled(r *rig, m *minion, task *broker.Task) {
	r.Helper()
	r.eventually("the cancelled task is final", func() bool {
		beat(m)
		for _, d := range m.tryTake(1) {
			if d.ID != task.ID || !d.Canceled {
				r.Fatalf("task %s was handed out with Canceled %v, want the cancelled task with true", d.ID, d.Canceled)
			}
			m.settle(m.finish(d, broker.StateCanceled))
		}
		return r.lookup(task.ID)[0].State == broker.StateCanceled
	})
	m.none()
}

func killClose(r *rig) {
	m, other, mail := r.minion(), r.minion(), r.mail()
	task := r.task(inbox(mail.id))
	r.enqueue(task)
	m.take1()
	r.canceled(task.ID, broker.CancelRequested)
	m.close()
	endsCanceled(r, other, task)
	mail.take(1)
	mail.none()
}

func killOwnerDies(r *rig) {
	dying, m, mail := r.minion(), r.minion(), r.mail()
	task := r.task(inbox(mail.id))
	r.enqueue(task)
	late := dying.take1()
	r.canceled(task.ID, broker.CancelRequested)
	r.reap([]*minion{m}, dying)
	endsCanceled(r, m, task)
	if err := lost(dying.Settle(r.ctx, []broker.Settlement{dying.succeed(late)})); err == nil {
		r.Fatalf("the settlement of a lost lease was accepted")
	}
	r.in(broker.StateCanceled, task.ID)
	mail.take(1)
	mail.none()
}

// A cancelled task stays marked if its next owner dies too.
func killOwnerDiesTwice(r *rig) {
	dying, heir, m := r.minion(), r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	dying.take1()
	r.canceled(task.ID, broker.CancelRequested)
	r.reap([]*minion{m, heir}, dying)
	heir.tryTake(1)
	r.reap([]*minion{m}, heir)
	endsCanceled(r, m, task)
}

func killNextNotMarked(r *rig) {
	m := r.minion()
	tasks := r.batch(2)
	r.enqueue(tasks...)
	d := m.take1()
	r.canceled(d.ID, broker.CancelRequested)
	m.settle(retry(d, 0))
	if d = m.take1(); d.Canceled || d.ID != tasks[1].ID {
		r.Fatalf("task %s was handed out with Canceled %v, want a new task with false", d.ID, d.Canceled)
	}
}
