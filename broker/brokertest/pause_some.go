package brokertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Tasks with a name or a key are paused, and others of the queue are not.
var pauseSomeTests = []test{
	{"TaskIsPassedOver", pauseTask, 0},
	{"TaskWaitsInItsOrder", pauseTaskOrder, 0},
	{"TaskWakesByResume", pauseTaskWakes, 0},
	{"TaskComingBackWaits", pauseTaskComingBack, 0},
	{"TaskIsCanceled", pauseTaskCanceled, 0},
	{"TaskExpires", pauseTaskExpires, 0},
	{"TaskHoldsItsUniqueKey", pauseTaskUnique, 0},
	{"TaskIsCounted", pauseTaskCounted, needInspector},
	{"TaskIsEnqueuedAgain", pauseTaskRepeated, 0},
	{"TaskIsParked", pauseTaskParked, needParker},
	{"TaskOfAHaltedFlow", pauseTaskHalted, needFlows | needHalter},
	{"TaskOfTwoPauses", pauseTwice, 0},
	{"ManyTasks", pauseManyTasks, 0},
	{"LongNames", pauseLongNames, 0},
	{"Lanes", pauseSomeLanes, needLanes},
	{"LimitStaysFree", pauseLimit, needLanes},
	{"Sequence", pauseSequence, needLanes},
	{"SequenceIsCanceled", pauseSequenceCanceled, needLanes},
	{"SequenceComesBack", pauseSequenceBack, needLanes},
	{"Key", pauseKey, needLanes},
	{"KeyOfASequence", pauseKeySequence, needLanes},
	{"RandomOperations", pauseRandom, needLanes},
}

func pauseTask(r *rig) {
	m := r.minion()
	a, b := r.batch(3, named("a")), r.batch(3, named("b"))
	r.enqueue(a[0], b[0], a[1], b[1])
	r.pause(ofTask("a"))
	m.next(b[0], b[1])
	m.none()
	r.enqueue(a[2], b[2])
	m.next(b[2])
	m.none()
	r.in(broker.StatePending, idsOf(a)...)
	r.goOn(ofTask("a"))
	m.next(a...)
	m.none()
}

// Tasks keep their order while they are paused, and come before later ones.
func pauseTaskOrder(r *rig) {
	m := r.minion()
	a, b := r.batch(4, named("a")), r.batch(4, named("b"))
	r.pause(ofTask("a"))
	r.enqueue(a[0], b[0], a[1])
	m.next(b[0])
	m.none()
	r.enqueue(b[1:]...)
	r.enqueue(a[2:]...)
	r.goOn(ofTask("a"))
	m.next(a[0], a[1], b[1], b[2], b[3], a[2], a[3])
	m.none()
}

func pauseTaskWakes(r *rig) {
	for _, queues := range [][]string{{"q"}, {"q", "r"}} {
		m := r.minion(queues...)
		for range 3 {
			r.pause(ofTask("a"))
			task, other := r.task(named("a")), r.task(named("b"))
			done := m.waiting(r.ctx, 5, patience)
			r.enqueue(task)
			r.idle()
			if len(done) > 0 {
				got := <-done
				r.Fatalf("Dequeue returned %d tasks, %v, although all are paused", len(got.tasks), got.err)
			}
			start := time.Now()
			r.enqueue(other)
			ds := r.woken(done, start)
			r.same(takenOf(ds), []broker.ID{other.ID})
			m.settle(m.succeed(ds[0]))
			done = m.waiting(r.ctx, 5, patience)
			start = time.Now()
			r.goOn(ofTask("a"))
			ds = r.woken(done, start)
			r.same(takenOf(ds), []broker.ID{task.ID})
			m.settle(m.succeed(ds[0]))
		}
		m.close()
	}
}

