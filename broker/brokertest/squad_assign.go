package brokertest

import (
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Blocked tasks are assigned to a minion.
var assignTests = []test{
	{"AssignHandsOver", assignHandsOver, 0},
	{"AssignByAnotherClient", assignByOther, needReopen},
	{"AssignAgain", assignAgain, 0},
	{"AssignOfSeveralQueues", assignQueues, 0},
	{"AssignUnblockedTask", assignNotBlocked, 0},
	{"AssignToAnotherQueuesMinion", assignWrongQueue, 0},
	{"AssignToADeadMinion", assignDead, needLapse},
	{"AssignAtOnce", assignAtOnce, 0},
	{"AssignMany", assignMany, 0},
	{"AssignWithoutOnAssign", assignDeaf, 0},
	{"AssignedIsSettledUnseen", assignUnseen, 0},
}

func assignHandsOver(r *rig) {
	m, other := r.minion(), r.minion()
	f, tasks := r.team(2, inSquad)
	r.enqueue(tasks...)
	r.in(broker.StateBlocked, idsOf(tasks)...)
	r.assign(m.ID(), idsOf(tasks))
	given := m.assignments(2)
	for _, t := range tasks {
		d := given[t.ID]
		want := *t
		want.Flow.Blocked = false
		m.equals(d, &want)
		if d.Attempt != 1 || d.Minion != m.ID() || !d.Flow.Squad || d.Retried != 0 || d.Recoveries != 0 {
			r.Fatalf("the assigned task was delivered as %+v", d)
		}
		if st := r.lookup(t.ID)[0]; st.State != broker.StateRunning || st.Minion != m.ID() || st.Attempt != 1 {
			r.Fatalf("Lookup of the assigned task returned %+v", st)
		}
	}
	other.none()
	m.none()
	m.settle(m.succeed(given[tasks[0].ID]), retry(given[tasks[1].ID], 0))
	r.in(broker.StateSucceeded, tasks[0].ID)
	// From here on it is like any other task, except that it names its squad.
	d := other.take1()
	if d.ID != tasks[1].ID || d.Attempt != 2 || !d.Flow.Squad || d.Flow.ID != f.ID {
		r.Fatalf("the retry was handed out as %+v", d)
	}
}

func assignByOther(r *rig) {
	m := r.minion()
	b := r.other()
	task := r.task(inSquad)
	r.enqueue(task)
	r.assignAt(b, m.ID(), []broker.ID{task.ID})
	m.settle(m.succeed(m.assignments(1)[task.ID]))
	r.in(broker.StateSucceeded, task.ID)
}

func assignAgain(r *rig) {
	m, other := r.minion(), r.minion()
	task := r.task(inSquad)
	r.enqueue(task)
	for range 3 {
		r.assign(m.ID(), []broker.ID{task.ID, task.ID})
		r.assign(other.ID(), []broker.ID{task.ID}, 0)
	}
	r.enqueue(task) // enqueueing the task again has no effect
	d := m.assignments(1)[task.ID]
	m.none()
	other.none()
	m.settle(m.succeed(d))
	r.assign(m.ID(), []broker.ID{task.ID}, 0)
	r.in(broker.StateSucceeded, task.ID)
}

func assignQueues(r *rig) {
	m := r.minion("a", "b")
	a, b := r.task(inSquad, onQueue("a")), r.task(inSquad, onQueue("b"))
	r.enqueue(a, b)
	r.assign(m.ID(), []broker.ID{a.ID, newIDs(1)[0], b.ID}, 1)
	given := m.assignments(2)
	if given[a.ID].Queue != "a" || given[b.ID].Queue != "b" {
		r.Fatalf("the assigned tasks have the queues %s and %s, want a and b", given[a.ID].Queue, given[b.ID].Queue)
	}
	m.settle(m.succeed(given[a.ID]), m.succeed(given[b.ID]))
}

func assignNotBlocked(r *rig) {
	m, other := r.minion(), r.minion()
	taken, done, pending, scheduled, canceled := r.task(), r.task(), r.task(), r.task(after(time.Hour)), r.task(inSquad)
	r.enqueue(done)
	m.settle(m.succeed(m.take1()))
	r.enqueue(taken)
	d := other.take1()
	r.enqueue(pending, scheduled, canceled)
	r.canceled(canceled.ID, broker.CancelPrevented)
	ids := []broker.ID{taken.ID, done.ID, pending.ID, scheduled.ID, canceled.ID, {}, newIDs(1)[0]}
	r.assign(m.ID(), ids, 0, 1, 2, 3, 4, 5, 6)
	r.in(broker.StateScheduled, scheduled.ID)
	r.in(broker.StatePending, pending.ID)
	r.in(broker.StateCanceled, canceled.ID)
	other.settle(other.succeed(d))
	r.assign(m.ID(), nil)
	m.assignments(0)
}

func assignWrongQueue(r *rig) {
	m := r.minion("other")
	task := r.task(inSquad)
	r.enqueue(task)
	r.assign(m.ID(), []broker.ID{task.ID}, 0)
	r.in(broker.StateBlocked, task.ID)
	m.assignments(0)
}

func assignDead(r *rig) {
	left, dead, alive := r.minion(), r.minion(), r.minion()
	if err := left.Close(r.ctx); err != nil {
		r.Fatalf("Close: %v", err)
	}
	task := r.task(inSquad)
	r.enqueue(task)
	r.assign(left.ID(), []broker.ID{task.ID}, 0)
	r.assign(broker.NewID(broker.KindParty, "", 0), []broker.ID{task.ID}, 0)
	r.pass(r.Lease+r.Slack, alive)
	r.assign(dead.ID(), []broker.ID{task.ID}, 0)
	r.in(broker.StateBlocked, task.ID)
	r.assign(alive.ID(), []broker.ID{task.ID})
	alive.assignments(1)
}

// A task is assigned to several minions and released at the same time. Exactly one of these takes
// effect.
func assignAtOnce(r *rig) {
	for range 10 {
		minions := []*minion{r.minion(), r.minion()}
		task := r.task(inSquad)
		r.enqueue(task)
		var got, free atomic.Int32
		fns := many(4, func(i int) {
			if r.squads().Assign(r.ctx, minions[i%2].ID(), []broker.ID{task.ID}) == nil {
				got.Add(1 << (8 * (i % 2)))
			}
		})
		together(append(fns, func() {
			whole := *task
			whole.Flow.Blocked = false
			if err := r.flows().Release(r.ctx, []*broker.Task{&whole}); err != nil {
				r.Errorf("Release: %v", err)
			}
		})...)
		first, second := got.Load()&255 > 0, got.Load()>>8 > 0
		if st := r.lookup(task.ID)[0]; st.State == broker.StatePending {
			free.Add(1)
		}
		if first && second || (first || second) == (free.Load() > 0) {
			r.Fatalf("the first minion has the task: %v, the second: %v, it is pending: %v; want one of the three", first, second, free.Load() > 0)
		}
		for _, m := range minions {
			if err := m.Close(r.ctx); err != nil {
				r.Fatalf("Close: %v", err)
			}
		}
		r.canceled(task.ID, broker.CancelPrevented)
	}
}

func assignMany(r *rig) {
	m := r.minion()
	tasks := r.batch(broker.MaxBatch, inSquad)
	r.enqueue(tasks...)
	r.assign(m.ID(), idsOf(tasks))
	given := m.assignments(len(tasks))
	var batch []broker.Settlement
	for _, d := range given {
		batch = append(batch, m.succeed(d))
	}
	m.settle(batch...)
	r.is(r.squads().Assign(r.ctx, m.ID(), newIDs(broker.MaxBatch+1)), broker.ErrTooLarge)
}

// A consumer without OnAssign gets assigned tasks from Dequeue.
func assignDeaf(r *rig) {
	for _, with := range []func(*broker.ConsumerConfig){
		func(cfg *broker.ConsumerConfig) { cfg.Squads.OnAssign = nil },
		func(cfg *broker.ConsumerConfig) { cfg.Squads.OnAssign, cfg.Squads.OnPost = nil, nil },
	} {
		m := r.consumer(r.Broker, with)
		tasks := r.batch(2, inSquad)
		ids := idsOf(tasks)
		r.enqueue(tasks...)
		r.assign(m.ID(), ids)
		r.assign(m.ID(), ids) // again
		r.in(broker.StateRunning, ids...)
		r.canceled(ids[1], broker.CancelRequested)
		got := map[broker.ID]*broker.Delivery{}
		r.eventually("Dequeue has returned the assigned tasks", func() bool {
			beat(m)
			for _, d := range m.tryTake(2) {
				if got[d.ID] != nil {
					r.Fatalf("task %s was handed out twice", d.ID)
				}
				got[d.ID] = d
			}
			return len(got) == 2
		})
		for i, id := range ids {
			if d := got[id]; d == nil || d.Attempt != 1 || !d.Flow.Squad {
				r.Fatalf("the assigned task %d was handed out as %+v", i, d)
			}
		}
		r.eventually("the consumer knows of the cancel", func() bool { return got[ids[1]].Canceled || m.notified(ids[1]) })
		m.settle(m.succeed(got[ids[0]]), m.finish(got[ids[1]], broker.StateCanceled))
		m.none()
		m.close()
	}
}

// An assigned task is retried before its consumer without OnAssign has seen it. The first attempt
// is over then, so the task is handed out once, as the second one.
func assignUnseen(r *rig) {
	m := r.consumer(r.Broker, func(cfg *broker.ConsumerConfig) { cfg.Squads.OnAssign = nil })
	tasks := r.batch(2, inSquad)
	r.enqueue(tasks...)
	r.assign(m.ID(), idsOf(tasks))
	m.settle(retry(m.made(tasks[0], 1), 0), m.succeed(m.made(tasks[1], 1)))
	d := m.take1()
	if d.ID != tasks[0].ID || d.Attempt != 2 {
		r.Fatalf("attempt %d at task %s was handed out, want attempt 2 at %s", d.Attempt, d.ID, tasks[0].ID)
	}
	beat(m)
	m.none()
	m.settle(m.succeed(d))
}
