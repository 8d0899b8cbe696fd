package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The order in which a queue hands out tasks with lanes.
var laneOrderTests = []test{
	{"HighestPriorityFirst", lanePriority, 0},
	{"LowerPrioritiesGetAShare", laneLower, 0},
	{"LowerPrioritiesShareALimit", laneLowerLimited, 0},
	{"KeysTakeTurns", laneKeys, 0},
	{"KeysByTheirWeights", laneWeights, 0},
	{"WeightsOfAQueue", laneWeightsListed, 0},
	{"KeyThatWasAwayGainsNothing", laneAway, 0},
	{"KeysTakeTurnsAtALimit", laneKeysLimited, 0},
	{"FirstOfAKeyFirst", laneFIFO, 0},
	{"PlainTasksTakeTurns", lanePlain, 0},
	{"PlainTasksKeepTheirOrder", lanePlainOrder, 0},
	{"KeepsItsPlace", lanePlace, 0},
	{"DeadConsumersTaskKeepsItsPlace", lanePlaceAfterDeath, needLapse},
	{"ScheduledGetsItsPlaceWhenDue", laneScheduled, 0},
	{"BlockedGetsItsPlaceWhenReleased", laneReleased, needFlows},
	{"DeliveredAsEnqueued", laneDelivered, 0},
	{"DeliveryBelongsToTheCaller", laneBelongs, 0},
	{"QueuesAreApart", laneQueues, 0},
	{"WakesADequeue", laneWakes, 0},
}

func lanePriority(r *rig) {
	m := r.minion()
	var tasks []*broker.Task
	for _, p := range []uint8{3, 9, 0, 5, 9, 3} {
		tasks = append(tasks, r.task(lane(priority(p))))
	}
	r.enqueue(tasks...)
	m.next(tasks[1], tasks[4], tasks[3], tasks[0], tasks[5], tasks[2])
	m.none()
	// A task that comes later with a higher priority overtakes those that wait.
	low, high := r.task(lane(priority(1))), r.task(lane(priority(2)))
	r.enqueue(low)
	r.enqueue(high)
	m.next(high, low)
	// A task without a lane has the default priority.
	plain, below, above := r.task(), r.task(lane(priority(broker.DefaultPriority-1))), r.task(lane(priority(broker.DefaultPriority+1)))
	r.enqueue(below, plain, above)
	m.next(above, plain, below)
}

// While tasks of a high priority wait, one hand-out of LowerShare goes to each lower one in turn.
func laneLower(r *rig) {
	const rounds = 6
	m := r.minion()
	r.enqueue(r.batch(rounds*broker.LowerShare, lane(priority(9)))...)
	r.enqueue(r.batch(rounds, lane(priority(0)))...)
	r.enqueue(r.batch(rounds, lane(priority(5)))...)
	var order []uint8
	for len(order) < rounds*broker.LowerShare {
		for _, d := range m.take(4) {
			order = append(order, d.Lane.Priority)
			m.settle(m.succeed(d))
		}
	}
	counts, last := map[uint8]int{}, -1
	for i, p := range order {
		if counts[p]++; p == 9 {
			continue
		}
		if last >= 0 && i-last != broker.LowerShare {
			r.Fatalf("a lower priority had the hand-outs %d and %d, want one of %d; the priorities are %v", last, i, broker.LowerShare, order)
		}
		last = i
	}
	if counts[0] != rounds/2 || counts[5] != rounds/2 {
		r.Fatalf("of %d hand-outs the priorities had %v, want %d for each of the lower ones", len(order), counts, rounds/2)
	}
}

// The share of lower priorities does not depend on the limits that the tasks wait for.
func laneLowerLimited(r *rig) {
	const rounds = 4
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	r.enqueue(r.batch(rounds*broker.LowerShare, lane(priority(9), using("l")))...)
	r.enqueue(r.batch(rounds, lane(priority(0), using("l")))...)
	r.near(m.shares(rounds*broker.LowerShare, ofPriority), 1, map[string]int{"9": rounds * (broker.LowerShare - 1), "0": rounds})
}