func pauseTaskComingBack(r *rig) {
	m, closing := r.minion(), r.minion()
	tasks := r.batch(5, named("a"))
	r.enqueue(tasks...)
	ds := m.take(4)
	closing.take1()
	r.pause(ofTask("a"))
	m.settle(giveBack(ds[0]), retry(ds[1], 0), snooze(ds[2], 0), retry(ds[3], brief))
	closing.close()
	other := r.task()
	r.enqueue(other)
	m.next(other)
	r.pass(2*brief, m)
	m.none()
	r.eventually("the tasks are pending", func() bool {
		m.none()
		for _, st := range r.lookup(idsOf(tasks)...) {
			if st.State != broker.StatePending {
				return false
			}
		}
		return true
	})
	r.goOn(ofTask("a"))
	for _, d := range m.take(5) {
		if d.Attempt != 2 {
			r.Fatalf("task %s has attempt %d, want 2", d.ID, d.Attempt)
		}
		m.settle(m.succeed(d))
	}
}

func pauseTaskCanceled(r *rig) {
	mail := r.mail()
	m := r.minion()
	tasks := r.batch(4, named("a"), inbox(mail.id))
	r.enqueue(tasks[:3]...)
	r.pause(ofTask("a"))
	m.none() // they were looked at, and passed over
	r.enqueue(tasks[3])
	for _, i := range []int{0, 2, 3} {
		r.canceled(tasks[i].ID, broker.CancelPrevented)
		r.in(broker.StateCanceled, tasks[i].ID)
		if l := mail.take(1)[0]; l.ID != tasks[i].ID || l.Outcome.State != broker.StateCanceled {
			r.Fatalf("the inbox got a notice that task %s is %s", l.ID, l.Outcome.State)
		}
	}
	m.none()
	r.goOn(ofTask("a"))
	m.next(tasks[1])
	m.none()
}

func pauseTaskExpires(r *rig) {
	m := r.minion()
	tasks := r.batch(3, named("a"), within(brief))
	r.enqueue(tasks[:2]...)
	r.pause(ofTask("a"))
	m.none()
	r.enqueue(tasks[2])
	r.expire(tasks...)
	for _, task := range tasks {
		r.expired(r.outcome(task.ID), task)
	}
	r.goOn(ofTask("a"))
	m.none()
}

func pauseTaskUnique(r *rig) {
	m := r.minion()
	task, second := r.task(named("a"), keyed("k")), r.task(named("a"), keyed("k"))
	r.enqueue(task)
	r.pause(ofTask("a"))
	m.none()
	r.duplicate(r.refused(second), second.ID, task.ID, "k")
	r.canceled(task.ID, broker.CancelPrevented)
	r.enqueue(second)
	m.none()
	r.goOn(ofTask("a"))
	m.next(second)
}

func pauseTaskCounted(r *rig) {
	m := r.minion()
	check := func(want broker.QueueInfo) {
		r.Helper()
		want.Name = "q"
		if got := counts(r, "q"); got != want {
			r.Fatalf("the queue is counted as %+v, want %+v", got, want)
		}
	}
	tasks := r.batch(4, named("a"))
	r.enqueue(tasks...)
	r.pause(ofTask("a"))
	check(broker.QueueInfo{Pending: 4})
	m.none()
	check(broker.QueueInfo{Pending: 4})
	r.enqueue(r.batch(2)...)
	m.take(2)
	check(broker.QueueInfo{Pending: 4, Running: 2})
	r.cancel(tasks[1].ID)
	check(broker.QueueInfo{Pending: 3, Running: 2})
	r.goOn(ofTask("a"))
	check(broker.QueueInfo{Pending: 3, Running: 2})
	m.take(2)
	check(broker.QueueInfo{Pending: 1, Running: 4})
	m.take1()
	check(broker.QueueInfo{Running: 5})
}

func pauseTaskRepeated(r *rig) {
	m := r.minion()
	tasks := r.batch(3, named("a"))
	r.enqueue(tasks...)
	r.pause(ofTask("a"))
	m.none()
	r.enqueue(tasks...)
	m.none()
	r.goOn(ofTask("a"))
	r.enqueue(tasks...)
	m.next(tasks...)
	m.none()
}

