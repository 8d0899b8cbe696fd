package brokertest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// broker.Pauser: tasks are not handed out until they are resumed.
func pauseTests() []test {
	tests := slices.Concat(pauseQueueTests, pauseSomeTests, pauseOtherTests)
	for i := range tests {
		tests[i].needs |= needPauser
	}
	return tests
}

// The whole queue is paused.
var pauseQueueTests = []test{
	{"QueueHoldsWhatWaits", pauseHolds, 0},
	{"QueueWakesByResume", pauseWakes, 0},
	{"QueueWakesAllByResume", pauseWakesAll, 0},
	{"QueueElsewhere", pauseElsewhere, needReopen},
	{"RunningGoesOn", pauseRunning, 0},
	{"ComingBackWaits", pauseComingBack, 0},
	{"OfADeadMinionWaits", pauseDeath, needLapse},
	{"DueWaits", pauseDue, 0},
	{"Cancel", pauseCancel, 0},
	{"CancelOfRunning", pauseCanceled, 0},
	{"Expires", pauseExpires, 0},
	{"UniqueKey", pauseUnique, 0},
	{"ReleasedWaits", pauseReleased, needFlows},
	{"RequeuedWaits", pauseRequeued, needInspector},
	{"ParkedWaits", pauseParked, needParker},
	{"AssignIsRefused", pauseAssign, needSquads},
	{"HaltedMember", pauseHalted, needFlows | needHalter},
	{"LanesWait", pauseLanes, needLanes},
	{"Counted", pauseCounted, needInspector},
	{"ManyWait", pauseMany, 0},
	{"AgainAndAgain", pauseAgain, 0},
	{"Races", pauseRaces, 0},
}

// Inputs, the list of pauses, and how long they are kept.
var pauseOtherTests = []test{
	{"Invalid", pauseInvalid, 0},
	{"Repeated", pauseRepeated, 0},
	{"AreListed", pauseListed, 0},
	{"Stay", pauseStay, needJump},
	{"AreForgotten", pauseForgotten, needJump | needInspector},
}

func (r *rig) pauser() broker.Pauser { return r.pauserAt(r.Broker) }

func (r *rig) pauserAt(b broker.Broker) broker.Pauser {
	return &watchedPauser{raw(b).(broker.Pauser), r.dog}
}

type watchedPauser struct {
	b   broker.Pauser
	dog *watchdog
}

func (p *watchedPauser) Pause(ctx context.Context, queue string, what broker.Pause) error {
	return p.dog.do("Pause", func() error { return p.b.Pause(ctx, queue, what) })
}

func (p *watchedPauser) Resume(ctx context.Context, queue string, what broker.Pause) error {
	return p.dog.do("Resume", func() error { return p.b.Resume(ctx, queue, what) })
}

func (p *watchedPauser) Pauses(ctx context.Context, queue string) ([]broker.PauseInfo, error) {
	return ask(p.dog, "Pauses", func() ([]broker.PauseInfo, error) { return p.b.Pauses(ctx, queue) })
}

// What can be paused.
var whole = broker.Pause{}

func ofTask(name string) broker.Pause { return broker.Pause{Task: name} }
func ofTheKey(k string) broker.Pause  { return broker.Pause{Key: k} }

// pause pauses something in queue "q", which must succeed.
func (r *rig) pause(p broker.Pause) {
	r.Helper()
	if err := r.pauser().Pause(r.ctx, "q", p); err != nil {
		r.Fatalf("Pause(%+v): %v", p, err)
	}
}

// goOn resumes something in queue "q", which must succeed.
func (r *rig) goOn(p broker.Pause) {
	r.Helper()
	if err := r.pauser().Resume(r.ctx, "q", p); err != nil {
		r.Fatalf("Resume(%+v): %v", p, err)
	}
}

// pauses checks the pauses of queue "q".
func (r *rig) pauses(want ...broker.Pause) {
	r.Helper()
	infos, err := r.pauser().Pauses(r.ctx, "q")
	if err != nil {
		r.Fatalf("Pauses: %v", err)
	}
	var got []broker.Pause
	for _, info := range infos {
		got = append(got, info.Pause)
	}
	if !slices.Equal(got, want) {
		r.Fatalf("Pauses returned %+v, want %+v", got, want)
	}
}

