package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Limits of what the tasks of a queue may use together.
var laneLimitTests = []test{
	{"LimitOfConcurrency", laneMost, 0},
	{"LimitWithCosts", laneCosts, 0},
	{"LimitOfLessThanOneTask", laneLarge, 0},
	{"LimitsAllOrNone", laneAllOrNone, 0},
	{"LimitIsNotLeftUnused", lanePassedOn, 0},
	{"LimitWithKeys", laneLimitKeys, 0},
	{"LimitOfOneKey", laneLimitOwnKey, 0},
	{"LimitThatIsNotDefined", laneUndefined, 0},
	{"LimitIsRaised", laneRaised, 0},
	{"LimitIsLowered", laneLowered, 0},
	{"LimitIsRemoved", laneRemoved, 0},
	{"LimitIsPaused", lanePaused, 0},
	{"LimitIsClosed", laneClosed, 0},
	{"LimitIsClosedForAKey", laneClosedKey, 0},
	{"LimitOpensByItself", laneOpens, 0},
	{"LimitWithManyWaiting", laneMany, 0},
	{"LimitUnderLoad", laneLoad, 0},
}

func laneMost(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 2})
	tasks := r.batch(5, lane(using("l")))
	r.enqueue(tasks...)
	ds := m.take(2)
	r.same(takenOf(ds), idsOf(tasks[:2]))
	m.none()
	r.inUse("l", 2)
	r.in(broker.StatePending, idsOf(tasks[2:])...)
	for _, task := range tasks[2:] {
		m.settle(m.succeed(ds[0]))
		ds = append(ds[1:], m.gets(task))
		m.none()
		r.inUse("l", 2)
	}
	m.settle(m.succeed(ds[0]), m.succeed(ds[1]))
	r.inUse("l", 0)
}

func laneCosts(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 10})
	tasks := []*broker.Task{r.task(lane(usingCost("l", 4))), r.task(lane(usingCost("l", 4))), r.task(lane(usingCost("l", 4)))}
	r.enqueue(tasks...)
	ds := m.take(2)
	m.none()
	r.inUse("l", 8)
	small := r.task(lane(usingCost("l", 2), fair("other")))
	r.enqueue(small)
	d := m.gets(small)
	r.inUse("l", 10)
	m.settle(m.succeed(d))
	m.none()
	m.settle(m.succeed(ds[0]))
	ds[0] = m.gets(tasks[2])
	r.inUse("l", 8)
	m.settle(m.succeed(ds[0]), m.succeed(ds[1]))
	exact := r.task(lane(usingCost("l", 10)))
	r.enqueue(exact)
	m.next(exact)
	r.inUse("l", 0)
}

// A task that costs more than Most is handed out when nothing else is in use.
func laneLarge(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 10})
	small, large := r.task(lane(usingCost("l", 1))), r.task(lane(usingCost("l", 50)))
	r.enqueue(small)
	d := m.gets(small)
	r.enqueue(large)
	m.none()
	m.settle(m.succeed(d))
	d = m.gets(large)
	r.inUse("l", 50)
	others := []*broker.Task{r.task(lane(usingCost("l", 1))), r.task(lane(usingCost("l", 1)))}
	r.enqueue(others...)
	m.none()
	m.settle(m.succeed(d))
	r.same(takenOf(m.take(2)), idsOf(others))
}

// A task takes all of its limits or none. While it waits, it keeps none of them from others.
func laneAllOrNone(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "a", Most: 1})
	r.define(broker.Limit{Name: "b", Most: 1})
	a, both, b := r.task(lane(using("a"))), r.task(lane(using("a", "b"))), r.task(lane(using("b")))
	r.enqueue(a, both, b)
	ds := m.take(2)
	r.sameSet(takenOf(ds), []broker.ID{a.ID, b.ID})
	m.none()
	for i, d := range ds {
		m.settle(m.succeed(d))
		if i == 0 {
			m.none()
			free := map[broker.ID]string{a.ID: "a", b.ID: "b"}[d.ID]
			r.inUse(free, 0)
		}
	}
	d := m.gets(both)
	r.inUse("a", 1)
	r.inUse("b", 1)
	r.enqueue(r.task(lane(using("b"))), r.task(lane(using("a"))))
	m.none()
	m.settle(m.succeed(d))
	m.take(2)
}

