package brokertest

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// broker.Starter: when a minion dies, each task that it held and had started gets a strike. If its
// lease has ended but the minion is alive, it takes the recoveries and strikes back.
func blameTests() []test {
	tests := []test{
		{"OnlyStartedTasks", blameStarted, needLapse},
		{"EndsWithTheAttempt", blameEnds, needLapse},
		{"CloseCountsNothing", blameClose, 0},
		{"Repeated", blameRepeated, needLapse},
		{"RefusedToOthers", blameRefused, needLapse},
		{"EachDeathCounts", blameEach, needLapse},
		{"DeathIsTakenBack", blameExcused, needLapse},
		{"DeathIsTakenBackThreeTimes", blameExcusedOften, needLapse},
		{"OnlyOwnDeathIsTakenBack", blameExcusedOwn, needLapse},
		{"DeathIsNotNoticed", blameUnnoticed, needLapse},
		{"RequeueForgets", blameRequeue, needLapse | needInspector},
		{"EndedContext", blameContext, 0},
	}
	for i := range tests {
		tests[i].needs |= needStarter
	}
	return tests
}

// recordStart calls RecordStart, which must succeed, and returns the recoveries and strikes.
func (r *rig) recordStart(d *broker.Delivery) [2]int {
	r.Helper()
	recoveries, strikes, err := r.starterAt(r.Broker).RecordStart(r.ctx, d)
	if err != nil {
		for _, m := range r.crew {
			if m.ID() == d.Minion {
				m.lives(err)
			}
		}
		r.Fatalf("RecordStart of %s, attempt %d: %v", d.ID, d.Attempt, err)
	}
	return [2]int{recoveries, strikes}
}

// blame records a start, and checks the recoveries and strikes of the task.
func (r *rig) blame(d *broker.Delivery, recoveries, strikes int) {
	r.Helper()
	if got := r.recordStart(d); got != [2]int{recoveries, strikes} {
		r.Fatalf("RecordStart of %s, attempt %d: %d recoveries and %d strikes, want %d and %d", d.ID, d.Attempt, got[0], got[1], recoveries, strikes)
	}
}

// tasksOfAllKinds returns tasks that a broker may store in different ways: small and large ones,
// with ids of a block and single ids.
func (r *rig) tasksOfAllKinds() []*broker.Task {
	return append(r.batch(5), r.batch(5, payload(make([]byte, 8<<10)))...)
}

func blameStarted(r *rig) {
	m, dying := r.minion(), r.minion()
	tasks := r.tasksOfAllKinds()
	r.enqueue(tasks...)
	started := map[broker.ID]bool{}
	for i, d := range dying.take(len(tasks)) {
		if d.Strikes != 0 {
			r.Fatalf("a new task has %d strikes, want 0", d.Strikes)
		}
		if i%2 == 0 {
			r.blame(d, 0, 0)
			started[d.ID] = true
		}
	}
	r.reap([]*minion{m}, dying)
	r.back(idsOf(tasks), m)
	for _, d := range m.take(len(tasks)) {
		want := 0
		if started[d.ID] {
			want = 1
		}
		if d.Recoveries != 1 || d.Strikes != want {
			r.Fatalf("after the death of its minion a task has %d recoveries and %d strikes, want 1 and %d", d.Recoveries, d.Strikes, want)
		}
		r.blame(d, 1, want)
		m.settle(m.succeed(d))
	}
}

