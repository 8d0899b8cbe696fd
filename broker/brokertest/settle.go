package brokertest

import (
	"bytes"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The effect of each verb, and of a batch of settlements.
var settleTests = []test{
	{"FinishInEveryState", settleFinish, 0},
	{"Retry", settleRetry, 0},
	{"RetryCounts", settleRetryCounts, 0},
	{"Snooze", settleSnooze, 0},
	{"GiveBackToTheFront", settleGiveBack, 0},
	{"GiveBackKeepsOrder", settleGiveBackOrder, 0},
	{"LaterGiveBackGoesInFront", settleGiveBackLater, 0},
	{"RetryGoesBehindPendingTasks", settleBehind, 0},
	{"GiveBackCountsNothing", settleGiveBackCounts, 0},
	{"LateInTheLifeOfATask", settleLate, 0},
	{"Mixed", settleMixed, 0},
	{"Nothing", settleNothing, 0},
	{"SameTaskTwiceInABatch", settleSameTwice, 0},
	{"MoreThanMaxBatch", settleMoreThanMaxBatch, 0},
	{"MoreThanMaxBatchBytes", settleMoreThanMaxBatchBytes, 0},
	{"ResultTooLarge", settleResultTooLarge, 0},
	{"Invalid", settleInvalid, 0},
	{"OutcomeBelongsToTheBroker", settleOutcomeBelongs, 0},
	{"SeveralQueues", settleSeveralQueues, 0},
}

func settleFinish(r *rig) {
	m := r.minion()
	for _, state := range finals {
		task := r.task()
		r.enqueue(task)
		want := m.finish(m.take1(), state)
		m.settle(want)
		r.in(state, task.ID)
		r.equal(r.outcome(task.ID), want.Outcome)
	}
	m.none()
}

func settleRetry(r *rig) {
	m, other := r.minion(), r.minionAt(r.other())
	task := r.task()
	r.enqueue(task)
	m.settle(retry(m.take1(), 150*time.Millisecond))
	r.in(broker.StateRetrying, task.ID)
	other.none()
	d := other.take1() // any consumer may take the next attempt
	r.same([]broker.ID{d.ID}, []broker.ID{task.ID})
	r.attempt(d, 2, 1, 0)
	r.in(broker.StateRunning, task.ID)
	other.settle(other.succeed(d))
	r.in(broker.StateSucceeded, task.ID)
}

func settleRetryCounts(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	for i := range 300 { // more than one byte can count
		d := m.take1()
		r.attempt(d, uint32(i+1), i, 0)
		m.settle(retry(d, -time.Second))
	}
}

func settleSnooze(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	wait := max(300*time.Millisecond, 6*r.Slack)
	d := m.take1()
	from := time.Now().Add(wait)
	m.settle(snooze(d, wait))
	d = m.notBefore(task.ID, from, time.Now().Add(wait), func() { r.in(broker.StateRetrying, task.ID) })
	r.attempt(d, 2, 0, 0)
	m.settle(retry(d, 0))
	m.settle(snooze(m.take1(), 0))
	r.attempt(m.take1(), 4, 1, 0)
}

func settleGiveBack(r *rig) {
	m := r.minion()
	tasks := r.batch(4)
	r.enqueue(tasks...)
	d := m.take1()
	m.settle(giveBack(d))
	r.in(broker.StatePending, idsOf(tasks)...)
	ds := m.take(4)
	r.same(takenOf(ds), idsOf(tasks))
	r.attempt(ds[0], 2, 0, 0)
	r.attempt(ds[1], 1, 0, 0)
}

func settleGiveBackOrder(r *rig) {
	m := r.minion()
	tasks := r.batch(8)
	r.enqueue(tasks...)
	ds := m.take(5)
	m.settle(giveBack(ds[0]), giveBack(ds[1]), giveBack(ds[2]), giveBack(ds[3]), giveBack(ds[4]))
	r.same(takenOf(m.take(8)), idsOf(tasks))
}

func settleGiveBackLater(r *rig) {
	m := r.minion()
	tasks := r.batch(6)
	r.enqueue(tasks...)
	ds := m.take(4)
	m.settle(giveBack(ds[2]), giveBack(ds[3]))
	m.settle(giveBack(ds[0]), giveBack(ds[1]))
	r.same(takenOf(m.take(6)), idsOf(tasks))
}

// A task whose retry or snooze is over goes behind all pending tasks, in the order of the batch.
func settleBehind(r *rig) {
	m := r.minion()
	tasks := r.batch(6)
	r.enqueue(tasks...)
	ds := m.take(4)
	m.settle(retry(ds[1], 0), snooze(ds[0], 0), m.finish(ds[2], broker.StateFailed))
	want := []broker.ID{tasks[4].ID, tasks[5].ID, tasks[1].ID, tasks[0].ID}
	if _, ok := can[broker.Inspector](r.Broker); ok {
		requeue(r, ds[2].ID)
		want = append(want, ds[2].ID)
	}
	m.settle(retry(ds[3], -time.Second))
	want = append(want, ds[3].ID)
	r.same(takenOf(m.take(len(want))), want)
}

func settleGiveBackCounts(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	m.settle(retry(m.take1(), 0))
	for i := range 5 {
		d := m.take1()
		r.attempt(d, uint32(i+2), 1, 0)
		m.settle(giveBack(d))
	}
}

// A task is delayed, retried, snoozed and given back before it ends.
func settleLate(r *rig) {
	for _, state := range finals {
		m := r.minion()
		task := r.task(after(20 * time.Millisecond))
		r.enqueue(task)
		m.settle(retry(m.take1(), 20*time.Millisecond))
		m.settle(giveBack(m.take1()))
		m.settle(snooze(m.take1(), 20*time.Millisecond))
		m.take1()
		m.close()
		m = r.minion()
		d := m.take1()
		r.attempt(d, 5, 1, 0)
		want := m.finish(d, state)
		m.settle(want)
		r.in(state, task.ID)
		r.equal(r.outcome(task.ID), want.Outcome)
		m.none()
		m.close()
	}
}

func settleMixed(r *rig) {
	m, other := r.minion(), r.minion()
	tasks := r.batch(9)
	r.enqueue(tasks...)
	ds := m.take(8)
	theirs := other.take(1)[0]
	never := *theirs
	never.ID = broker.NewID(broker.KindTask, "q", 0)
	huge := m.succeed(ds[6])
	huge.Outcome.Result = make([]byte, r.Broker.Limits().Result+1)
	errs := m.settled(
		m.succeed(ds[0]), m.succeed(theirs), retry(ds[1], time.Hour), m.succeed(&never),
		snooze(ds[2], time.Hour), giveBack(ds[3]), huge, m.finish(ds[4], broker.StateFailed),
	)
	for i, want := range []error{
		nil, broker.ErrLeaseLost, nil, broker.ErrLeaseLost, nil, nil, broker.ErrTooLarge, nil,
	} {
		if want == nil && errs[i] != nil {
			r.Fatalf("settlement %d of the batch was refused: %v", i, errs[i])
		} else if want != nil {
			r.is(errs[i], want)
		}
	}
	for i, state := range []broker.State{
		broker.StateSucceeded, broker.StateRetrying, broker.StateRetrying, broker.StatePending,
		broker.StateFailed, broker.StateRunning, broker.StateRunning, broker.StateRunning, broker.StateRunning,
	} {
		r.in(state, tasks[i].ID)
	}
	m.settle(m.succeed(ds[5]), m.succeed(ds[6]), m.succeed(ds[7]))
	other.settle(other.succeed(theirs))
	r.same(takenOf(m.take(1)), []broker.ID{tasks[3].ID})
}

func settleNothing(r *rig) { r.minion().settle() }

func settleSameTwice(r *rig) {
	m := r.minion()
	mail := r.mail()
	for _, second := range []func(d *broker.Delivery) broker.Settlement{
		m.succeed,
		func(d *broker.Delivery) broker.Settlement { return m.finish(d, broker.StateFailed) },
		func(d *broker.Delivery) broker.Settlement { return retry(d, 0) },
		giveBack,
	} {
		for _, swap := range []bool{false, true} {
			task := r.task(inbox(mail.id))
			r.enqueue(task)
			d := m.take1()
			both := []broker.Settlement{m.succeed(d), second(d)}
			if swap {
				slices.Reverse(both)
			}
			errs := m.settled(both...)
			if errs[0] != nil {
				r.Fatalf("the first of two settlements of one task (verbs %d and %d) was refused: %v", both[0].Verb, both[1].Verb, errs[0])
			}
			if errs[1] != nil {
				r.is(errs[1], broker.ErrLeaseLost)
			}
			if both[0].Verb != broker.VerbFinish { // the first settlement counts: the task goes on
				d = m.take1()
				retried := 0
				if both[0].Verb == broker.VerbRetry {
					retried = 1
				}
				r.attempt(d, 2, retried, 0)
				both[0] = m.succeed(d)
				m.settle(both[0])
			}
			r.equal(r.outcome(task.ID), both[0].Outcome)
			r.equal(mail.take(1)[0].Outcome, both[0].Outcome)
			m.none()
		}
	}
	mail.none()
}

func settleMoreThanMaxBatch(r *rig) {
	m := r.minion()
	tasks := r.batch(2*broker.MaxBatch + 345)
	r.enqueue(tasks...)
	ds := m.take(len(tasks))
	batch := make([]broker.Settlement, len(ds))
	var again []broker.ID
	for i, d := range ds {
		if i%5 == 4 {
			batch[i] = retry(d, 0)
			again = append(again, d.ID)
			continue
		}
		batch[i] = m.succeed(d)
	}
	m.settle(batch...)
	r.sameSet(takenOf(m.take(len(again))), again)
	for i, st := range r.lookup(idsOf(tasks)...) {
		want := broker.StateSucceeded
		if i%5 == 4 {
			want = broker.StateRunning
		}
		if st.State != want {
			r.Fatalf("task %d is %s after a large batch, want %s", i, st.State, want)
		}
	}
	m.none()
}

func settleMoreThanMaxBatchBytes(r *rig) {
	m := r.minion()
	size := min(r.Broker.Limits().Result, 1<<20)
	tasks := r.batch(broker.MaxBatchBytes/size + 3)
	r.enqueue(tasks...)
	batch := make([]broker.Settlement, len(tasks))
	for i, d := range m.take(len(tasks)) {
		batch[i] = m.succeed(d)
		batch[i].Outcome.Result = bytes.Repeat([]byte{byte(i + 1)}, size)
	}
	m.settle(batch...)
	for i, st := range r.lookup(idsOf(tasks)...) {
		if st.Outcome == nil {
			r.Fatalf("task %d is %s without an outcome", i, st.State)
		}
		r.equal(*st.Outcome, batch[i].Outcome)
	}
}

func settleResultTooLarge(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	huge := m.succeed(d)
	huge.Outcome.Result = make([]byte, r.Broker.Limits().Result+1)
	r.is(m.settled(huge)[0], broker.ErrTooLarge)
	r.in(broker.StateRunning, task.ID)
	m.none()
	fail := m.finish(d, broker.StateFailed)
	m.settle(fail) // the consumer still holds the task
	r.equal(r.outcome(task.ID), fail.Outcome)
}

func settleInvalid(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	bad := []broker.Settlement{
		{},
		{Verb: broker.VerbRetry},
		{Delivery: d, Verb: broker.VerbGiveBack + 1},
		{Delivery: d, Verb: broker.VerbFinish},
		{Delivery: d, Verb: broker.VerbFinish, Outcome: broker.Outcome{State: broker.StateRunning}},
		{Delivery: d, Verb: broker.VerbFinish, Outcome: broker.Outcome{State: broker.StateExpired + 1}},
		retry(d, broker.MaxDuration+1),
	}
	for _, err := range m.settled(bad...) {
		r.is(err, broker.ErrInvalid)
	}
	r.in(broker.StateRunning, task.ID)
	m.none()
	m.settle(m.succeed(d))
}

func settleOutcomeBelongs(r *rig) {
	m := r.minion()
	tasks := r.batch(2)
	r.enqueue(tasks...)
	ds := m.take(2)
	given := []broker.Settlement{m.succeed(ds[0]), m.finish(ds[1], broker.StateFailed)}
	want := []broker.Outcome{m.succeed(ds[0]).Outcome, m.finish(ds[1], broker.StateFailed).Outcome}
	for i := range want { // each settlement is made at another time
		want[i].Started, want[i].Finished = given[i].Outcome.Started, given[i].Outcome.Finished
	}
	spoil := func(o *broker.Outcome) {
		for i := range o.Result {
			o.Result[i] = 'X'
		}
		if o.Err != nil {
			o.Err.Message, o.Err.Chain[0], o.Err.Codes[0] = "spoiled", "spoiled", "spoiled"
		}
	}
	m.settle(given...)
	for i := range given {
		spoil(&given[i].Outcome)
	}
	for range 2 {
		for i, st := range r.lookup(idsOf(tasks)...) {
			r.equal(*st.Outcome, want[i])
			spoil(st.Outcome) // the returned outcome belongs to the caller
		}
	}
}

func settleSeveralQueues(r *rig) {
	m := r.minion("a", "b", "c")
	tasks := []*broker.Task{r.task(onQueue("a")), r.task(onQueue("b")), r.task(onQueue("c")), r.task(onQueue("a"))}
	r.enqueue(tasks...)
	ds := m.take(4)
	var batch []broker.Settlement
	for _, d := range ds {
		batch = append(batch, m.succeed(d))
	}
	batch[1] = retry(ds[1], time.Hour)
	m.settle(batch...)
	for i, d := range ds {
		want := broker.StateSucceeded
		if i == 1 {
			want = broker.StateRetrying
		}
		r.in(want, d.ID)
	}
}
