package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Limits of a rate.
var laneRateTests = []test{
	{"Rate", laneRate, 0},
	{"RateWithCosts", laneRateCosts, 0},
	{"RateOfLessThanOneTask", laneRateLarge, 0},
	{"RateDefaultBurst", laneRateDefault, 0},
	{"RateWithKeys", laneRateKeys, 0},
	{"RateAndConcurrency", laneRateAndMost, 0},
	{"RateIsRaised", laneRateRaised, 0},
	{"RateIsNotGivenBack", laneRateSpent, 0},
	{"RateAfterALongPause", laneRatePause, needJump},
}

// given is a hand-out, with the times at which it began and ended, by the broker's clock.
type given struct {
	cost     int
	from, to time.Time
}

// pace takes tasks one by one until it has those of the given costs, in this order, and ends each.
func (m *minion) pace(costs ...int) []given {
	m.r.Helper()
	var out []given
	for _, cost := range costs {
		from := m.r.Now()
		d := m.take1()
		if got := int(d.Lane.Limits[0].Cost); got != cost {
			m.r.Fatalf("a task with the cost %d was handed out, want one with %d", got, cost)
		}
		out = append(out, given{cost, from, m.r.Now()})
		m.settle(m.succeed(d))
	}
	return out
}

// within checks that no span of time has more hand-outs than a rate allows.
func (r *rig) within(l broker.Limit, all []given) {
	r.Helper()
	for i := range all {
		sum := 0
		for _, g := range all[i:] {
			sum += g.cost
			// Clocks and records count in milliseconds.
			span := g.to.Sub(all[i].from) + 2*time.Millisecond
			if most := float64(l.Bursts()) + float64(l.Rate)*float64(span)/float64(l.Per); float64(sum) > most+1e-6 {
				r.Fatalf("a cost of %d was handed out within %v, the rate of %d per %v and the burst of %d allow %.2f",
					sum, span, l.Rate, l.Per, l.Bursts(), most)
			}
		}
	}
}

// steps returns tasks that use limit l with these costs.
func (r *rig) steps(costs ...int) []*broker.Task {
	var tasks []*broker.Task
	for _, cost := range costs {
		tasks = append(tasks, r.task(lane(usingCost("l", uint32(cost)))))
	}
	return tasks
}

func laneRate(r *rig) {
	l := broker.Limit{Name: "l", Rate: 10, Per: time.Second, Burst: 3}
	m := r.minion()
	r.define(l)
	r.enqueue(r.steps(1, 1, 1, 1, 1, 1, 1)...)
	all := m.pace(1, 1, 1, 1, 1, 1)
	r.within(l, all)
	// The next one comes as soon as the rate allows it.
	start := time.Now()
	got := <-m.start(r.ctx, 5, patience)
	if len(got.tasks) != 1 || got.err != nil {
		r.Fatalf("Dequeue returned %d tasks, %v", len(got.tasks), got.err)
	}
	if took := got.at.Sub(start); took > 100*time.Millisecond+r.Slack+r.prompt() {
		r.Fatalf("a task was handed out after %v, the rate is one in 100 ms", took)
	}
	r.within(l, append(all, given{1, all[5].from, r.Now()}))
}

func laneRateCosts(r *rig) {
	l := broker.Limit{Name: "l", Rate: 100, Per: time.Second, Burst: 10}
	m := r.minion()
	r.define(l)
	costs := []int{10, 1, 5, 2, 10, 3, 3, 3}
	r.enqueue(r.steps(costs...)...)
	var all []given
	for range costs {
		from := r.Now()
		d := m.take1()
		all = append(all, given{int(d.Lane.Limits[0].Cost), from, r.Now()})
		m.settle(m.succeed(d))
	}
	r.within(l, all)
}

// A task that costs more than the burst is handed out after a pause that is long enough for its
// cost. The next one then has to wait, too.
func laneRateLarge(r *rig) {
	l := broker.Limit{Name: "l", Rate: 100, Per: time.Second, Burst: 2}
	m := r.minion()
	r.define(l)
	r.enqueue(r.steps(2)...)
	first := m.pace(2)[0]
	r.Advance(30 * time.Millisecond) // the burst is free again
	r.enqueue(r.steps(20)...)
	second := m.pace(20)[0]
	r.enqueue(r.steps(1)...)
	third := m.pace(1)[0]
	const round = 2 * time.Millisecond
	if pause := second.to.Sub(first.from); pause < 200*time.Millisecond-round {
		r.Fatalf("a task with the cost 20 was handed out %v after the last one, the rate is one in 10 ms", pause)
	}
	if pause := third.to.Sub(second.from); pause < 10*time.Millisecond-round {
		r.Fatalf("a task was handed out %v after one with a cost above the burst, the rate is one in 10 ms", pause)
	}
}

