package brokertest

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A delayed task is handed out when its delay is over: never before, and soon after.
var delayedTests = []test{
	{"NotBeforeItsTime", delayedNotBefore, 0},
	{"InTimeOnAnIdleConsumer", delayedInTime, 0},
	{"SoonerOneWakes", delayedSoonerWakes, 0},
	{"InOrderOfTheirTimes", delayedInOrder, 0},
	{"Many", delayedMany, 0},
	{"ManyAtOnce", delayedManyAtOnce, 0},
	{"AcrossQueues", delayedAcrossQueues, 0},
	{"OverdueWithoutAConsumer", delayedOverdue, 0},
	{"NegativeIsAtOnce", delayedNegative, 0},
	{"RetryAndSnoozeInTime", delayedRetry, 0},
	{"NotBehindOthers", delayedNotBehindOthers, 0},
	{"Long", delayedLong, needJump},
}

// arrive waits for the one task that is due between from and to, and checks that it is not late.
// Clocks may be rounded by a millisecond or two.
func (m *minion) arrive(id broker.ID, from, to time.Time) *broker.Delivery {
	m.r.Helper()
	d := m.take1()
	m.inTime(d, id, from, to)
	return d
}

// inTime checks that the delivery has the id, and was handed out now at its due time, which is
// between from and to.
func (m *minion) inTime(d *broker.Delivery, id broker.ID, from, to time.Time) {
	m.r.Helper()
	now := time.Now()
	m.r.same([]broker.ID{d.ID}, []broker.ID{id})
	if early := from.Sub(now); early > 2*time.Millisecond {
		m.r.Fatalf("task %s was handed out %v before it was due", d.ID, early)
	}
	if late, most := now.Sub(to), max(m.r.Slack, m.r.prompt()); late > most {
		m.r.Fatalf("task %s was handed out %v late, want at most %v", d.ID, late, most)
	}
}

// notBefore tries several times to take a task that is due between from and to. It returns the
// task, which must not be handed out early. It runs check before each try.
func (m *minion) notBefore(id broker.ID, from, to time.Time, check func()) *broker.Delivery {
	m.r.Helper()
	for range 3 {
		if ds := m.tryTake(1); len(ds) > 0 { // only correct if the machine has stalled until the task was due
			m.inTime(ds[0], id, from, to)
			return ds[0]
		}
		left := time.Until(from)
		m.r.before(m.r.Now().Add(left), check)
	}
	return m.arrive(id, from, to)
}

func delayedNotBefore(r *rig) {
	m := r.minion()
	task := r.task(after(max(300*time.Millisecond, 6*r.Slack)))
	from := time.Now().Add(task.Delay)
	r.enqueue(task)
	to := time.Now().Add(task.Delay)
	m.notBefore(task.ID, from, to, func() { r.in(broker.StateScheduled, task.ID) })
	m.none()
}

func delayedInTime(r *rig) {
	for _, queues := range [][]string{{"q"}, {"q", "r"}} {
		m := r.minion(queues...)
		for _, delay := range []time.Duration{time.Millisecond, 30 * time.Millisecond, 251 * time.Millisecond} {
			task := r.task(after(delay))
			from := time.Now().Add(delay)
			r.enqueue(task)
			d := m.arrive(task.ID, from, time.Now().Add(delay))
			r.attempt(d, 1, 0, 0)
			m.settle(m.succeed(d))
		}
		m.close()
	}
}

func delayedSoonerWakes(r *rig) {
	m := r.minion()
	r.enqueue(r.task(after(time.Hour)), r.task(after(time.Minute)))
	done := m.waiting(r.ctx, 5, patience)
	const soon, sooner = 400 * time.Millisecond, 150 * time.Millisecond
	second, first := r.task(after(soon)), r.task(after(sooner))
	from := time.Now().Add(soon)
	r.enqueue(second)
	r.enqueue(first)
	start := time.Now()
	got := <-done
	if got.err != nil {
		r.Fatalf("Dequeue: %v", got.err)
	}
	r.same(takenOf(got.tasks), []broker.ID{first.ID})
	if took := got.at.Sub(start); took > sooner+max(r.Slack, r.prompt()) {
		r.Fatalf("a task with a delay of %v was handed out after %v", sooner, took)
	}
	m.arrive(second.ID, from, start.Add(soon))
}

func delayedInOrder(r *rig) {
	m := r.minion()
	tasks := make([]*broker.Task, 5)
	var mixed []*broker.Task // sent in one batch, since two requests may be any time apart
	for _, i := range []int{3, 0, 4, 2, 1} {
		tasks[i] = r.task(after(time.Duration(i+1) * 80 * time.Millisecond))
		mixed = append(mixed, tasks[i])
	}
	r.enqueue(mixed...)
	r.same(takenOf(m.take(5)), idsOf(tasks))
}

