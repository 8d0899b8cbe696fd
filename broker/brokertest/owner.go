package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Only the owner of the current attempt can settle a task, and only once.
var ownerTests = []test{
	{"OtherConsumer", ownerOtherConsumer, 0},
	{"OtherConsumerAfterwards", ownerOtherAfterwards, 0},
	{"DeliveryOfAnotherMinion", ownerOtherDelivery, 0},
	{"NeverHandedOut", ownerNeverHandedOut, 0},
	{"UnknownID", ownerUnknownID, 0},
	{"OldAttempt", ownerOldAttempt, 0},
	{"FutureAttempt", ownerFutureAttempt, 0},
	{"AfterClose", ownerAfterClose, 0},
	{"AgainAfterALostReply", ownerAgain, 0},
	{"AgainWithAnotherOutcome", ownerAgainOtherwise, 0},
	{"AgainAfterRetention0", ownerAgainTombstone, 0},
	{"RetryAgain", ownerRetryAgain, 0},
	{"FinishAfterRetry", ownerFinishAfterRetry, 0},
	{"TwoAtOnce", ownerTwoAtOnce, 0},
	{"OwnerAgainstCanceller", ownerAgainstCanceller, 0},
}

// refuses checks that m can't settle d with any verb.
func (m *minion) refuses(d *broker.Delivery) {
	m.r.Helper()
	for _, s := range []broker.Settlement{
		m.succeed(d), m.finish(d, broker.StateFailed), m.finish(d, broker.StateCanceled),
		retry(d, 0), snooze(d, time.Hour), giveBack(d),
	} {
		m.r.is(m.settled(s)[0], broker.ErrLeaseLost)
	}
}

// An attempt is identified by its minion, too.
func ownerOtherDelivery(r *rig) {
	m, other := r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	for _, id := range []broker.ID{other.ID(), {}} {
		wrong := *d
		wrong.Minion = id
		m.refuses(&wrong)
		other.refuses(&wrong)
	}
	r.in(broker.StateRunning, task.ID)
	m.settle(m.succeed(d))
}

func ownerOtherConsumer(r *rig) {
	m, other := r.minion(), r.minionAt(r.other())
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	other.refuses(d)
	r.in(broker.StateRunning, task.ID)
	other.none()
	s := m.succeed(d)
	m.settle(s)
	r.equal(r.outcome(task.ID), s.Outcome)
}

func ownerOtherAfterwards(r *rig) {
	m, other := r.minion(), r.minionAt(r.other())
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	s := m.succeed(d)
	m.settle(s)
	other.refuses(d)
	r.in(broker.StateSucceeded, task.ID)
	r.equal(r.outcome(task.ID), s.Outcome)
	m.none()
}

// made returns a delivery that no broker has handed out.
func (m *minion) made(task *broker.Task, attempt uint32) *broker.Delivery {
	return &broker.Delivery{Task: *task, Minion: m.ID(), Attempt: attempt, Left: broker.NoDeadline}
}

func ownerNeverHandedOut(r *rig) {
	m := r.minion()
	pending, scheduled := r.task(), r.task(after(time.Hour))
	r.enqueue(pending, scheduled)
	m.refuses(m.made(pending, 1))
	m.refuses(m.made(scheduled, 1))
	r.in(broker.StatePending, pending.ID)
	r.in(broker.StateScheduled, scheduled.ID)
	r.attempt(m.take1(), 1, 0, 0)
	m.none()
}

func ownerUnknownID(r *rig) {
	m := r.minion()
	task := r.task()
	m.refuses(m.made(task, 1))
	r.in(broker.StateUnknown, task.ID)
	m.none()
	r.enqueue(task)
	r.same(takenOf(m.take(1)), []broker.ID{task.ID})
}

func ownerOldAttempt(r *rig) {
	m, other := r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	old := m.take1()
	m.settle(giveBack(old))
	d := other.take1()
	r.is(m.settled(m.succeed(m.made(task, 2)))[0], broker.ErrLeaseLost)
	m.never(old)
	r.in(broker.StateRunning, task.ID)
	s := other.succeed(d)
	other.settle(s)
	m.never(old)
	r.equal(r.outcome(task.ID), s.Outcome)
	r.in(broker.StateSucceeded, task.ID)
	other.none()
}

// never tries to settle d, an attempt that m gave back before. The broker may accept the settlement
// as a repeat, or refuse it, but nothing may change.
func (m *minion) never(d *broker.Delivery) {
	m.r.Helper()
	for _, s := range []broker.Settlement{
		m.succeed(d), m.finish(d, broker.StateFailed), retry(d, 0), snooze(d, time.Hour), giveBack(d),
	} {
		if err := m.settled(s)[0]; err != nil {
			m.r.is(err, broker.ErrLeaseLost)
		}
	}
}

func ownerFutureAttempt(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	m.refuses(m.made(task, 2))
	m.refuses(m.made(task, 0))
	r.in(broker.StateRunning, task.ID)
	m.settle(m.succeed(d))
}