func laneKeys(r *rig) {
	m := r.minion()
	r.enqueue(r.batch(40, lane(fair("a")))...)
	r.enqueue(r.batch(10, lane(fair("b")))...)
	r.enqueue(r.batch(10, lane())...)
	r.near(m.shares(24, ofKey), 2, map[string]int{`key "a"`: 8, `key "b"`: 8, `key ""`: 8})
	r.near(m.shares(36, ofKey), 2, map[string]int{`key "a"`: 32, `key "b"`: 2, `key ""`: 2})
	// The turns of one priority do not depend on those of another one.
	r.enqueue(r.batch(10, lane(fair("a")))...)
	r.enqueue(r.batch(10, lane(fair("b"), priority(6)))...)
	r.near(m.shares(10, ofKey), 1, map[string]int{`key "b"`: 10, `key "a"`: 0})
}

func laneWeights(r *rig) {
	m := r.minion()
	r.weigh("heavy", 3)
	r.weigh("", 2)
	r.enqueue(r.batch(60, lane(fair("light")))...)
	r.enqueue(r.batch(60, lane(fair("heavy")))...)
	r.enqueue(r.batch(60, lane())...)
	r.near(m.shares(60, ofKey), 3, map[string]int{`key "light"`: 10, `key "heavy"`: 30, `key ""`: 20})
	r.weigh("heavy", 1) // a change has its effect at once
	r.weigh("", 1)
	r.weigh("light", broker.MaxWeight)
	r.near(m.shares(30, ofKey), 4, map[string]int{`key "light"`: 29, `key "heavy"`: 1, `key ""`: 1})
}

func laneWeightsListed(r *rig) {
	check := func(queue string, want map[string]int) {
		r.Helper()
		got, err := r.lanes().Weights(r.ctx, queue)
		if err != nil {
			r.Fatalf("Weights: %v", err)
		}
		if len(got) != len(want) {
			r.Fatalf("Weights returned %v, want %v", got, want)
		}
		for key, w := range want {
			if got[key] != w {
				r.Fatalf("Weights returned %v, want %v", got, want)
			}
		}
	}
	check("q", nil)
	r.weigh("a", 7)
	r.weigh("", 2)
	r.weigh("b", broker.MaxWeight)
	r.weigh("a", 8)
	check("q", map[string]int{"a": 8, "": 2, "b": broker.MaxWeight})
	check("other", nil)
	r.weigh("a", 1)
	r.weigh("never set", 1)
	check("q", map[string]int{"": 2, "b": broker.MaxWeight})
}

// A key that had no task for a while takes turns from now on. It does not get those that it missed.
func laneAway(r *rig) {
	m := r.minion()
	r.enqueue(r.batch(60, lane(fair("busy")))...)
	r.near(m.shares(30, ofKey), 0, map[string]int{`key "busy"`: 30})
	r.enqueue(r.batch(20, lane(fair("back")))...)
	r.near(m.shares(20, ofKey), 2, map[string]int{`key "busy"`: 10, `key "back"`: 10})
	m.shares(30, ofKey)
	// A key whose tasks come one by one gets no more turns than a key that has many.
	r.enqueue(r.batch(40, lane(fair("busy")))...)
	counts := map[string]int{}
	for range 20 {
		r.enqueue(r.task(lane(fair("single"))))
		for what, n := range m.shares(1, ofKey) {
			counts[what] += n
		}
	}
	r.near(counts, 2, map[string]int{`key "busy"`: 10, `key "single"`: 10})
}

// Keys take turns at a limit, too, although most of their tasks wait for it.
func laneKeysLimited(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	r.enqueue(r.batch(40, lane(fair("a"), using("l")))...)
	r.enqueue(r.batch(10, lane(fair("b"), using("l")))...)
	r.enqueue(r.batch(10, lane(using("l", "other")))...)
	d := m.take1()
	m.none()
	m.settle(m.succeed(d))
	r.near(m.shares(29, ofKey), 2, map[string]int{`key "a"`: 10, `key "b"`: 10, `key ""`: 9})
}

