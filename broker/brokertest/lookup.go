package brokertest

import (
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var lookupTests = []test{
	{"EachState", lookupEachState, 0},
	{"Nothing", func(r *rig) { r.lookup() }, 0},
	{"OwnerAndAttempt", lookupOwnerAndAttempt, 0},
	{"Due", lookupDue, 0},
	{"Outcome", lookupOutcome, 0},
	{"LargestOutcome", lookupLargestOutcome, 0},
	{"KnownAndUnknownInOrder", lookupMixed, 0},
	{"MoreThanMaxBatch", lookupMoreThanMaxBatch, 0},
	{"ByAnotherClient", lookupByAnotherClient, needReopen},
	{"OtherQueueOfSameHash", lookupSameHash, 0},
}

func lookupEachState(r *rig) {
	m := r.minion()
	tasks := r.batch(6)
	r.enqueue(tasks...)
	ds := m.take(6)
	for i, state := range finals {
		m.settle(m.finish(ds[i], state))
	}
	m.settle(retry(ds[4], time.Hour))
	pending, scheduled := r.task(), r.task(after(time.Hour))
	r.enqueue(pending, scheduled)
	tasks = append(tasks, pending, scheduled, r.task())
	want := append(slices.Clone(finals), broker.StateRetrying, broker.StateRunning,
		broker.StatePending, broker.StateScheduled, broker.StateUnknown)
	for i, st := range r.lookup(idsOf(tasks)...) {
		if st.State != want[i] {
			r.Fatalf("Lookup says that task %d is %s, want %s", i, st.State, want[i])
		}
		if known := st.State != broker.StateUnknown; known && st.Queue != "q" {
			r.Fatalf("Lookup says that a %s task is in queue %q, want %q", st.State, st.Queue, "q")
		}
		if (st.Outcome != nil) != st.State.Final() {
			r.Fatalf("Lookup returned for a %s task the outcome %v", st.State, st.Outcome)
		}
		if st.State != broker.StateRunning && !st.State.Final() && !st.Minion.IsZero() {
			r.Fatalf("Lookup returned an owner for a %s task", st.State)
		}
		if waits := st.State == broker.StateScheduled || st.State == broker.StateRetrying; waits == st.Due.IsZero() {
			r.Fatalf("Lookup returned for a %s task the due time %v", st.State, st.Due)
		}
	}
}

func lookupOwnerAndAttempt(r *rig) {
	m, other := r.minion(), r.minionAt(r.other())
	task := r.task()
	r.enqueue(task)
	for attempt := uint32(1); attempt <= 3; attempt++ {
		owner := m
		if attempt%2 == 0 {
			owner = other
		}
		d := owner.take1()
		st := r.lookup(task.ID)[0]
		if st.State != broker.StateRunning || st.Minion != owner.ID() || st.Attempt != attempt {
			r.Fatalf("Lookup says %s, attempt %d at minion %s; want attempt %d at minion %s", st.State, st.Attempt, st.Minion, attempt, owner.ID())
		}
		owner.settle(giveBack(d))
	}
}

func lookupDue(r *rig) {
	m := r.minion()
	check := func(id broker.ID, delay time.Duration, from time.Time) {
		r.Helper()
		due := r.lookup(id)[0].Due
		if early := from.Add(delay).Sub(due); early > 2*time.Millisecond {
			r.Fatalf("Due is %v too early", early)
		}
		if late := due.Sub(r.Now().Add(delay)); late > 2*time.Millisecond {
			r.Fatalf("Due is %v too late", late)
		}
	}
	for _, delay := range []time.Duration{10 * time.Second, time.Hour, 400 * 24 * time.Hour} {
		start := r.Now()
		task := r.task(after(delay))
		r.enqueue(task)
		check(task.ID, delay, start)
	}
	for _, settle := range []func(*broker.Delivery, time.Duration) broker.Settlement{retry, snooze} {
		task := r.task()
		r.enqueue(task)
		d := m.take1()
		start := r.Now()
		m.settle(settle(d, time.Minute))
		check(task.ID, time.Minute, start)
	}
}

func lookupOutcome(r *rig) {
	m := r.minion()
	at := time.UnixMilli(r.Now().UnixMilli()).UTC()
	for _, o := range []broker.Outcome{
		{State: broker.StateSucceeded, Codec: "json"},
		{State: broker.StateSucceeded, Codec: "msgpack", Result: []byte{0}},
		{State: broker.StateSucceeded, Codec: "c", Result: []byte("\x00\xff\r\n'\""), Name: "n", Attempts: 1, Retried: 300,
			Minion: m.ID(), Enqueued: at.Add(-time.Hour), Started: at, Finished: at.Add(time.Millisecond)},
		{State: broker.StateFailed, Codec: "json", Err: &broker.Failure{}},
		{State: broker.StateFailed, Codec: "json", Err: &broker.Failure{Message: "ошибка: \xff\x00", Seal: []byte{0, 255}}, Name: "n"},
		{State: broker.StateFailed, Codec: "json", Err: &broker.Failure{
			Type: "*fs.PathError", Message: "m", Stack: "s\n\ts", Chain: []string{"a", "", "b"}, Codes: []string{"c", "d"}, Final: true,
		}},
		{State: broker.StateCanceled, Codec: "json", Err: &broker.Failure{Message: "killed"}},
		{State: broker.StateCanceled, Codec: "json"},
		{State: broker.StateExpired, Codec: "json", Started: at},
	} {
		task := r.task()
		r.enqueue(task)
		m.settle(broker.Settlement{Delivery: m.take1(), Outcome: o})
		st := r.lookup(task.ID)[0]
		if st.Outcome == nil {
			r.Fatalf("Lookup returned no outcome for a task that is %s", st.State)
		}
		r.equal(*st.Outcome, o)
	}
}

func lookupLargestOutcome(r *rig) {
	m := r.minion()
	task, failed := r.task(), r.task()
	r.enqueue(task, failed)
	ds := m.take(2)
	s := m.succeed(ds[0])
	s.Outcome.Result = slices.Repeat([]byte{7}, r.Broker.Limits().Result)
	f := m.finish(ds[1], broker.StateFailed)
	f.Outcome.Err.Message = string(slices.Repeat([]byte{'m'}, broker.MaxMessage))
	f.Outcome.Err.Stack = string(slices.Repeat([]byte{'s'}, broker.MaxStack))
	m.settle(s, f)
	r.equal(r.outcome(task.ID), s.Outcome)
	r.equal(r.outcome(failed.ID), f.Outcome)
}

func lookupMixed(r *rig) {
	tasks := r.batch(4)
	r.enqueue(tasks[2], tasks[0])
	ids := idsOf(tasks)
	ids = append(ids, ids[0], ids[1], broker.ID{}, broker.NewID(broker.KindParty, "", 0), ids[2])
	want := []bool{true, false, true, false, true, false, false, false, true}
	for i, st := range r.lookup(ids...) {
		if (st.State == broker.StatePending) != want[i] || (st.State == broker.StateUnknown) == want[i] {
			r.Fatalf("Lookup says that id %d is %s, known: %v", i, st.State, want[i])
		}
	}
}

func lookupMoreThanMaxBatch(r *rig) {
	m := r.minion()
	tasks := r.batch(2*broker.MaxBatch + 345)
	r.enqueue(tasks...)
	d := m.take1()
	m.settle(m.succeed(d))
	r.in(broker.StatePending, idsOf(tasks[1:])...)
	r.in(broker.StateSucceeded, tasks[0].ID)
}

func lookupByAnotherClient(r *rig) {
	other := r.Reopen(r.TB)
	defer func() { _ = other.Close() }()
	m := r.minion()
	tasks := r.batch(2)
	r.enqueue(tasks...)
	s := m.succeed(m.take1())
	m.settle(s)
	sts, err := other.Lookup(r.ctx, idsOf(tasks))
	if err != nil || len(sts) != 2 || sts[0].Outcome == nil || sts[1].State != broker.StatePending {
		r.Fatalf("Lookup at another client returned %+v, %v", sts, err)
	}
	r.equal(*sts[0].Outcome, s.Outcome)
}

// An id has a hash of the name of its queue. Another queue may have the same hash, so the hash says
// where to look first, and not where the task is.
func lookupSameHash(r *rig) {
	a, b := "a", ""
	for i := 0; b == ""; i++ {
		name := "b" + string(rune('a'+i/676%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))
		if broker.QueueHash(name) == broker.QueueHash(a) {
			b = name
		}
	}
	task := r.task(onQueue(b))
	r.enqueue(r.task(onQueue(a)), task)
	if st := r.lookup(task.ID)[0]; st.State != broker.StatePending || st.Queue != b {
		r.Fatalf("Lookup says that the task is %s in queue %q, want pending in %q", st.State, st.Queue, b)
	}
	m := r.minion(b)
	r.same(takenOf(m.take(1)), []broker.ID{task.ID})
	r.canceled(task.ID, broker.CancelRequested)
	m.none()
}