func pauseTaskParked(r *rig) {
	a, b := r.task(named("a")), r.task(named("b"))
	r.parks(a, b)
	r.pause(ofTask("a"))
	knows := r.consumer(r.Broker, func(cfg *broker.ConsumerConfig) { cfg.Tasks = map[string]uint64{"a": 1, "b": 1} })
	knows.next(b)
	knows.none()
	done := knows.waiting(r.ctx, 1, patience)
	start := time.Now()
	r.goOn(ofTask("a"))
	r.same(takenOf(r.woken(done, start)), []broker.ID{a.ID})
	r.parked()
}

func pauseTaskHalted(r *rig) {
	m := r.minion()
	f, members := r.team(2, named("a"))
	r.enqueue(members...)
	r.pause(ofTask("a"))
	m.none()
	h := r.halt(f)
	m.none()
	r.goOn(ofTask("a"))
	other := r.task()
	r.enqueue(other)
	m.next(other)
	m.none()
	r.in(broker.StateBlocked, idsOf(members)...)
	for _, v := range r.cancel(idsOf(members)...) {
		if v != broker.CancelPrevented {
			r.Fatalf("the verdict of Cancel is %q", v)
		}
	}
	r.confirm(h.Kills...)
	m.none()
}

// A task waits for the end of all pauses that name it.
func pauseTwice(r *rig) {
	m := r.minion()
	a, b := r.task(named("a")), r.task(named("b"))
	r.pause(ofTask("a"))
	r.enqueue(a, b)
	m.next(b)
	r.pause(whole)
	r.pause(ofTask("b"))
	m.none()
	r.goOn(ofTask("a"))
	m.none()
	r.pause(ofTask("a"))
	r.goOn(whole)
	m.none()
	r.goOn(ofTask("b"))
	m.none()
	r.pause(whole)
	r.goOn(ofTask("a"))
	m.none()
	r.goOn(whole)
	m.next(a)
	m.none()
}

// Many tasks of several names are paused, some of them large. The others are handed out all the same.
func pauseManyTasks(r *rig) {
	n := 5000
	if r.light {
		n = 500
	}
	m := r.minion()
	var a, b []*broker.Task
	for i := range n {
		with := []func(*broker.Task){named([]string{"a", "b"}[i%2])}
		if i%(n/10) < 2 {
			with = append(with, payload(append([]byte(itoa(i)), make([]byte, 40_000)...)))
		}
		task := r.task(with...)
		if i%2 == 0 {
			a = append(a, task)
		} else {
			b = append(b, task)
		}
		r.enqueue(task)
	}
	last := r.task()
	r.enqueue(last)
	r.pause(ofTask("a"))
	r.pause(ofTask("b"))
	m.next(last)
	m.none()
	r.goOn(ofTask("b"))
	m.next(b[0])
	r.same(takenOf(m.take(len(b)-1)), idsOf(b[1:]))
	m.none()
	r.goOn(ofTask("a"))
	r.same(takenOf(m.take(len(a))), idsOf(a))
	m.none()
}

// Names of every length are told apart, also in large tasks.
func pauseLongNames(r *rig) {
	m := r.minion()
	names := []string{"n"}
	for _, n := range []int{15, 31, 32, 33, broker.MaxName} {
		names = append(names, longName(n))
	}
	for _, size := range []int{10, 50_000} {
		var tasks []*broker.Task
		for _, name := range names {
			tasks = append(tasks, r.task(named(name), payload(append([]byte(name), make([]byte, size)...))))
		}
		r.enqueue(tasks...)
		for _, name := range names[1:] {
			r.pause(ofTask(name))
		}
		m.next(tasks[0])
		m.none()
		for i, name := range names[1:] {
			r.goOn(ofTask(name))
			m.next(tasks[i+1])
			m.none()
		}
	}
}

// longName returns a valid name of n bytes.
func longName(n int) string {
	name := make([]byte, n)
	for i := range name {
		name[i] = 'a' + byte(i%26)
	}
	return string(name)
}

// Paused tasks with lanes are passed over, and keep their places.
func pauseSomeLanes(r *rig) {
	m := r.minion()
	high, low := lane(priority(9)), lane(priority(1))
	a, b := r.batch(3, named("a"), high), r.batch(2, named("b"), high)
	c := r.task(named("a"), low)
	plain := r.task(named("a"))
	r.enqueue(a[0], b[0], a[1], c, plain)
	r.pause(ofTask("a"))
	m.next(b[0])
	m.none()
	r.enqueue(b[1], a[2])
	r.goOn(ofTask("a"))
	m.next(a[0], a[1], b[1], a[2], plain, c)
	m.none()
}