// The first task that waits for a limit can't have it, because of another limit. The next one gets it.
func lanePassedOn(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "a", Most: 1})
	r.define(broker.Limit{Name: "b", Most: 1})
	a, b := r.task(lane(using("a"))), r.task(lane(using("b")))
	r.enqueue(a, b)
	ds := m.take(2)
	var waits []*broker.Task
	for _, limits := range [][]string{{"a", "b"}, {"a", "b", "c"}, {"b", "a"}} {
		waits = append(waits, r.task(lane(using(limits...), priority(9))))
	}
	last := r.task(lane(using("a")))
	r.enqueue(append(waits, last)...)
	m.none()
	done := m.waiting(r.ctx, 5, patience)
	start := time.Now()
	m.settle(m.succeed(ds[0]))
	got := r.woken(done, start)
	r.same(takenOf(got), []broker.ID{last.ID})
	m.none()
	m.settle(m.succeed(ds[1]), m.succeed(got[0]))
	m.next(waits...)
}

func laneLimitKeys(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "tenant", Most: 1})
	var tasks []*broker.Task
	for _, key := range []string{"a", "a", "b", "", "b", ""} {
		tasks = append(tasks, r.task(lane(usingKey("tenant", key, 1))))
	}
	r.enqueue(tasks...)
	ds := m.take(3)
	r.same(takenOf(ds), []broker.ID{tasks[0].ID, tasks[2].ID, tasks[3].ID})
	m.none()
	r.inUse("tenant", 1) // only that of tasks without a key
	for i, next := range []*broker.Task{tasks[1], tasks[4], tasks[5]} {
		m.settle(m.succeed(ds[i]))
		m.gets(next)
		m.none()
	}
}

// The definition of one key holds in place of the one for all keys.
func laneLimitOwnKey(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "tenant", Most: 1})
	r.define(broker.Limit{Name: "tenant", Key: "large", Most: 3})
	large := r.batch(6, lane(usingKey("tenant", "large", 1)))
	small := r.batch(2, lane(usingKey("tenant", "small", 1)))
	r.enqueue(large...)
	r.enqueue(small...)
	ds := m.take(4)
	r.sameSet(takenOf(ds), append(idsOf(large[:3]), small[0].ID))
	m.none()
	if got := r.info("tenant", "large"); got.InUse != 3 {
		r.Fatalf("LimitsIn returned %+v, want 3 in use", got)
	}
	r.inUse("tenant", 0)
	r.define(broker.Limit{Name: "tenant", Key: "large", Most: 4})
	m.gets(large[3])
	m.none()
	r.define(broker.Limit{Name: "tenant", Most: 2}) // holds for the small one only
	m.gets(small[1])
	m.none()
	r.define(broker.Limit{Name: "tenant", Most: 5})
	m.none()
	r.undefine("tenant", "large") // the other definition holds now
	m.gets(large[4])
	m.none()
	r.undefine("tenant", "")
	m.gets(large[5])
}

// A limit that is not defined is never exhausted. It counts what is in use.
func laneUndefined(r *rig) {
	m := r.minion()
	tasks := r.batch(6, lane(usingCost("l", 2)))
	r.enqueue(tasks[:3]...)
	ds := m.take(3)
	r.definitions("q")
	r.define(broker.Limit{Name: "l", Most: 4})
	r.inUse("l", 6)
	r.enqueue(tasks[3:]...)
	m.none()
	m.settle(m.succeed(ds[0]))
	m.none()
	m.settle(m.succeed(ds[1]))
	m.gets(tasks[3])
	m.none()
	r.inUse("l", 4)
}

