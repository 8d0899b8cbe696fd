package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Sequences: tasks that run strictly one after the other.
var laneSequenceTests = []test{
	{"SequenceInOrder", sequenceOrder, 0},
	{"SequenceAcrossAttempts", sequenceAttempts, 0},
	{"SequenceAcrossALaterRetry", sequenceLater, 0},
	{"SequenceAcrossClose", sequenceClose, 0},
	{"SequenceAcrossDeath", sequenceDeath, needLapse},
	{"SequenceAcrossPark", sequencePark, needParker},
	{"SequenceWithDifferentLanes", sequenceLanes, 0},
	{"SequenceWithLimits", sequenceLimits, 0},
	{"SequencesAreApart", sequenceApart, 0},
	{"SequenceGoesOnAfterAFailure", sequenceGoesOn, 0},
	{"SequenceStops", sequenceStops, 0},
	{"SequenceStopsLaterTasks", sequenceStopsLater, 0},
	{"SequenceStopsAtAnExpiry", sequenceStopsAtExpiry, 0},
	{"SequenceGoesOnAfterARequeue", sequenceRequeued, needInspector},
	{"SequenceIsNotHalted", sequenceNotHalted, 0},
	{"SequencePastCanceled", sequenceCanceled, 0},
	{"SequencePastExpired", sequenceExpired, 0},
	{"SequencePastAbandoned", sequenceAbandoned, needParker | needJump},
	{"SequenceWakesADequeue", sequenceWakes, 0},
	{"SequenceOfMany", sequenceMany, 0},
}

func sequenceOrder(r *rig) {
	m, other := r.minion(), r.minionAt(r.other())
	tasks := r.batch(5, lane(inSequence("s")))
	r.enqueue(tasks[:3]...)
	r.enqueue(tasks[3:]...)
	for _, task := range tasks {
		d := m.gets(task)
		m.none()
		other.none()
		m.settle(m.succeed(d))
		m, other = other, m
	}
	m.none()
}

