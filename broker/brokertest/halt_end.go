package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The end of a halt, and the notification of a halt that does not end in time.

// kills checks that all arrivals of a queue are kills, and that there are n of them. It returns
// them.
func (r *rig) kills(queue string, n int) []broker.Arrival {
	r.Helper()
	all, err := r.flows().Arrivals(r.ctx, queue, broker.MaxBatch)
	if err != nil {
		r.Fatalf("Arrivals: %v", err)
	}
	for _, a := range all {
		if !a.Kill || a.Queue != queue || !a.Task.IsZero() || a.Submit != nil {
			r.Fatalf("the arrival is %+v, want one with Kill set in queue %s", a, queue)
		}
	}
	if len(all) != n {
		r.Fatalf("Arrivals returned %d kills in queue %s, want %d", len(all), queue, n)
	}
	return all
}

// When a kill is confirmed, the members that are left are handed out as before.
func haltConfirmed(r *rig) {
	f, tasks := r.team(3)
	r.enqueue(tasks...)
	first := r.halt(f)
	r.confirm(first.Kills...)
	m := r.minion()
	r.sameSet(takenOf(m.take(3)), idsOf(tasks))
	g, more := r.team(3)
	r.enqueue(more...)
	h := r.halt(g)
	m.none()
	r.confirm(h.Kills...)
	r.enqueue(r.task())
	m.take1()
	r.releases(more...)
	r.sameSet(takenOf(m.take(3)), idsOf(more))
	r.kills("q", 0)
}

func haltQueues(r *rig) {
	f := r.group(2)
	tasks := []*broker.Task{r.task(onQueue("a"), memberOf(f, 0)), r.task(onQueue("b"), memberOf(f, 1))}
	r.open(f, idsOf(tasks))
	r.enqueue(tasks...)
	h := r.halt(f)
	var one []broker.Arrival
	for _, k := range h.Kills {
		if !k.Kill || k.Flow != f.ID {
			r.Fatalf("the arrival of the kill is %+v", k)
		}
		if k.Queue == "a" {
			one = append(one, k)
		}
	}
	if len(h.Kills) != 2 || len(one) != 1 {
		r.Fatalf("kills: %+v", h.Kills)
	}
	r.confirm(one...)
	m := r.minion("a", "b")
	r.same(takenOf(m.take(1)), idsOf(tasks[:1]))
	m.none()
	r.in(broker.StateBlocked, tasks[1].ID)
}

// If a kill is not confirmed in time, another client gets its arrival. Only one client at a time
// gets it.
func haltFound(r *rig) {
	m := r.minion()
	f, tasks := r.team(2)
	g, _ := r.team(1)
	r.enqueue(tasks...)
	r.halt(f, g)
	r.kills("q", 0)
	r.pass(broker.HaltPatience/2, m)
	r.kills("q", 0)
	r.pass(broker.HaltPatience/2+time.Second, m)
	r.eventually("OnArrivals is called", func() bool { beat(m); return m.hears("q") })
	found := r.kills("q", 2)
	if found[0].Flow != f.ID {
		found[0], found[1] = found[1], found[0]
	}
	if found[0].Flow != f.ID || found[1].Flow != g.ID {
		r.Fatalf("found: %+v", found)
	}
	r.kills("q", 0)
	r.confirm(found[1])
	r.pass(broker.HaltPatience+time.Second, m)
	r.confirm(r.kills("q", 1)...)
	r.pass(broker.HaltPatience+time.Second, m)
	r.kills("q", 0)
}

func haltAgain(r *rig) {
	m := r.minion()
	f, tasks := r.team(2)
	r.enqueue(tasks...)
	for range 4 {
		if h := r.halt(f); len(h.Kills) != 1 {
			r.Fatalf("halted: %+v", h)
		}
		r.pass(broker.HaltPatience/2, m)
		r.kills("q", 0)
		m.none()
	}
	r.pass(broker.HaltPatience, m)
	r.confirm(r.kills("q", 1)...)
	next := r.task()
	r.enqueue(next)
	r.same(takenOf(m.take(1)), []broker.ID{next.ID})
}

func haltCounts(r *rig) {
	f, tasks := r.team(3)
	r.enqueue(tasks...)
	r.enqueue(r.batch(2)...)
	pending := func(want int) {
		r.Helper()
		if got := counts(r, "q"); got != (broker.QueueInfo{Name: "q", Pending: want, Running: got.Running}) {
			r.Fatalf("the queue is counted as %+v, want %d pending", got, want)
		}
	}
	h := r.halt(f)
	pending(5)
	m := r.minion()
	m.take(2)
	m.none()
	pending(0)
	r.enqueue(r.batch(2)...)
	pending(2)
	r.cancel(idsOf(tasks)...)
	r.confirm(h.Kills...)
	pending(2)
	m.take(2)
	pending(0)
}