func pauseHolds(r *rig) {
	m := r.minion()
	before := r.batch(3)
	r.enqueue(before...)
	r.pause(whole)
	m.none()
	after := r.batch(3)
	r.enqueue(after...)
	m.none()
	r.in(broker.StatePending, append(idsOf(before), idsOf(after)...)...)
	other := r.minion("q", "r") // of several queues, one of which is not paused
	elsewhere := r.task(onQueue("r"))
	r.enqueue(elsewhere)
	other.settle(other.succeed(other.gets(elsewhere)))
	other.none()
	r.goOn(whole)
	m.next(append(before, after...)...)
	m.none()
	task := r.task()
	r.enqueue(task)
	m.next(task)
}

func pauseWakes(r *rig) {
	for _, queues := range [][]string{{"q"}, {"q", "r"}} {
		m := r.minion(queues...)
		for range 3 {
			r.pause(whole)
			done := m.waiting(r.ctx, 5, patience)
			task := r.task()
			r.enqueue(task)
			r.idle()
			if len(done) > 0 {
				got := <-done
				r.Fatalf("Dequeue of a paused queue returned %d tasks, %v", len(got.tasks), got.err)
			}
			start := time.Now()
			r.goOn(whole)
			ds := r.woken(done, start)
			r.same(takenOf(ds), []broker.ID{task.ID})
			m.settle(m.succeed(ds[0]))
		}
		m.close()
	}
}

// All consumers that wait get their tasks, one each.
func pauseWakesAll(r *rig) {
	r.pause(whole)
	dones := crowd(r, 6, "q")
	tasks := r.batch(6)
	r.enqueue(tasks...)
	r.idle()
	start := time.Now()
	r.goOn(whole)
	var got []broker.ID
	for _, done := range dones {
		got = append(got, takenOf(r.woken(done, start))...)
	}
	r.sameSet(got, idsOf(tasks))
}

// A pause holds for all clients of a store, and outlives the client that has set it.
func pauseElsewhere(r *rig) {
	m := r.minion()
	other := r.Reopen(r.TB)
	if err := r.pauserAt(other).Pause(r.ctx, "q", whole); err != nil {
		r.Fatalf("Pause: %v", err)
	}
	if err := other.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	task := r.task()
	r.enqueue(task)
	m.none()
	third := r.other()
	late := r.minionAt(third)
	late.none()
	done := m.waiting(r.ctx, 1, patience)
	start := time.Now()
	if err := r.pauserAt(third).Resume(r.ctx, "q", whole); err != nil {
		r.Fatalf("Resume: %v", err)
	}
	r.same(takenOf(r.woken(done, start)), []broker.ID{task.ID})
}

func pauseRunning(r *rig) {
	m := r.minion()
	tasks := r.batch(3)
	r.enqueue(tasks...)
	ds := m.take(3)
	r.pause(whole)
	beat(m)
	r.in(broker.StateRunning, idsOf(tasks)...)
	m.settle(m.succeed(ds[0]), m.finish(ds[1], broker.StateFailed))
	r.in(broker.StateSucceeded, tasks[0].ID)
	r.in(broker.StateFailed, tasks[1].ID)
	m.settle(m.succeed(ds[2]))
	m.none()
	r.goOn(whole)
	m.none()
}

// A task that comes back waits, in whatever way it comes back.
func pauseComingBack(r *rig) {
	m, closing := r.minion(), r.minion()
	tasks := r.batch(4)
	r.enqueue(tasks...)
	ds := m.take(3)
	closing.take1()
	r.pause(whole)
	m.settle(giveBack(ds[0]), retry(ds[1], 0), snooze(ds[2], 0))
	closing.close()
	m.none()
	r.in(broker.StatePending, idsOf(tasks)...)
	r.goOn(whole)
	got := m.take(4)
	r.sameSet(takenOf(got), idsOf(tasks))
	for _, d := range got {
		if d.Attempt != 2 {
			r.Fatalf("task %s has attempt %d, want 2", d.ID, d.Attempt)
		}
	}
}

