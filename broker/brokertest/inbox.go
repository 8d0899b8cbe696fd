package brokertest

import (
	"bytes"
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Outcomes are pushed to the inbox that a task names.
var inboxTests = []test{
	{"EveryOutcome", inboxEveryOutcome, 0},
	{"Soon", inboxSoon, 0},
	{"OnlyItsOwn", inboxOnlyItsOwn, 0},
	{"OncePerOutcome", inboxOnce, 0},
	{"NothingBeforeTheEnd", inboxNothingBefore, needLapse},
	{"CancelOfWaiting", inboxCancel, 0},
	{"Retention0", inboxRetention0, 0},
	{"Thousands", inboxThousands, 0},
	{"LargeResults", inboxLargeResults, 0},
	{"ManyQueues", inboxManyQueues, 0},
	{"SettledElsewhere", inboxSettledElsewhere, 0},
	{"EnqueuedElsewhere", inboxEnqueuedElsewhere, 0},
	{"EnqueuedBeforeItOpened", inboxEnqueuedBefore, 0},
	{"BelongsToTheCaller", inboxBelongs, 0},
	{"ContextEnds", inboxContextEnds, 0},
	{"CloseEndsReceive", inboxClose, 0},
	{"ReopenedInbox", inboxReopened, 0},
	{"OpenedTwice", inboxTwice, 0},
	{"NobodyReads", inboxNobodyReads, 0},
	{"OverflowIsAGap", inboxOverflow, needHeavy},
}

func inboxEveryOutcome(r *rig) {
	m, mail := r.minion(), r.mail()
	for _, state := range finals {
		task := r.task(inbox(mail.id))
		r.enqueue(task)
		s := m.finish(m.take1(), state)
		m.settle(s)
		l := mail.take(1)[0]
		r.same([]broker.ID{l.ID}, []broker.ID{task.ID})
		r.equal(l.Outcome, s.Outcome)
	}
	mail.none()
}

func inboxSoon(r *rig) {
	m, mail := r.minion(), r.mail()
	for range 5 {
		r.enqueue(r.task(inbox(mail.id)))
		d := m.take1()
		var got time.Time
		var start time.Time
		together(func() {
			ctx, cancel := context.WithTimeout(r.ctx, patience)
			defer cancel()
			if ml, err := mail.Receive(ctx); err != nil || len(ml.Notices) != 1 {
				r.Errorf("Receive: %+v, %v", ml, err)
			}
			got = time.Now()
		}, func() {
			r.idle() // lets Receive begin to wait
			start = time.Now()
			if errs, err := m.Settle(r.ctx, []broker.Settlement{m.succeed(d)}); err != nil || errs[0] != nil {
				r.Errorf("Settle: %v, %v", errs, err)
			}
		})
		if late := got.Sub(start); late > r.prompt() {
			r.Fatalf("the notice arrived after %v, which is too late", late)
		}
	}
}

func inboxOnlyItsOwn(r *rig) {
	m := r.minion()
	a, b := r.mail(), r.mailAt(r.other(), broker.NewID(broker.KindParty, "", 0))
	tasks := r.batch(9)
	var want [3][]broker.ID
	for i, task := range tasks {
		task.Inbox = []broker.ID{a.id, b.id, {}}[i%3]
		want[i%3] = append(want[i%3], task.ID)
	}
	r.enqueue(tasks...)
	for _, d := range m.take(9) {
		m.settle(m.succeed(d))
	}
	for i, mail := range []*mailbox{a, b} {
		var got []broker.ID
		for _, l := range mail.take(3) {
			got = append(got, l.ID)
		}
		r.sameSet(got, want[i])
		mail.none()
	}
}

func inboxOnce(r *rig) {
	m, mail := r.minion(), r.mail()
	task := r.task(inbox(mail.id))
	r.enqueue(task)
	s := m.succeed(m.take1())
	m.settle(s, s)
	m.settle(s)
	r.enqueue(task)
	r.cancel(task.ID)
	m.none()
	mail.take(1)
	mail.none()
}

func inboxNothingBefore(r *rig) {
	m, dying, mail := r.minion(), r.minion(), r.mail()
	r.enqueue(r.task(inbox(mail.id), after(10*time.Millisecond)))
	m.settle(retry(m.take1(), 0))
	m.settle(snooze(m.take1(), 10*time.Millisecond))
	m.settle(giveBack(m.take1()))
	dying.take1()
	r.reap([]*minion{m}, dying)
	d := m.take1()
	mail.none()
	m.settle(m.finish(d, broker.StateFailed))
	mail.take(1)
	mail.none()
}

func inboxCancel(r *rig) {
	mail := r.mail()
	tasks := append(r.batch(3, inbox(mail.id)), r.batch(2, inbox(mail.id), after(time.Hour))...)
	r.enqueue(tasks...)
	r.cancelAt(r.other(), idsOf(tasks)...)
	var got []broker.ID
	for _, l := range mail.take(5) {
		if l.Outcome.State != broker.StateCanceled {
			r.Fatalf("the notice of a cancelled task says %s", l.Outcome.State)
		}
		got = append(got, l.ID)
	}
	r.sameSet(got, idsOf(tasks))
	r.cancel(idsOf(tasks)...)
	mail.none()
}

func inboxRetention0(r *rig) {
	m, mail := r.minion(), r.mail()
	for _, state := range finals {
		r.enqueue(r.task(inbox(mail.id), kept(0, 0)))
		s := m.finish(m.take1(), state)
		m.settle(s)
		r.equal(mail.take(1)[0].Outcome, s.Outcome)
	}
	mail.none()
}

func inboxThousands(r *rig) {
	const n = 2*broker.MaxBatch + 345
	m, mail := r.minion(), r.mail()
	tasks := r.batch(n, inbox(mail.id))
	r.enqueue(tasks...)
	batch := make([]broker.Settlement, n)
	want := map[broker.ID]broker.Outcome{}
	for i, d := range m.take(n) {
		batch[i] = m.finish(d, finals[i%4])
		want[d.ID] = batch[i].Outcome
	}
	m.settle(batch...)
	var got []broker.ID
	for _, l := range mail.take(n) {
		got = append(got, l.ID)
		r.equal(l.Outcome, want[l.ID])
	}
	r.sameSet(got, idsOf(tasks))
	mail.none()
}

func inboxLargeResults(r *rig) {
	m, mail := r.minion(), r.mail()
	size := min(r.Broker.Limits().Result, 1<<20)
	n := broker.MaxBatchBytes/size + 3
	r.enqueue(r.batch(n, inbox(mail.id))...)
	batch := make([]broker.Settlement, n)
	want := map[broker.ID]broker.Outcome{}
	for i, d := range m.take(n) {
		batch[i] = m.succeed(d)
		batch[i].Outcome.Result = bytes.Repeat([]byte{byte(i + 1)}, size)
		want[d.ID] = batch[i].Outcome
	}
	m.settle(batch...)
	for _, l := range mail.take(n) {
		r.equal(l.Outcome, want[l.ID])
		delete(want, l.ID)
	}
}

func inboxManyQueues(r *rig) {
	mail := r.mail()
	var queues []string
	var tasks []*broker.Task
	for i := range 20 {
		queues = append(queues, string(rune('a'+i)))
		tasks = append(tasks, r.task(onQueue(queues[i]), inbox(mail.id)))
	}
	for _, task := range tasks {
		r.enqueue(task)
	}
	m := r.minion(queues...)
	for _, d := range m.take(20) {
		m.settle(m.succeed(d))
	}
	var got []broker.ID
	for _, l := range mail.take(20) {
		got = append(got, l.ID)
	}
	r.sameSet(got, idsOf(tasks))
}

func inboxSettledElsewhere(r *rig) {
	mail := r.mail()
	m := r.minionAt(r.other())
	task := r.task(inbox(mail.id))
	r.enqueue(task)
	m.settle(m.succeed(m.take1()))
	r.same([]broker.ID{mail.take(1)[0].ID}, []broker.ID{task.ID})
}

func inboxEnqueuedElsewhere(r *rig) {
	mail, other := r.mail(), r.other()
	task := r.task(inbox(mail.id), onQueue("never.used.before"))
	if err := other.Enqueue(r.ctx, []*broker.Task{task}); err != nil {
		r.Fatalf("Enqueue: %v", err)
	}
	m := r.minion("never.used.before")
	m.settle(m.succeed(m.take1()))
	r.same([]broker.ID{mail.take(1)[0].ID}, []broker.ID{task.ID})
}

// A task may be enqueued before its inbox is open. If it ends afterwards, the inbox gets the
// notice.
func inboxEnqueuedBefore(r *rig) {
	m, id := r.minion(), broker.NewID(broker.KindParty, "", 0)
	task := r.task(inbox(id))
	r.enqueue(task)
	d := m.take1()
	mail := r.mailAt(r.Broker, id)
	m.settle(m.succeed(d))
	r.same([]broker.ID{mail.take(1)[0].ID}, []broker.ID{task.ID})
}

func inboxBelongs(r *rig) {
	m, mail := r.minion(), r.mail()
	tasks := r.batch(2, inbox(mail.id))
	r.enqueue(tasks...)
	for i, d := range m.take(2) {
		s := m.finish(d, finals[i])
		m.settle(s)
		l := mail.take(1)[0]
		for j := range l.Outcome.Result {
			l.Outcome.Result[j] = 'X'
		}
		if l.Outcome.Err != nil {
			l.Outcome.Err.Message, l.Outcome.Err.Chain[0] = "spoiled", "spoiled"
		}
		r.equal(r.outcome(tasks[i].ID), s.Outcome)
	}
}

func inboxContextEnds(r *rig) {
	m, mail := r.minion(), r.mail()
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan error, 1)
	go func() {
		for { // a gap at the opening may be reported
			if _, err := mail.Receive(ctx); err != nil {
				done <- err
				return
			}
		}
	}()
	r.idle()
	start := time.Now()
	cancel()
	r.is(<-done, context.Canceled)
	if late := time.Since(start); late > r.prompt() {
		r.Fatalf("Receive returned %v after its context ended, want at once", late)
	}
	task := r.task(inbox(mail.id))
	r.enqueue(task)
	m.settle(m.succeed(m.take1()))
	r.idle()
	_, err := mail.Receive(ctx) // a call whose context has ended must not lose notices
	if err != nil {
		r.is(err, context.Canceled)
		mail.take(1)
	}
}

