package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Cancelling what runs: its owner is told within a second, and it is never
// retried.
var killTests = []test{
	{"OwnerIsTold", killOwnerIsTold, 0},
	{"OwnerIsToldWhileItWaits", killToldWhileWaiting, 0},
	{"OnlyTheOwnerIsTold", killOnlyOwner, 0},
	{"ByAnotherClient", killByAnotherClient, 0},
	{"WaitingOnesFirst", killWaitingFirst, 0},
	{"ManyAreTold", killMany, 0},
	{"NobodyListens", killNobodyListens, 0},
	{"SettledAsCanceled", killSettledAsCanceled, 0},
	{"SuccessIsAccepted", killSuccess, 0},
	{"NeverRetried", killNeverRetried, 0},
	{"NeverReleasedByClose", killClose, 0},
	{"OwnerDies", killOwnerDies, needLapse},
	{"OwnerDiesTwice", killOwnerDiesTwice, needLapse},
	{"NextTaskIsNotMarked", killNextNotMarked, 0},
}

// isTold waits until OnCancel tells m of the task, which must be soon.
func (m *minion) isTold(id broker.ID, start time.Time) {
	m.r.Helper()
	m.r.eventually("OnCancel is called", func() bool { return m.told(id) })
	if late := time.Since(start); late > m.r.late(min(m.r.Prompt, time.Second)) {
		m.r.Fatalf("OnCancel was called after %v", late)
	}
}

func killOwnerIsTold(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	r.idle()
	start := time.Now()
	r.canceled(task.ID, broker.CancelRequested)
	m.isTold(task.ID, start) // though it does not ask for anything
	r.in(broker.StateRunning, task.ID)
	m.settle(m.finish(d, broker.StateCanceled))
	r.in(broker.StateCanceled, task.ID)
}

func killToldWhileWaiting(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	m.take1()
	done := m.waiting(r.ctx, 1, patience)
	start := time.Now()
	r.canceled(task.ID, broker.CancelRequested)
	m.isTold(task.ID, start)
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
	b.isTold(tasks[1].ID, start)
	r.idle()
	if a.told(tasks[0].ID) || b.told(tasks[0].ID) || a.told(tasks[1].ID) {
		r.Fatalf("somebody was told of what it does not own, or was not cancelled")
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
		r.Fatalf("verdict is %q", got)
	}
	m.isTold(task.ID, start)
}

// What runs comes first in the batch, and yet its owner is told last: its slot
// would be free for one of those that are to be cancelled.
func killWaitingFirst(r *rig) {
	m := r.minion()
	tasks := r.batch(50)
	r.enqueue(tasks...)
	m.take(2)
	m.onKill = func(broker.ID) { // on a goroutine of the broker's
		statuses, err := r.Broker.Lookup(r.ctx, idsOf(tasks[2:]))
		if err != nil {
			r.Errorf("Lookup: %v", err)
		}
		for _, st := range statuses {
			if st.State != broker.StateCanceled {
				r.Errorf("one that waited is %s when the owner of another is told", st.State)
				return
			}
		}
	}
	start := time.Now()
	r.cancel(idsOf(tasks)...)
	m.isTold(tasks[0].ID, start)
	m.isTold(tasks[1].ID, start)
}

func killMany(r *rig) {
	const n = broker.MaxBatch + 200
	m := r.minion()
	tasks := r.batch(n)
	r.enqueue(tasks...)
	ds := m.take(n)
	for _, verdict := range r.cancel(idsOf(tasks)...) {
		if verdict != broker.CancelRequested {
			r.Fatalf("verdict is %q", verdict)
		}
	}
	r.eventually("OnCancel is called for all", func() bool {
		for _, task := range tasks {
			if !m.told(task.ID) {
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
	mail.none() // it is told once it has ended
	s := m.finish(d, broker.StateCanceled)
	m.settle(s)
	r.equal(r.outcome(task.ID), s.Outcome)
	r.equal(mail.take(1)[0].Outcome, s.Outcome)
	mail.none()
	m.none()
}

// Whoever is done before the cancel reaches it is done.
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
		release,
	} {
		task := r.task(inbox(mail.id))
		r.enqueue(task)
		d := m.take1()
		r.canceled(task.ID, broker.CancelRequested)
		m.settle(settle(d))
		r.in(broker.StateCanceled, task.ID)
		l := mail.take(1)[0]
		if l.ID != task.ID || l.Outcome.State != broker.StateCanceled {
			r.Fatalf("letter of %s: %s", l.ID, l.Outcome.State)
		}
		r.equal(r.outcome(task.ID), l.Outcome)
		r.pass(30*time.Millisecond, m)
		m.none()
		m.never(d)
		r.in(broker.StateCanceled, task.ID)
	}
	mail.none()
}

// gone checks that a cancelled task whose owner is gone is final, or handed out
// only to be settled as canceled.
func gone(r *rig, m *minion, task *broker.Task) {
	r.Helper()
	r.eventually("the cancelled task ends", func() bool {
		beat(m)
		for _, d := range m.tryTake(1) {
			if d.ID != task.ID || !d.Canceled {
				r.Fatalf("task %s was handed out, canceled: %v", d.ID, d.Canceled)
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
	gone(r, other, task)
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
	gone(r, m, task)
	if err := lost(dying.Settle(r.ctx, []broker.Settlement{dying.succeed(late)})); err == nil {
		r.Fatalf("the late settlement was accepted")
	}
	r.in(broker.StateCanceled, task.ID)
	mail.take(1)
	mail.none()
}

// The mark of a cancelled task survives that its next owner dies as well.
func killOwnerDiesTwice(r *rig) {
	dying, heir, m := r.minion(), r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	dying.take1()
	r.canceled(task.ID, broker.CancelRequested)
	r.reap([]*minion{m, heir}, dying)
	heir.tryTake(1)
	r.reap([]*minion{m}, heir)
	gone(r, m, task)
}

func killNextNotMarked(r *rig) {
	m := r.minion()
	tasks := r.batch(2)
	r.enqueue(tasks...)
	d := m.take1()
	r.canceled(d.ID, broker.CancelRequested)
	m.settle(retry(d, 0))
	if d = m.take1(); d.Canceled || d.ID != tasks[1].ID {
		r.Fatalf("task %s, canceled: %v", d.ID, d.Canceled)
	}
}