// The tasks of a key come in the order of their submission, whatever their limits are.
func laneFIFO(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "free", Most: 1000})
	var tasks []*broker.Task
	for i := range 40 {
		var with []func(*broker.Lane)
		switch i % 4 {
		case 0:
			with = append(with, using("undefined"))
		case 1:
			with = append(with, using("free"))
		case 2:
			with = append(with, inSequence(itoa(i)))
		}
		tasks = append(tasks, r.task(lane(append(with, fair("k"))...)))
	}
	for i := 0; i < len(tasks); i += 8 {
		r.enqueue(tasks[i : i+8]...)
	}
	r.same(takenOf(m.take(30)), idsOf(tasks[:30]))
	r.same(takenOf(m.take(10)), idsOf(tasks[30:]))
}

// Tasks without a lane take turns with the keys of the default priority. Both make progress,
// whatever the others wait for.
func lanePlain(r *rig) {
	m := r.minion()
	r.enqueue(r.batch(30)...)
	r.enqueue(r.batch(30, lane())...)
	r.enqueue(r.batch(30, lane(fair("k")))...)
	r.near(m.shares(30, ofKey), 3, map[string]int{"plain": 10, `key ""`: 10, `key "k"`: 10})
	r.near(m.shares(60, ofKey), 3, map[string]int{"plain": 20, `key ""`: 20, `key "k"`: 20})
	// Tasks that wait for a limit hold up no other tasks, with or without a lane.
	r.define(broker.Limit{Name: "l", Most: 1})
	held, waits := r.task(lane(using("l"))), r.task(lane(using("l")))
	r.enqueue(held, waits)
	d := m.gets(held)
	m.none()
	r.enqueue(r.batch(5)...)
	r.enqueue(r.batch(5, lane(fair("k")))...)
	r.near(m.shares(10, ofKey), 0, map[string]int{"plain": 5, `key "k"`: 5})
	m.none()
	m.settle(m.succeed(d))
	m.next(waits)
	m.none()
}

// Tasks without a lane keep their own order beside tasks with one.
func lanePlainOrder(r *rig) {
	m := r.minion()
	tasks := r.batch(6)
	for _, task := range tasks {
		r.enqueue(task, r.task(lane()))
	}
	var plain []*broker.Delivery
	for len(plain) < 3 {
		if d := m.take1(); d.Lane == nil {
			plain = append(plain, d)
		}
	}
	r.same(takenOf(plain), idsOf(tasks[:3]))
	m.settle(giveBack(plain[0]), giveBack(plain[1]), retry(plain[2], 0))
	var rest []broker.ID
	for len(rest) < 6 {
		if d := m.take1(); d.Lane == nil {
			rest = append(rest, d.ID)
		}
	}
	want := append(idsOf(tasks[:2]), idsOf(tasks[3:])...)
	r.same(rest, append(want, tasks[2].ID))
}

// A task that comes back has the place in line that it had.
func lanePlace(r *rig) {
	m := r.minion()
	tasks := r.batch(5, lane(fair("k")))
	r.enqueue(tasks...)
	ds := m.take(3)
	r.same(takenOf(ds), idsOf(tasks[:3]))
	m.settle(retry(ds[2], 0), giveBack(ds[1]), snooze(ds[0], 0))
	ds = m.take(5)
	r.same(takenOf(ds), idsOf(tasks))
	m.settle(retry(ds[1], brief), giveBack(ds[4]))
	r.Advance(brief + 2*r.Slack)
	ds = m.take(2)
	r.same(takenOf(ds), []broker.ID{tasks[1].ID, tasks[4].ID})
	closing := r.minion()
	m.settle(giveBack(ds[1]), giveBack(ds[0]))
	r.same(takenOf(closing.take(2)), []broker.ID{tasks[1].ID, tasks[4].ID})
	later := r.task(lane(fair("k")))
	r.enqueue(later)
	closing.close()
	m.next(tasks[1], tasks[4], later)
}

func lanePlaceAfterDeath(r *rig) {
	m, dying := r.minion(), r.minion()
	tasks := r.batch(4, lane(fair("k")))
	r.enqueue(tasks...)
	r.same(takenOf(dying.take(2)), idsOf(tasks[:2]))
	r.reap([]*minion{m}, dying)
	r.back(idsOf(tasks), m)
	ds := m.take(4)
	r.same(takenOf(ds), idsOf(tasks))
	r.attempt(ds[0], 2, 0, 1)
	r.attempt(ds[3], 1, 0, 0)
}

