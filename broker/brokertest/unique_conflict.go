package brokertest

import (
	"errors"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A task whose key another one has is refused, replaces the holder, or waits behind it.
var uniqueConflictTests = []test{
	{"ReplaceInEachState", replaceInEachState, 0},
	{"ReplaceParked", replaceParked, needParker},
	{"ReplaceBlocked", replaceBlocked, needFlows},
	{"ReplaceMemberArrives", replaceMember, needFlows},
	{"ReplaceNotRunning", replaceNotRunning, 0},
	{"ReplaceUntilStart", replaceUntilStart, 0},
	{"ReplaceUntilStartDies", replaceUntilStartDies, needLapse},
	{"ReplaceUntilStartGivenBack", replaceUntilStartGivenBack, 0},
	{"ReplaceKilled", replaceKilled, needLapse},
	{"ReplaceTells", replaceTells, 0},
	{"ReplaceAgain", replaceAgain, 0},
	{"ReplaceInOneBatch", replaceInOneBatch, 0},
	{"ReplaceEndsTheWindow", replaceEndsWindow, 0},
	{"ReplaceDuringAWindow", replaceDuringWindow, 0},
	{"ReplaceDebounces", replaceDebounces, 0},
	{"ReplaceUpToAnAge", replaceMaxAge, 0},
	{"ReplaceConcurrently", replaceConcurrently, 0},
	{"ReplaceWhileItIsTaken", replaceWhileTaken, 0},
	{"LatestWaits", latestWaits, 0},
	{"LatestRunsAfterEachEnd", latestAfterEachEnd, 0},
	{"LatestAfterACancel", latestAfterCancel, 0},
	{"LatestAfterADeath", latestAfterDeath, needLapse},
	{"LatestAfterADeadline", latestAfterDeadline, 0},
	{"LatestAfterAParkedTask", latestAfterParked, needParker},
	{"LatestReplacesTheOneThatWaits", latestReplaces, 0},
	{"LatestAfterTheStart", latestAfterStart, 0},
	{"LatestHasItsDelay", latestDelay, 0},
	{"LatestIsCanceled", latestCanceled, 0},
	{"LatestExpires", latestExpires, 0},
	{"LatestWaitsForTheWindow", latestWindow, 0},
	{"LatestDuringAWindow", latestDuringWindow, 0},
	{"LatestIsNotReleased", latestNotReleased, needFlows},
	{"LatestIsNotAssigned", latestNotAssigned, needSquads},
	{"LatestUpToAnAge", latestMaxAge, 0},
	{"LatestInOneBatch", latestInOneBatch, 0},
	{"LatestRequeue", latestRequeue, needInspector},
	{"LatestConcurrently", latestConcurrently, 0},
	{"CancelStopsTheHolder", cancelStops, 0},
	{"CancelReplacesTheOneThatWaits", cancelReplaces, 0},
	{"CancelAfterADeath", cancelAfterDeath, needLapse},
	{"CancelUpToAnAge", cancelMaxAge, 0},
	{"CancelAgain", cancelAgain, 0},
}

// replaced checks that a task was replaced by another one.
func (r *rig) replaced(task, by *broker.Task) {
	r.Helper()
	o := r.outcome(task.ID)
	if o.State != broker.StateCanceled || o.ReplacedBy != by.ID || !o.Minion.IsZero() || !o.Started.IsZero() {
		r.Fatalf("the outcome is %+v, want canceled, and replaced by %s", o, by.ID)
	}
}

func replaceInEachState(r *rig) {
	m := r.minion()
	for i, old := range []*broker.Task{r.task(), r.task(after(time.Hour)), r.task(untilStart), r.task(within(time.Hour), after(time.Hour))} {
		key := "k" + itoa(i)
		keyed(key)(old)
		old.Unique.UntilStart = i == 2
		r.enqueue(old)
		by := r.task(keyed(key), replacing)
		r.enqueue(by)
		r.replaced(old, by)
		r.heldBy(key, by)
		r.same(takenOf(m.take(1)), []broker.ID{by.ID})
	}
	for _, settle := range []func(*broker.Delivery) broker.Settlement{
		func(d *broker.Delivery) broker.Settlement { return retry(d, time.Hour) },
		func(d *broker.Delivery) broker.Settlement { return m.failing(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return snooze(d, time.Hour) },
		giveBack,
	} {
		old := r.task(keyed("l"))
		r.enqueue(old)
		m.settle(settle(m.take1()))
		by := r.task(keyed("l"), replacing)
		r.enqueue(by)
		r.replaced(old, by)
		d := m.take1()
		r.same([]broker.ID{d.ID}, []broker.ID{by.ID})
		m.settle(m.succeed(d))
	}
	m.none()
	r.isFree("l")
}

func replaceParked(r *rig) {
	old, by := r.task(keyed("k"), named("rare")), r.task(keyed("k"), replacing)
	r.parks(old)
	r.enqueue(by)
	r.replaced(old, by)
	r.parked()
	m := r.knowing("rare")
	r.same(takenOf(m.take(1)), []broker.ID{by.ID})
	m.none()
}

func replaceBlocked(r *rig) {
	m := r.minion()
	old, by := r.task(keyed("k"), blocked), r.task(keyed("k"), replacing, blocked)
	r.enqueue(old)
	r.enqueue(by)
	r.replaced(old, by)
	r.releases(old)
	m.none()
	r.releases(by)
	r.same(takenOf(m.take(1)), []broker.ID{by.ID})
}

func replaceMember(r *rig) {
	_, tasks := r.team(2)
	keyed("k")(tasks[0])
	r.enqueue(tasks[0])
	by := r.task(keyed("k"), replacing)
	r.enqueue(by)
	r.replaced(tasks[0], by)
	got := r.arrivals("q", 1)[0]
	r.isArrival(got, tasks[0])
	if got.Outcome.State != broker.StateCanceled || got.Outcome.ReplacedBy != by.ID {
		r.Fatalf("the arrival has the outcome %+v, want canceled, and replaced by %s", got.Outcome, by.ID)
	}
}

func replaceNotRunning(r *rig) {
	m := r.minion()
	old := r.task(keyed("k"))
	r.enqueue(old)
	d := m.take1()
	by := r.task(keyed("k"), replacing)
	r.duplicate(r.refused(by), by.ID, old.ID, "k")
	m.settle(retry(d, time.Hour))
	r.enqueue(by) // it waits now
	r.replaced(old, by)
}

// A task that frees its key at the start can be replaced although a consumer holds it.
func replaceUntilStart(r *rig) {
	mail := r.mail()
	m := r.minion()
	old, by := r.task(keyed("k"), untilStart, inbox(mail.id)), r.task(keyed("k"), untilStart, replacing)
	r.enqueue(old)
	d := m.take1()
	at := time.Now()
	r.enqueue(by)
	m.isNotified(old.ID, at)
	r.is(r.uniques().StartKey(r.ctx, d), broker.ErrCanceled)
	r.heldBy("k", by)
	r.in(broker.StateRunning, old.ID)
	r.canceled(old.ID, broker.CancelRequested)
	m.settle(retry(d, time.Hour)) // it ends, whatever its consumer says
	if l := mail.take(1)[0]; l.ID != old.ID || l.Outcome.State != broker.StateCanceled {
		r.Fatalf("the inbox got %+v, want the notice that task %s is canceled", l, old.ID)
	}
	r.heldBy("k", by)
	d = m.take1()
	r.same([]broker.ID{d.ID}, []broker.ID{by.ID})
	r.startKey(d)
	third := r.task(keyed("k"), untilStart, replacing)
	r.enqueue(third) // the key is free
	r.in(broker.StateRunning, by.ID)
	r.in(broker.StatePending, third.ID)
}

func replaceUntilStartDies(r *rig) {
	dying, m := r.minion(), r.minion()
	old, by := r.task(keyed("k"), untilStart), r.task(keyed("k"), untilStart, replacing)
	r.enqueue(old)
	dying.take1()
	r.enqueue(by)
	r.reap([]*minion{m}, dying)
	r.canceledOnce(m, old, by)
}

func replaceUntilStartGivenBack(r *rig) {
	closing, m := r.minion(), r.minion()
	old, by := r.task(keyed("k"), untilStart), r.task(keyed("k"), untilStart, replacing)
	r.enqueue(old)
	closing.take1()
	r.enqueue(by)
	closing.close()
	r.canceledOnce(m, old, by)
}

// canceledOnce ends all tasks. The old one may be handed out with Canceled set only, and the other
// one must run.
func (r *rig) canceledOnce(m *minion, old, by *broker.Task) {
	r.Helper()
	ran := false
	r.eventually("both tasks have ended", func() bool {
		for _, d := range m.tryTake(2) {
			switch {
			case d.ID == by.ID && !d.Canceled:
				ran = true
				r.startKey(d)
				m.settle(m.succeed(d))
			case d.ID == old.ID && d.Canceled:
				m.settle(m.finish(d, broker.StateCanceled))
			default:
				r.Fatalf("task %s was handed out with Canceled %v", d.ID, d.Canceled)
			}
		}
		return ran && r.lookup(old.ID)[0].State.Final()
	})
	r.in(broker.StateCanceled, old.ID)
	r.isFree("k")
}

// A holder that was cancelled while it ran, and whose consumer has died, waits: it can be replaced.
func replaceKilled(r *rig) {
	dying, m := r.minion(), r.minion()
	old, by := r.task(keyed("k")), r.task(keyed("k"), replacing)
	r.enqueue(old)
	dying.take1()
	r.canceled(old.ID, broker.CancelRequested)
	r.reap([]*minion{m}, dying)
	r.eventually("the key can be taken", func() bool {
		beat(m)
		return r.Broker.Enqueue(r.ctx, []*broker.Task{by}) == nil
	})
	r.canceledOnce(m, old, by)
}

func replaceTells(r *rig) {
	mail := r.mail()
	old, by := r.task(keyed("k"), inbox(mail.id)), r.task(keyed("k"), replacing, inbox(mail.id))
	r.enqueue(old)
	at := time.Now()
	r.enqueue(by)
	l := mail.take(1)[0]
	if late := time.Since(at); late > r.prompt() {
		r.Fatalf("the notice arrived after %v, want at most %v", late, r.prompt())
	}
	if l.ID != old.ID || l.Outcome.State != broker.StateCanceled || l.Outcome.ReplacedBy != by.ID {
		r.Fatalf("the inbox got %+v, want the notice that task %s was replaced", l, old.ID)
	}
	mail.none()
}

// Repeated calls change nothing: neither that of the new task, nor that of the old one.
func replaceAgain(r *rig) {
	m := r.minion()
	old, by := r.task(keyed("k"), replacing), r.task(keyed("k"), replacing)
	r.enqueue(old)
	r.enqueue(by)
	r.enqueue(by)
	r.enqueue(old)
	r.replaced(old, by)
	r.heldBy("k", by)
	d := m.take1()
	r.same([]broker.ID{d.ID}, []broker.ID{by.ID})
	r.enqueue(old)
	r.enqueue(by)
	m.none()
	m.settle(m.succeed(d))
	r.enqueue(old)
	r.enqueue(by)
	m.none()
	r.isFree("k")
}

func replaceInOneBatch(r *rig) {
	m, mail := r.minion(), r.mail()
	var tasks []*broker.Task
	for i := range 9 {
		tasks = append(tasks, r.task(keyed([]string{"k", "l", ""}[i%3]), inbox(mail.id)))
		if i%3 < 2 {
			replacing(tasks[i])
		}
	}
	f, members := r.task(keyed("m"), replacing, after(time.Hour)), r.task(keyed("m"), replacing)
	r.enqueue(append(tasks, f, members)...)
	for i := range 6 {
		if i%3 < 2 {
			r.replaced(tasks[i], tasks[i+3])
		}
	}
	r.replaced(f, members)
	r.sameSet(takenOf(m.take(6)), []broker.ID{tasks[2].ID, tasks[5].ID, tasks[6].ID, tasks[7].ID, tasks[8].ID, members.ID})
	m.none()
	var told []broker.ID
	for _, l := range mail.take(4) {
		told = append(told, l.ID)
	}
	r.sameSet(told, []broker.ID{tasks[0].ID, tasks[1].ID, tasks[3].ID, tasks[4].ID})
}

func replaceEndsWindow(r *rig) {
	m := r.minion()
	old, by := r.task(keyed("k"), heldFor(time.Hour)), r.task(keyed("k"), replacing)
	r.enqueue(old)
	r.enqueue(by)
	r.replaced(old, by)
	m.settle(m.succeed(m.take1()))
	r.isFree("k")
	third := r.task(keyed("k"), heldFor(time.Hour), replacing)
	r.enqueue(third)
	m.settle(m.succeed(m.take1()))
	r.heldBy("k", third)
}

// A task that has ended does not wait, so its window refuses a task that would replace it.
func replaceDuringWindow(r *rig) {
	m := r.minion()
	old, by := r.task(keyed("k"), heldFor(time.Hour)), r.task(keyed("k"), replacing)
	r.enqueue(old)
	m.settle(m.succeed(m.take1()))
	r.duplicate(r.refused(by), by.ID, old.ID, "k")
}

// Each task of a series puts the start off, and only the last one runs.
func replaceDebounces(r *rig) {
	const pause = 150 * time.Millisecond
	m := r.minion()
	var tasks []*broker.Task
	for range 4 {
		t := r.task(keyed("k"), replacing, after(pause))
		r.enqueue(t)
		tasks = append(tasks, t)
		r.pass(pause/4, m)
	}
	last := tasks[3]
	for _, d := range m.take(1) {
		if d.ID != last.ID && r.stalled() < pause/4 {
			r.Fatalf("task %s was handed out, want the last one of the series, %s", d.ID, last.ID)
		}
	}
}

func replaceMaxAge(r *rig) {
	const age = 400 * time.Millisecond
	m := r.minion()
	first := r.task(keyed("k"), replacing, after(time.Hour))
	r.enqueue(first)
	young := r.Now().Add(age)
	second := r.task(keyed("k"), replacing, maxAge(age), after(time.Hour))
	r.before(young, func() {
		r.enqueue(second)
		r.replaced(first, second)
	})
	r.pass(age+r.Slack, m)
	third := r.task(keyed("k"), replacing, maxAge(age))
	r.duplicate(r.refused(third), third.ID, second.ID, "k") // the series is too old
	r.in(broker.StateScheduled, second.ID)
	r.enqueue(r.task(keyed("k"), replacing, maxAge(time.Hour)))
	r.in(broker.StateCanceled, second.ID)
}

// Of tasks that replace each other at the same time, one is left.
func replaceConcurrently(r *rig) {
	const submitters, rounds = 16, 5
	m := r.minion()
	brokers := []broker.Broker{r.Broker, r.other()}
	for range rounds {
		tasks := r.batch(submitters, keyed("k"), replacing)
		together(many(submitters, func(i int) {
			if err := brokers[i%2].Enqueue(r.ctx, tasks[i:i+1]); err != nil {
				r.Errorf("Enqueue: %v", err)
			}
		})...)
		d := m.take1()
		m.none()
		for _, t := range tasks {
			if st := r.lookup(t.ID)[0]; t.ID != d.ID && st.State != broker.StateCanceled {
				r.Fatalf("task %s is %s, want it replaced", t.ID, st.State)
			}
		}
		m.settle(m.succeed(d))
		r.isFree("k")
	}
}

// A task is replaced while a consumer takes it. Either it was replaced and never starts, or it runs
// and the other one is refused.
func replaceWhileTaken(r *rig) {
	const rounds = 40
	m := r.minion()
	other := r.other()
	lost := 0
	for i := range rounds {
		key := "k" + itoa(i)
		old, by := r.task(keyed(key)), r.task(keyed(key), replacing)
		if i%2 == 1 {
			old.Delay = time.Millisecond
		}
		r.enqueue(old)
		if i%4 == 3 {
			r.Advance(2 * time.Millisecond)
		}
		var got []*broker.Delivery
		var taken, refused error
		fns := []func(){
			func() { got, taken = m.Dequeue(r.ctx, []string{"q"}, 10, r.Slack) },
			func() { refused = other.Enqueue(r.ctx, []*broker.Task{by}) },
		}
		if i%3 == 0 {
			slices.Reverse(fns)
		}
		together(fns...)
		if taken != nil {
			r.Fatalf("Dequeue: %v", taken)
		}
		var dup *broker.DuplicateError
		switch {
		case errors.As(refused, &dup):
			r.duplicate(dup, by.ID, old.ID, key)
			lost++
		case refused != nil:
			r.Fatalf("Enqueue: %v", refused)
		default:
			r.replaced(old, by)
		}
		want := old
		if refused == nil {
			want = by
		}
		if len(got) == 0 {
			got = m.take(1)
		}
		r.same(takenOf(got), []broker.ID{want.ID})
		m.settle(m.succeed(got[0]))
		m.keep()
	}
	m.none()
	r.Logf("%d of %d tasks were taken first", lost, rounds)
}

// behind enqueues a holder, lets a consumer take it, and enqueues a task that waits behind it.
func (r *rig) behind(m *minion, with ...func(*broker.Task)) (holder *broker.Delivery, next *broker.Task) {
	r.Helper()
	task := r.task(keyed("k"))
	r.enqueue(task)
	holder = m.take1()
	r.same([]broker.ID{holder.ID}, []broker.ID{task.ID})
	next = r.task(append([]func(*broker.Task){keyed("k"), latest}, with...)...)
	r.enqueue(next)
	r.in(broker.StateBlocked, next.ID)
	return holder, next
}

func latestWaits(r *rig) {
	m := r.minion()
	first := r.task(keyed("k"), latest)
	r.enqueue(first)
	r.in(broker.StatePending, first.ID) // nobody had the key
	d := m.take1()
	next := r.task(keyed("k"), latest)
	r.enqueue(next)
	r.enqueue(next) // a repeated call changes nothing
	m.none()
	r.in(broker.StateBlocked, next.ID)
	if !r.lookup(next.ID)[0].Due.IsZero() {
		r.Fatalf("the status of a task that waits behind another one has a due time")
	}
	task := r.task(keyed("k"))
	r.duplicate(r.refused(task), task.ID, first.ID, "k")
	m.settle(retry(d, 0)) // a retry does not free the key
	r.in(broker.StateBlocked, next.ID)
	d = m.take1()
	r.same([]broker.ID{d.ID}, []broker.ID{first.ID})
	m.settle(m.succeed(d))
	r.heldBy("k", next)
	d = m.take1()
	r.attempt(d, 1, 0, 0)
	m.equals(d, next)
	m.settle(m.succeed(d))
	m.none()
	r.isFree("k")
}

func latestAfterEachEnd(r *rig) {
	m, idle := r.minion(), r.minion()
	for _, state := range finals {
		d, next := r.behind(m)
		wake := idle.waiting(r.ctx, 10, patience)
		start := time.Now()
		m.settle(m.finish(d, state))
		got := r.woken(wake, start) // the end of the holder wakes a consumer
		r.same(takenOf(got), []broker.ID{next.ID})
		idle.settle(idle.succeed(got[0]))
		r.isFree("k")
	}
}

func latestAfterCancel(r *rig) {
	m := r.minion()
	d, next := r.behind(m)
	r.canceled(d.ID, broker.CancelRequested)
	r.in(broker.StateBlocked, next.ID)
	m.settle(giveBack(d))
	r.in(broker.StateCanceled, d.ID)
	d = m.take1()
	r.same([]broker.ID{d.ID}, []broker.ID{next.ID})
	m.settle(m.succeed(d))

	// The holder waits when it is cancelled.
	d, next = r.behind(m)
	m.settle(retry(d, time.Hour))
	r.canceled(d.ID, broker.CancelPrevented)
	d = m.take1()
	r.same([]broker.ID{d.ID}, []broker.ID{next.ID})
	m.settle(m.succeed(d))
	d, next = r.behind(m)
	m.settle(giveBack(d))
	r.canceled(d.ID, broker.CancelPrevented)
	d = m.take1()
	r.same([]broker.ID{d.ID}, []broker.ID{next.ID})
	m.settle(m.succeed(d))
	m.none()
	r.isFree("k")
}

func latestAfterDeath(r *rig) {
	dying, m := r.minion(), r.minion()
	d, next := r.behind(dying)
	r.reap([]*minion{m}, dying)
	r.back([]broker.ID{d.ID}, m)
	r.in(broker.StateBlocked, next.ID)
	d = m.take1()
	m.settle(m.succeed(d))
	r.same(takenOf(m.take(1)), []broker.ID{next.ID})
	r.heldBy("k", next)
}

func latestAfterDeadline(r *rig) {
	m := r.minion()
	const limit = 300 * time.Millisecond
	holder := r.task(keyed("k"), within(limit))
	r.enqueue(holder)
	d := m.take1()
	next := r.task(keyed("k"), latest)
	r.enqueue(next)
	m.settle(retry(d, time.Hour))
	r.pass(limit+r.Slack, m)
	r.eventually("the holder has expired", func() bool { return r.lookup(holder.ID)[0].State == broker.StateExpired })
	r.same(takenOf(m.take(1)), []broker.ID{next.ID})
}

func latestAfterParked(r *rig) {
	m := r.minion()
	d, next := r.behind(m)
	m.settle(park(d, time.Hour))
	r.in(broker.StateBlocked, next.ID)
	r.canceled(d.ID, broker.CancelPrevented)
	r.same(takenOf(m.take(1)), []broker.ID{next.ID})
}

func latestReplaces(r *rig) {
	m, mail := r.minion(), r.mail()
	d, next := r.behind(m, inbox(mail.id))
	third := r.task(keyed("k"), latest)
	r.enqueue(third)
	r.replaced(next, third)
	if l := mail.take(1)[0]; l.ID != next.ID || l.Outcome.ReplacedBy != third.ID {
		r.Fatalf("the inbox got %+v, want the notice that task %s was replaced", l, next.ID)
	}
	r.in(broker.StateBlocked, third.ID)
	// The holder waits again: a newer task replaces it, and the one behind it.
	m.settle(retry(d, time.Hour))
	fourth := r.task(keyed("k"), latest)
	r.enqueue(fourth)
	r.in(broker.StateCanceled, d.ID)
	r.replaced(third, fourth)
	r.in(broker.StatePending, fourth.ID)
	fifth := r.task(keyed("k"), latest)
	r.enqueue(fifth)
	r.replaced(fourth, fifth)
	d = m.take1()
	r.same([]broker.ID{d.ID}, []broker.ID{fifth.ID})
	m.settle(m.succeed(d))
	m.none()
	r.isFree("k")
}

// A holder that frees its key at the start passes it on.
func latestAfterStart(r *rig) {
	m := r.minion()
	holder := r.task(keyed("k"), untilStart)
	r.enqueue(holder)
	d := m.take1()
	by := r.task(keyed("k"), latest)
	r.enqueue(by) // it has not started: it is replaced
	r.is(r.uniques().StartKey(r.ctx, d), broker.ErrCanceled)
	m.settle(m.finish(d, broker.StateCanceled))
	r.same(takenOf(m.take(1)), []broker.ID{by.ID})

	old := r.task(keyed("l"), untilStart)
	r.enqueue(old)
	r.pass(2*time.Millisecond, m)
	d = m.take1()
	next := r.task(keyed("l"), latest, maxAge(time.Millisecond)) // the holder is too old to be replaced
	r.enqueue(next)
	r.in(broker.StateBlocked, next.ID)
	r.startKey(d)
	r.same(takenOf(m.take(1)), []broker.ID{next.ID})
	r.heldBy("l", next)
	m.settle(m.succeed(d))
	r.heldBy("l", next)
}

func latestDelay(r *rig) {
	m := r.minion()
	d, next := r.behind(m, after(time.Hour))
	m.settle(m.succeed(d))
	r.in(broker.StateScheduled, next.ID)
	if due := r.lookup(next.ID)[0].Due.Sub(r.Now()); due < 50*time.Minute || due > 61*time.Minute {
		r.Fatalf("the task is due in %v, want about an hour", due)
	}
	m.none()
	r.canceled(next.ID, broker.CancelPrevented)

	const delay = 100 * time.Millisecond
	d, next = r.behind(m, after(delay))
	r.pass(delay+r.Slack, m)
	r.in(broker.StateBlocked, next.ID) // the delay is over, and the holder has not ended
	m.settle(m.succeed(d))
	r.in(broker.StatePending, next.ID)
	r.same(takenOf(m.take(1)), []broker.ID{next.ID})
}

func latestCanceled(r *rig) {
	m := r.minion()
	d, next := r.behind(m)
	r.canceled(next.ID, broker.CancelPrevented)
	if o := r.outcome(next.ID); !o.ReplacedBy.IsZero() {
		r.Fatalf("the outcome of a task that was cancelled is %+v", o)
	}
	m.settle(m.succeed(d))
	m.none()
	r.isFree("k")

	d, next = r.behind(m)
	r.canceled(next.ID, broker.CancelPrevented)
	third := r.task(keyed("k"), latest)
	r.enqueue(third)
	m.settle(m.succeed(d))
	r.same(takenOf(m.take(1)), []broker.ID{third.ID})
	m.none()
}

func latestExpires(r *rig) {
	const limit = 200 * time.Millisecond
	m := r.minion()
	d, next := r.behind(m, within(limit))
	r.pass(limit+r.Slack, m)
	r.eventually("the task that waits has expired", func() bool { return r.lookup(next.ID)[0].State == broker.StateExpired })
	m.settle(m.succeed(d))
	m.none()
	r.isFree("k")
}

// A task that waits behind the holder does not start before the holder's window is over.
func latestWindow(r *rig) {
	const window = 500 * time.Millisecond
	m := r.minion()
	holder := r.task(keyed("k"), heldFor(window))
	end := r.Now().Add(window)
	r.enqueue(holder)
	d := m.take1()
	next := r.task(keyed("k"), latest)
	r.enqueue(next)
	m.settle(m.succeed(d))
	r.before(end, func() { r.in(broker.StateScheduled, next.ID) })
	// The window also binds a task that replaces it.
	third := r.task(keyed("k"), latest)
	r.before(end, func() {
		r.enqueue(third)
		r.replaced(next, third)
		r.in(broker.StateScheduled, third.ID)
		m.none()
	})
	r.pass(window+r.Slack, m)
	got := m.take1()
	r.same([]broker.ID{got.ID}, []broker.ID{third.ID})
	m.settle(m.succeed(got))
	r.isFree("k")
}

// A task with ConflictLatest takes the key of a window, and waits until the window is over.
func latestDuringWindow(r *rig) {
	const window = 500 * time.Millisecond
	m := r.minion()
	holder := r.task(keyed("k"), heldFor(window))
	end := r.Now().Add(window)
	r.enqueue(holder)
	m.settle(m.succeed(m.take1()))
	next := r.task(keyed("k"), latest, heldFor(time.Hour))
	r.before(end, func() {
		r.enqueue(next)
		r.in(broker.StateScheduled, next.ID)
		r.heldBy("k", next)
	})
	r.pass(window+r.Slack, m)
	d := m.take1()
	r.same([]broker.ID{d.ID}, []broker.ID{next.ID})
	m.settle(m.succeed(d))
	r.heldBy("k", next) // its own window
}

func latestNotReleased(r *rig) {
	m := r.minion()
	d, next := r.behind(m)
	if got := r.waiting(next.ID); got[0] != nil {
		r.Fatalf("Blocked returned a task that waits for its unique key")
	}
	r.releases(next)
	r.in(broker.StateBlocked, next.ID)
	m.none()
	m.settle(m.succeed(d))
	r.same(takenOf(m.take(1)), []broker.ID{next.ID})
}

func latestNotAssigned(r *rig) {
	m := r.minion()
	d, next := r.behind(m)
	r.is(r.squadsAt(r.Broker).Assign(r.ctx, m.ID(), []broker.ID{next.ID}), broker.ErrNotFound)
	r.in(broker.StateBlocked, next.ID)
	m.settle(m.succeed(d))
	r.same(takenOf(m.take(1)), []broker.ID{next.ID})
}

// A holder that is too old to be replaced is awaited.
func latestMaxAge(r *rig) {
	const age = 100 * time.Millisecond
	m := r.minion()
	holder := r.task(keyed("k"), after(time.Hour))
	r.enqueue(holder)
	r.pass(age+r.Slack, m)
	next := r.task(keyed("k"), latest, maxAge(age))
	r.enqueue(next)
	r.in(broker.StateScheduled, holder.ID)
	r.in(broker.StateBlocked, next.ID)
	r.canceled(holder.ID, broker.CancelPrevented)
	r.in(broker.StatePending, next.ID)
	r.same(takenOf(m.take(1)), []broker.ID{next.ID})
}

func latestInOneBatch(r *rig) {
	m := r.minion()
	holder := r.task(keyed("k"))
	r.enqueue(holder)
	d := m.take1()
	tasks := append(r.batch(3, keyed("k"), latest), r.batch(3, keyed("l"), latest)...)
	r.enqueue(tasks...)
	for _, i := range []int{0, 1, 3, 4} {
		r.replaced(tasks[i], tasks[i+1])
	}
	r.in(broker.StateBlocked, tasks[2].ID)
	got := m.take1()
	r.same([]broker.ID{got.ID}, []broker.ID{tasks[5].ID})
	m.settle(m.succeed(d), m.succeed(got))
	r.same(takenOf(m.take(1)), []broker.ID{tasks[2].ID})
	m.none()
}

func latestRequeue(r *rig) {
	m := r.minion()
	d, next := r.behind(m)
	m.settle(m.finish(d, broker.StateFailed))
	r.duplicate(requeued(r, d.ID)[0], d.ID, next.ID, "k")
	got := m.take1()
	r.same([]broker.ID{got.ID}, []broker.ID{next.ID})
	m.settle(m.succeed(got))
	requeue(r, d.ID)
	again := m.take1()
	r.same([]broker.ID{again.ID}, []broker.ID{d.ID})
	third := r.task(keyed("k"), latest)
	r.enqueue(third)
	m.settle(m.succeed(again))
	r.same(takenOf(m.take(1)), []broker.ID{third.ID})
}

// Clients send tasks of one key while a consumer runs them. Each task ends, one runs at a time, and
// the last one that was sent runs.
func latestConcurrently(r *rig) {
	const submitters, each = 4, 12
	m := r.minion()
	brokers := []broker.Broker{r.Broker, r.other()}
	tasks := r.batch(submitters*each, keyed("k"), latest)
	var last *broker.Task
	ran := 0
	run := func(ds []*broker.Delivery) {
		r.Helper()
		if len(ds) > 1 {
			r.Fatalf("%d tasks with the same key were handed out at the same time", len(ds))
		}
		for _, d := range ds {
			ran++
			m.settle(m.succeed(d))
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(many(submitters, func(i int) {
			for n := range each {
				if err := brokers[i%2].Enqueue(r.ctx, tasks[i*each+n:i*each+n+1]); err != nil {
					r.Errorf("Enqueue: %v", err)
				}
			}
		})...)
	}()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		run(m.tryTake(1))
	}
	last = r.task(keyed("k"), latest)
	r.enqueue(last)
	for r.lookup(last.ID)[0].State != broker.StateSucceeded {
		run(m.take(1))
	}
	m.none()
	ended := 1 - ran
	for _, t := range tasks {
		switch st := r.lookup(t.ID)[0]; st.State {
		case broker.StateSucceeded:
			ended++
		case broker.StateCanceled:
			if st.Outcome.ReplacedBy.IsZero() {
				r.Fatalf("task %s was canceled, and not replaced", t.ID)
			}
		default:
			r.Fatalf("task %s is %s", t.ID, st.State)
		}
	}
	if ended != 0 {
		r.Fatalf("%d tasks were handed out, and %d more have succeeded", ran, ended)
	}
	r.isFree("k")
}

// A holder that runs is cancelled: its consumer is told, a retry of it is its end, and the new task follows it.
func cancelStops(r *rig) {
	m, mail := r.minion(), r.mail()
	for _, end := range []func(*broker.Delivery) broker.Settlement{
		giveBack, func(d *broker.Delivery) broker.Settlement { return retry(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return m.finish(d, broker.StateCanceled) },
	} {
		holder := r.task(keyed("k"), inbox(mail.id))
		r.enqueue(holder)
		d := m.take1()
		start := time.Now()
		next := r.task(keyed("k"), canceling)
		r.enqueue(next)
		m.isNotified(holder.ID, start)
		r.in(broker.StateRunning, holder.ID) // until its consumer has settled it
		r.in(broker.StateBlocked, next.ID)
		r.heldBy("k", holder)
		m.none()
		m.settle(end(d))
		r.in(broker.StateCanceled, holder.ID)
		if l := mail.take(1)[0]; l.ID != holder.ID || l.Outcome.State != broker.StateCanceled {
			r.Fatalf("the inbox got %+v, want the notice that task %s was canceled", l, holder.ID)
		}
		d = m.take1()
		r.same([]broker.ID{d.ID}, []broker.ID{next.ID})
		r.attempt(d, 1, 0, 0)
		m.settle(m.succeed(d))
		m.none()
		r.isFree("k")
	}
	// A consumer that does not heed it may succeed all the same.
	task := r.task(keyed("k"))
	r.enqueue(task)
	d := m.take1()
	next := r.task(keyed("k"), canceling)
	r.enqueue(next)
	m.settle(m.succeed(d))
	r.in(broker.StateSucceeded, task.ID)
	r.same(takenOf(m.take(1)), []broker.ID{next.ID})
}

func cancelReplaces(r *rig) {
	m := r.minion()
	first := r.task(keyed("k"), canceling)
	r.enqueue(first)
	second := r.task(keyed("k"), canceling)
	r.enqueue(second)
	r.replaced(first, second)
	d := m.gets(second)
	third, fourth := r.task(keyed("k"), latest), r.task(keyed("k"), canceling)
	r.enqueue(third)
	if m.notified(second.ID) {
		r.Fatalf("ConflictLatest has cancelled the holder")
	}
	r.enqueue(fourth) // it takes the place of the one that waits, and cancels the holder
	r.replaced(third, fourth)
	m.isNotified(second.ID, time.Now())
	m.settle(giveBack(d))
	r.in(broker.StateCanceled, second.ID)
	m.settle(m.succeed(m.gets(fourth)))
	r.isFree("k")
}

// The consumer of the holder dies: the holder does not start again.
func cancelAfterDeath(r *rig) {
	dying, m := r.minion(), r.minion()
	d, next := r.behind(dying, canceling)
	r.reap([]*minion{m}, dying)
	got := m.take1()
	if got.ID == d.ID { // a broker may hand it out again, marked as cancelled
		if !got.Canceled {
			r.Fatalf("a cancelled holder was handed out again after the death of its consumer")
		}
		m.settle(giveBack(got))
		got = m.take1()
	}
	r.same([]broker.ID{got.ID}, []broker.ID{next.ID})
	r.in(broker.StateCanceled, d.ID)
}

// A holder that is too old is not cancelled.
func cancelMaxAge(r *rig) {
	m := r.minion()
	holder := r.task(keyed("k"))
	r.enqueue(holder)
	d := m.take1()
	r.pass(2*time.Millisecond, m)
	next := r.task(keyed("k"), canceling, maxAge(time.Millisecond))
	r.enqueue(next)
	r.in(broker.StateBlocked, next.ID)
	m.settle(retry(d, 0))
	d = m.gets(holder)
	young := r.task(keyed("k"), canceling, maxAge(time.Hour))
	r.enqueue(young)
	r.replaced(next, young)
	m.isNotified(holder.ID, time.Now())
	m.settle(retry(d, 0))
	r.in(broker.StateCanceled, holder.ID)
	m.gets(young)
}

// A repeated call changes nothing: it does not cancel its own task.
func cancelAgain(r *rig) {
	m := r.minion()
	task := r.task(keyed("k"), canceling)
	r.enqueue(task)
	r.enqueue(task)
	d := m.gets(task)
	r.enqueue(task)
	m.settle(retry(d, 0))
	d = m.gets(task)
	m.settle(m.succeed(d))
	r.in(broker.StateSucceeded, task.ID)
	r.enqueue(task)
	r.isFree("k")
}
