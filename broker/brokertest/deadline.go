package brokertest

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A task that is still waiting when its deadline passes expires soon after, in whatever state it
// waits, and even if no consumer serves its queue.
var deadlineTests = []test{
	{"Pending", deadlinePending, 0},
	{"Scheduled", deadlineScheduled, 0},
	{"Blocked", deadlineBlocked, needFlows},
	{"Retrying", deadlineRetrying, 0},
	{"GivenBack", deadlineGivenBack, 0},
	{"GivenBackByClose", deadlineGivenBackByClose, 0},
	{"GivenBackByTheDead", deadlineDead, needLapse},
	{"RunningIsLeftToItsOwner", deadlineRunning, 0},
	{"HasPassed", deadlinePassed, 0},
	{"FreesItsUniqueKey", deadlineUnique, 0},
	{"Arrives", deadlineArrives, needFlows},
	{"ArrivesAtItsConsumer", deadlineArrivesAtConsumer, needFlows},
	{"NotOfARequeuedTask", deadlineRequeued, needInspector},
	{"Repeat", deadlineRepeat, 0},
	{"Many", deadlineMany, 0},
	{"WhileItIsCanceled", deadlineCanceled, 0},
	{"WhileItIsTaken", deadlineTaken, 0},
	{"SeenByAnotherClient", deadlineElsewhere, needReopen},
	{"SeenByAConsumer", deadlineByConsumer, needReopen},
}

// brief is a deadline that is short enough to wait for.
const brief = 50 * time.Millisecond

// expire waits until the tasks have expired.
func (r *rig) expire(tasks ...*broker.Task) {
	r.Helper()
	r.eventually("all tasks have expired", func() bool {
		for _, st := range r.lookup(idsOf(tasks)...) {
			switch {
			case st.State == broker.StateExpired:
			case st.State.Final():
				r.Fatalf("a waiting task past its deadline is %s, want expired", st.State)
			default:
				return false
			}
		}
		return true
	})
}

// expired checks the outcome of a task that expired while it waited.
func (r *rig) expired(o broker.Outcome, task *broker.Task) {
	r.Helper()
	if o.State != broker.StateExpired || o.Name != "" && o.Name != task.Name || !o.Minion.IsZero() || !o.Started.IsZero() ||
		o.Err != nil || len(o.Result) > 0 {
		r.Fatalf("the outcome of an expired task is %+v; want no minion, start, error or result", o)
	}
}

// expires enqueues a task, and checks that it expires and that its inbox gets a notice.
func (r *rig) expires(with ...func(*broker.Task)) *broker.Task {
	r.Helper()
	mail := r.mail()
	task := r.task(append(with, inbox(mail.id))...)
	r.enqueue(task)
	l := mail.take(1)[0]
	if l.ID != task.ID {
		r.Fatalf("the inbox got a notice of task %s, want one of %s", l.ID, task.ID)
	}
	r.expired(l.Outcome, task)
	r.in(broker.StateExpired, task.ID)
	r.expired(r.outcome(task.ID), task)
	mail.none()
	m := r.minion()
	m.none()
	m.close()
	r.canceled(task.ID, broker.CancelTooLate)
	return task
}

func deadlinePending(r *rig) {
	r.expires(within(brief))
	if i, ok := can[broker.Inspector](r.Broker); ok {
		infos, err := i.Queues(r.ctx)
		if err != nil || len(infos) != 1 || infos[0] != (broker.QueueInfo{Name: "q"}) {
			r.Fatalf("after the task expired, Queues returned %+v, %v", infos, err)
		}
	}
}

func deadlineScheduled(r *rig) {
	r.expires(within(brief), after(time.Hour))
	r.expires(within(brief), after(brief-10*time.Millisecond))
}

func deadlineBlocked(r *rig) {
	for _, task := range []*broker.Task{
		r.expires(within(brief), blocked),
		r.expires(within(brief), blocked, after(time.Hour)),
	} {
		if r.waiting(task.ID)[0] != nil {
			r.Fatalf("Blocked returned a task that has expired")
		}
		r.releases(task) // a release of an expired task changes nothing
		r.in(broker.StateExpired, task.ID)
	}
	// A released task keeps its deadline.
	task := r.task(within(4*brief), blocked)
	r.enqueue(task)
	r.releases(task)
	r.expire(task)
}