// A recorded start counts for its own attempt only, not for later ones.
func blameEnds(r *rig) {
	m := r.minion("elsewhere", "q")
	for _, end := range []func(d *broker.Delivery) broker.Settlement{
		giveBack,
		func(d *broker.Delivery) broker.Settlement { return snooze(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return retry(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return retry(d, 20*time.Millisecond) },
	} {
		task := r.task()
		r.enqueue(task)
		d := m.take1()
		r.blame(d, 0, 0)
		m.settle(end(d))
		r.pass(20*time.Millisecond, m)
		dying := r.minion()
		dying.take1() // takes the task and does not start it
		r.reap([]*minion{m}, dying)
		r.back([]broker.ID{task.ID}, m)
		d = m.take1()
		r.blame(d, 1, 0)
		m.settle(m.succeed(d))
	}
}

func blameClose(r *rig) {
	m, other := r.minion(), r.minion()
	r.enqueue(r.task())
	r.blame(m.take1(), 0, 0)
	m.close()
	r.blame(other.take1(), 0, 0)
}

func blameRepeated(r *rig) {
	m, dying := r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	d := dying.take1()
	for range 3 {
		r.blame(d, 0, 0)
	}
	r.reap([]*minion{m}, dying)
	r.back([]broker.ID{task.ID}, m)
	d = m.take1()
	r.blame(d, 1, 1)
	r.blame(d, 1, 1)
}

func blameRefused(r *rig) {
	m, dying := r.minion(), r.minion()
	tasks := r.batch(2)
	r.enqueue(tasks...)
	refused := func(d *broker.Delivery, why string) {
		r.Helper()
		if _, _, err := r.starterAt(r.Broker).RecordStart(r.ctx, d); err == nil {
			r.Fatalf("RecordStart succeeded, although %s; want an error", why)
		} else {
			r.is(err, broker.ErrLeaseLost)
		}
	}
	ds := dying.take(2)
	foreign := *ds[0]
	foreign.Minion = m.ID()
	refused(&foreign, "another minion holds the task")
	next := *ds[0]
	next.Attempt++
	refused(&next, "that attempt has not been handed out yet")
	dying.settle(dying.succeed(ds[1]))
	refused(ds[1], "the task is final")
	r.reap([]*minion{m}, dying)
	r.back(idsOf(tasks[:1]), m)
	refused(ds[0], "the lease has ended")
	d := m.take1()
	refused(ds[0], "another minion holds the task now")
	r.blame(d, 1, 0)
	m.close()
	refused(d, "the consumer is closed")
	unknown := *d
	unknown.ID = r.id("q")
	refused(&unknown, "no task has that id")
}

func blameEach(r *rig) {
	m := r.minion("elsewhere", "q")
	task := r.task()
	r.enqueue(task)
	strikes := 0
	for i := range 4 {
		dying := r.minion()
		d := dying.take1()
		if i != 1 {
			r.blame(d, i, strikes)
			strikes++
		}
		r.reap([]*minion{m}, dying)
		r.back([]broker.ID{task.ID}, m)
	}
	r.blame(m.take1(), 4, 3)
}

func blameExcused(r *rig) {
	m, cut := r.minion(), r.minion()
	tasks := r.tasksOfAllKinds()
	r.enqueue(tasks...)
	for i, d := range cut.take(len(tasks)) {
		if i%2 == 0 {
			r.recordStart(d)
		}
	}
	r.reap([]*minion{m}, cut)
	r.back(idsOf(tasks), m)
	cut.close() // the minion is alive, so its death is taken back
	cut.close()
	for _, d := range m.take(len(tasks)) {
		r.blame(d, 0, 0)
		m.settle(m.succeed(d))
	}
}

// A minion that was cut off and is alive takes its death back, each time. A death after that
// counts.
func blameExcusedOften(r *rig) {
	m := r.minion("elsewhere", "q")
	task := r.task()
	r.enqueue(task)
	for i := range 4 {
		last := r.minion()
		r.blame(last.take1(), 0, 0)
		r.reap([]*minion{m}, last)
		r.back([]broker.ID{task.ID}, m)
		if i < 3 {
			last.close()
		}
	}
	r.blame(m.take1(), 1, 1)
}

// A minion takes back only its own death: not of a task that it had settled, and not the death of a
// later owner.
func blameExcusedOwn(r *rig) {
	m, cut := r.minion("elsewhere", "q"), r.minion()
	tasks := r.batch(2)
	r.enqueue(tasks...)
	ds := cut.take(2)
	r.recordStart(ds[0])
	r.recordStart(ds[1])
	cut.settle(giveBack(ds[1]))
	dying := r.minion()
	r.blame(dying.take1(), 0, 0)
	r.reap([]*minion{m}, cut, dying)
	r.back(idsOf(tasks), m)
	cut.close()
	for _, d := range m.take(2) {
		want := 0
		if d.ID == ds[1].ID {
			want = 1
		}
		r.blame(d, want, want)
	}
}

// The lease of a minion has ended, and the minion closes before anybody has recovered its tasks.
func blameUnnoticed(r *rig) {
	cut := r.minion()
	task := r.task()
	r.enqueue(task)
	r.blame(cut.take1(), 0, 0)
	r.Advance(r.Lease + r.Slack)
	cut.close()
	m := r.minion()
	r.back([]broker.ID{task.ID}, m)
	r.blame(m.take1(), 0, 0)
}

func blameRequeue(r *rig) {
	m := r.minion("elsewhere", "q")
	task := r.task()
	r.enqueue(task)
	for i := range 2 {
		dying := r.minion()
		r.recordStart(dying.take1())
		r.reap([]*minion{m}, dying)
		r.back([]broker.ID{task.ID}, m)
		if i == 0 {
			dying.close() // so a death that was taken back is stored too
		}
	}
	m.settle(m.finish(m.take1(), broker.StateFailed))
	requeue(r, task.ID)
	dying := r.minion()
	r.blame(dying.take1(), 0, 0)
	r.reap([]*minion{m}, dying)
	r.back([]broker.ID{task.ID}, m)
	r.blame(m.take1(), 1, 1)
}

func blameContext(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	if _, _, err := r.starterAt(r.Broker).RecordStart(ctx, d); err == nil {
		r.Fatalf("RecordStart succeeded after the end of its context")
	} else {
		r.is(err, context.Canceled)
	}
	r.blame(d, 0, 0)
}