func delayedMany(r *rig) {
	n, span := 300, 600
	if r.light { // an emulated store takes and settles the tasks one by one
		n = 60
	}
	rng := rand.New(rand.NewPCG(1, 2))
	tasks := r.batch(n)
	from, to := map[broker.ID]time.Time{}, map[broker.ID]time.Time{}
	for part := range slices.Chunk(tasks, 50) {
		for _, task := range part {
			task.Delay = time.Duration(rng.IntN(span)) * time.Millisecond
			from[task.ID] = time.Now().Add(task.Delay)
		}
		r.enqueue(part...)
		for _, task := range part {
			to[task.ID] = time.Now().Add(task.Delay)
		}
	}
	m := r.minion()
	var got []broker.ID
	for len(got) < n {
		asked := time.Now() // tasks that became due before this moment are late from here on
		for _, d := range m.take(1) {
			now := time.Now()
			if early := from[d.ID].Sub(now); early > 2*time.Millisecond {
				r.Fatalf("task %s was handed out %v before it was due", d.ID, early)
			}
			due := to[d.ID]
			if due.Before(asked) {
				due = asked
			}
			if late := now.Sub(due); late > 4*max(r.Slack, r.prompt()) {
				r.Fatalf("task %s was handed out %v late", d.ID, late)
			}
			m.settle(m.succeed(d))
			got = append(got, d.ID)
		}
	}
	r.sameSet(got, idsOf(tasks))
	m.none()
}

// At one moment more tasks become due than one operation of a broker may move.
func delayedManyAtOnce(r *rig) {
	tasks := r.batch(2*broker.MaxBatch+100, after(200*time.Millisecond))
	r.enqueue(tasks...)
	m := r.minion()
	r.sameSet(takenOf(m.take(len(tasks))), idsOf(tasks))
	m.none()
}

func delayedAcrossQueues(r *rig) {
	m := r.minion("a", "b", "c")
	for i, queue := range []string{"b", "c", "a", "c"} {
		delay := time.Duration(20+60*i) * time.Millisecond
		task := r.task(onQueue(queue), after(delay))
		from := time.Now().Add(delay)
		r.enqueue(task)
		m.arrive(task.ID, from, time.Now().Add(delay))
	}
}

func delayedOverdue(r *rig) {
	tasks := r.batch(3, after(50*time.Millisecond))
	r.enqueue(tasks...)
	r.Advance(50*time.Millisecond + r.Slack)
	m := r.minion()
	start := time.Now()
	r.sameSet(takenOf(m.take(3)), idsOf(tasks))
	if took := time.Since(start); took > r.prompt() {
		r.Fatalf("overdue tasks were handed out only after %v", took)
	}
}

func delayedNegative(r *rig) {
	tasks := r.batch(2, after(-time.Hour))
	r.enqueue(tasks...)
	r.in(broker.StatePending, idsOf(tasks)...)
	r.same(takenOf(r.minion().take(2)), idsOf(tasks))
}

func delayedRetry(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	for i, settle := range []func(*broker.Delivery, time.Duration) broker.Settlement{retry, snooze, retry} {
		delay := time.Duration(20+90*i) * time.Millisecond
		from := time.Now().Add(delay)
		m.settle(settle(d, delay))
		d = m.arrive(task.ID, from, time.Now().Add(delay))
	}
	r.attempt(d, 4, 2, 0)
}

// A task that becomes due is handed out even if the queue never runs empty.
func delayedNotBehindOthers(r *rig) {
	m := r.minion()
	task := r.task(after(100 * time.Millisecond))
	r.enqueue(task)
	start := time.Now()
	for {
		r.enqueue(r.batch(2)...)
		d := m.take1()
		m.settle(m.succeed(d))
		if d.ID == task.ID {
			return
		}
		if time.Since(start) > patience {
			r.Fatalf("a task that is due is not handed out as long as others are pending")
		}
		time.Sleep(time.Millisecond)
	}
}

func delayedLong(r *rig) {
	delays := []time.Duration{time.Minute, 25 * time.Hour, 40 * 24 * time.Hour, broker.MaxDuration}
	var tasks []*broker.Task
	for _, delay := range delays {
		tasks = append(tasks, r.task(after(delay)))
	}
	r.enqueue(tasks...)
	passed := time.Duration(0)
	for i, delay := range delays {
		r.Advance(delay - passed - 30*time.Second)
		m := r.minion()
		m.none()
		r.in(broker.StateScheduled, tasks[i].ID)
		m.close()
		r.Advance(time.Minute)
		m = r.minion()
		r.same(takenOf(m.take(1)), []broker.ID{tasks[i].ID})
		m.none()
		m.close()
		m = r.minion()
		d := m.take1()
		m.settle(m.succeed(d))
		m.close()
		passed = delay + 30*time.Second
	}
}