// A limit is raised while many tasks wait for it. They are handed out at once.
func laneRaised(r *rig) {
	const n = 100
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	var tasks []*broker.Task
	for i := range n {
		tasks = append(tasks, r.task(lane(using("l"), fair(itoa(i%7)), priority(uint8(i%3)), inSequence(itoa(i)))))
	}
	r.enqueue(tasks...)
	first := m.take1()
	m.none()
	// The dequeue that waits asks for one task, since handing out many takes longer than waking up.
	done := m.waiting(r.ctx, 1, patience)
	start := time.Now()
	r.define(broker.Limit{Name: "l", Most: n})
	got := append(r.woken(done, start), first)
	got = append(got, m.tryTake(n-len(got))...)
	r.sameSet(takenOf(got), idsOf(tasks))
	r.inUse("l", n)
}

func laneLowered(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 5})
	tasks := r.batch(8, lane(using("l")))
	r.enqueue(tasks...)
	ds := m.take(5)
	m.none()
	r.define(broker.Limit{Name: "l", Most: 2})
	for i := range 3 {
		m.settle(m.succeed(ds[i]))
		m.none()
	}
	r.inUse("l", 2)
	m.settle(m.succeed(ds[3]))
	m.gets(tasks[5])
	m.none()
}

func laneRemoved(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	r.define(broker.Limit{Name: "l", Key: "k", Most: 1})
	tasks := r.batch(20, lane(using("l")))
	keyed := r.batch(2, lane(usingKey("l", "k", 1)))
	r.enqueue(tasks...)
	r.enqueue(keyed...)
	ds := m.take(2)
	r.sameSet(takenOf(ds), []broker.ID{tasks[0].ID, keyed[0].ID})
	m.none()
	done := m.waiting(r.ctx, 20, patience)
	start := time.Now()
	r.undefine("l", "")
	got := r.woken(done, start)
	got = append(got, m.tryTake(19-len(got))...)
	r.same(takenOf(got), idsOf(tasks[1:]))
	m.none() // the definition of the key is still there
	r.undefine("l", "k")
	m.gets(keyed[1])
}

func lanePaused(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 3, Paused: true})
	r.define(broker.Limit{Name: "l", Key: "k", Most: 1})
	tasks := r.batch(4, lane(using("l")))
	keyed, other, free := r.task(lane(usingKey("l", "k", 1))), r.task(lane(usingKey("l", "other", 1))), r.task(lane())
	r.enqueue(append(tasks, keyed, other, free)...)
	r.sameSet(takenOf(m.take(2)), []broker.ID{keyed.ID, free.ID})
	m.none()
	done := m.waiting(r.ctx, 10, patience)
	start := time.Now()
	r.define(broker.Limit{Name: "l", Most: 3})
	got := r.woken(done, start)
	got = append(got, m.tryTake(4-len(got))...)
	r.sameSet(takenOf(got), append(idsOf(tasks[:3]), other.ID))
	r.define(broker.Limit{Name: "l", Paused: true}) // tasks that run go on
	r.inUse("l", 3)
	for _, d := range got {
		m.settle(m.succeed(d))
	}
	m.none()
	r.inUse("l", 0)
	r.define(broker.Limit{Name: "l", Key: "p", Paused: true}) // of one key only
	r.undefine("l", "")
	paused := r.task(lane(usingKey("l", "p", 1)))
	r.enqueue(paused)
	m.gets(tasks[3])
	m.none()
	r.undefine("l", "p")
	m.gets(paused)
}

