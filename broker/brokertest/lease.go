package brokertest

import (
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A consumer keeps its lease by heartbeats. When it dies, the tasks that it held return to their
// queues once, and this does not count as a retry.
var leaseTests = []test{
	{"IsReported", leaseIsReported, needLapse},
	{"BackAfterDeath", leaseBackAfterDeath, needLapse},
	{"NotBackBefore", leaseNotBackBefore, needLapse},
	{"HeartbeatsKeepIt", leaseHeartbeatsKeep, needLapse},
	{"BackByItself", leaseBackByItself, needLapse},
	{"LateSettlement", leaseLateSettlement, needLapse},
	{"LateHeartbeat", leaseLateHeartbeat, needLapse},
	{"RenewalIsNotTooLate", leaseRenewal, 0},
	{"NoRenewalAfterDeath", leaseNoRenewal, needLapse},
	{"DeathGoesToTheFront", leaseDeathGoesToTheFront, needLapse},
	{"DeathsAreCounted", leaseDeathsAreCounted, needLapse},
	{"RetriesAndDeathsCountSeparately", leaseRetriesAndDeaths, needLapse},
	{"DeathOfARetry", leaseDeathOfARetry, needLapse},
	{"DeathWithSeveralQueues", leaseDeathSeveralQueues, needLapse},
	{"DeathWithThousands", leaseDeathWithThousands, needLapse},
	{"DeathWithLargePayloads", leaseDeathWithLargePayloads, needLapse},
	{"TwoSurvivorsReap", leaseTwoSurvivors, needLapse},
	{"ManyDie", leaseManyDie, needLapse},
	{"CloseGivesBackAtOnce", leaseCloseGivesBack, 0},
	{"CloseGivesBackThousands", leaseCloseThousands, 0},
	{"SettledIsNotGivenBack", leaseSettledIsNotGivenBack, needLapse},
}

func leaseIsReported(r *rig) {
	m := r.minion()
	lease, every := m.Lease()
	if lease != r.Lease || every <= 0 || every > lease/2 {
		r.Fatalf("Lease returned %v and heartbeats every %v; want the lease of the harness, %v, with time for two heartbeats", lease, every, r.Lease)
	}
	if m.ID().IsZero() || m.ID() == r.minion().ID() {
		r.Fatalf("the id of a consumer is %s, want an id that no other consumer has", m.ID())
	}
}

func leaseBackAfterDeath(r *rig) {
	dying, m := r.minion(), r.minionAt(r.other())
	tasks := r.batch(3)
	r.enqueue(tasks...)
	dying.take(2)
	r.reap([]*minion{m}, dying)
	r.back(idsOf(tasks), m)
	ds := m.take(3)
	r.sameSet(takenOf(ds[:2]), idsOf(tasks[:2]))
	r.same(takenOf(ds[2:]), idsOf(tasks[2:]))
	r.attempt(ds[0], 2, 0, 1)
	r.attempt(ds[1], 2, 0, 1)
	r.attempt(ds[2], 1, 0, 0)
	m.none()
}

func leaseNotBackBefore(r *rig) {
	dying, m := r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	dying.take1()
	start := r.Now()
	beat(dying)
	for {
		r.pass(r.Lease/8, m)
		if passed := r.Now().Sub(start); passed > r.Lease*3/4 {
			return
		}
		r.before(start.Add(r.Lease), func() {
			m.none()
			r.in(broker.StateRunning, task.ID)
		})
	}
}

func leaseHeartbeatsKeep(r *rig) {
	m, other := r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	for range 3 {
		r.pass(r.Lease, m, other)
		other.none()
		r.in(broker.StateRunning, task.ID)
	}
	m.settle(m.succeed(d))
}

// No consumer is there when the owner dies. The tasks return when the next consumer asks.
func leaseBackByItself(r *rig) {
	task := r.task()
	r.enqueue(task)
	r.minion().take1()
	r.Advance(r.Lease + r.Slack)
	m := r.minionAt(r.other())
	r.back([]broker.ID{task.ID}, m)
	r.attempt(m.take1(), 2, 0, 1)
}

func leaseLateSettlement(r *rig) {
	dying, m, mail := r.minion(), r.minion(), r.mail()
	tasks := r.batch(2, inbox(mail.id))
	r.enqueue(tasks...)
	late := dying.take(2)
	r.reap([]*minion{m}, dying)
	r.back(idsOf(tasks), m)
	refused := func() {
		r.Helper()
		for _, d := range late {
			for _, s := range []broker.Settlement{
				dying.succeed(d), dying.finish(d, broker.StateFailed), retry(d, time.Hour), giveBack(d),
			} {
				r.is(lost(dying.Settle(r.ctx, []broker.Settlement{s})), broker.ErrLeaseLost)
			}
		}
	}
	refused() // while the tasks are pending again
	r.in(broker.StatePending, idsOf(tasks)...)
	ds := m.take(2)
	refused() // while another consumer runs them
	r.in(broker.StateRunning, idsOf(tasks)...)
	want := m.succeed(ds[0])
	m.settle(want, retry(ds[1], time.Hour))
	refused() // after they are settled
	r.equal(r.outcome(ds[0].ID), want.Outcome)
	r.in(broker.StateRetrying, ds[1].ID)
	mail.take(1)
	mail.none()
	m.none()
}

// A consumer counts its lease from the time that OnRenewed reports. That time must not be later
// than when the request was sent, because the broker may count from there.
func leaseRenewal(r *rig) {
	began := time.Now()
	m := r.minion()
	for range 3 {
		ended := time.Now()
		for _, n := range m.renewed() {
			if n.asked.Before(began) || n.asked.After(ended) || n.asked.After(n.reported) {
				r.Fatalf("OnRenewed said at %v that the lease counts from %v, but the call lasted from %v to %v", n.reported, n.asked, began, ended)
			}
		}
		time.Sleep(time.Millisecond)
		began = time.Now()
		beat(m)
	}
}

func leaseNoRenewal(r *rig) {
	dying, m := r.minion(), r.minion()
	r.reap([]*minion{m}, dying)
	dying.renewed()
	r.is(dying.Heartbeat(r.ctx, broker.Load{}), broker.ErrLeaseLost)
	if got := dying.renewed(); len(got) > 0 {
		r.Fatalf("OnRenewed was called %d times after the lease had ended", len(got))
	}
}

// A heartbeat after the end of its lease does not give a consumer its lease back.
func leaseLateHeartbeat(r *rig) {
	dying, m := r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	dying.take1()
	r.reap([]*minion{m}, dying)
	r.back([]broker.ID{task.ID}, m)
	for range 3 {
		r.is(dying.Heartbeat(r.ctx, broker.Load{}), broker.ErrLeaseLost)
		ds, err := dying.Dequeue(r.ctx, dying.queues, 5, 0)
		r.is(err, broker.ErrLeaseLost)
		if len(ds) > 0 {
			r.Fatalf("a consumer without a lease was handed %d tasks", len(ds))
		}
	}
	infos, err := r.Broker.Minions(r.ctx)
	if err != nil || len(infos) != 1 || infos[0].ID != m.ID() {
		r.Fatalf("Minions returned %v, %v; want only the living minion", infos, err)
	}
	r.attempt(m.take1(), 2, 0, 1)
	if err := dying.Close(r.ctx); err != nil {
		r.is(err, broker.ErrLeaseLost)
	}
	r.in(broker.StateRunning, task.ID) // the late Close takes no task from its new owner
	m.none()
}

func leaseDeathGoesToTheFront(r *rig) {
	dying, m := r.minion(), r.minion()
	tasks := r.batch(30)
	r.enqueue(tasks...)
	dying.take(7)
	dying.take(13)
	r.reap([]*minion{m}, dying)
	r.back(idsOf(tasks), m)
	got := takenOf(m.take(30))
	r.sameSet(got[:20], idsOf(tasks[:20]))
	r.same(got[20:], idsOf(tasks[20:]))
}

func leaseDeathsAreCounted(r *rig) {
	m := r.minion("elsewhere", "q")
	task := r.task()
	r.enqueue(task)
	for i := range 4 {
		dying := r.minion()
		r.attempt(dying.take1(), uint32(i+1), 0, i)
		r.reap([]*minion{m}, dying)
		r.back([]broker.ID{task.ID}, m)
	}
	d := m.take1()
	r.attempt(d, 5, 0, 4)
	m.settle(m.finish(d, broker.StateFailed))
}

func leaseRetriesAndDeaths(r *rig) {
	m, dying := r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	for range 2 {
		m.settle(retry(m.take1(), 0))
	}
	r.attempt(dying.take1(), 3, 2, 0)
	r.reap([]*minion{m}, dying)
	d := m.take1()
	r.attempt(d, 4, 2, 1)
	m.settle(retry(d, 0))
	d = m.take1()
	r.attempt(d, 5, 3, 1)
	m.settle(snooze(d, 0))
	d = m.take1()
	r.attempt(d, 6, 3, 1)
	m.settle(giveBack(d))
	r.attempt(m.take1(), 7, 3, 1)
}

// A task that waits for its retry has no owner. The death of its last owner does not affect it.
func leaseDeathOfARetry(r *rig) {
	m, dying := r.minion(), r.minion()
	wait := r.Lease * 2
	task := r.task()
	r.enqueue(task)
	dying.settle(retry(dying.take1(), wait))
	r.reap([]*minion{m}, dying)
	m.none()
	r.in(broker.StateRetrying, task.ID)
	r.pass(wait, m)
	r.attempt(m.take1(), 2, 1, 0)
}

func leaseDeathSeveralQueues(r *rig) {
	dying, m := r.minion("a", "b"), r.minion("b")
	a, b := r.batch(3, onQueue("a")), r.batch(3, onQueue("b"))
	r.enqueue(append(a, b...)...)
	dying.take(6)
	r.reap([]*minion{m}, dying)
	r.back(idsOf(b), m) // m serves one of the two queues only
	r.sameSet(takenOf(m.take(3)), idsOf(b))
	late := r.minion("a")
	r.back(idsOf(a), late, m)
	r.sameSet(takenOf(late.take(3)), idsOf(a))
}

func leaseDeathWithThousands(r *rig) {
	const n = 2*broker.MaxBatch + 500
	dying, m := r.minion(), r.minion()
	tasks := r.batch(n)
	r.enqueue(tasks...)
	dying.take(n)
	r.reap([]*minion{m}, dying)
	r.back(idsOf(tasks), m)
	got := m.take(n)
	r.sameSet(takenOf(got), idsOf(tasks))
	for _, d := range got {
		r.attempt(d, 2, 0, 1)
	}
	m.none()
}

func leaseDeathWithLargePayloads(r *rig) {
	dying, m := r.minion(), r.minion()
	size := min(r.Broker.Limits().Payload, 1<<20)
	n := broker.MaxBatchBytes/size + 3
	tasks := r.batch(n)
	for _, task := range tasks {
		task.Payload = slices.Repeat(task.Payload[:1], size)
	}
	r.enqueue(tasks...)
	dying.take(n)
	r.reap([]*minion{m}, dying)
	r.back(idsOf(tasks), m)
	sent := map[broker.ID]*broker.Task{}
	for _, task := range tasks {
		sent[task.ID] = task
	}
	for _, d := range m.take(n) {
		m.equals(d, sent[d.ID])
		delete(sent, d.ID)
	}
}

// Several consumers recover the tasks of a dead one at the same time.
func leaseTwoSurvivors(r *rig) {
	const n, survivors = 1200, 4
	dying := r.minion()
	other := r.other()
	alive := make([]*minion, survivors)
	for i := range alive {
		if alive[i] = r.minion(); i%2 == 1 {
			alive[i] = r.minionAt(other)
		}
	}
	tasks := r.batch(n)
	r.enqueue(tasks...)
	dying.take(n)
	r.pass(r.Lease*7/8, alive...)
	r.Advance(r.Lease/4 + r.Slack)
	together(many(survivors, func(i int) {
		for range 3 {
			if err := alive[i].beat(); err != nil {
				r.Errorf("Heartbeat: %v", err)
			}
		}
	})...)
	r.back(idsOf(tasks), alive...)
	got := alive[0].take(n)
	r.sameSet(takenOf(got), idsOf(tasks))
	for _, d := range got {
		r.attempt(d, 2, 0, 1)
	}
	alive[1].none()
}

func leaseManyDie(r *rig) {
	m := r.minion()
	dead := make([]*minion, 5)
	tasks := r.batch(50)
	r.enqueue(tasks...)
	for i := range dead {
		dead[i] = r.minion()
		dead[i].take(8)
	}
	r.reap([]*minion{m}, dead...)
	r.back(idsOf(tasks), m)
	r.sameSet(takenOf(m.take(50)), idsOf(tasks))
	m.none()
}

func leaseCloseGivesBack(r *rig) {
	m, other := r.minion(), r.minionAt(r.other())
	tasks := r.batch(6)
	r.enqueue(tasks...)
	ds := m.take(4)
	m.settle(retry(ds[1], 0))
	m.take(3)
	start := time.Now()
	m.close()
	r.in(broker.StatePending, idsOf(tasks)...)
	got := other.take(6)
	if took := time.Since(start); took > r.prompt() {
		r.Fatalf("the tasks of a closed consumer returned only after %v", took)
	}
	r.sameSet(takenOf(got), idsOf(tasks))
	for _, d := range got {
		if d.ID == tasks[1].ID {
			r.attempt(d, 3, 1, 0)
		} else {
			r.attempt(d, 2, 0, 0)
		}
	}
	m.close() // Close may be called twice
	r.in(broker.StateRunning, idsOf(tasks)...)
}

func leaseCloseThousands(r *rig) {
	const n = 2*broker.MaxBatch + 500
	m, other := r.minion(), r.minion()
	tasks := r.batch(n + 5)
	r.enqueue(tasks...)
	m.take(n)
	m.close()
	r.in(broker.StatePending, idsOf(tasks)...)
	got := takenOf(other.take(n + 5))
	r.sameSet(got[:n], idsOf(tasks[:n]))
	r.same(got[n:], idsOf(tasks[n:]))
	other.none()
}

func leaseSettledIsNotGivenBack(r *rig) {
	dying, m := r.minion(), r.minion()
	tasks := r.batch(4)
	r.enqueue(tasks...)
	ds := dying.take(4)
	dying.settle(dying.succeed(ds[0]), retry(ds[1], time.Hour), dying.finish(ds[2], broker.StateFailed))
	r.reap([]*minion{m}, dying)
	r.back(idsOf(tasks[3:]), m)
	r.same(takenOf(m.take(1)), idsOf(tasks[3:]))
	m.none()
	r.in(broker.StateSucceeded, tasks[0].ID)
	r.in(broker.StateRetrying, tasks[1].ID)
	r.in(broker.StateFailed, tasks[2].ID)
}