func pauseDeath(r *rig) {
	dying, m := r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	dying.take1()
	r.pause(whole)
	r.reap([]*minion{m}, dying)
	r.back([]broker.ID{task.ID}, m)
	m.none()
	r.goOn(whole)
	r.attempt(m.take1(), 2, 0, 1)
}

func pauseDue(r *rig) {
	m := r.minion()
	tasks := r.batch(3, after(brief))
	r.pause(whole)
	r.enqueue(tasks...)
	r.pass(2*brief, m)
	m.none()
	r.eventually("the tasks are pending", func() bool {
		m.none()
		for _, st := range r.lookup(idsOf(tasks)...) {
			if st.State != broker.StatePending {
				return false
			}
		}
		return true
	})
	r.goOn(whole)
	r.sameSet(takenOf(m.take(3)), idsOf(tasks))
}

func pauseCancel(r *rig) {
	mail := r.mail()
	m := r.minion()
	first, second := r.batch(4, inbox(mail.id)), r.batch(2)
	r.enqueue(first[:2]...)
	r.pause(whole)
	r.enqueue(first[2:]...)
	r.enqueue(second...)
	for _, task := range first {
		r.canceled(task.ID, broker.CancelPrevented)
		r.in(broker.StateCanceled, task.ID)
		if l := mail.take(1)[0]; l.ID != task.ID || l.Outcome.State != broker.StateCanceled {
			r.Fatalf("the inbox got a notice that task %s is %s", l.ID, l.Outcome.State)
		}
		m.none()
	}
	r.goOn(whole)
	m.next(second...)
	m.none()
	r.canceled(first[0].ID, broker.CancelTooLate)
}

// A task that was cancelled while it ran comes back. It ends at the latest after the pause.
func pauseCanceled(r *rig) {
	m, closing := r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	closing.take1()
	r.canceled(task.ID, broker.CancelRequested)
	r.pause(whole)
	closing.close()
	m.none()
	r.goOn(whole)
	for _, d := range m.tryTake(1) {
		if !d.Canceled {
			r.Fatalf("a task that was cancelled while it ran is handed out again without that mark")
		}
		m.settle(m.finish(d, broker.StateCanceled))
	}
	r.in(broker.StateCanceled, task.ID)
}

func pauseExpires(r *rig) {
	mail := r.mail()
	m := r.minion()
	before := r.batch(2, within(brief), inbox(mail.id))
	r.enqueue(before...)
	r.pause(whole)
	m.none()
	after := r.task(within(brief), inbox(mail.id))
	r.enqueue(after)
	tasks := append(before, after)
	r.expire(tasks...)
	got := map[broker.ID]bool{}
	for _, l := range mail.take(3) {
		got[l.ID] = true
	}
	for _, task := range tasks {
		r.expired(r.outcome(task.ID), task)
		if !got[task.ID] {
			r.Fatalf("the inbox got no notice of task %s", task.ID)
		}
	}
	last := r.task()
	r.enqueue(last)
	m.none()
	r.goOn(whole)
	m.next(last)
	m.none()
}

func pauseUnique(r *rig) {
	m := r.minion()
	r.pause(whole)
	task := r.task(keyed("k"))
	r.enqueue(task)
	m.none()
	second := r.task(keyed("k"))
	r.duplicate(r.refused(second), second.ID, task.ID, "k")
	r.canceled(task.ID, broker.CancelPrevented)
	r.eventually("the key is free", func() bool {
		err := r.Broker.Enqueue(r.ctx, []*broker.Task{second})
		if err != nil && !errors.Is(err, broker.ErrDuplicate) {
			r.Fatalf("Enqueue: %v", err)
		}
		m.none()
		return err == nil
	})
	r.goOn(whole)
	m.next(second)
}

func pauseReleased(r *rig) {
	m := r.minion()
	tasks := r.batch(2, blocked)
	r.enqueue(tasks...)
	r.pause(whole)
	r.releases(tasks...)
	m.none()
	r.in(broker.StatePending, idsOf(tasks)...)
	r.goOn(whole)
	r.sameSet(takenOf(m.take(2)), idsOf(tasks))
}