func deadlineRetrying(r *rig) {
	m := r.minion()
	mail := r.mail()
	for _, again := range []func(d *broker.Delivery, delay time.Duration) broker.Settlement{retry, snooze} {
		task := r.task(within(4*brief), inbox(mail.id))
		r.enqueue(task)
		d := m.take1()
		m.settle(again(d, time.Hour))
		r.expired(mail.take(1)[0].Outcome, task)
		r.in(broker.StateExpired, task.ID)
		m.none()
	}
}

// takenPast returns a delivery whose deadline has passed since a minion took it.
func (r *rig) takenPast(m *minion) *broker.Delivery {
	r.Helper()
	task := r.task(within(4 * brief))
	r.enqueue(task)
	d := m.take1()
	r.pass(6*brief, m)
	r.in(broker.StateRunning, task.ID)
	return d
}

func deadlineGivenBack(r *rig) {
	m := r.minion()
	for _, s := range []func(d *broker.Delivery) broker.Settlement{
		giveBack,
		func(d *broker.Delivery) broker.Settlement { return retry(d, time.Hour) },
		func(d *broker.Delivery) broker.Settlement { return snooze(d, time.Hour) },
	} {
		d := r.takenPast(m)
		m.settle(s(d))
		r.expire(&d.Task)
	}
	m.none()
}

func deadlineGivenBackByClose(r *rig) {
	m := r.minion()
	d := r.takenPast(m)
	m.close()
	r.expire(&d.Task)
}

func deadlineDead(r *rig) {
	dying, m := r.minion(), r.minion()
	task := r.task(within(4 * brief))
	r.enqueue(task)
	dying.take1()
	r.reap([]*minion{m}, dying)
	r.expire(task)
	m.none()
}

// A running task can be settled in any way after its deadline: its owner decides whether the
// handler ended in time.
func deadlineRunning(r *rig) {
	m := r.minion()
	for _, state := range finals {
		d := r.takenPast(m)
		s := m.finish(d, state)
		m.settle(s)
		r.in(state, d.ID)
	}
}

// A deadline that has passed before the task is stored is still a deadline, not the lack of one.
func deadlinePassed(r *rig) {
	for _, d := range []time.Duration{1, time.Microsecond, time.Millisecond - 1, -1, -time.Hour} {
		r.expires(within(d))
		r.expires(within(d), after(time.Hour))
	}
	// A consumer that takes such a task before it expires can see from Left that it must not start
	// it.
	m := r.minion()
	for range 50 {
		task := r.task(within(1))
		r.enqueue(task)
		ds, err := m.Dequeue(r.ctx, m.queues, 1, 0)
		if err != nil {
			r.Fatalf("Dequeue: %v", err)
		}
		for _, d := range ds {
			if d.Left > 0 {
				r.Fatalf("Left is %v for a task whose deadline had passed, want 0 or less", d.Left)
			}
			m.settle(m.finish(d, broker.StateExpired))
		}
		r.expire(task)
	}
}

func deadlineUnique(r *rig) {
	for _, with := range []func(*broker.Task){after(0), after(time.Hour)} {
		r.expires(within(brief), keyed("k"), with)
		next := r.task(keyed("k"))
		r.enqueue(next)
		r.canceled(next.ID, broker.CancelPrevented)
	}
}

// An expired member leaves an arrival in its queue, and an open inbox or a consumer is notified of
// it.
func deadlineArrives(r *rig) {
	mail := r.mail()
	for _, with := range []func(*broker.Task){after(0), after(time.Hour), blocked} {
		_, tasks := r.team(1, within(brief), with)
		r.enqueue(tasks...)
		ctx, cancel := context.WithTimeout(r.ctx, patience)
		for arrived := false; !arrived; {
			got, err := mail.Receive(ctx)
			if err != nil {
				r.Fatalf("no mail in an open inbox reports the arrival: %v", err)
			}
			arrived = got.Flows.Arrivals
		}
		cancel()
		for _, queue := range []string{"", "q"} {
			a := r.arrivals(queue, 1)[0]
			r.isArrival(a, tasks[0])
			r.expired(a.Outcome, tasks[0])
		}
		r.confirm(r.arrivals("", 1)...)
		r.arrivals("", 0)
	}
}

func deadlineArrivesAtConsumer(r *rig) {
	m := r.minion()
	_, tasks := r.team(1, within(brief), after(time.Hour))
	r.enqueue(tasks...)
	r.eventually("OnArrivals is called for the arrival", func() bool { return m.hears("q") })
	a := r.arrivals("q", 1)[0]
	r.isArrival(a, tasks[0])
	r.expired(a.Outcome, tasks[0])
}

