package brokertest

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Release makes a blocked task pending.
var flowReleaseTests = []test{
	{"Release", flowRelease, 0},
	{"ReleaseWakes", flowReleaseWakes, 0},
	{"ReleaseGoesToTheEnd", flowReleaseOrder, 0},
	{"ReleaseTwice", flowReleaseTwice, 0},
	{"ReleaseOnlyBlocked", flowReleaseOnlyBlocked, 0},
	{"ReleaseUnknown", flowReleaseUnknown, 0},
	{"ReleaseConcurrently", flowReleaseConcurrently, 0},
	{"ReleaseAgainstCancel", flowReleaseAgainstCancel, 0},
	{"ReleaseInvalid", flowReleaseInvalid, 0},
	{"ReleaseKeepsItsPosition", flowReleaseKeeps, 0},
	{"ReleaseAcrossQueues", flowReleaseAcrossQueues, 0},
	{"ReleasedIsLikeAnyOther", flowReleasedLives, needLapse},
	{"ReleaseIsOfTheCaller", flowReleaseBelongs, 0},
}

func flowRelease(r *rig) {
	m := r.minion()
	task := full(r)
	task.Flow.Blocked = true
	r.enqueue(task)
	whole := r.waiting(task.ID)[0]
	whole.Payload = slices.Repeat([]byte("longer than it was"), 1000)
	r.releases(whole)
	r.in(broker.StatePending, task.ID)
	d := m.take1()
	m.equals(d, whole)
	r.attempt(d, 1, 0, 0)
	m.none()
	r.releases()
}

func flowReleaseWakes(r *rig) {
	other := r.other()
	for _, b := range []broker.Broker{r.Broker, other} {
		m, task := r.minion(), r.task(blocked)
		r.enqueue(task)
		done := m.waiting(r.ctx, 5, patience)
		start := time.Now()
		if err := r.flowsAt(b).Release(r.ctx, []*broker.Task{task}); err != nil {
			r.Fatalf("Release: %v", err)
		}
		r.same(takenOf(r.woken(done, start)), []broker.ID{task.ID})
	}
}

func flowReleaseOrder(r *rig) {
	m := r.minion()
	waits, ready := r.batch(3, blocked), r.batch(2)
	r.enqueue(waits...)
	r.enqueue(ready...)
	r.releases(waits[2], waits[0])
	last := r.task()
	r.enqueue(last)
	r.releases(waits[1])
	want := []broker.ID{ready[0].ID, ready[1].ID, waits[2].ID, waits[0].ID, last.ID, waits[1].ID}
	r.same(takenOf(m.take(6)), want)
	m.none()
}

func flowReleaseTwice(r *rig) {
	m := r.minion()
	task := r.task(blocked)
	r.enqueue(task)
	first, second := *task, *task
	first.Payload, second.Payload = []byte("first"), []byte("second")
	r.releases(&first)
	r.releases(&second)
	r.releases(&first, &second)
	m.equals(m.take1(), &first)
	m.none()

	twice := r.task(blocked)
	r.enqueue(twice)
	r.releases(twice, twice)
	r.same(takenOf(m.take(1)), []broker.ID{twice.ID})
	m.none()
}

// A task that is not blocked stays as it is.
func flowReleaseOnlyBlocked(r *rig) {
	m := r.minion()
	final, retrying, running, pending, scheduled := r.task(blocked), r.task(blocked), r.task(), r.task(), r.task(after(time.Hour))
	other := func(task *broker.Task) *broker.Task {
		t := *task
		t.Payload = []byte("other")
		return &t
	}
	r.enqueue(final, retrying, running)
	r.releases(final, retrying)
	ds := m.take(3)
	r.same(takenOf(ds), []broker.ID{running.ID, final.ID, retrying.ID})
	m.settle(m.succeed(ds[1]), retry(ds[2], time.Hour))
	r.enqueue(pending, scheduled)
	r.releases(other(final), other(retrying), other(running), other(pending), other(scheduled))
	r.in(broker.StateSucceeded, final.ID)
	r.in(broker.StateRetrying, retrying.ID)
	r.in(broker.StateRunning, running.ID)
	r.in(broker.StatePending, pending.ID)
	r.in(broker.StateScheduled, scheduled.ID)
	m.equals(m.take1(), pending)
	m.none()
	m.settle(m.succeed(ds[0]))
}

func flowReleaseUnknown(r *rig) {
	m := r.minion()
	task := r.task(blocked)
	r.releases(task)
	r.in(broker.StateUnknown, task.ID)
	m.none()
	r.enqueue(task)
	r.in(broker.StateBlocked, task.ID)
}

func flowReleaseConcurrently(r *rig) {
	other := r.other()
	m := r.minion()
	for range 5 {
		tasks := r.batch(20, blocked)
		r.enqueue(tasks...)
		together(many(4, func(i int) {
			b := r.flowsAt([]broker.Broker{r.Broker, other}[i%2])
			for at := range tasks {
				if err := b.Release(r.ctx, tasks[at:at+1]); err != nil {
					r.Errorf("Release: %v", err)
				}
			}
		})...)
		ds := m.take(len(tasks))
		r.sameSet(takenOf(ds), idsOf(tasks))
		m.none()
		for _, d := range ds {
			r.attempt(d, 1, 0, 0)
			m.settle(m.succeed(d))
		}
	}
}