func sequenceAttempts(r *rig) {
	m := r.minion()
	tasks := r.batch(2, lane(inSequence("s")))
	r.enqueue(tasks...)
	d := m.gets(tasks[0])
	for _, back := range []func(d *broker.Delivery) broker.Settlement{
		giveBack,
		func(d *broker.Delivery) broker.Settlement { return retry(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return snooze(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return m.failing(d, 0) },
	} {
		m.settle(back(d))
		d = m.gets(tasks[0])
		m.none()
	}
	m.settle(m.succeed(d))
	m.next(tasks[1])
}

func sequenceLater(r *rig) {
	const delay = 4 * brief
	m := r.minion()
	tasks := r.batch(2, lane(inSequence("s")))
	r.enqueue(tasks...)
	d := m.gets(tasks[0])
	for _, back := range []func(d *broker.Delivery, delay time.Duration) broker.Settlement{retry, snooze} {
		due := r.Now().Add(delay)
		m.settle(back(d, delay))
		r.before(due, m.none)
		d = m.gets(tasks[0])
		m.none()
	}
	m.settle(retry(d, time.Hour))
	m.none()
	r.canceled(tasks[0].ID, broker.CancelPrevented)
	m.next(tasks[1])
}

func sequenceClose(r *rig) {
	m := r.minion()
	tasks := r.batch(2, lane(inSequence("s")))
	r.enqueue(tasks...)
	for range 3 {
		closing := r.minion()
		closing.gets(tasks[0])
		m.none()
		closing.close()
	}
	m.next(tasks...)
}

func sequenceDeath(r *rig) {
	m, dying := r.minion(), r.minion()
	tasks := r.batch(2, lane(inSequence("s")))
	r.enqueue(tasks...)
	old := dying.gets(tasks[0])
	m.none()
	r.reap([]*minion{m}, dying)
	r.back(idsOf(tasks), m)
	d := m.gets(tasks[0])
	m.none()
	_, _ = dying.Settle(r.ctx, []broker.Settlement{dying.succeed(old)})
	m.none()
	m.settle(m.succeed(d))
	m.next(tasks[1])
}

func sequencePark(r *rig) {
	m := r.minion()
	tasks := []*broker.Task{r.task(lane(inSequence("s"))), r.task(lane(inSequence("s")), named("test.other"))}
	r.enqueue(tasks...)
	m.settle(park(m.gets(tasks[0]), time.Hour))
	m.none()
	r.in(broker.StateParked, tasks[0].ID)
	knows := r.knowing("test.task")
	d := knows.gets(tasks[0])
	m.none()
	knows.settle(knows.succeed(d))
	m.next(tasks[1])
}

// Neither a priority nor a turn changes the order within a sequence.
func sequenceLanes(r *rig) {
	m := r.minion()
	tasks := []*broker.Task{
		r.task(lane(inSequence("s"), priority(1))),
		r.task(lane(inSequence("s"), priority(9), fair("k"))),
		r.task(lane(stopping("s"), fair("l"), using("l"))),
		r.task(lane(inSequence("s"), using("m"))),
		r.task(lane(inSequence("s"), priority(9))),
	}
	r.enqueue(tasks...)
	m.next(tasks...)
	r.enqueue(r.batch(3, lane(inSequence("other"), priority(9)))...)
	m.take1()
	m.none()
}

// A task that waits for its sequence uses nothing of its limits, and the next one in the sequence
// may have to wait for a limit.
func sequenceLimits(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	tasks := r.batch(3, lane(inSequence("s"), using("l")))
	r.enqueue(tasks...)
	d := m.gets(tasks[0])
	other := r.task(lane(using("l")))
	r.enqueue(other)
	m.none()
	m.settle(retry(d, time.Hour)) // the sequence waits, and the limit is free
	d = m.gets(other)
	m.none()
	r.canceled(tasks[0].ID, broker.CancelPrevented)
	m.none()
	r.inUse("l", 1)
	m.settle(m.succeed(d))
	m.next(tasks[1:]...)
	r.inUse("l", 0)
}

func sequenceApart(r *rig) {
	m := r.minion("q", "other")
	a, b := r.batch(2, lane(inSequence("a"))), r.batch(2, lane(inSequence("b")))
	there, free := r.batch(2, lane(inSequence("a")), onQueue("other")), r.task(lane(fair("a")))
	r.enqueue(a...)
	r.enqueue(b...)
	r.enqueue(append(there, free)...)
	r.sameSet(takenOf(m.take(4)), []broker.ID{a[0].ID, b[0].ID, there[0].ID, free.ID})
	m.none()
}

func sequenceGoesOn(r *rig) {
	m := r.minion()
	tasks := r.batch(4, lane(inSequence("s")))
	r.enqueue(tasks...)
	for i, state := range []broker.State{broker.StateFailed, broker.StateExpired, broker.StateCanceled} {
		d := m.gets(tasks[i])
		m.none()
		m.settle(m.finish(d, state))
	}
	m.next(tasks[3])
}

func sequenceStops(r *rig) {
	m := r.minion()
	for i, state := range []broker.State{broker.StateFailed, broker.StateExpired} {
		s := itoa(i)
		tasks := r.batch(3, lane(stopping(s)))
		tasks[0].DeadFor = time.Duration(i) * time.Hour // it may be no dead letter
		r.enqueue(tasks...)
		m.settle(m.finish(m.gets(tasks[0]), state))
		m.none()
		r.in(broker.StatePending, idsOf(tasks[1:])...)
		r.resume(s)
		d := m.gets(tasks[1])
		m.none()
		r.is(r.lanes().ResumeSequence(r.ctx, "q", s), broker.ErrNotFound)
		m.none()
		m.settle(m.succeed(d))
		m.next(tasks[2])
	}
	// Other final states do not stop it.
	tasks := r.batch(3, lane(stopping("s")))
	r.enqueue(tasks...)
	m.settle(m.finish(m.gets(tasks[0]), broker.StateCanceled))
	m.next(tasks[1:]...)
}

// Tasks that are submitted after the failure wait, too. Other sequences go on.
func sequenceStopsLater(r *rig) {
	m := r.minion()
	first := r.task(lane(stopping("s")))
	r.enqueue(first)
	m.settle(m.finish(m.gets(first), broker.StateFailed))
	later := []*broker.Task{r.task(lane(inSequence("s"), priority(9))), r.task(lane(inSequence("s"), using("l")))}
	r.enqueue(later...)
	m.none()
	other, free := r.task(lane(stopping("t"))), r.task()
	r.enqueue(other, free)
	m.take(2)
	m.none()
	done := m.waiting(r.ctx, 5, patience)
	start := time.Now()
	r.resume("s")
	got := r.woken(done, start)
	r.same(takenOf(got), []broker.ID{later[0].ID})
	m.none()
	m.settle(m.succeed(got[0]))
	m.next(later[1])
}

// A task that expires while it waits halts the tasks behind it, and not those in front of it.
func sequenceStopsAtExpiry(r *rig) {
	m := r.minion()
	first, expires, last := r.task(lane(inSequence("s"))), r.task(lane(stopping("s")), within(4*brief)), r.task(lane(inSequence("s")))
	r.enqueue(first, expires, last)
	d := m.gets(first)
	r.expire(expires)
	m.settle(retry(d, 0))
	d = m.gets(first)
	m.settle(m.succeed(d))
	m.none()
	r.resume("s")
	m.next(last)
	// The first one of a sequence expires.
	r.define(broker.Limit{Name: "l", Paused: true})
	expires, last = r.task(lane(stopping("t"), using("l")), within(brief)), r.task(lane(inSequence("t")))
	r.enqueue(expires, last)
	r.expire(expires)
	m.none()
	r.resume("t")
	m.next(last)
}

// A sequence goes on when the dead letter that halts it was requeued and has succeeded.
func sequenceRequeued(r *rig) {
	m := r.minion()
	tasks := r.batch(3, lane(stopping("s")))
	r.enqueue(tasks[:2]...)
	m.settle(m.finish(m.gets(tasks[0]), broker.StateFailed))
	m.none()
	for range 2 {
		requeue(r, tasks[0].ID)
		d := m.gets(tasks[0])
		m.none()
		m.settle(retry(d, 0))
		d = m.gets(tasks[0])
		m.settle(m.finish(d, broker.StateFailed))
		m.none() // it has failed again
	}
	r.enqueue(tasks[2])
	requeue(r, tasks[0].ID)
	d := m.gets(tasks[0])
	m.none()
	m.settle(m.succeed(d))
	m.next(tasks[1:]...)
	r.is(r.lanes().ResumeSequence(r.ctx, "q", "s"), broker.ErrNotFound)
	// A sequence is resumed before the dead letter is requeued. They run one after the other.
	more := r.batch(3, lane(stopping("t")))
	r.enqueue(more...)
	m.settle(m.finish(m.gets(more[0]), broker.StateFailed))
	r.resume("t")
	d = m.gets(more[1])
	requeue(r, more[0].ID)
	m.none()
	m.settle(m.succeed(d))
	got := m.shares(2, func(d *broker.Delivery) string { return d.ID.String() })
	r.near(got, 0, map[string]int{more[0].ID.String(): 1, more[2].ID.String(): 1})
}

func sequenceNotHalted(r *rig) {
	m := r.minion()
	tasks := r.batch(2, lane(stopping("steps")))
	r.enqueue(tasks...)
	for _, name := range []string{"steps", "unknown"} {
		err := r.lanes().ResumeSequence(r.ctx, "q", name)
		r.is(err, broker.ErrNotFound)
		r.names(err, name)
	}
	d := m.gets(tasks[0])
	r.is(r.lanes().ResumeSequence(r.ctx, "q", "steps"), broker.ErrNotFound)
	m.none()
	m.settle(m.finish(d, broker.StateFailed))
	r.is(r.lanes().ResumeSequence(r.ctx, "other", "steps"), broker.ErrNotFound)
	m.none()
	r.resume("steps")
	m.next(tasks[1])
}

func sequenceCanceled(r *rig) {
	m := r.minion()
	tasks := r.batch(6, lane(stopping("s")))
	r.enqueue(tasks...)
	r.canceled(tasks[0].ID, broker.CancelPrevented) // the first one, before it was handed out
	d := m.gets(tasks[1])
	r.canceled(tasks[3].ID, broker.CancelPrevented) // one that waits
	m.none()
	m.settle(m.succeed(d))
	d = m.gets(tasks[2])
	r.canceled(tasks[2].ID, broker.CancelRequested) // the one that runs
	m.none()
	m.settle(giveBack(d))
	d = m.gets(tasks[4])
	m.settle(retry(d, time.Hour))
	m.none()
	r.canceled(tasks[4].ID, broker.CancelPrevented) // the one that holds the sequence, while it waits
	m.next(tasks[5])
}

func sequenceExpired(r *rig) {
	m := r.minion()
	tasks := r.batch(4, lane(inSequence("s")))
	tasks[0].Deadline, tasks[2].Deadline = 10*brief, brief
	r.enqueue(tasks...)
	m.settle(retry(m.gets(tasks[0]), time.Hour)) // it expires while it waits for its next attempt
	r.expire(tasks[0], tasks[2])
	m.next(tasks[1], tasks[3])
}

// A parked task that holds its sequence is abandoned.
func sequenceAbandoned(r *rig) {
	w := r.witness(broker.StateFailed)
	first, second := r.task(lane(inSequence("s"))), r.task(lane(inSequence("s")))
	m := r.minion()
	r.enqueue(first)
	m.settle(park(m.gets(first), time.Hour))
	r.enqueue(second)
	m.none()
	m.close()
	r.pass(time.Hour+broker.AbandonedAfter+5*time.Second, w.minion)
	r.eventually("the abandoned task has failed", func() bool { return r.lookup(first.ID)[0].State == broker.StateFailed })
	r.minion().next(second)
}

// A waiting Dequeue is woken by whatever lets the next task of a sequence run.
func sequenceWakes(r *rig) {
	m, other := r.minion(), r.minionAt(r.other())
	for _, end := range []func(d *broker.Delivery){
		func(d *broker.Delivery) { m.settle(m.succeed(d)) },
		func(d *broker.Delivery) { m.settle(m.finish(d, broker.StateFailed)) },
		func(d *broker.Delivery) {
			m.settle(retry(d, time.Hour))
			r.canceled(d.ID, broker.CancelPrevented)
		},
	} {
		tasks := r.batch(2, lane(inSequence("s")))
		r.enqueue(tasks...)
		d := m.gets(tasks[0])
		done := other.waiting(r.ctx, 5, patience)
		start := time.Now()
		end(d)
		got := r.woken(done, start)
		r.same(takenOf(got), []broker.ID{tasks[1].ID})
		other.settle(other.succeed(got[0]))
	}
}

// Many tasks of a few sequences are taken in batches, and end in batches.
func sequenceMany(r *rig) {
	n, sequences := 1000, 10
	if r.light {
		n = 200
	}
	m := r.minion()
	tasks := make([]*broker.Task, n)
	for i := range tasks {
		tasks[i] = r.task(lane(inSequence(itoa(i%sequences)), fair(itoa(i%3))))
	}
	r.enqueue(tasks...)
	for at := 0; at < n; at += sequences {
		ds := m.take(sequences)
		r.sameSet(takenOf(ds), idsOf(tasks[at:at+sequences]))
		batch := make([]broker.Settlement, len(ds))
		for i, d := range ds {
			batch[i] = m.succeed(d)
		}
		m.settle(batch...)
	}
	m.none()
}
