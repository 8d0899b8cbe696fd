package brokertest

import (
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var inspectorTests = []test{
	{"Counts", inspectorCounts, needInspector},
	{"CountsAfterCancel", inspectorCountsAfterCancel, needInspector},
	{"CountsOfBlocked", inspectorCountsBlocked, needInspector | needFlows},
	{"QueuesAreSorted", inspectorQueuesSorted, needInspector},
	{"KnownQueues", inspectorQueuesKnown, needInspector | needLapse},
	{"UnusedQueues", inspectorQueuesUnused, needInspector | needJump},
	{"QueuesByAnotherClient", inspectorQueuesElsewhere, needInspector},
	{"PageOfNothing", inspectorPageOfNothing, needInspector},
	{"DeadLetter", inspectorDeadLetter, needInspector},
	{"OnlyFailedAreDead", inspectorOnlyFailed, needInspector},
	{"Paging", inspectorPaging, needInspector},
	{"Requeue", inspectorRequeue, needInspector},
	{"RequeueHasAllItsRetries", inspectorRequeueRetries, needInspector | needLapse},
	{"RequeueHasNoDeadline", inspectorRequeueDeadline, needInspector},
	{"RequeueNotFound", inspectorRequeueNotFound, needInspector},
	{"RequeueAndFailAgain", inspectorRequeueAgain, needInspector},
	{"RequeueMany", inspectorRequeueMany, needInspector},
	{"RequeueOutlivesItsExpiry", inspectorRequeueOutlives, needInspector},
	{"RequeueConcurrently", inspectorRequeueConcurrently, needInspector},
}

// counts returns the counts of a queue, as Queues reports them.
func counts(r *rig, queue string) broker.QueueInfo {
	r.Helper()
	infos, err := r.inspector().Queues(r.ctx)
	if err != nil {
		r.Fatalf("Queues: %v", err)
	}
	for _, info := range infos {
		if info.Name == queue {
			return info
		}
	}
	r.Fatalf("Queues does not list queue %q", queue)
	return broker.QueueInfo{}
}

// deadLetters reads all dead letters of a queue in pages. Each must be listed once.
func deadLetters(r *rig, queue string, page int) map[broker.ID]*broker.DeadLetter {
	r.Helper()
	all := map[broker.ID]*broker.DeadLetter{}
	after := ""
	for range 10_000 {
		letters, next, err := r.inspector().DeadLetters(r.ctx, queue, after, page)
		if err != nil {
			r.Fatalf("DeadLetters: %v", err)
		}
		if len(letters) > page+1000 {
			r.Fatalf("DeadLetters returned %d dead letters, the limit was %d", len(letters), page)
		}
		for _, l := range letters {
			if all[l.Task.ID] != nil {
				r.Fatalf("DeadLetters listed task %s twice", l.Task.ID)
			}
			all[l.Task.ID] = &l
		}
		if next == "" {
			return all
		}
		after = next
	}
	r.Fatalf("DeadLetters returned a next page 10,000 times")
	return nil
}

// requeued requeues dead letters, and returns one error for each.
func requeued(r *rig, ids ...broker.ID) []error {
	r.Helper()
	errs, err := r.inspector().Requeue(r.ctx, ids)
	if err != nil {
		r.Fatalf("Requeue: %v", err)
	}
	if len(errs) != len(ids) {
		r.Fatalf("Requeue returned %d errors for %d ids", len(errs), len(ids))
	}
	return errs
}

// requeue requeues dead letters, which must succeed.
func requeue(r *rig, ids ...broker.ID) {
	r.Helper()
	for i, err := range requeued(r, ids...) {
		if err != nil {
			r.Fatalf("Requeue refused id %d of the call: %v", i, err)
		}
	}
}

// bury enqueues tasks and settles each as failed, so they are dead letters.
func bury(r *rig, m *minion, tasks ...*broker.Task) []broker.Settlement {
	r.Helper()
	r.enqueue(tasks...)
	batch := make([]broker.Settlement, len(tasks))
	for i, d := range m.take(len(tasks)) {
		batch[i] = m.finish(d, broker.StateFailed)
	}
	m.settle(batch...)
	return batch
}

func inspectorCounts(r *rig) {
	m := r.minion("q", "other")
	r.enqueue(r.batch(10)...)
	r.enqueue(r.batch(3, after(time.Hour))...)
	r.enqueue(r.batch(2, onQueue("other"))...)
	check := func(want broker.QueueInfo) {
		r.Helper()
		want.Name = "q"
		if got := counts(r, "q"); got != want {
			r.Fatalf("the queue is counted as %+v, want %+v", got, want)
		}
	}
	check(broker.QueueInfo{Pending: 10, Scheduled: 3})
	ds := m.takeFrom([]string{"q"}, 7)
	check(broker.QueueInfo{Pending: 3, Running: 7, Scheduled: 3})
	m.settle(m.succeed(ds[0]), m.finish(ds[1], broker.StateFailed), retry(ds[2], time.Hour),
		snooze(ds[3], time.Hour), giveBack(ds[4]), m.finish(ds[5], broker.StateExpired))
	check(broker.QueueInfo{Pending: 4, Running: 1, Scheduled: 5, Dead: 1})
	if got := counts(r, "other"); got != (broker.QueueInfo{Name: "other", Pending: 2}) {
		r.Fatalf("the queue is counted as %+v, want 2 pending", got)
	}
	m.close()
	check(broker.QueueInfo{Pending: 5, Scheduled: 5, Dead: 1})
}

func inspectorCountsAfterCancel(r *rig) {
	m := r.minion()
	tasks := append(r.batch(6), r.batch(4, after(time.Hour))...)
	r.enqueue(tasks...)
	d := m.take1()
	r.cancel(d.ID, tasks[1].ID, tasks[2].ID, tasks[8].ID, tasks[9].ID)
	want := broker.QueueInfo{Name: "q", Pending: 3, Running: 1, Scheduled: 2}
	if got := counts(r, "q"); got != want {
		r.Fatalf("the queue is counted as %+v, want %+v", got, want)
	}
	m.settle(m.finish(d, broker.StateCanceled))
	m.take(3)
	want.Pending, want.Running = 0, 3
	if got := counts(r, "q"); got != want {
		r.Fatalf("the queue is counted as %+v, want %+v", got, want)
	}
}

// A blocked task counts as scheduled if it is blocked for a time only, and else not at all.
func inspectorCountsBlocked(r *rig) {
	check := func(want broker.QueueInfo) {
		r.Helper()
		want.Name = "q"
		if got := counts(r, "q"); got != want {
			r.Fatalf("the queue is counted as %+v, want %+v", got, want)
		}
	}
	timed, stays := r.batch(3, blocked, after(time.Hour)), r.batch(2, blocked)
	r.enqueue(timed...)
	r.enqueue(stays...)
	r.enqueue(r.task(after(time.Hour)))
	check(broker.QueueInfo{Scheduled: 4})
	r.canceled(timed[0].ID, broker.CancelPrevented)
	r.canceled(stays[0].ID, broker.CancelPrevented)
	check(broker.QueueInfo{Scheduled: 3})
	r.releases(timed[1], stays[1])
	check(broker.QueueInfo{Pending: 2, Scheduled: 2})
}

// queuesAre checks the names of the queues that Queues lists.
func (r *rig) queuesAre(i broker.Inspector, want ...string) {
	r.Helper()
	infos, err := i.Queues(r.ctx)
	if err != nil {
		r.Fatalf("Queues: %v", err)
	}
	var names []string
	for _, info := range infos {
		names = append(names, info.Name)
	}
	if !slices.Equal(names, want) {
		r.Fatalf("Queues lists %q, want %q", names, want)
	}
}

// A queue is listed as soon as it has had a task or a consumer, even when it is empty. Asking for a
// queue does not create it, and neither does a refused task or consumer.
func inspectorQueuesKnown(r *rig) {
	i := r.inspector()
	r.queuesAre(i)
	if _, _, err := i.DeadLetters(r.ctx, "asked", "", 10); err != nil {
		r.Fatalf("DeadLetters: %v", err)
	}
	r.lookup(newIDs(1)[0])
	r.canceled(newIDs(1)[0], broker.CancelUnknown)
	r.is(r.refused(r.task(onQueue("refused"), func(t *broker.Task) { t.Name = "" })), broker.ErrInvalid)
	for _, cfg := range []broker.ConsumerConfig{
		{Queues: []string{"refused", "no spaces"}, Slots: 1},
		{Queues: []string{"refused"}},
	} {
		_, err := r.Broker.Consume(r.ctx, cfg)
		r.is(err, broker.ErrInvalid)
	}
	if _, ok := can[broker.Flows](r.Broker); ok {
		r.arrivals("asked", 0)
		r.confirm(broker.Arrival{Queue: "asked", Task: newIDs(1)[0]})
		r.releases(r.task(onQueue("asked")))
	}
	r.queuesAre(i)
	task := r.task(onQueue("tasks"))
	r.enqueue(task)
	r.queuesAre(i, "tasks")
	m := r.minion("consumer", "tasks")
	r.queuesAre(i, "consumer", "tasks")
	m.settle(m.succeed(m.take1()))
	m.close()
	r.enqueue(r.task(onQueue("later"), after(time.Hour)))
	r.pass(r.Lease + r.Slack)
	r.queuesAre(i, "consumer", "later", "tasks")
	if got := counts(r, "tasks"); got != (broker.QueueInfo{Name: "tasks"}) {
		r.Fatalf("an empty queue is counted as %+v, want zeros", got)
	}
}

// A queue is removed from the list when it is empty and has been unused for some time. It is not
// removed while a task in it is scheduled for months, while it has a dead letter, or while a
// consumer serves it. A removed queue can be used again, also by a consumer.
func inspectorQueuesUnused(r *rig) {
	i := r.inspector()
	m := r.minion("done", "dead", "served")
	waits := r.task(onQueue("waits"), after(60*24*time.Hour))
	dead := r.task(onQueue("dead"), kept(time.Minute, 30*24*time.Hour))
	done := r.task(onQueue("done"))
	killed := r.task(onQueue("killed"))
	r.enqueue(waits, dead, done, killed)
	r.canceled(killed.ID, broker.CancelPrevented)
	for range 2 {
		if d := m.take1(); d.Queue == "dead" {
			m.settle(m.finish(d, broker.StateFailed))
		} else {
			m.settle(m.succeed(d))
		}
	}
	m.close()
	served := r.minion("served")
	r.pass(20*time.Minute, served)
	r.queuesAre(i, "dead", "done", "killed", "served", "waits")
	r.pass(broker.MaxUnused, served)
	r.queuesAre(i, "dead", "served", "waits")
	served.close()
	r.Advance(31 * 24 * time.Hour)
	r.queuesAre(i, "waits")
	again := r.task(onQueue("done"))
	r.enqueue(again)
	m = r.minion("done", "served")
	r.same(takenOf(m.take(1)), []broker.ID{again.ID})
	r.queuesAre(i, "done", "served", "waits")
	r.minion("waits")
	r.Advance(30 * 24 * time.Hour)
	m = r.minion("waits")
	r.same(takenOf(m.take(1)), []broker.ID{waits.ID})
}

// Every client of a store lists the same queues.
func inspectorQueuesElsewhere(r *rig) {
	other := r.other()
	elsewhere, _ := can[broker.Inspector](other)
	r.queuesAre(elsewhere)
	r.enqueue(r.task())
	r.minion("p")
	r.queuesAre(elsewhere, "p", "q")
}

func inspectorPageOfNothing(r *rig) {
	for _, limit := range []int{0, -1} {
		_, _, err := r.inspector().DeadLetters(r.ctx, "q", "", limit)
		r.is(err, broker.ErrInvalid)
	}
	_, _, err := r.inspector().DeadLetters(r.ctx, "q", "no cursor of this broker", 10)
	r.is(err, broker.ErrInvalid)
	_, _, err = r.inspector().DeadLetters(r.ctx, "no spaces", "", 10)
	r.is(err, broker.ErrInvalid)
}

func inspectorQueuesSorted(r *rig) {
	for _, queue := range []string{"m", "z", "a", "B", "a.b", "a-b"} {
		r.enqueue(r.task(onQueue(queue)))
	}
	infos, err := r.inspector().Queues(r.ctx)
	if err != nil {
		r.Fatalf("Queues: %v", err)
	}
	var names []string
	for _, info := range infos {
		names = append(names, info.Name)
	}
	if want := []string{"B", "a", "a-b", "a.b", "m", "z"}; !slices.Equal(names, want) {
		r.Fatalf("Queues lists %s, want %s", strings.Join(names, " "), strings.Join(want, " "))
	}
}

func inspectorDeadLetter(r *rig) {
	m := r.minion()
	task := full(r)
	want := bury(r, m, task)[0]
	dead := deadLetters(r, "q", 10)[task.ID]
	if dead == nil {
		r.Fatalf("a failed task is missing in the dead letters of its queue")
	}
	if diff := diffTask(dead.Task, *task); diff != "" {
		r.Fatalf("the task of the dead letter differs from the enqueued one: %s", diff)
	}
	r.equal(dead.Outcome, want.Outcome)
	if others := deadLetters(r, "elsewhere", 10); len(others) > 0 {
		r.Fatalf("the dead letter is listed for another queue too")
	}
}

func inspectorOnlyFailed(r *rig) {
	m := r.minion()
	tasks := r.batch(4)
	r.enqueue(tasks...)
	for i, d := range m.take(4) {
		m.settle(m.finish(d, finals[i]))
	}
	dead := deadLetters(r, "q", 10)
	if len(dead) != 1 || dead[tasks[1].ID] == nil {
		r.Fatalf("there are %d dead letters, want only the failed task", len(dead))
	}
	errs := requeued(r, idsOf(tasks)...)
	for i, err := range errs {
		if (i == 1) != (err == nil) {
			r.Fatalf("Requeue of a task that is %s returned %v", finals[i], err)
		}
	}
	r.same(takenOf(m.take(1)), idsOf(tasks[1:2]))
	m.none()
}

func inspectorPaging(r *rig) {
	m := r.minion()
	tasks := r.batch(57)
	bury(r, m, tasks...)
	for _, page := range []int{1, 10, 57, 100, 5000} {
		dead := deadLetters(r, "q", page)
		if len(dead) != len(tasks) {
			r.Fatalf("in pages of %d, DeadLetters lists %d dead letters, want %d", page, len(dead), len(tasks))
		}
	}
	letters, next, err := r.inspector().DeadLetters(r.ctx, "nowhere", "", 10)
	if err != nil || len(letters) > 0 || next != "" {
		r.Fatalf("DeadLetters of an unknown queue returned %d dead letters, next %q, %v", len(letters), next, err)
	}
}

func inspectorRequeue(r *rig) {
	m, mail := r.minion(), r.mail()
	task := r.task(inbox(mail.id))
	bury(r, m, task)
	mail.take(1)
	requeue(r, task.ID)
	r.in(broker.StatePending, task.ID)
	if dead := deadLetters(r, "q", 10); len(dead) > 0 {
		r.Fatalf("a requeued task is still listed as a dead letter")
	}
	if got := counts(r, "q"); got.Pending != 1 || got.Dead != 0 {
		r.Fatalf("the queue is counted as %+v, want one pending task", got)
	}
	r.enqueue(task) // enqueueing the task again still has no effect
	d := m.take1()
	m.equals(d, task)
	if d.Attempt <= 1 {
		r.Fatalf("the requeued task has attempt %d, a number that was used before", d.Attempt)
	}
	s := m.succeed(d)
	m.settle(s)
	r.equal(r.outcome(task.ID), s.Outcome)
	r.equal(mail.take(1)[0].Outcome, s.Outcome)
	m.none()
}

func inspectorRequeueRetries(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	for range 3 {
		m.settle(retry(m.take1(), 0))
	}
	dying := r.minion()
	dying.take1()
	r.reap([]*minion{m}, dying)
	d := m.take1()
	r.attempt(d, 5, 3, 1)
	m.settle(m.finish(d, broker.StateFailed))
	requeue(r, task.ID)
	d = m.take1()
	if d.Retried != 0 || d.Recoveries != 0 || d.Attempt <= 5 {
		r.Fatalf("after a requeue: attempt %d, retried %d, recoveries %d; want more than 5, 0 and 0", d.Attempt, d.Retried, d.Recoveries)
	}
}

func inspectorRequeueDeadline(r *rig) {
	m := r.minion()
	task := r.task(within(50 * time.Millisecond))
	bury(r, m, task)
	r.pass(100*time.Millisecond, m)
	requeue(r, task.ID)
	if d := m.take1(); d.Left != broker.NoDeadline {
		r.Fatalf("Left is %v after a requeue, want NoDeadline", d.Left)
	}
}

func inspectorRequeueNotFound(r *rig) {
	m := r.minion()
	dead, running, pending := r.task(), r.task(), r.task()
	bury(r, m, dead)
	r.enqueue(running)
	m.take1()
	r.enqueue(pending)
	errs := requeued(r, broker.NewID(broker.KindTask, "q", 0), dead.ID, running.ID, pending.ID)
	for i, err := range errs {
		if i == 1 {
			if err != nil {
				r.Fatalf("Requeue: %v", err)
			}
			continue
		}
		r.is(err, broker.ErrNotFound)
	}
	r.is(requeued(r, dead.ID)[0], broker.ErrNotFound) // it has been requeued already
	r.sameSet(takenOf(m.take(2)), []broker.ID{dead.ID, pending.ID})
	m.none()
	if errs := requeued(r); len(errs) > 0 {
		r.Fatalf("Requeue of no id returned %v", errs)
	}
}

func inspectorRequeueAgain(r *rig) {
	m := r.minion()
	task := r.task()
	bury(r, m, task)
	for range 3 {
		requeue(r, task.ID)
		s := m.finish(m.take1(), broker.StateFailed)
		m.settle(s)
		dead := deadLetters(r, "q", 10)
		if len(dead) != 1 || dead[task.ID] == nil {
			r.Fatalf("there are %d dead letters, want the task that failed again", len(dead))
		}
		r.equal(dead[task.ID].Outcome, s.Outcome)
	}
	requeue(r, task.ID)
	r.canceled(task.ID, broker.CancelPrevented)
	m.none()
	r.is(requeued(r, task.ID)[0], broker.ErrNotFound)
}

func inspectorRequeueMany(r *rig) {
	const n = 2*broker.MaxBatch + 345
	m := r.minion()
	tasks := r.batch(n)
	bury(r, m, tasks...)
	requeue(r, idsOf(tasks)...)
	r.sameSet(takenOf(m.take(n)), idsOf(tasks))
	m.none()
}

// The retention of a dead letter ends after its requeue. That must not remove the task, nor its
// next outcome.
func inspectorRequeueOutlives(r *rig) {
	const keep = time.Second // long enough that both are requeued before it ends
	m := r.minion()
	waits, done := r.task(kept(keep, keep)), r.task(kept(keep, keep))
	bury(r, m, waits, done)
	requeue(r, done.ID)
	d := m.take1()
	requeue(r, waits.ID)
	r.pass(keep-r.Slack, m)
	s := m.succeed(d)
	end := r.Now().Add(keep)
	m.settle(s)
	r.pass(2*r.Slack, m)
	r.in(broker.StatePending, waits.ID)
	r.before(end, func() { r.equal(r.outcome(done.ID), s.Outcome) })
	r.same(takenOf(m.take(1)), []broker.ID{waits.ID})
	r.pass(keep, m)
	r.absent(broker.StateSucceeded, done.ID)
	r.in(broker.StateRunning, waits.ID)
}

func inspectorRequeueConcurrently(r *rig) {
	m := r.minion()
	task := r.task()
	for range 10 {
		if r.lookup(task.ID)[0].State == broker.StateUnknown {
			bury(r, m, task)
		}
		ok := make([]bool, 4)
		together(many(4, func(i int) {
			errs, err := r.inspector().Requeue(r.ctx, []broker.ID{task.ID})
			if err != nil {
				r.Errorf("Requeue: %v", err)
				return
			}
			ok[i] = errs[0] == nil
		})...)
		won := 0
		for _, yes := range ok {
			if yes {
				won++
			}
		}
		if won != 1 {
			r.Fatalf("%d of 4 concurrent requeues of one task succeeded, want 1", won)
		}
		d := m.take1()
		m.none()
		m.settle(m.finish(d, broker.StateFailed))
	}
}