// A task is either released or cancelled, never both.
func flowReleaseAgainstCancel(r *rig) {
	other := r.other()
	m := r.minion()
	for range 5 {
		_, tasks := r.team(20, blocked)
		r.enqueue(tasks...)
		var prevented atomic.Int32
		together(func() {
			for at := range tasks {
				if err := r.flows().Release(r.ctx, tasks[at:at+1]); err != nil {
					r.Errorf("Release: %v", err)
				}
			}
		}, func() {
			for at := range tasks {
				got, err := other.Cancel(r.ctx, []broker.ID{tasks[len(tasks)-1-at].ID})
				if err != nil {
					r.Errorf("Cancel: %v", err)
				} else if got[0] == broker.CancelPrevented {
					prevented.Add(1)
				}
			}
		})
		if n := prevented.Load(); n != int32(len(tasks)) { // no task was handed out meanwhile
			r.Fatalf("%d of %d tasks were prevented, want all", n, len(tasks))
		}
		m.none()
		r.in(broker.StateCanceled, idsOf(tasks)...)
		r.confirm(r.arrivals("q", len(tasks))...)
	}
}

func flowReleaseInvalid(r *rig) {
	m := r.minion()
	tasks := r.batch(4, blocked)
	r.enqueue(tasks...)
	large, nameless := *tasks[0], *tasks[1]
	large.Payload = make([]byte, r.Broker.Limits().Payload+1)
	nameless.Name = "a b"
	err := r.flows().Release(r.ctx, []*broker.Task{&large, tasks[2], &nameless, tasks[3]})
	var batch *broker.BatchError
	if !errors.As(err, &batch) || len(batch.Errs) != 4 || batch.Errs[1] != nil || batch.Errs[3] != nil {
		r.Fatalf("Release returned %v, want a *BatchError with errors for the first and third task", err)
	}
	r.is(batch.Errs[0], broker.ErrTooLarge)
	r.is(batch.Errs[2], broker.ErrInvalid)
	r.in(broker.StateBlocked, tasks[0].ID, tasks[1].ID)
	r.same(takenOf(m.take(2)), []broker.ID{tasks[2].ID, tasks[3].ID})
	r.releases(tasks[0], tasks[1])
	r.same(takenOf(m.take(2)), []broker.ID{tasks[0].ID, tasks[1].ID})
}

// A release may change the content of a task, but not the fields that others know it by: its flow,
// its position, its key and its inbox.
func flowReleaseKeeps(r *rig) {
	m, mail := r.minion(), r.mail()
	f, tasks := r.team(1, blocked, keyed("k"), inbox(mail.id))
	r.enqueue(tasks...)
	changed := *tasks[0]
	changed.Payload = []byte("whole")
	changed.Meta = map[string]string{"more": "meta"}
	r.releases(&changed)
	keyHeld(r, changed.ID)
	d := m.take1()
	m.equals(d, &changed)
	m.settle(m.succeed(d))
	mail.take(1)
	r.enqueue(r.task(keyed("k")))
	a := r.arrivals("q", 1)[0]
	if a.Task != changed.ID || a.Flow != f.ID || a.Step != 0 {
		r.Fatalf("the arrival is of task %s at position %d of %s", a.Task, a.Step, a.Flow)
	}
}

func flowReleaseAcrossQueues(r *rig) {
	m := r.minion("a", "b", strings.Repeat("Q", broker.MaxName))
	var tasks []*broker.Task
	for i := range 12 {
		tasks = append(tasks, r.task(blocked, onQueue(m.queues[i%3])))
	}
	r.enqueue(tasks...)
	r.releases(tasks...)
	r.sameSet(takenOf(m.take(12)), idsOf(tasks))
	m.none()
}

// A released task is retried, given back and recovered like any other task.
func flowReleasedLives(r *rig) {
	dying, m := r.minion(), r.minion()
	task := r.task(blocked)
	r.enqueue(task)
	whole := *task
	whole.Payload = []byte("whole")
	r.releases(&whole)
	d := m.take1()
	m.settle(retry(d, 20*time.Millisecond))
	d = m.take1()
	r.attempt(d, 2, 1, 0)
	m.settle(giveBack(d))
	d = dying.take1()
	r.attempt(d, 3, 1, 0)
	r.reap([]*minion{m}, dying)
	d = m.take1()
	r.attempt(d, 4, 1, 1)
	m.equals(d, &whole)
	r.releases(task)
	m.settle(m.succeed(d))
	m.none()
}

func flowReleaseBelongs(r *rig) {
	m := r.minion()
	task := full(r)
	task.Flow.Blocked = true
	r.enqueue(task)
	given := r.waiting(task.ID)[0]
	r.releases(given)
	clear(given.Payload)
	given.Meta["empty"] = "changed"
	*given = broker.Task{}
	m.equals(m.take1(), task)
}
