package brokertest

import (
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Consumers are notified of arrivals until the arrivals are confirmed.
var flowNotifyTests = []test{
	{"NotifiedAfterASettlement", flowNotifiedSettle, 0},
	{"NotifiedOfTheRightQueue", flowNotifiedQueue, 0},
	{"NotifiedAtAHeartbeat", flowNotifiedHeartbeat, 0},
	{"NotifiedAfterADeath", flowNotifiedLeft, needLapse},
	{"NotifiedOfACancel", flowNotifiedCancel, 0},
	{"NewConsumerIsNotified", flowNotifiedNew, needLapse},
	{"NotifiedWithoutALock", flowNotifiedWithoutALock, 0},
	{"NobodyListens", flowNobodyListens, 0},
	{"ManyMinionsCountEachOnce", flowManyMinions, 0},
}

func flowNotifiedSettle(r *rig) {
	m := r.minion()
	_, tasks := r.team(len(finals))
	r.enqueue(tasks...)
	for i, d := range m.take(len(finals)) {
		m.hears("q")
		start := time.Now()
		m.settle(m.finish(d, finals[i]))
		r.eventually("OnArrivals is called", func() bool { return m.hears("q") })
		if late := time.Since(start); late > r.prompt() {
			r.Fatalf("OnArrivals was called only after %v", late)
		}
		r.arrivals("q", i+1)
	}
}

func flowNotifiedQueue(r *rig) {
	m := r.minion("a", "b", "c")
	f := r.group(2)
	r.enqueue(r.task(onQueue("b"), memberOf(f, 0)), r.task(onQueue("c"), memberOf(f, 1)), r.task(onQueue("a")))
	ds := m.take(3)
	m.settle(m.succeed(ds[0]), m.succeed(ds[1]), m.succeed(ds[2]))
	r.eventually("OnArrivals is called for b", func() bool { return m.hears("b") })
	r.eventually("OnArrivals is called for c", func() bool { return m.hears("c") })
	if m.hears("a") {
		r.Fatalf("OnArrivals was called for a queue without arrivals")
	}
}

// Heartbeats repeat the notification as long as there are arrivals.
func flowNotifiedHeartbeat(r *rig) {
	m, other := r.minion(), r.minionAt(r.other(), "p", "q")
	_, tasks := r.team(1)
	r.enqueue(tasks...)
	m.settle(m.succeed(m.take1()))
	for range 2 {
		for _, m := range []*minion{m, other} {
			m.hears("q")
			r.eventually("OnArrivals is called", func() bool { beat(m); return m.hears("q") })
		}
	}
	r.confirm(r.arrivals("q", 1)...)
}

func flowNotifiedLeft(r *rig) {
	dying, m := r.minion(), r.minion()
	_, tasks := r.team(2)
	r.enqueue(tasks...)
	ds := dying.take(2)
	s := dying.succeed(ds[0])
	dying.settle(s)
	r.reap([]*minion{m}, dying)
	r.eventually("OnArrivals is called", func() bool { beat(m); return m.hears("q") })
	r.arrived(tasks[0], s.Outcome)
	r.back([]broker.ID{tasks[1].ID}, m)
	leaving := r.minion()
	s = leaving.succeed(leaving.take1())
	leaving.settle(s)
	leaving.close()
	m.hears("q")
	r.eventually("OnArrivals is called", func() bool { beat(m); return m.hears("q") })
	r.arrived(tasks[1], s.Outcome)
}

func flowNotifiedCancel(r *rig) {
	m := r.minion()
	_, tasks := r.team(1, blocked)
	r.enqueue(tasks...)
	r.cancelAt(r.other(), tasks[0].ID)
	r.eventually("OnArrivals is called", func() bool { beat(m); return m.hears("q") })
	r.arrived(tasks[0], r.outcome(tasks[0].ID))
}

func flowNotifiedNew(r *rig) {
	_, tasks := r.team(1, blocked)
	r.enqueue(tasks...)
	r.cancel(tasks[0].ID)
	r.Advance(2 * r.Lease)
	m := r.minionAt(r.other())
	beat(m)
	r.eventually("OnArrivals is called", func() bool { return m.hears("q") })
	r.arrivals("q", 1)
}

// OnArrivals may call the broker at once.
func flowNotifiedWithoutALock(r *rig) {
	f, tasks := r.team(3)
	found := make(chan int, 100)
	c, err := r.Broker.Consume(r.ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1, Flows: broker.FlowsConfig{OnArrivals: func(queue string) {
		all, err := r.flows().Arrivals(r.ctx, queue, 10)
		if err == nil && len(all) > 0 {
			if _, err = r.flows().Arrive(r.ctx, f.ID, all); err == nil {
				err = r.flows().Confirm(r.ctx, all)
			}
		}
		if err != nil {
			r.Errorf("in OnArrivals: %v", err)
		}
		found <- len(all)
	}}})
	if err != nil {
		r.Fatalf("Consume: %v", err)
	}
	m := &minion{Consumer: c, r: r, queues: []string{"q"}, beaten: r.Now()}
	r.enqueue(tasks...)
	for n, d := range m.take(3) {
		m.settle(m.succeed(d))
		r.eventually("the member is counted", func() bool {
			beat(m)
			return r.progress(f).Succeeded == n+1
		})
	}
	if len(found) == 0 {
		r.Fatalf("OnArrivals was never called")
	}
}