func inboxClose(r *rig) {
	mail, other := r.mail(), r.mail()
	done := make(chan error, 1)
	go func() {
		for {
			if _, err := mail.Receive(r.ctx); err != nil {
				done <- err
				return
			}
		}
	}()
	r.idle()
	start := time.Now()
	for range 2 {
		if err := mail.Close(); err != nil {
			r.Fatalf("Close: %v", err)
		}
	}
	r.is(<-done, broker.ErrClosed)
	if late := time.Since(start); late > r.prompt() {
		r.Fatalf("Receive returned %v after Close, want at once", late)
	}
	_, err := mail.Receive(r.ctx)
	r.is(err, broker.ErrClosed)
	other.none() // other inboxes stay open
}

func inboxReopened(r *rig) {
	m, mail := r.minion(), r.mail()
	if err := mail.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	r.enqueue(r.task(inbox(mail.id)))
	m.settle(m.succeed(m.take1())) // while the inbox is closed
	mail = r.mailAt(r.other(), mail.id)
	task := r.task(inbox(mail.id))
	r.enqueue(task)
	m.settle(m.succeed(m.take1()))
	for {
		if l := mail.take(1)[0]; l.ID == task.ID {
			return // the broker may have kept the first notice, or not
		}
	}
}

// If an inbox is open several times, each opening gets each notice, until it is closed.
func inboxTwice(r *rig) {
	m, first := r.minion(), r.mail()
	second, third := r.mailAt(r.Broker, first.id), r.mailAt(r.other(), first.id)
	ends := func(openings ...*mailbox) {
		r.Helper()
		tasks := r.batch(3, inbox(first.id))
		r.enqueue(tasks...)
		var batch []broker.Settlement
		for _, d := range m.take(3) {
			batch = append(batch, m.succeed(d))
		}
		m.settle(batch...)
		for _, mail := range openings {
			var got []broker.ID
			for _, l := range mail.take(3) {
				got = append(got, l.ID)
			}
			r.sameSet(got, idsOf(tasks))
			mail.none()
		}
	}
	ends(first, second, third)
	if err := second.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	ends(first, third)
	if err := first.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	ends(third)
	for _, mail := range []*mailbox{first, second} {
		_, err := mail.Receive(r.ctx)
		r.is(err, broker.ErrClosed)
	}
}

// A notice for an inbox that was never opened is no error for its sender.
func inboxNobodyReads(r *rig) {
	m := r.minion()
	tasks := r.batch(20, inbox(broker.NewID(broker.KindParty, "", 0)))
	r.enqueue(tasks...)
	for _, d := range m.take(20) {
		m.settle(m.succeed(d))
	}
	r.in(broker.StateSucceeded, idsOf(tasks)...)
}

// An inbox that nobody reads drops notices, and the next Receive reports a gap.
func inboxOverflow(r *rig) {
	const n = broker.MaxInbox + 5*broker.MaxBatch
	mail := r.mail()
	for range n / broker.MaxBatch {
		tasks := r.batch(broker.MaxBatch, inbox(mail.id), kept(0, 0))
		r.enqueue(tasks...)
		r.cancel(idsOf(tasks)...)
	}
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	for !mail.gap {
		if !mail.receive(ctx) {
			r.Fatalf("Receive returned %d of %d notices and reported no gap", len(mail.read), n)
		}
	}
	last := r.task(inbox(mail.id))
	r.enqueue(last)
	r.cancel(last.ID)
	for { // the inbox still works
		if l := mail.take(1)[0]; l.ID == last.ID {
			return
		}
	}
}
