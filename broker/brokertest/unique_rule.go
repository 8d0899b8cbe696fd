package brokertest

import (
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// broker.Uniques: keys that are held for a time, keys that are free from the start on, and keys
// that an operator looks up and frees.
func uniqueRuleTests() []test {
	tests := slices.Concat([]test{
		{"WindowHoldsAfterTheEnd", windowHolds, 0},
		{"WindowEndsByItself", windowEnds, 0},
		{"WindowIsNoLimitForTheTask", windowIsNoLimit, 0},
		{"WindowOfOneTaskBindsOthers", windowBindsOthers, 0},
		{"WindowOfARepeatedEnqueue", windowRepeat, 0},
		{"WindowAndRequeue", windowRequeue, needInspector},
		{"WindowIsLeftBehindByNoTask", windowOfRefused, 0},
		{"StartFreesTheKey", startFrees, 0},
		{"StartKeepsTheWindow", startKeepsWindow, 0},
		{"StartOfAnotherOwner", startOfOthers, needLapse},
		{"StartOfACanceledTask", startOfCanceled, 0},
		{"StartOfARetry", startOfRetry, 0},
		{"StartAndRequeue", startRequeue, needInspector},
		{"StartOfOtherTasks", startOfPlain, 0},
		{"EndBeforeTheStart", startNever, 0},
		{"LookupKeys", keysLookup, 0},
		{"FreeKeys", keysFree, 0},
		{"FreeKeysOfWindows", keysFreeWindow, 0},
		{"FreeKeysPassesThemOn", keysFreeNext, 0},
		{"ManyKeys", keysMany, 0},
		{"BadRules", uniqueBadRules, 0},
		{"RulesAreDelivered", uniqueRulesDelivered, 0},
	}, uniqueConflictTests, uniqueLaneTests)
	for i := range tests {
		tests[i].needs |= needUniques
	}
	return tests
}

func heldFor(d time.Duration) func(*broker.Task) { return func(t *broker.Task) { t.Unique.For = d } }
func untilStart(t *broker.Task)                  { t.Unique.UntilStart = true }
func replacing(t *broker.Task)                   { t.Unique.OnConflict = broker.ConflictReplace }
func latest(t *broker.Task)                      { t.Unique.OnConflict = broker.ConflictLatest }
func canceling(t *broker.Task)                   { t.Unique.OnConflict = broker.ConflictCancel }
func maxAge(d time.Duration) func(*broker.Task)  { return func(t *broker.Task) { t.Unique.MaxAge = d } }

func (r *rig) uniques() broker.Uniques { return r.uniquesAt(r.Broker) }

// startKey calls StartKey, which must succeed.
func (r *rig) startKey(d *broker.Delivery) {
	r.Helper()
	if err := r.uniques().StartKey(r.ctx, d); err != nil {
		r.Fatalf("StartKey: %v", err)
	}
}

// heldBy checks that another task is refused because the holder has the key.
func (r *rig) heldBy(key string, holder *broker.Task) {
	r.Helper()
	task := r.task(keyed(key))
	err := r.refused(task)
	r.duplicate(err, task.ID, holder.ID, key)
	r.in(broker.StateUnknown, task.ID)
}

// key returns the status of a key in the queue "q".
func (r *rig) key(key string) broker.KeyStatus {
	r.Helper()
	sts, err := r.uniques().LookupKeys(r.ctx, "q", []string{key})
	if err != nil || len(sts) != 1 || sts[0].Key != key {
		r.Fatalf("LookupKeys of %q: %+v, %v", key, sts, err)
	}
	return sts[0]
}

// isFree checks that nobody has the key.
func (r *rig) isFree(key string) {
	r.Helper()
	if st := r.key(key); st != (broker.KeyStatus{Key: key}) {
		r.Fatalf("the key %q has the status %+v, want that of a free key", key, st)
	}
}

func windowHolds(r *rig) {
	m := r.minion()
	for _, state := range finals {
		key := state.String()
		task := r.task(keyed(key), heldFor(time.Hour), kept(0, 0))
		r.enqueue(task)
		r.heldBy(key, task)
		m.settle(m.finish(m.take1(), state))
		r.heldBy(key, task)
	}
	for _, delay := range []time.Duration{0, time.Hour} { // cancelled while it is pending, or scheduled
		key := delay.String()
		task := r.task(keyed(key), heldFor(time.Hour), after(delay))
		r.enqueue(task)
		r.canceled(task.ID, broker.CancelPrevented)
		r.heldBy(key, task)
	}
	m.none()
}

func windowEnds(r *rig) {
	const window = 300 * time.Millisecond
	m := r.minion()
	task := r.task(keyed("k"), heldFor(window))
	end := r.Now().Add(window)
	r.enqueue(task)
	m.settle(m.succeed(m.take1()))
	r.before(end, func() { r.heldBy("k", task) })
	r.pass(window+r.Slack, m)
	r.isFree("k")
	second := r.task(keyed("k"), heldFor(time.Hour)) // with a window of its own
	r.enqueue(second)
	m.settle(m.succeed(m.take1()))
	r.heldBy("k", second)
}

func windowIsNoLimit(r *rig) {
	const window = 50 * time.Millisecond
	m := r.minion()
	task := r.task(keyed("k"), heldFor(window))
	r.enqueue(task)
	d := m.take1()
	r.pass(window+r.Slack, m)
	r.heldBy("k", task) // it runs
	m.settle(retry(d, time.Hour))
	r.heldBy("k", task)
	r.canceled(task.ID, broker.CancelPrevented)
	r.isFree("k")
	r.enqueue(r.task(keyed("k")))
}

// A task without a window is refused during the window of another one, and a task with one can
// follow a task without.
func windowBindsOthers(r *rig) {
	m := r.minion()
	first := r.task(keyed("k"))
	r.enqueue(first)
	m.settle(m.succeed(m.take1()))
	second := r.task(keyed("k"), heldFor(time.Hour), named("another.task"))
	r.enqueue(second)
	m.settle(m.succeed(m.take1()))
	task := r.task(keyed("k"))
	err := r.refused(task)
	r.duplicate(err, task.ID, second.ID, "k")
	r.names(err, "another.task")
	r.enqueue(r.task(keyed("l")))
}

func windowRepeat(r *rig) {
	m := r.minion()
	task := r.task(keyed("k"), heldFor(time.Hour))
	r.enqueue(task)
	r.enqueue(task)
	m.settle(m.succeed(m.take1()))
	r.enqueue(task)
	m.none()
	r.in(broker.StateSucceeded, task.ID)
	r.heldBy("k", task)
}

func windowRequeue(r *rig) {
	m := r.minion()
	task := r.task(keyed("k"), heldFor(time.Hour))
	bury(r, m, task)
	r.heldBy("k", task)
	requeue(r, task.ID) // its own window
	r.heldBy("k", task)
	m.settle(m.finish(m.take1(), broker.StateFailed))
	r.heldBy("k", task)

	dead, other := r.task(keyed("l")), r.task(keyed("l"), heldFor(time.Hour))
	bury(r, m, dead)
	r.enqueue(other)
	m.settle(m.succeed(m.take1()))
	r.duplicate(requeued(r, dead.ID)[0], dead.ID, other.ID, "l") // the window of another task
	r.in(broker.StateFailed, dead.ID)
}

// A refused task leaves no window.
func windowOfRefused(r *rig) {
	m := r.minion()
	holder := r.task(keyed("k"))
	r.enqueue(holder)
	task := r.task(keyed("k"), heldFor(time.Hour))
	r.duplicate(r.refused(task), task.ID, holder.ID, "k")
	m.settle(m.succeed(m.take1()))
	r.isFree("k")
}

func startFrees(r *rig) {
	m := r.minion()
	task := r.task(keyed("k"), untilStart)
	r.enqueue(task)
	r.heldBy("k", task) // pending
	d := m.take1()
	r.heldBy("k", task) // held by a consumer, and not started
	r.startKey(d)
	r.isFree("k")
	second := r.task(keyed("k"), untilStart)
	r.enqueue(second)
	r.heldBy("k", second)
	r.startKey(d) // a repeated call changes nothing
	m.settle(m.succeed(d))
	r.heldBy("k", second) // and neither does the end of the first one
	d = m.take1()
	r.startKey(d)
	m.settle(m.succeed(d))
	r.isFree("k")
}

func startKeepsWindow(r *rig) {
	m := r.minion()
	task := r.task(keyed("k"), untilStart, heldFor(time.Hour))
	r.enqueue(task)
	d := m.take1()
	r.startKey(d)
	r.heldBy("k", task)
	m.settle(m.succeed(d))
	r.heldBy("k", task)
}

func startOfOthers(r *rig) {
	dying, m := r.minion(), r.minion()
	task := r.task(keyed("k"), untilStart)
	r.enqueue(task)
	late := dying.take1()
	foreign := *late
	foreign.Minion = m.ID()
	r.is(r.uniques().StartKey(r.ctx, &foreign), broker.ErrLeaseLost)
	r.heldBy("k", task)
	r.reap([]*minion{m}, dying)
	r.back([]broker.ID{task.ID}, m)
	r.is(r.uniques().StartKey(r.ctx, late), broker.ErrLeaseLost)
	r.heldBy("k", task)
	d := m.take1()
	r.is(r.uniques().StartKey(r.ctx, late), broker.ErrLeaseLost)
	r.heldBy("k", task)
	r.startKey(d)
	r.isFree("k")
	m.settle(m.succeed(d))
	r.is(r.uniques().StartKey(r.ctx, d), broker.ErrLeaseLost)
	unknown := *d
	unknown.ID = newIDs(1)[0]
	r.is(r.uniques().StartKey(r.ctx, &unknown), broker.ErrLeaseLost)
}

func startOfCanceled(r *rig) {
	m := r.minion()
	task := r.task(keyed("k"), untilStart)
	r.enqueue(task)
	d := m.take1()
	r.canceled(task.ID, broker.CancelRequested)
	r.is(r.uniques().StartKey(r.ctx, d), broker.ErrCanceled)
	r.heldBy("k", task)
	m.settle(m.finish(d, broker.StateCanceled))
	r.isFree("k")
}

// A retry does not take the key again: another task may have it.
func startOfRetry(r *rig) {
	m := r.minion()
	task := r.task(keyed("k"), untilStart)
	r.enqueue(task)
	d := m.take1()
	r.startKey(d)
	m.settle(retry(d, 0))
	r.isFree("k")
	d = m.take1()
	second := r.task(keyed("k"), after(time.Hour))
	r.enqueue(second)
	r.startKey(d)
	r.heldBy("k", second)
	m.settle(m.succeed(d))
	r.heldBy("k", second)
}

func startRequeue(r *rig) {
	m := r.minion()
	task := r.task(keyed("k"), untilStart)
	r.enqueue(task)
	d := m.take1()
	r.startKey(d)
	m.settle(m.finish(d, broker.StateFailed))
	r.isFree("k")
	requeue(r, task.ID)
	r.heldBy("k", task) // it waits again
	d = m.take1()
	r.startKey(d)
	r.isFree("k")
	m.settle(m.succeed(d))
}

// StartKey has no effect on a task that has its key until it is final, or no key.
func startOfPlain(r *rig) {
	m := r.minion()
	task, plain := r.task(keyed("k")), r.task()
	r.enqueue(task, plain)
	for _, d := range m.take(2) {
		r.startKey(d)
		if d.ID == task.ID {
			r.heldBy("k", task)
		}
		m.settle(m.succeed(d))
	}
	r.isFree("k")
}

// A task that ends without having started frees its key as well.
func startNever(r *rig) {
	m := r.minion()
	for _, state := range finals {
		r.enqueue(r.task(keyed("k"), untilStart))
		m.settle(m.finish(m.take1(), state))
		r.isFree("k")
	}
	task := r.task(keyed("k"), untilStart)
	r.enqueue(task)
	r.canceled(task.ID, broker.CancelPrevented)
	r.isFree("k")
}

func keysLookup(r *rig) {
	m := r.minion()
	r.isFree("k")
	begin := r.Now().Add(-r.Slack)
	holder := r.task(keyed("k"), heldFor(time.Hour))
	r.enqueue(holder)
	sane := func(st broker.KeyStatus, holder, next *broker.Task) {
		r.Helper()
		var behind broker.ID
		if next != nil {
			behind = next.ID
		}
		if st.Holder != holder.ID || st.Next != behind {
			r.Fatalf("the status of the key is %+v, want the holder %s and next %s", st, holder.ID, behind)
		}
	}
	st := r.key("k")
	sane(st, holder, nil)
	if st.Since.Before(begin) || st.Since.After(r.Now().Add(r.Slack)) || st.Until.Sub(st.Since).Round(time.Second) != time.Hour {
		r.Fatalf("the status of the key is %+v, want Since about %v, and Until an hour later", st, begin)
	}
	d := m.take1()
	next := r.task(keyed("k"), latest)
	r.enqueue(next)
	sane(r.key("k"), holder, next)
	r.canceled(next.ID, broker.CancelPrevented)
	sane(r.key("k"), holder, nil)
	m.settle(m.succeed(d))
	st = r.key("k")
	if sane(st, holder, nil); !st.Since.IsZero() || st.Until.IsZero() {
		r.Fatalf("the status of the key of a task that has ended is %+v, want Until without Since", st)
	}

	plain := r.task(keyed("a/b"), onQueue("other"))
	r.enqueue(plain)
	sts, err := r.uniques().LookupKeys(r.ctx, "other", []string{"k", "a/b", "", "a/b"})
	if err != nil || len(sts) != 4 {
		r.Fatalf("LookupKeys: %+v, %v", sts, err)
	}
	for i, want := range []broker.ID{{}, plain.ID, {}, plain.ID} {
		if sts[i].Holder != want || !sts[i].Until.IsZero() {
			r.Fatalf("status %d of the keys is %+v, want the holder %s", i, sts[i], want)
		}
	}
	sts, err = r.uniques().LookupKeys(r.ctx, "neverused", []string{"k"})
	if err != nil || len(sts) != 1 || sts[0] != (broker.KeyStatus{Key: "k"}) {
		r.Fatalf("LookupKeys in a queue that is not known: %+v, %v", sts, err)
	}
	for _, name := range badNames {
		_, err := r.uniques().LookupKeys(r.ctx, name, nil)
		r.is(err, broker.ErrInvalid)
		_, err = r.uniques().FreeKeys(r.ctx, name, nil)
		r.is(err, broker.ErrInvalid)
	}
}

// free frees a key of the queue "q", and returns its status before.
func (r *rig) free(key string) broker.KeyStatus {
	r.Helper()
	sts, err := r.uniques().FreeKeys(r.ctx, "q", []string{key})
	if err != nil || len(sts) != 1 || sts[0].Key != key {
		r.Fatalf("FreeKeys of %q: %+v, %v", key, sts, err)
	}
	return sts[0]
}

func keysFree(r *rig) {
	m := r.minion()
	if st := r.free("k"); st != (broker.KeyStatus{Key: "k"}) {
		r.Fatalf("FreeKeys of a free key returned %+v", st)
	}
	running := r.task(keyed("k"))
	r.enqueue(running)
	d := m.take1()
	if st := r.free("k"); st.Holder != running.ID {
		r.Fatalf("FreeKeys returned %+v, want the holder %s", st, running.ID)
	}
	r.isFree("k")
	r.in(broker.StateRunning, running.ID)
	second := r.task(keyed("k"), after(time.Hour))
	r.enqueue(second)
	m.settle(retry(d, 0))
	r.heldBy("k", second)
	m.settle(m.succeed(m.take1())) // its end frees nothing
	r.heldBy("k", second)
	third := r.task(keyed("k"), replacing)
	r.enqueue(third)
	r.in(broker.StateCanceled, second.ID)
	r.free("k")
	fourth := r.task(keyed("k"), replacing)
	r.enqueue(fourth) // a holder that has lost its key can't be replaced
	r.in(broker.StatePending, third.ID, fourth.ID)
	for _, d := range m.take(2) {
		m.settle(m.succeed(d))
	}
	r.isFree("k")
}

func keysFreeWindow(r *rig) {
	m := r.minion()
	task := r.task(keyed("k"), heldFor(time.Hour))
	r.enqueue(task)
	r.free("k")
	r.isFree("k")
	m.settle(m.succeed(m.take1()))
	r.isFree("k") // its end does not bring the window back
	second := r.task(keyed("k"), heldFor(time.Hour))
	r.enqueue(second)
	m.settle(m.succeed(m.take1()))
	r.heldBy("k", second)
	if st := r.free("k"); st.Holder != second.ID || st.Until.IsZero() {
		r.Fatalf("FreeKeys returned %+v, want the holder %s and the end of its window", st, second.ID)
	}
	r.enqueue(r.task(keyed("k")))
}

func keysFreeNext(r *rig) {
	m := r.minion()
	holder, next := r.task(keyed("k"), heldFor(time.Hour)), r.task(keyed("k"), latest)
	r.enqueue(holder)
	d := m.take1()
	r.enqueue(next)
	if st := r.free("k"); st.Holder != holder.ID || st.Next != next.ID {
		r.Fatalf("FreeKeys returned %+v, want the holder %s and next %s", st, holder.ID, next.ID)
	}
	r.heldBy("k", next)
	r.same(takenOf(m.take(1)), []broker.ID{next.ID}) // it does not wait for the window that was freed
	m.settle(m.succeed(d))
	r.heldBy("k", next)
}

func keysMany(r *rig) {
	n := broker.MaxBatch + 1
	if r.light {
		n = 100
	}
	tasks := r.batch(n)
	keys := make([]string, n)
	for i, t := range tasks {
		keys[i] = "k" + itoa(i)
		keyed(keys[i])(t)
		t.Unique.For = time.Hour
	}
	r.enqueue(tasks...)
	for _, ask := range []func() ([]broker.KeyStatus, error){
		func() ([]broker.KeyStatus, error) { return r.uniques().LookupKeys(r.ctx, "q", keys) },
		func() ([]broker.KeyStatus, error) { return r.uniques().FreeKeys(r.ctx, "q", keys) },
	} {
		sts, err := ask()
		if err != nil || len(sts) != n {
			r.Fatalf("%d statuses, %v", len(sts), err)
		}
		for i, st := range sts {
			if st.Key != keys[i] || st.Holder != tasks[i].ID {
				r.Fatalf("status %d is %+v, want the holder %s", i, st, tasks[i].ID)
			}
		}
	}
	r.isFree(keys[n-1])
}

func uniqueBadRules(r *rig) {
	f := func(change func(u *broker.Unique)) *broker.Task {
		return r.task(keyed("k"), func(t *broker.Task) { change(&t.Unique) })
	}
	for _, t := range []*broker.Task{
		r.task(heldFor(time.Hour)), r.task(untilStart), r.task(replacing), r.task(latest), // no key
		f(func(u *broker.Unique) { u.For = -time.Nanosecond }),
		f(func(u *broker.Unique) { u.For = broker.MaxDuration + 1 }),
		f(func(u *broker.Unique) { u.OnConflict = broker.MaxConflict + 1 }),
		f(func(u *broker.Unique) { u.MaxAge = time.Second }),
		f(func(u *broker.Unique) { u.MaxAge, u.OnConflict = -1, broker.ConflictReplace }),
		f(func(u *broker.Unique) { u.MaxAge, u.OnConflict = broker.MaxDuration+1, broker.ConflictLatest }),
		r.task(keyed("k"), latest, func(t *broker.Task) { t.Flow.ID = broker.NewID(broker.KindGroup, "", 0) }),
		r.task(keyed("k"), latest, blocked),
	} {
		err := r.refused(t)
		r.is(err, broker.ErrInvalid)
		r.names(err, t.Name)
	}
	r.isFree("k")
	r.minion().none()
}

func uniqueRulesDelivered(r *rig) {
	m := r.minion()
	for i, t := range []*broker.Task{
		r.task(heldFor(time.Hour)), r.task(untilStart), r.task(replacing), r.task(latest),
		r.task(latest, untilStart, heldFor(1500*time.Millisecond), maxAge(time.Minute)),
	} {
		keyed("k" + itoa(i))(t)
		m.delivers(t)
	}
}