func ownerAfterClose(r *rig) {
	m, other := r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	m.close()
	r.is(lost(m.Settle(r.ctx, []broker.Settlement{m.succeed(d)})), broker.ErrClosed)
	r.in(broker.StatePending, task.ID)
	r.attempt(other.take1(), 2, 0, 0)
	r.is(lost(m.Settle(r.ctx, []broker.Settlement{m.succeed(d)})), broker.ErrClosed)
	r.in(broker.StateRunning, task.ID)
}

func ownerAgain(r *rig) {
	m, mail := r.minion(), r.mail()
	for _, state := range finals {
		task := r.task(inbox(mail.id))
		r.enqueue(task)
		s := m.finish(m.take1(), state)
		for range 3 {
			m.settle(s)
		}
		m.settle(s, s)
		r.equal(r.outcome(task.ID), s.Outcome)
		mail.take(1)
		m.none()
	}
	mail.none()
}

func ownerAgainOtherwise(r *rig) {
	m, mail := r.minion(), r.mail()
	task := r.task(inbox(mail.id))
	r.enqueue(task)
	d := m.take1()
	s := m.succeed(d)
	m.settle(s)
	m.never(d)
	r.in(broker.StateSucceeded, task.ID)
	r.equal(r.outcome(task.ID), s.Outcome)
	r.equal(mail.take(1)[0].Outcome, s.Outcome)
	mail.none()
	m.none()
}

func ownerAgainTombstone(r *rig) {
	m, mail := r.minion(), r.mail()
	task := r.task(inbox(mail.id), kept(0, 0))
	r.enqueue(task)
	d := m.take1()
	m.settle(m.succeed(d))
	m.never(d)
	mail.take(1)
	mail.none()
	m.none()
}

func ownerRetryAgain(r *rig) {
	m := r.minion()
	for _, s := range []broker.Settlement{retry(nil, time.Hour), snooze(nil, time.Hour)} {
		task := r.task()
		r.enqueue(task)
		s.Delivery = m.take1()
		m.settle(s)
		m.never(s.Delivery)
		r.in(broker.StateRetrying, task.ID)
		m.none()
	}
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	m.settle(retry(d, 0))
	m.never(d)
	d = m.take1()
	r.attempt(d, 2, 1, 0)
	m.none()
}

func ownerFinishAfterRetry(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	old := m.take1()
	m.settle(retry(old, 0))
	d := m.take1() // the same consumer owns the next attempt
	m.never(old)
	r.in(broker.StateRunning, task.ID)
	s := m.succeed(d)
	m.settle(s)
	r.equal(r.outcome(task.ID), s.Outcome)
}

// Two goroutines settle one attempt differently. One settlement decides.
func ownerTwoAtOnce(r *rig) {
	m, mail := r.minion(), r.mail()
	for range 30 {
		task := r.task(inbox(mail.id))
		r.enqueue(task)
		d := m.take1()
		both := []broker.Settlement{m.succeed(d), m.finish(d, broker.StateFailed)}
		together(many(2, func(i int) {
			if _, err := m.Settle(r.ctx, both[i:i+1]); err != nil {
				r.Errorf("Settle: %v", err)
			}
		})...)
		got := r.outcome(task.ID)
		want := both[0].Outcome
		if got.State == broker.StateFailed {
			want = both[1].Outcome
		}
		r.equal(got, want)
		r.equal(mail.take(1)[0].Outcome, want)
		m.never(d)
		r.equal(r.outcome(task.ID), want)
	}
	mail.none()
	m.none()
}

// A cancel and a settlement race. For every verdict there is one outcome, and a retry is handed out
// again only if the cancel was too late.
func ownerAgainstCanceller(r *rig) {
	m, mail, other := r.minion(), r.mail(), r.other()
	for i := range 60 {
		task := r.task(inbox(mail.id))
		r.enqueue(task)
		d := m.take1()
		s := m.succeed(d)
		if i%2 == 1 {
			s = retry(d, time.Hour)
		}
		var verdict broker.CancelVerdict
		together(func() {
			verdicts, err := other.Cancel(r.ctx, []broker.ID{task.ID})
			if err != nil || len(verdicts) != 1 {
				r.Errorf("Cancel: %v", err)
				return
			}
			verdict = verdicts[0]
		}, func() {
			if errs, err := m.Settle(r.ctx, []broker.Settlement{s}); err != nil || errs[0] != nil {
				r.Errorf("Settle: %v, %v", errs, err)
			}
		})
		if r.Failed() {
			return
		}
		want := broker.StateSucceeded
		if i%2 == 1 {
			want = broker.StateCanceled
		}
		r.in(want, task.ID)
		if ok := verdict == broker.CancelRequested || (i%2 == 0 && verdict == broker.CancelTooLate) ||
			(i%2 == 1 && verdict == broker.CancelPrevented); !ok {
			r.Fatalf("the verdict is %q, but the task is %s", verdict, want)
		}
		if l := mail.take(1)[0]; l.ID != task.ID || l.Outcome.State != want {
			r.Fatalf("the inbox got a notice that task %s is %s", l.ID, l.Outcome.State)
		}
	}
	mail.none()
	m.none()
}
