package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A blocked task waits until it is released, or until its delay is over.
var flowBlockedTests = []test{
	{"BlockedIsNotHandedOut", flowBlockedStays, needLapse},
	{"BlockedIsReturned", flowBlockedReturned, 0},
	{"BlockedAgain", flowBlockedAgain, 0},
	{"BlockedHoldsItsKey", flowBlockedKey, 0},
	{"BlockedForATime", flowBlockedForATime, 0},
	{"BlockedForATimeWakes", flowBlockedWakes, 0},
	{"BlockedForATimeAndReleased", flowBlockedAndReleased, 0},
	{"BlockedForALongTime", flowBlockedLong, needJump},
	{"BlockedIsCanceled", flowBlockedCanceled, 0},
	{"BlockedForATimeIsCanceled", flowBlockedTimeCanceled, 0},
	{"BlockedKeepsItsDeadline", flowBlockedDeadline, 0},
	{"BlockedMany", flowBlockedMany, 0},
}

func flowBlockedStays(r *rig) {
	m := r.minion()
	task, pending := r.task(blocked), r.task()
	r.enqueue(task, pending)
	r.in(broker.StateBlocked, task.ID)
	r.same(takenOf(m.take(1)), []broker.ID{pending.ID})
	m.none()
	r.pass(r.Lease/2, m)
	m.none()
	st := r.lookup(task.ID)[0]
	if st.State != broker.StateBlocked || st.Queue != "q" || !st.Due.IsZero() || !st.Minion.IsZero() || st.Outcome != nil {
		r.Fatalf("Lookup of a blocked task returned %+v", st)
	}
}

func flowBlockedReturned(r *rig) {
	m := r.minion()
	all, small, timed := full(r), r.task(), r.task(after(time.Hour))
	all.Flow.Blocked, small.Flow.Blocked, timed.Flow.Blocked = true, true, true
	pending, canceled, done := r.task(), r.task(blocked), r.task()
	r.enqueue(done)
	m.settle(m.succeed(m.take1()))
	r.enqueue(all, small, pending, canceled, timed)
	r.canceled(canceled.ID, broker.CancelPrevented)
	ids := []broker.ID{pending.ID, all.ID, newIDs(1)[0], canceled.ID, small.ID, done.ID, timed.ID, all.ID}
	want := []*broker.Task{nil, all, nil, nil, small, nil, timed, all}
	for range 2 {
		for i, got := range r.waiting(ids...) {
			switch {
			case (got == nil) != (want[i] == nil):
				r.Fatalf("Blocked returned %v for id %d, want %v", got, i, want[i])
			case got != nil:
				if diff := diffTask(*got, *want[i]); diff != "" {
					r.Fatalf("Blocked returned a task for id %d that differs from the enqueued one: %s", i, diff)
				}
				clear(got.Payload) // the returned task belongs to the caller
				clear(got.Meta)
			}
		}
	}
	r.releases(small)
	if r.waiting(small.ID)[0] != nil {
		r.Fatalf("Blocked returned a task that was released")
	}
	r.waiting()
}

// A blocked task may be enqueued again at any time without effect. The content is compared with
// that of the first enqueue, not with that of the release.
func flowBlockedAgain(r *rig) {
	m := r.minion()
	task := r.task(blocked)
	again := func(state broker.State) {
		r.Helper()
		r.enqueue(task)
		r.in(state, task.ID)
		other := *task
		other.Payload = []byte("other content")
		r.duplicate(r.refused(&other), task.ID, task.ID, "")
		r.in(state, task.ID)
	}
	r.enqueue(task)
	again(broker.StateBlocked)
	m.none()
	whole := *task
	whole.Payload = []byte("with the result of an earlier step")
	r.releases(&whole)
	again(broker.StatePending)
	d := m.take1()
	m.equals(d, &whole)
	again(broker.StateRunning)
	m.settle(retry(d, time.Hour))
	again(broker.StateRetrying)
	r.canceled(task.ID, broker.CancelPrevented)
	again(broker.StateCanceled)
	m.none()
}

func flowBlockedKey(r *rig) {
	m := r.minion()
	task := r.task(blocked, keyed("k"))
	r.enqueue(task)
	keyHeld(r, task.ID)
	r.releases(task)
	keyHeld(r, task.ID)
	d := m.take1()
	m.equals(d, task)
	keyHeld(r, task.ID)
	m.settle(m.succeed(d))
	task = r.task(blocked, keyed("k"))
	r.enqueue(task)
	r.canceled(task.ID, broker.CancelPrevented)
	r.enqueue(r.task(keyed("k")))
}