func laneScheduled(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Paused: true})
	scheduled, first, last := r.task(lane(using("l")), after(brief)), r.task(lane(using("l"))), r.task(lane(using("l")))
	r.enqueue(scheduled, first)
	r.Advance(brief + 2*r.Slack)
	m.none()
	r.in(broker.StatePending, scheduled.ID)
	r.enqueue(last)
	r.undefine("l", "")
	m.next(first, scheduled, last)
}

func laneReleased(r *rig) {
	m := r.minion()
	waits, first, last := r.task(lane(using("l")), blocked), r.task(lane()), r.task(lane())
	r.define(broker.Limit{Name: "l", Most: 1})
	r.enqueue(waits, first)
	m.next(first)
	m.none()
	got := r.waiting(waits.ID)[0]
	if got == nil || diffTask(*got, *waits) != "" {
		r.Fatalf("Blocked returned %+v, want the task with its lane", got)
	}
	other := r.task(lane())
	r.enqueue(other)
	r.releases(waits)
	r.enqueue(last)
	m.next(other)
	d := m.gets(waits)
	r.inUse("l", 1)
	m.equals(d, waits)
	m.settle(m.succeed(d))
	m.next(last)
}

func laneDelivered(r *rig) {
	m := r.minion()
	every := r.task(func(t *broker.Task) {
		*t = *full(r)
		t.Lane = &broker.Lane{
			Priority: 9, Key: "key \x00\xff", Sequence: "sequence \x00\xff", StopOnFailure: true,
			Limits: []broker.Charge{{Limit: "a", Cost: broker.MaxCost}, {Limit: "a", Key: "\x00\xff", Cost: 1}, {Limit: "b", Key: "k", Cost: 256}},
		}
	})
	for _, task := range []*broker.Task{every, r.task(lane()), r.task(lane(priority(0))), r.task(lane(func(l *broker.Lane) {
		l.Key, l.Sequence = string(make([]byte, broker.MaxLaneKey)), string(make([]byte, broker.MaxLaneKey))
		for i := range broker.MaxCharges {
			usingKey(itoa(i), string(make([]byte, broker.MaxLaneKey)), 1)(l)
		}
	}))} {
		d := m.delivers(task)
		m.settle(retry(d, 0))
		d = m.take1()
		m.equals(d, task)
		m.settle(m.succeed(d))
	}
}

// The broker shares no memory with its callers.
func laneBelongs(r *rig) {
	m := r.minion()
	task := r.task(lane(using("l")))
	want := *task
	want.Lane = &broker.Lane{Priority: task.Lane.Priority, Limits: []broker.Charge{task.Lane.Limits[0]}}
	r.enqueue(task)
	task.Lane.Key, task.Lane.Limits[0].Limit = "changed", "changed"
	for range 2 {
		d := m.take1()
		m.equals(d, &want)
		d.Lane.Key, d.Lane.Limits[0].Limit = "changed", "changed"
		m.settle(retry(d, 0))
	}
}

func laneQueues(r *rig) {
	m := r.minion("q", "other")
	r.define(broker.Limit{Name: "l", Most: 1})
	here := r.batch(2, lane(using("l"), inSequence("s")))
	there := r.batch(2, lane(using("l"), fair("k")), onQueue("other"))
	r.enqueue(here...)
	r.enqueue(there...)
	r.sameSet(takenOf(m.take(3)), append(idsOf(there), here[0].ID))
	m.none()
	r.definitions("other")
}

func laneWakes(r *rig) {
	m := r.minion()
	for _, with := range []func(*broker.Task){lane(), lane(priority(0), fair("k"), using("l"), inSequence("s"))} {
		task := r.task(with)
		done := m.waiting(r.ctx, 5, patience)
		start := time.Now()
		r.enqueue(task)
		got := r.woken(done, start)
		r.same(takenOf(got), []broker.ID{task.ID})
		m.settle(m.succeed(got[0]))
	}
}