func flowNobodyListens(r *rig) {
	c, err := r.Broker.Consume(r.ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
	if err != nil {
		r.Fatalf("Consume: %v", err)
	}
	m := &minion{Consumer: c, r: r, queues: []string{"q"}, beaten: r.Now()}
	_, tasks := r.team(1)
	r.enqueue(tasks...)
	s := m.succeed(m.take1())
	m.settle(s)
	beat(m)
	r.arrived(tasks[0], s.Outcome)
}

// Minions of two clients settle, cancel and count at the same time, and do everything twice. Each
// member must be counted once.
func flowManyMinions(r *rig) {
	n := 2000
	if r.light {
		n = 300
	}
	f, tasks := r.team(n)
	r.enqueue(tasks...)
	other := r.other()
	minions := []*minion{r.minion(), r.minionAt(other), r.minion()}
	var mu sync.Mutex
	done := false
	count := func(b broker.Broker, queue string) {
		all, err := r.flowsAt(b).Arrivals(r.ctx, queue, 50)
		if err != nil || len(all) == 0 {
			if err != nil {
				r.Errorf("Arrivals: %v", err)
			}
			return
		}
		for range 2 {
			p, err := r.flowsAt(b).Arrive(r.ctx, f.ID, all)
			if err != nil {
				r.Errorf("Arrive: %v", err)
				return
			}
			if p.Arrived() == n {
				mu.Lock()
				done = true
				mu.Unlock()
			}
			if err := r.flowsAt(b).Confirm(r.ctx, all); err != nil {
				r.Errorf("Confirm: %v", err)
			}
		}
	}
	fns := many(len(minions), func(i int) {
		m, b := minions[i], []broker.Broker{r.Broker, other}[i%2]
		for idle := 0; idle < 2; {
			ds, err := m.Dequeue(r.ctx, m.queues, 20, r.Slack)
			if err != nil {
				r.Errorf("Dequeue: %v", err)
				return
			}
			idle++
			var batch []broker.Settlement
			for at, d := range ds {
				idle = 0
				state := finals[at%2]
				if d.Canceled {
					state = broker.StateCanceled
				}
				batch = append(batch, m.finish(d, state))
			}
			if _, err := m.Settle(r.ctx, batch); err != nil {
				r.Errorf("Settle: %v", err)
			}
			if err := m.Heartbeat(r.ctx, broker.Load{}); err != nil {
				r.Errorf("Heartbeat: %v", err)
				return
			}
			if m.hears("q") {
				count(b, "q")
			}
		}
	})
	together(append(fns, func() {
		for at := n - 1; at >= n/2; at -= 10 {
			if _, err := other.Cancel(r.ctx, idsOf(tasks[at-9:at+1])); err != nil {
				r.Errorf("Cancel: %v", err)
			}
			count(other, "")
		}
	})...)
	r.eventually("all members are counted", func() bool {
		count(r.Broker, "q")
		return r.progress(f).Arrived() == n
	})
	if !done {
		r.Fatalf("no call of Arrive returned the complete count")
	}
	r.arrivals("q", 0)
	succeeded := 0
	members := r.members(f, broker.MaxBatch)
	r.same(listed(members), idsOf(tasks))
	for i, st := range r.lookup(idsOf(tasks)...) {
		if st.State != members[i].State {
			r.Fatalf("member %d is %s, the task %s", i, members[i].State, st.State)
		}
		if st.State == broker.StateSucceeded {
			succeeded++
		}
	}
	r.counted(r.progress(f), succeeded, n-succeeded)
}