// A paused task uses nothing of its limits, so others can have that.
func pauseLimit(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	a, b := r.task(named("a"), lane(using("l"))), r.task(named("b"), lane(using("l")))
	r.enqueue(a, b)
	r.pause(ofTask("a"))
	d := m.gets(b)
	r.inUse("l", 1)
	m.none()
	r.goOn(ofTask("a"))
	m.none()
	done := m.waiting(r.ctx, 1, patience)
	other := r.minion()
	start := time.Now()
	r.settleWith(m, m.succeed(d))
	r.same(takenOf(r.woken(done, start)), []broker.ID{a.ID})
	other.close()
	r.inUse("l", 1)
}

// settleWith settles while a dequeue of the same consumer waits.
func (r *rig) settleWith(m *minion, s broker.Settlement) {
	r.Helper()
	if errs, err := m.Settle(r.ctx, []broker.Settlement{s}); err != nil || errs[0] != nil {
		r.Fatalf("Settle: %v, %v", errs, err)
	}
}

// Behind a paused task of a sequence the others wait, since they run in their order.
func pauseSequence(r *rig) {
	m := r.minion()
	tasks := []*broker.Task{
		r.task(named("a"), lane(inSequence("s"))), r.task(named("b"), lane(inSequence("s"))), r.task(named("a"), lane(inSequence("s"))),
		r.task(named("b"), lane(inSequence("s"))),
	}
	other := r.task(named("b"), lane(inSequence("other")))
	r.enqueue(tasks...)
	r.enqueue(other)
	r.pause(ofTask("a"))
	m.next(other)
	m.none()
	r.goOn(ofTask("a"))
	m.next(tasks[0])
	r.pause(ofTask("a"))
	m.next(tasks[1])
	m.none()
	done := m.waiting(r.ctx, 1, patience)
	start := time.Now()
	r.goOn(ofTask("a"))
	ds := r.woken(done, start)
	r.same(takenOf(ds), []broker.ID{tasks[2].ID})
	m.none()
	m.settle(m.succeed(ds[0]))
	m.next(tasks[3])
	m.none()
}

// The sequence goes on if its paused task ends.
func pauseSequenceCanceled(r *rig) {
	m := r.minion()
	tasks := []*broker.Task{
		r.task(named("a"), lane(inSequence("s"))), r.task(named("b"), lane(inSequence("s"))),
		r.task(named("a"), lane(inSequence("s")), within(brief)), r.task(named("b"), lane(inSequence("s"))),
	}
	r.pause(ofTask("a"))
	r.enqueue(tasks[:2]...)
	m.none()
	done := m.waiting(r.ctx, 1, patience)
	start := time.Now()
	r.canceled(tasks[0].ID, broker.CancelPrevented)
	ds := r.woken(done, start)
	r.same(takenOf(ds), []broker.ID{tasks[1].ID})
	r.enqueue(tasks[2:]...)
	m.settle(m.succeed(ds[0]))
	r.expire(tasks[2])
	m.next(tasks[3])
	r.goOn(ofTask("a"))
	m.none()
}

// A task that has begun, and comes back while it is paused, keeps its turn in the sequence.
func pauseSequenceBack(r *rig) {
	m := r.minion()
	tasks := []*broker.Task{r.task(named("a"), lane(inSequence("s"))), r.task(named("b"), lane(inSequence("s")))}
	r.enqueue(tasks...)
	d := m.gets(tasks[0])
	r.pause(ofTask("a"))
	m.settle(retry(d, 0))
	m.none()
	r.goOn(ofTask("a"))
	d = m.gets(tasks[0])
	r.attempt(d, 2, 1, 0)
	m.settle(giveBack(d))
	r.pause(ofTask("b"))
	m.next(tasks[0])
	m.none()
	r.goOn(ofTask("b"))
	m.next(tasks[1])
}