func flowBlockedForATime(r *rig) {
	m := r.minion()
	task := r.task(blocked, after(max(300*time.Millisecond, 6*r.Slack)))
	from, at := time.Now().Add(task.Delay), r.Now()
	r.enqueue(task)
	to := time.Now().Add(task.Delay)
	d := m.notBefore(task.ID, from, to, func() {
		st := r.lookup(task.ID)[0]
		if off := st.Due.Sub(at.Add(task.Delay)); st.State != broker.StateBlocked || off < -r.Slack || off > r.Slack+r.prompt() {
			r.Fatalf("the task is %s and due at %v, want blocked and %v", st.State, st.Due, at.Add(task.Delay))
		}
	})
	m.equals(d, task)
	r.attempt(d, 1, 0, 0)
	m.none()
	if r.waiting(task.ID)[0] != nil {
		r.Fatalf("Blocked returned a task that runs")
	}
	m.settle(m.succeed(d))
	r.in(broker.StateSucceeded, task.ID)
}

func flowBlockedWakes(r *rig) {
	m := r.minion()
	task := r.task(blocked, after(100*time.Millisecond))
	done := m.waiting(r.ctx, 1, patience)
	start := time.Now()
	r.enqueue(task)
	r.same(takenOf(r.woken(done, start.Add(task.Delay))), []broker.ID{task.ID})
}

// Both the release and the end of the delay make a blocked task pending. The first one does it, and
// the second one has no effect.
func flowBlockedAndReleased(r *rig) {
	m := r.minion()
	const wait = time.Second // long enough that the release comes first
	early, late := r.task(blocked, after(wait)), r.task(blocked, after(50*time.Millisecond))
	end := r.Now().Add(wait)
	r.enqueue(early, late)
	whole := *early
	whole.Payload = []byte("whole")
	r.releases(&whole)
	ds := map[broker.ID]*broker.Delivery{}
	for _, d := range m.take(2) {
		ds[d.ID] = d
	}
	r.before(end, func() { m.equals(ds[early.ID], &whole) })
	m.equals(ds[late.ID], late)
	r.releases(late)
	r.pass(wait, m)
	m.none()
	r.in(broker.StateRunning, early.ID, late.ID)
}

func flowBlockedLong(r *rig) {
	task := r.task(blocked, after(40*24*time.Hour))
	r.enqueue(task)
	r.Advance(39 * 24 * time.Hour)
	r.in(broker.StateBlocked, task.ID)
	r.minion().none()
	r.Advance(25 * time.Hour)
	r.minion().equals(r.minion().take1(), task)
}

func flowBlockedCanceled(r *rig) {
	m, mail := r.minion(), r.mail()
	task := r.task(blocked, inbox(mail.id))
	r.enqueue(task)
	r.canceled(task.ID, broker.CancelPrevented)
	r.in(broker.StateCanceled, task.ID)
	o := r.outcome(task.ID)
	if o.State != broker.StateCanceled || !o.Minion.IsZero() || !o.Started.IsZero() {
		r.Fatalf("the outcome of a task that was cancelled while it was blocked is %+v", o)
	}
	r.equal(mail.take(1)[0].Outcome, o)
	r.canceled(task.ID, broker.CancelTooLate)
	r.releases(task)
	r.in(broker.StateCanceled, task.ID)
	m.none()
	mail.none()
}

func flowBlockedTimeCanceled(r *rig) {
	m := r.minion()
	tasks := r.batch(3, blocked, after(100*time.Millisecond))
	r.enqueue(tasks...)
	r.canceled(tasks[1].ID, broker.CancelPrevented)
	r.in(broker.StateCanceled, tasks[1].ID)
	r.sameSet(takenOf(m.take(2)), []broker.ID{tasks[0].ID, tasks[2].ID})
	r.pass(50*time.Millisecond, m)
	m.none()
	r.in(broker.StateCanceled, tasks[1].ID)
}

// The deadline of a blocked task counts from its enqueue, not from its release.
func flowBlockedDeadline(r *rig) {
	m := r.minion()
	start := r.Now()
	task := r.task(blocked, within(time.Minute))
	r.enqueue(task)
	r.pass(150*time.Millisecond, m)
	r.releases(task)
	r.left(m.take1(), time.Minute, start)
}

func flowBlockedMany(r *rig) {
	const n = 2*broker.MaxBatch + 345
	m := r.minion()
	tasks := r.batch(n, blocked)
	r.enqueue(tasks...)
	r.in(broker.StateBlocked, idsOf(tasks)...)
	for i, t := range r.waiting(idsOf(tasks)...) {
		if t == nil {
			r.Fatalf("Blocked did not return task %d", i)
		}
	}
	m.none()
	r.releases(tasks...)
	r.same(takenOf(m.take(n)), idsOf(tasks))
	m.none()
}