func pauseRequeued(r *rig) {
	m := r.minion()
	task := r.task()
	bury(r, m, task)
	r.pause(whole)
	requeue(r, task.ID)
	m.none()
	r.in(broker.StatePending, task.ID)
	r.goOn(whole)
	m.next(task)
}

// A parked task is not handed out either, to a consumer that can run it.
func pauseParked(r *rig) {
	tasks := r.batch(2)
	r.parks(tasks...)
	r.pause(whole)
	knows := r.knowing("test.task")
	knows.none()
	beat(knows)
	knows.none()
	done := knows.waiting(r.ctx, 1, patience)
	start := time.Now()
	r.goOn(whole)
	ds := append(r.woken(done, start), knows.take(1)...)
	r.sameSet(takenOf(ds), idsOf(tasks))
	knows.settle(knows.succeed(ds[0]), knows.succeed(ds[1]))
	r.parked()
}

func pauseAssign(r *rig) {
	m := r.minion()
	task := r.task(inSquad)
	r.enqueue(task)
	for _, p := range []broker.Pause{whole, ofTask(task.Name)} {
		r.pause(p)
		var batch *broker.BatchError
		if err := r.squads().Assign(r.ctx, m.ID(), []broker.ID{task.ID}); !errors.As(err, &batch) || len(batch.Errs) != 1 || !errors.Is(batch.Errs[0], broker.ErrPaused) {
			r.Fatalf("Assign of a paused task: %v, want a *BatchError with ErrPaused", err)
		}
		m.none()
		r.in(broker.StateBlocked, task.ID)
		r.goOn(p)
	}
	r.assign(m.ID(), []broker.ID{task.ID})
	m.assignments(1)
	r.pause(whole)
	r.assign(m.ID(), []broker.ID{task.ID}) // the consumer holds it already
	m.settle(retry(m.made(task, 1), 0))
	m.none()
	r.goOn(whole)
	if d := m.gets(task); !d.Flow.Squad {
		r.Fatalf("the retry was handed out as %+v", d)
	}
}

func pauseHalted(r *rig) {
	m := r.minion()
	f, members := r.team(2)
	r.enqueue(members...)
	r.pause(whole)
	h := r.halt(f)
	other := r.task()
	r.enqueue(other)
	m.none()
	r.goOn(whole)
	m.next(other)
	m.none()
	r.in(broker.StateBlocked, idsOf(members)...)
	r.pause(whole)
	for _, v := range r.cancel(idsOf(members)...) {
		if v != broker.CancelPrevented {
			r.Fatalf("the verdict of Cancel is %q", v)
		}
	}
	r.confirm(h.Kills...)
	last := r.task()
	r.enqueue(last)
	m.none() // the end of the halt is not the end of the pause
	r.goOn(whole)
	m.next(last)
	m.none()
}

func pauseLanes(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	low, high := r.task(lane(priority(1))), r.task(lane(priority(9), using("l")))
	plain, step := r.task(), r.task(lane(inSequence("s"), priority(8)))
	r.enqueue(low, plain, step)
	r.pause(whole)
	m.none()
	r.enqueue(high)
	m.none()
	r.inUse("l", 0)
	r.goOn(whole)
	m.next(high, step, plain, low)
	m.none()
	r.pause(whole)
	r.enqueue(high, low)
	m.none()
	late := r.task(lane(using("l")))
	r.enqueue(late)
	m.none()
	done := m.waiting(r.ctx, 1, patience)
	start := time.Now()
	r.goOn(whole)
	r.same(takenOf(r.woken(done, start)), []broker.ID{late.ID})
}

func pauseCounted(r *rig) {
	m := r.minion()
	check := func(want broker.QueueInfo) {
		r.Helper()
		want.Name = "q"
		if got := counts(r, "q"); got != want {
			r.Fatalf("the queue is counted as %+v, want %+v", got, want)
		}
	}
	tasks := r.batch(5)
	r.enqueue(tasks...)
	r.enqueue(r.task(after(time.Hour)))
	m.take(2)
	r.pause(whole)
	check(broker.QueueInfo{Pending: 3, Running: 2, Scheduled: 1, Paused: true})
	m.none()
	r.enqueue(r.batch(2)...)
	m.none()
	check(broker.QueueInfo{Pending: 5, Running: 2, Scheduled: 1, Paused: true})
	r.cancel(tasks[4].ID)
	check(broker.QueueInfo{Pending: 4, Running: 2, Scheduled: 1, Paused: true})
	r.pause(ofTask("other"))
	r.goOn(whole)
	check(broker.QueueInfo{Pending: 4, Running: 2, Scheduled: 1})
	m.take(4)
	r.goOn(ofTask("other"))
	check(broker.QueueInfo{Running: 6, Scheduled: 1})
}