func pauseKey(r *rig) {
	m := r.minion()
	k, other := r.batch(3, lane(fair("k"))), r.batch(2, lane(fair("other")))
	high := r.task(lane(fair("k"), priority(9)))
	plain := r.task()
	r.enqueue(k[0], other[0], k[1], high, plain)
	r.pause(ofTheKey("k"))
	r.sameSet(takenOf(m.take(2)), []broker.ID{other[0].ID, plain.ID})
	m.none()
	r.enqueue(k[2], other[1])
	m.gets(other[1])
	m.none()
	done := m.waiting(r.ctx, 1, patience)
	start := time.Now()
	r.goOn(ofTheKey("k"))
	r.same(takenOf(r.woken(done, start)), []broker.ID{high.ID})
	r.same(takenOf(m.take(3)), idsOf(k))
	m.none()
}

func pauseKeySequence(r *rig) {
	m := r.minion()
	first := r.task(lane(inSequence("s"), fair("k")))
	second := r.task(lane(inSequence("s")))
	r.pause(ofTheKey("k"))
	r.enqueue(first, second)
	m.none()
	r.goOn(ofTheKey("k"))
	m.next(first, second)
}

// Random operations on a few names and keys. At every step, a Dequeue of everything returns what no
// pause names, and nothing else. In the end all tasks are handed out.
func pauseRandom(r *rig) {
	rounds, steps := 30, 60
	if r.light {
		rounds = 6
	}
	all := []broker.Pause{whole, ofTask("a"), ofTask("b"), ofTheKey("k"), ofTheKey("l")}
	m := r.minion()
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(uint64(seed), 20))
		paused := map[broker.Pause]bool{}
		var waiting, running []*broker.Task
		held := map[broker.ID]*broker.Delivery{}
		names := func(t *broker.Task) bool {
			return slices.ContainsFunc(all, func(p broker.Pause) bool { return paused[p] && p.Names(t) })
		}
		var history []string
		note := func(format string, args ...any) { history = append(history, fmt.Sprintf(format, args...)) }
		drain := func() {
			r.Helper()
			var want, left []*broker.Task
			for _, t := range waiting {
				if names(t) {
					left = append(left, t)
				} else {
					want = append(want, t)
				}
			}
			got := map[broker.ID]bool{}
			for _, d := range m.tryTake(len(waiting) + 1) {
				got[d.ID] = true
				held[d.ID] = d
			}
			for _, t := range waiting {
				if got[t.ID] == names(t) {
					r.Fatalf("seed %d: task %s with the name %s and the lane %+v was handed out: %t; %v", seed, t.ID, t.Name, t.Lane, got[t.ID], history)
				}
			}
			if len(got) != len(want) {
				r.Fatalf("seed %d: %d tasks were handed out, want %d; %v", seed, len(got), len(want), history)
			}
			running, waiting = append(running, want...), left
		}
		for range steps {
			switch rng.IntN(6) {
			case 0, 1:
				for range 1 + rng.IntN(4) {
					t := r.task(named([]string{"a", "b", "c"}[rng.IntN(3)]))
					if key := rng.IntN(4); key > 0 {
						lane(fair([]string{"", "k", "l"}[key-1]), priority(uint8(rng.IntN(3))))(t)
					}
					r.enqueue(t)
					waiting = append(waiting, t)
				}
				note("enqueue")
			case 2:
				p := all[rng.IntN(len(all))]
				note("pause %+v", p)
				r.pause(p)
				paused[p] = true
			case 3:
				p := all[rng.IntN(len(all))]
				note("resume %+v", p)
				r.goOn(p)
				delete(paused, p)
			case 4:
				note("drain")
				drain()
			case 5:
				for _, t := range running {
					d := held[t.ID]
					delete(held, t.ID)
					if rng.IntN(3) == 0 {
						m.settle(giveBack(d))
						waiting = append(waiting, t)
					} else {
						m.settle(m.succeed(d))
					}
				}
				running = nil
				note("settle")
			}
		}
		for _, p := range all {
			r.goOn(p)
			delete(paused, p)
		}
		drain()
		for _, t := range running {
			m.settle(m.succeed(held[t.ID]))
		}
	}
}