func deadlineRequeued(r *rig) {
	m := r.minion()
	task, witness := r.task(within(4*brief)), r.task(within(5*brief), after(time.Hour))
	bury(r, m, task)
	r.enqueue(witness)
	requeue(r, task.ID)
	r.expire(witness)
	r.in(broker.StatePending, task.ID)
	m.settle(m.succeed(m.take1()))
	r.in(broker.StateSucceeded, task.ID)
}

func deadlineRepeat(r *rig) {
	task := r.expires(within(brief))
	r.enqueue(task)
	r.in(broker.StateExpired, task.ID)
	other := *task
	other.Payload = []byte("other")
	r.is(r.refused(&other), broker.ErrDuplicate)
}

func deadlineMany(r *rig) {
	const n = 500
	mail := r.mail()
	tasks := r.batch(n, within(4*brief), inbox(mail.id))
	for i, t := range tasks {
		if i%2 == 1 {
			t.Delay = time.Hour
		}
	}
	r.enqueue(tasks...)
	var arrived []broker.ID
	for _, l := range mail.take(n) {
		if l.Outcome.State != broker.StateExpired {
			r.Fatalf("the inbox got a notice that task %s is %s", l.ID, l.Outcome.State)
		}
		arrived = append(arrived, l.ID)
	}
	r.sameSet(arrived, idsOf(tasks))
	mail.none()
	r.in(broker.StateExpired, idsOf(tasks)...)
	r.minion().none()
}

// Each task ends once, and its inbox gets one notice.
func deadlineCanceled(r *rig) {
	mail := r.mail()
	other := r.other()
	tasks := r.batch(20, within(brief), inbox(mail.id))
	r.enqueue(tasks...)
	canceled := make([]bool, len(tasks))
	together(many(len(tasks), func(i int) {
		time.Sleep(time.Duration(i%8) * brief / 4)
		v, err := other.Cancel(r.ctx, []broker.ID{tasks[i].ID})
		if err != nil {
			r.Errorf("Cancel: %v", err)
			return
		}
		canceled[i] = v[0] == broker.CancelPrevented
	})...)
	states := map[broker.ID]broker.State{}
	for _, l := range mail.take(len(tasks)) {
		states[l.ID] = l.Outcome.State
	}
	mail.none()
	for i, t := range tasks {
		want := broker.StateExpired
		if canceled[i] {
			want = broker.StateCanceled
		}
		if states[t.ID] != want {
			r.Fatalf("the notice of task %d says %s, want %s", i, states[t.ID], want)
		}
		r.in(want, t.ID)
	}
}

// A taken task does not expire, and an expired task is not taken.
func deadlineTaken(r *rig) {
	m := r.minion()
	tasks := r.batch(60, within(brief))
	r.enqueue(tasks...)
	taken := map[broker.ID]bool{}
	for len(taken) < len(tasks)/2 {
		ds, err := m.Dequeue(r.ctx, m.queues, 1, 0)
		if err != nil {
			r.Fatalf("Dequeue: %v", err)
		}
		if len(ds) == 0 { // the other tasks have expired
			break
		}
		taken[ds[0].ID] = true
		time.Sleep(brief / 20)
	}
	var rest []*broker.Task
	for _, t := range tasks {
		if !taken[t.ID] {
			rest = append(rest, t)
		}
	}
	r.expire(rest...)
	m.none()
	for id := range taken {
		r.in(broker.StateRunning, id)
	}
}

// The process that sent the task has ended. It is enough that another client asks for the task.
func deadlineElsewhere(r *rig) {
	b := r.Reopen(r.TB)
	task := r.task(within(4*brief), after(time.Hour))
	if err := b.Enqueue(r.ctx, []*broker.Task{task}); err != nil {
		r.Fatalf("Enqueue: %v", err)
	}
	if err := b.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	r.in(broker.StateScheduled, task.ID)
	r.expire(task)
}

// The same, but a busy consumer of the queue ends the task.
func deadlineByConsumer(r *rig) {
	b := r.Reopen(r.TB)
	m := r.minion()
	mail := r.mail()
	task := r.task(within(brief), after(time.Hour), inbox(mail.id))
	if err := b.Enqueue(r.ctx, []*broker.Task{task}); err != nil {
		r.Fatalf("Enqueue: %v", err)
	}
	if err := b.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	beat(m)
	r.expired(mail.take(1)[0].Outcome, task)
}