// Many tasks wait for the end of a pause, some of them large.
func pauseMany(r *rig) {
	n := 6000
	if r.light {
		n = 600
	}
	m := r.minion()
	tasks := r.batch(n)
	for i := 0; i < n; i += n / 6 {
		tasks[i] = r.task(payload(append([]byte(itoa(i)), make([]byte, 40_000)...)))
	}
	r.enqueue(tasks[:n/2]...)
	r.pause(whole)
	r.enqueue(tasks[n/2:]...)
	m.none()
	r.goOn(whole)
	r.same(takenOf(m.take(n)), idsOf(tasks))
	m.none()
}

func pauseAgain(r *rig) {
	m := r.minion()
	var waiting []*broker.Task
	for i := range 12 {
		waiting = append(waiting, r.batch(1+i%3)...)
		r.enqueue(waiting[len(waiting)-1-i%3:]...)
		r.pause(whole)
		if i%2 == 0 {
			m.none()
		}
		r.goOn(whole)
		m.next(waiting[0])
		waiting = waiting[1:]
	}
	m.next(waiting...)
	m.none()
}

// Consumers, submitters and an operator work at the same time. Nothing is lost, or handed out twice; and
// no task that was enqueued after a pause began is handed out before it ends.
func pauseRaces(r *rig) {
	rounds := 30
	if r.light {
		rounds = 10
	}
	for round := range rounds {
		p := []broker.Pause{whole, ofTask("test.task")}[round%2]
		minions := []*minion{r.minion(), r.minionAt(r.other()), r.minion("q", "r")}
		before, during := r.batch(20), r.batch(10)
		got := make([][]*broker.Delivery, len(minions))
		stop, cancel := context.WithCancel(r.ctx)
		take := func(i int) {
			for stop.Err() == nil {
				ds, err := minions[i].Dequeue(stop, minions[i].queues, 3, time.Minute)
				if err != nil && stop.Err() == nil {
					r.Errorf("Dequeue: %v", err)
					return
				}
				got[i] = append(got[i], ds...)
			}
		}
		fns := append(many(len(minions), take), func() {
			defer cancel()
			r.enqueueing(before)
			if err := r.pauser().Pause(r.ctx, "q", p); err != nil {
				r.Errorf("Pause: %v", err)
			}
			r.enqueueing(during)
			r.idle()
		})
		together(fns...)
		seen := map[broker.ID]bool{}
		for _, ds := range got {
			for _, d := range ds {
				if seen[d.ID] {
					r.Fatalf("round %d: task %s was handed out twice", round, d.ID)
				}
				seen[d.ID] = true
			}
		}
		for _, task := range during {
			if seen[task.ID] {
				r.Fatalf("round %d: task %s was enqueued after %+v was paused, and was handed out", round, task.ID, p)
			}
		}
		r.goOn(p)
		m := minions[0]
		for _, d := range m.take(len(before) + len(during) - len(seen)) {
			if seen[d.ID] {
				r.Fatalf("round %d: task %s was handed out twice", round, d.ID)
			}
			m.settle(m.succeed(d))
		}
		for i, ds := range got {
			for _, d := range ds {
				minions[i].settle(minions[i].succeed(d))
			}
			if i > 0 {
				minions[i].close()
			}
		}
		m.close()
	}
}

// enqueueing is enqueue for another goroutine.
func (r *rig) enqueueing(tasks []*broker.Task) {
	if err := r.Broker.Enqueue(r.ctx, tasks); err != nil {
		r.Errorf("Enqueue: %v", err)
	}
}

