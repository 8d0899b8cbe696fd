package brokertest

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// What an attempt uses of its limits is given back once, whatever ends the attempt.
var laneEndTests = []test{
	{"UseEndsWithEachSettlement", laneEnds, 0},
	{"UseEndsWithACancel", laneEndCanceled, 0},
	{"UseEndsWithPark", laneEndParked, needParker},
	{"UseEndsWithClose", laneEndClosed, 0},
	{"UseEndsWithTheLease", laneEndDead, needLapse},
	{"UseEndsOnceWithALateSettlement", laneEndLate, needLapse},
	{"UseOfARefusedSettlementStays", laneEndRefused, 0},
	{"UseOfARequeuedTask", laneEndRequeued, needInspector},
	{"FreedLimitWakesADequeue", laneEndWakes, 0},
}

func laneEnds(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	for _, end := range []func(d *broker.Delivery) broker.Settlement{
		m.succeed,
		func(d *broker.Delivery) broker.Settlement { return m.finish(d, broker.StateFailed) },
		func(d *broker.Delivery) broker.Settlement { return m.finish(d, broker.StateCanceled) },
		func(d *broker.Delivery) broker.Settlement { return m.finish(d, broker.StateExpired) },
		func(d *broker.Delivery) broker.Settlement { return retry(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return retry(d, time.Hour) },
		func(d *broker.Delivery) broker.Settlement { return snooze(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return snooze(d, time.Hour) },
		giveBack,
		func(d *broker.Delivery) broker.Settlement {
			s := giveBack(d)
			s.Unstarted = true
			return s
		},
	} {
		first, second := r.task(lane(using("l"))), r.task(lane(using("l")))
		r.enqueue(first, second)
		s := end(m.gets(first))
		m.none()
		r.inUse("l", 1)
		m.settle(s)
		r.inUse("l", 0)
		d := m.take1() // the second one, or the first one again
		m.none()
		r.inUse("l", 1)
		// The settlement is repeated, because its reply was lost. Nothing is given back again.
		if err := m.settled(s)[0]; err != nil && !errors.Is(err, broker.ErrLeaseLost) {
			r.Fatalf("repeated: %v", err)
		}
		r.inUse("l", 1)
		m.none()
		m.settle(m.succeed(d))
		for _, d := range m.tryTake(2) {
			m.settle(m.succeed(d))
		}
		r.inUse("l", 0)
	}
}

func laneEndCanceled(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	for _, end := range []func(d *broker.Delivery) broker.Settlement{
		m.succeed, giveBack, func(d *broker.Delivery) broker.Settlement { return retry(d, time.Hour) },
	} {
		first, second := r.task(lane(using("l"))), r.task(lane(using("l")))
		r.enqueue(first, second)
		d := m.gets(first)
		r.canceled(first.ID, broker.CancelRequested)
		m.none() // the consumer still holds it
		r.inUse("l", 1)
		m.settle(end(d))
		m.next(second)
		r.inUse("l", 0)
	}
	// A consumer closes while it holds a cancelled task.
	first, second := r.task(lane(using("l"))), r.task(lane(using("l")))
	r.enqueue(first, second)
	closing := r.minion()
	closing.gets(first)
	r.canceled(first.ID, broker.CancelRequested)
	closing.close()
	d := m.take1()
	if d.ID == first.ID {
		if !d.Canceled {
			r.Fatalf("a task that was cancelled is handed out without Canceled")
		}
		m.none()
		m.settle(m.finish(d, broker.StateCanceled))
		d = m.take1()
	}
	r.same([]broker.ID{d.ID}, []broker.ID{second.ID})
	r.inUse("l", 1)
	m.none()
}

func laneEndParked(r *rig) {
	m, knows := r.minion(), r.knowing("test.task")
	r.define(broker.Limit{Name: "l", Most: 1})
	first, second := r.task(lane(using("l"))), r.task(lane(using("l")), named("test.other"))
	r.enqueue(first, second)
	s := park(m.gets(first), time.Hour)
	m.settle(s)
	r.inUse("l", 0)
	r.in(broker.StateParked, first.ID)
	d := m.gets(second)
	// Its limit is exhausted, so no consumer gets it, though one could run it.
	knows.none()
	r.inUse("l", 1)
	if err := m.settled(s)[0]; err != nil && !errors.Is(err, broker.ErrLeaseLost) {
		r.Fatalf("repeated: %v", err)
	}
	r.inUse("l", 1)
	done := knows.waiting(r.ctx, 5, patience)
	start := time.Now()
	m.settle(m.succeed(d))
	got := r.woken(done, start)
	r.same(takenOf(got), []broker.ID{first.ID})
	r.attempt(got[0], 2, 0, 0)
	r.inUse("l", 1)
	r.parked()
	knows.settle(knows.succeed(got[0]))
	r.inUse("l", 0)
}

func laneEndClosed(r *rig) {
	r.define(broker.Limit{Name: "l", Most: 2})
	r.define(broker.Limit{Name: "all", Most: 100})
	tasks := r.batch(4, lane(using("l", "all")))
	r.enqueue(tasks...)
	closing, m := r.minion(), r.minion()
	r.same(takenOf(closing.take(2)), idsOf(tasks[:2]))
	m.none()
	done := m.waiting(r.ctx, 1, patience)
	start := time.Now()
	closing.close()
	got := r.woken(done, start)
	r.same(takenOf(got), idsOf(tasks[:1]))
	m.gets(tasks[1])
	m.none()
	closing.close()
	r.inUse("l", 2)
	r.inUse("all", 2)
	m.none()
}

func laneEndDead(r *rig) {
	r.define(broker.Limit{Name: "l", Most: 2})
	tasks := r.batch(4, lane(using("l")))
	r.enqueue(tasks...)
	dying, m := r.minion(), r.minion()
	dying.take(2)
	m.none()
	r.inUse("l", 2)
	r.reap([]*minion{m}, dying)
	r.back(idsOf(tasks[:2]), m)
	ds := m.take(2)
	r.sameSet(takenOf(ds), idsOf(tasks[:2]))
	m.none()
	r.inUse("l", 2)
	m.settle(m.succeed(ds[0]), m.succeed(ds[1]))
	m.next(tasks[2:]...)
	r.inUse("l", 0)
}

// A consumer settles an attempt after its lease has ended, and so gives nothing back again.
func laneEndLate(r *rig) {
	r.define(broker.Limit{Name: "l", Most: 1})
	first, second := r.task(lane(using("l"))), r.task(lane(using("l")))
	r.enqueue(first, second)
	dying, m := r.minion(), r.minion()
	old := dying.gets(first)
	r.reap([]*minion{m}, dying)
	r.back([]broker.ID{first.ID}, m)
	late := func() {
		r.Helper()
		for _, s := range []broker.Settlement{dying.succeed(old), giveBack(old), retry(old, 0)} {
			if err := lost(dying.Settle(r.ctx, []broker.Settlement{s})); !errors.Is(err, broker.ErrLeaseLost) {
				r.Fatalf("a late settlement returned %v, want ErrLeaseLost", err)
			}
		}
	}
	late()
	r.inUse("l", 0)
	d := m.gets(first)
	late()
	r.inUse("l", 1)
	m.none()
	m.settle(m.succeed(d))
	d = m.gets(second)
	late()
	dying.close()
	r.inUse("l", 1)
	m.settle(m.succeed(d))
	r.inUse("l", 0)
}

func laneEndRefused(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	r.enqueue(r.batch(2, lane(using("l")))...)
	d := m.take1()
	r.is(m.settled(retry(d, broker.MaxDuration+1))[0], broker.ErrInvalid)
	r.is(r.minion().settled(m.succeed(d))[0], broker.ErrLeaseLost)
	r.inUse("l", 1)
	m.none()
}

func laneEndRequeued(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	task, other := r.task(lane(using("l"))), r.task(lane(using("l")))
	bury(r, m, task)
	r.inUse("l", 0)
	r.enqueue(other)
	d := m.gets(other)
	requeue(r, task.ID)
	m.none()
	m.settle(m.succeed(d))
	d = m.gets(task)
	m.equals(d, task)
	r.inUse("l", 1)
	m.settle(m.finish(d, broker.StateFailed))
	r.inUse("l", 0)
	if letter := deadLetters(r, "q", 10)[task.ID]; letter == nil || !alikeLanes(letter.Task.Lane, task.Lane) {
		r.Fatalf("the dead letter is %+v, want one with the lane %+v", letter, task.Lane)
	}
}

// A limit becomes free again and again, while another consumer waits for it.
func laneEndWakes(r *rig) {
	m, other := r.minion(), r.minionAt(r.other())
	r.define(broker.Limit{Name: "l", Most: 1})
	tasks := r.batch(10, lane(using("l")))
	r.enqueue(tasks...)
	d := m.gets(tasks[0])
	for _, task := range tasks[1:] {
		done := other.waiting(r.ctx, 5, patience)
		start := time.Now()
		m.settle(m.succeed(d))
		got := r.woken(done, start)
		r.same(takenOf(got), []broker.ID{task.ID})
		d = got[0]
		m, other = other, m
	}
}