// Without a burst, a twentieth of the rate may be handed out at once, or 1.
func laneRateDefault(r *rig) {
	m := r.minion()
	for _, l := range []broker.Limit{{Name: "l", Rate: 60, Per: 3 * time.Second}, {Name: "l", Rate: 5, Per: time.Second / 2}} {
		r.define(l)
		r.enqueue(r.steps(1, 1, 1, 1, 1)...)
		r.within(l, m.pace(1, 1, 1, 1, 1))
		r.undefine("l", "")
	}
}

func laneRateKeys(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Rate: 1, Per: time.Hour})
	r.define(broker.Limit{Name: "l", Key: "free", Rate: 1000, Per: time.Hour, Burst: 1000})
	var want []broker.ID
	for i, key := range []string{"", "a", "b", "a", "", "free", "free"} {
		task := r.task(lane(usingKey("l", key, 1)))
		r.enqueue(task)
		if i != 3 && i != 4 {
			want = append(want, task.ID)
		}
	}
	r.sameSet(takenOf(m.take(5)), want)
	m.none()
}

// A task waits for a rate and a concurrency, and takes both or none.
func laneRateAndMost(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Rate: 2, Per: time.Hour, Burst: 2})
	r.define(broker.Limit{Name: "c", Most: 1})
	blocker := r.task(lane(using("c")))
	r.enqueue(blocker)
	d := m.gets(blocker)
	tasks := r.batch(3, lane(using("l", "c")))
	r.enqueue(tasks...)
	m.none()
	m.settle(m.succeed(d))
	for _, task := range tasks[:2] { // nothing of the rate was used while they waited
		d := m.gets(task)
		m.none()
		m.settle(m.succeed(d))
	}
	m.none()
	r.inUse("c", 0)
	other := r.task(lane(using("c")))
	r.enqueue(other)
	m.next(other)
}

func laneRateRaised(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Rate: 1, Per: time.Hour})
	tasks := r.batch(50, lane(using("l")))
	r.enqueue(tasks...)
	m.gets(tasks[0])
	m.none()
	done := m.waiting(r.ctx, 100, patience)
	start := time.Now()
	r.define(broker.Limit{Name: "l", Rate: 1_000_000, Per: time.Second, Burst: 100_000})
	got := r.woken(done, start)
	got = append(got, m.tryTake(49-len(got))...)
	r.same(takenOf(got), idsOf(tasks[1:]))
}

// The end of an attempt does not give a rate back.
func laneRateSpent(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Rate: 3, Per: time.Hour, Burst: 3})
	task := r.task(lane(using("l")))
	r.enqueue(task)
	for _, end := range []func(*broker.Delivery) broker.Settlement{
		giveBack, func(d *broker.Delivery) broker.Settlement { return retry(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return snooze(d, 0) },
	} {
		d := m.gets(task)
		r.inUse("l", 1)
		m.settle(end(d))
		r.inUse("l", 0)
	}
	m.none()
	r.in(broker.StatePending, task.ID)
}

// After a pause the whole burst is free again, and a task that costs more is handed out at once.
func laneRatePause(r *rig) {
	l := broker.Limit{Name: "l", Rate: 60, Per: time.Hour, Burst: 5}
	m := r.minion()
	r.define(l)
	r.enqueue(r.steps(1, 1, 1, 1, 1, 1)...)
	m.pace(1, 1, 1, 1, 1)
	m.none()
	r.pass(50*time.Second, m)
	m.none()
	r.pass(11*time.Second, m)
	m.pace(1)
	r.pass(10*time.Minute, m)
	r.enqueue(r.steps(1, 1, 1, 1, 1, 1)...)
	m.pace(1, 1, 1, 1, 1)
	m.none()
	r.pass(2*time.Minute, m)
	m.pace(1)
	r.pass(21*time.Minute, m)
	r.enqueue(r.steps(20)...)
	m.pace(20)
	r.enqueue(r.steps(20)...)
	r.pass(19*time.Minute, m)
	m.none()
	r.pass(2*time.Minute, m)
	m.pace(20)
}