func pauseInvalid(r *rig) {
	m := r.minion()
	for what, p := range map[string]broker.Pause{
		"task name":          {Task: "no name"},
		"a key of 256 bytes": {Key: strings.Repeat("k", broker.MaxLaneKey+1)},
		"two pauses":         {Task: "a", Key: "b"},
	} {
		for name, do := range map[string]func(context.Context, string, broker.Pause) error{"Pause": r.pauser().Pause, "Resume": r.pauser().Resume} {
			err := do(r.ctx, "q", p)
			if !errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), what) {
				r.Fatalf("%s(%+v): %v, want ErrInvalid with %q", name, p, err, what)
			}
		}
	}
	_, err := r.pauser().Pauses(r.ctx, "no name")
	for _, err := range []error{err, r.pauser().Pause(r.ctx, "no name", whole), r.pauser().Resume(r.ctx, "no name", whole)} {
		if !errors.Is(err, broker.ErrInvalid) {
			r.Fatalf("the error for a queue whose name is not valid is %v", err)
		}
	}
	r.pauses()
	task := r.task()
	r.enqueue(task)
	m.next(task)
}

func pauseRepeated(r *rig) {
	m := r.minion()
	for _, p := range []broker.Pause{whole, ofTask("test.task")} {
		r.goOn(p) // it is not paused
		r.pause(p)
		r.pause(p)
		task := r.task()
		r.enqueue(task)
		m.none()
		r.goOn(p)
		m.next(task)
		r.goOn(p)
		m.none()
	}
	if err := r.pauser().Resume(r.ctx, "unknown", whole); err != nil {
		r.Fatalf("Resume of an unknown queue: %v", err)
	}
}

func pauseListed(r *rig) {
	r.pauses()
	before := r.Now()
	r.pause(whole)
	after := r.Now()
	list := []broker.Pause{whole, ofTask("a"), ofTask("b"), ofTheKey("a"), ofTheKey("z")}
	for _, p := range []broker.Pause{list[4], list[2], list[1], list[3], list[2]} {
		r.pause(p)
	}
	r.pauses(list...)
	since := func() time.Time {
		infos, err := r.pauser().Pauses(r.ctx, "q")
		if err != nil || len(infos) == 0 {
			r.Fatalf("Pauses: %v, %v", infos, err)
		}
		return infos[0].Since
	}
	const round = 2 * time.Millisecond
	at := since()
	if at.Before(before.Add(-round)) || at.After(after.Add(round)) {
		r.Fatalf("a pause that was set between %v and %v is listed since %v", before, after, at)
	}
	r.Advance(time.Second)
	r.pause(whole)
	if again := since(); !again.Equal(at) {
		r.Fatalf("a pause that was repeated is listed since %v, want %v", again, at)
	}
	r.goOn(ofTask("a"))
	r.goOn(whole)
	r.pauses(list[2:]...)
	if infos, err := r.pauser().Pauses(r.ctx, "unknown"); err != nil || len(infos) != 0 {
		r.Fatalf("Pauses of an unknown queue returned %v, %v", infos, err)
	}
}

// A pause stays until it is resumed, however long the queue has no task and no consumer. It may be
// set before the queue has any.
func pauseStay(r *rig) {
	list := []broker.Pause{whole, ofTask("test.task"), ofTheKey("k")}
	for _, p := range list {
		r.pause(p)
	}
	r.Advance(3 * broker.MaxUnused)
	r.pauses(list...)
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	m.none()
	m.close()
	r.canceled(task.ID, broker.CancelPrevented)
	r.Advance(30 * broker.MaxUnused)
	r.pauses(list...)
	m = r.minion()
	again := r.task()
	r.enqueue(again)
	m.none()
	r.goOn(whole)
	m.none()
	r.goOn(ofTask("test.task"))
	m.next(again)
}

// A queue that was paused is forgotten like any other.
func pauseForgotten(r *rig) {
	m := r.minion()
	r.pause(whole)
	r.pause(ofTask("test.task"))
	tasks := r.batch(5, kept(time.Minute, 0))
	r.enqueue(tasks...)
	m.none()
	r.goOn(whole)
	m.none()
	r.cancel(tasks[4].ID)
	r.goOn(ofTask("test.task"))
	m.next(tasks[:4]...)
	m.close()
	r.Advance(2*time.Hour + 2*broker.MaxUnused)
	r.queuesAre(r.inspector())
}
