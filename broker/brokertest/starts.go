package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Each hand-out of a task has the number of an attempt, which makes earlier owners unable to settle
// it. The number of a start counts the attempts whose handler may have run. An attempt that ends
// before its handler starts is not counted as a start.
var startTests = []test{
	{"FirstIsOne", startsFirst, 0},
	{"GivenBackUnstarted", startsGivenBack, 0},
	{"SnoozedUnstarted", startsSnoozed, 0},
	{"EachEndOfAStartCounts", startsCount, 0},
	{"DeathCounts", startsDeath, needLapse},
	{"CloseCounts", startsClose, 0},
	{"FailedUnstarted", startsFailed, needInspector},
	{"IsReported", startsReported, 0},
	{"Afresh", startsAfresh, needInspector},
	{"RepeatedGiveBack", startsRepeated, 0},
}

// start checks both numbers of a delivery.
func (r *rig) start(d *broker.Delivery, attempt, start uint32) {
	r.Helper()
	if d.Attempt != attempt || d.Start != start {
		r.Fatalf("attempt %d and start %d; want %d and %d", d.Attempt, d.Start, attempt, start)
	}
}

// unstarted marks a settlement as one whose handler did not start.
func unstarted(s broker.Settlement) broker.Settlement {
	s.Unstarted = true
	return s
}

func startsFirst(r *rig) {
	m := r.minion()
	r.enqueue(r.task(), r.task(payload(make([]byte, 8<<10))), r.task(keyed("k")))
	for _, d := range m.take(3) {
		r.start(d, 1, 1)
	}
}

func startsGivenBack(r *rig) {
	m := r.minion()
	tasks := []*broker.Task{r.task(), r.task(payload(make([]byte, 8<<10)))}
	r.enqueue(tasks...)
	for i := range uint32(3) {
		ds := m.take(2)
		for _, d := range ds {
			r.start(d, i+1, 1)
			if d.Recoveries != 0 || d.Retried != 0 {
				r.Fatalf("a task that was given back unstarted was counted: %d recoveries and %d retries, want none", d.Recoveries, d.Retried)
			}
		}
		m.settle(unstarted(giveBack(ds[0])), unstarted(giveBack(ds[1])))
	}
	for _, d := range m.take(2) {
		r.start(d, 4, 1)
		m.settle(m.succeed(d))
	}
}

func startsSnoozed(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	m.settle(unstarted(snooze(m.take1(), 0)))
	d := m.take1()
	r.start(d, 2, 1)
	m.settle(unstarted(snooze(d, 20*time.Millisecond)))
	if st := r.lookup(task.ID)[0]; st.State != broker.StateRetrying || st.Attempt != 0 {
		r.Fatalf("the task is %s after %d starts, want retrying after 0", st.State, st.Attempt)
	}
	r.pass(20*time.Millisecond, m)
	r.start(m.take1(), 3, 1)
}

func startsCount(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	m.settle(unstarted(giveBack(d)))
	for i, s := range []func(d *broker.Delivery) broker.Settlement{
		giveBack,
		func(d *broker.Delivery) broker.Settlement { return snooze(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return retry(d, 0) },
	} {
		d := m.take1()
		r.start(d, uint32(i)+2, uint32(i)+1)
		m.settle(s(d))
	}
	r.start(m.take1(), 5, 4)
}

// Nobody knows whether a dead minion had started a task that it held. So its death counts as a
// start.
func startsDeath(r *rig) {
	m, dying := r.minion(), r.minion()
	r.enqueue(r.task())
	m.settle(unstarted(giveBack(m.take1())))
	r.start(dying.take1(), 2, 1)
	r.reap([]*minion{m}, dying)
	r.start(m.take1(), 3, 2)
}

func startsClose(r *rig) {
	m, other := r.minion(), r.minion()
	r.enqueue(r.task())
	r.start(m.take1(), 1, 1)
	m.close()
	r.start(other.take1(), 2, 2)
}

func startsFailed(r *rig) {
	m := r.minion()
	tasks := []*broker.Task{r.task(), r.task(payload(make([]byte, 8<<10)))}
	r.enqueue(tasks...)
	for _, d := range m.take(2) {
		m.settle(unstarted(m.finish(d, broker.StateFailed)))
	}
	requeue(r, tasks[0].ID)
	requeue(r, tasks[1].ID)
	for _, d := range m.take(2) {
		r.start(d, 2, 1)
	}
}

func startsReported(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	reported := func(state broker.State, want uint32) {
		r.Helper()
		st := r.lookup(task.ID)[0]
		if st.State != state || st.Attempt != want && (st.Attempt != 0 || state != broker.StatePending) {
			r.Fatalf("Lookup says %s with start %d, want %s with start %d", st.State, st.Attempt, state, want)
		}
	}
	m.settle(unstarted(giveBack(m.take1())))
	reported(broker.StatePending, 0)
	d := m.take1()
	reported(broker.StateRunning, 1)
	s := retry(d, 20*time.Millisecond)
	s.Outcome.Err = &broker.Failure{Type: "*test.Error", Message: "no"}
	m.settle(s)
	reported(broker.StateRetrying, 1)
	if st := r.lookup(task.ID)[0]; st.Failed == nil || st.Failed.Attempt != 1 {
		r.Fatalf("the last failure is %+v, want the failure of start 1", st.Failed)
	}
	r.pass(20*time.Millisecond, m)
	d = m.take1()
	reported(broker.StateRunning, 2)
	done := m.succeed(d)
	done.Outcome.Attempts = d.Start
	m.settle(done)
	reported(broker.StateSucceeded, 2)
}

// A give-back whose reply was lost is repeated, and counts once.
func startsRepeated(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	m.settle(unstarted(giveBack(d)))
	if errs := m.settled(unstarted(giveBack(d))); errs[0] != nil {
		r.is(errs[0], broker.ErrLeaseLost)
	}
	r.start(m.take1(), 2, 1)
}

// Delivery.Afresh is set for an attempt that follows a failure, also if another attempt was given
// back since.
func startsAfresh(r *rig) {
	m := r.minion()
	r.enqueue(r.task(), r.task(payload(make([]byte, 8<<10))))
	next := func(what string, want bool, s func(d *broker.Delivery) broker.Settlement) {
		r.Helper()
		var ids []broker.ID
		for _, d := range m.take(2) {
			if d.Afresh != want {
				r.Fatalf("%s: Afresh is %v, want %v", what, d.Afresh, want)
			}
			ids = append(ids, d.ID)
			m.settle(s(d))
		}
		if what == "the last attempt" {
			requeue(r, ids...)
		}
	}
	again := func(d *broker.Delivery) broker.Settlement { return retry(d, 0) }
	later := func(d *broker.Delivery) broker.Settlement { return snooze(d, 0) }
	end := func(d *broker.Delivery) broker.Settlement { return m.finish(d, broker.StateFailed) }
	next("the first attempt", false, giveBack)
	next("after a give-back", false, later)
	next("after a snooze", false, again)
	next("after a retry", true, again)
	next("after two", true, giveBack)
	next("after a retry and a give-back", true, unstartedBy(giveBack))
	next("after another give-back", true, unstartedBy(later))
	next("after a snooze without a start", true, later)
	next("after a retry and a snooze", false, again)
	next("the last attempt", true, end)
	next("after a requeue", true, later)
	next("after a requeue and a snooze", false, end)
}

func unstartedBy(f func(*broker.Delivery) broker.Settlement) func(*broker.Delivery) broker.Settlement {
	return func(d *broker.Delivery) broker.Settlement { return unstarted(f(d)) }
}