// A limit is closed for a time, also one that is not defined.
func laneClosed(r *rig) {
	m := r.minion()
	for _, defined := range []bool{true, false} {
		task, running := r.task(lane(using("l"))), r.task(lane(using("l")))
		if defined {
			r.define(broker.Limit{Name: "l", Most: 5})
			if at := r.info("l", "").Closed; !at.IsZero() {
				r.Fatalf("LimitsIn says that the limit is closed until %v, want a zero time", at)
			}
		} else {
			r.undefine("l", "")
		}
		r.enqueue(running)
		d := m.gets(running)
		before := r.Now()
		r.shut("l", "", time.Hour)
		if defined {
			const round = 2 * time.Millisecond
			if at := r.info("l", "").Closed; at.Before(before.Add(time.Hour-round)) || at.After(r.Now().Add(time.Hour+round)) {
				r.Fatalf("LimitsIn says that the limit is closed until %v, want an hour after %v", at, before)
			}
		}
		m.settle(m.succeed(d)) // a task that runs goes on
		r.enqueue(task)
		m.none()
		done := m.waiting(r.ctx, 5, patience)
		start := time.Now()
		r.shut("l", "", 0)
		got := r.woken(done, start)
		r.same(takenOf(got), []broker.ID{task.ID})
		m.settle(m.succeed(got[0]))
	}
}

func laneClosedKey(r *rig) {
	m := r.minion()
	r.shut("l", "", time.Hour)
	plain, keyed := r.task(lane(using("l"))), r.task(lane(usingKey("l", "k", 1)))
	r.enqueue(plain, keyed)
	d := m.gets(keyed)
	m.none()
	m.settle(m.succeed(d))
	r.shut("l", "k", time.Hour)
	r.shut("l", "", -time.Second)
	again := r.task(lane(usingKey("l", "k", 1)))
	r.enqueue(again)
	m.next(plain)
	m.none()
	r.shut("l", "k", 0)
	m.next(again)
}

// A closed limit opens when its time is over. The last CloseLimit counts.
func laneOpens(r *rig) {
	const d = 200 * time.Millisecond
	m := r.minion()
	for _, times := range [][]time.Duration{{d}, {time.Hour, d}, {d / 8, d}} {
		task := r.task(lane(using("l")))
		r.enqueue(task)
		var before, start time.Time
		for _, one := range times {
			before, start = r.Now(), time.Now()
			r.shut("l", "", one)
		}
		got := <-m.start(r.ctx, 5, patience)
		after := r.Now()
		r.same(takenOf(got.tasks), []broker.ID{task.ID})
		if passed := after.Sub(before); passed < d-2*time.Millisecond {
			r.Fatalf("a task was handed out %v after its limit was closed for %v", passed, d)
		}
		if late := got.at.Sub(start) - d; late > r.prompt()+r.Slack {
			r.Fatalf("a task was handed out %v after its limit had opened", late)
		}
		m.settle(m.succeed(got.tasks[0]))
	}
}

// Many lines wait for one limit. It is always used in full.
func laneMany(r *rig) {
	n := 1000
	if r.light {
		n = 200
	}
	const most = 7
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: most})
	tasks := make([]*broker.Task, n)
	for i := range tasks {
		tasks[i] = r.task(lane(using("l", itoa(i)), fair(itoa(i%50)), priority(uint8(i%10))))
	}
	r.enqueue(tasks...)
	var held []*broker.Delivery
	var all []broker.ID
	for len(all) < n {
		want := min(most, n-len(all)+len(held)) - len(held)
		ds := m.take(want)
		held = append(held, ds...)
		all = append(all, takenOf(ds)...)
		if len(all)%100 < most {
			m.none()
			r.inUse("l", len(held))
		}
		out := 1 + len(all)%3
		batch := make([]broker.Settlement, min(out, len(held)))
		for i := range batch {
			batch[i] = m.succeed(held[i])
		}
		held = held[len(batch):]
		m.settle(batch...)
	}
	r.sameSet(all, idsOf(tasks))
	for _, d := range held {
		m.settle(m.succeed(d))
	}
	r.inUse("l", 0)
}
