package brokertest

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// broker.Parker: a task that a consumer can't run waits for a consumer that can.
func parkTests() []test {
	tests := []test{
		{"Waits", parkWaits, 0},
		{"TakenAtOnce", parkTakenAtOnce, 0},
		{"TakenAtOnceElsewhere", parkTakenElsewhere, needReopen},
		{"TakenByNewcomer", parkTakenByNewcomer, 0},
		{"TakenBeforePendingTasks", parkTakenFirst, 0},
		{"NotTwiceByTheSameConsumer", parkNeverTwice, 0},
		{"ManyAndLarge", parkMany, 0},
		{"ManyNeeds", parkManyNeeds, 0},
		{"OverdueForAnybody", parkOverdue, 0},
		{"OverdueIsOver", parkOverdueIsOver, 0},
		{"OverdueRequeued", parkOverdueRequeued, needInspector},
		{"Cancel", parkCancel, 0},
		{"CancelOfRunning", parkCanceled, 0},
		{"KeepsItsUniqueKey", parkUnique, 0},
		{"Counts", parkCounts, needInspector},
		{"Repeated", parkRepeated, 0},
		{"Refused", parkRefused, 0},
		{"TakerCloses", parkTakerCloses, 0},
		{"TakerDies", parkTakerDies, needLapse},
		{"Races", parkRaces, 0},
		{"MemberOfAFlow", parkMember, needFlows},
		{"Expires", parkExpires, 0},
	}
	tests = append(tests, abandonedTests...)
	for i := range tests {
		tests[i].needs |= needParker
	}
	return tests
}

// parkedOf returns what Parked must report for n tasks with the need of t.
func parkedOf(t *broker.Task, n int) broker.Parked {
	return broker.Parked{Need: broker.NeedOf(t), Tasks: n}
}

func named(name string) func(*broker.Task) { return func(t *broker.Task) { t.Name = name } }

func schema(hash uint64) func(*broker.Task) { return func(t *broker.Task) { t.Schema = hash } }

// knowing opens a consumer of the queues, or of "q" if none is given, that knows the task name.
func (r *rig) knowing(name string, queues ...string) *minion {
	r.Helper()
	return r.knowingAt(r.Broker, name, queues...)
}

func (r *rig) knowingAt(b broker.Broker, name string, queues ...string) *minion {
	r.Helper()
	return r.consumer(b, func(cfg *broker.ConsumerConfig) { cfg.Tasks = map[string]uint64{name: 1} }, queues...)
}

func park(d *broker.Delivery, limit time.Duration) broker.Settlement {
	return broker.Settlement{Delivery: d, Verb: broker.VerbPark, Delay: limit}
}

// parks enqueues tasks, and lets a consumer that knows no task name park them for an hour.
func (r *rig) parks(tasks ...*broker.Task) {
	r.Helper()
	m := r.minion()
	r.enqueue(tasks...)
	for left := len(tasks); left > 0; {
		var batch []broker.Settlement
		for _, d := range m.take(min(left, 500)) {
			batch = append(batch, park(d, time.Hour))
		}
		m.settle(batch...)
		left -= len(batch)
	}
	m.close()
}

// parked checks the parked tasks of queue "q".
func (r *rig) parked(want ...broker.Parked) {
	r.Helper()
	got, err := r.parker().Parked(r.ctx, "q")
	if err != nil {
		r.Fatalf("Parked: %v", err)
	}
	slices.SortFunc(want, func(x, y broker.Parked) int { return x.Need.Compare(y.Need) })
	if !slices.Equal(got, want) {
		r.Fatalf("Parked returned %+v, want %+v", got, want)
	}
}

func parkWaits(r *rig) {
	m, other := r.minion(), r.knowing("test.other")
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	before := r.Now()
	m.settle(park(d, time.Hour))
	after := r.Now()
	st := r.lookup(task.ID)[0]
	if st.State != broker.StateParked || st.Attempt != 1 || st.Queue != "q" {
		r.Fatalf("Lookup returned %+v, want it parked after attempt 1", st)
	}
	const round = 2 * time.Millisecond
	if st.Due.Before(before.Add(time.Hour-round)) || st.Due.After(after.Add(time.Hour+round)) {
		r.Fatalf("a task that was parked for an hour at %v has the due time %v", before, st.Due)
	}
	r.parked(parkedOf(task, 1))
	m.none()
	other.none()
	r.minion("q", "r").none()
	beat(m, other)
	m.none()
	r.in(broker.StateParked, task.ID)
	for _, unknown := range []string{"nobody"} {
		if got, err := r.parker().Parked(r.ctx, unknown); len(got) > 0 || err != nil {
			r.Fatalf("Parked of an unknown queue returned %+v, %v", got, err)
		}
	}
	if _, err := r.parker().Parked(r.ctx, "no name"); !errors.Is(err, broker.ErrInvalid) {
		r.Fatalf("Parked of an invalid queue name returned %v, want ErrInvalid", err)
	}
}

func parkTakenAtOnce(r *rig) { parkTaken(r, r.Broker) }

func parkTakenElsewhere(r *rig) { parkTaken(r, r.other()) }

// A waiting consumer gets the tasks that another consumer parks, whether it serves one queue or
// several, and every time.
func parkTaken(r *rig, b broker.Broker) {
	m := r.minion()
	for _, queues := range [][]string{{"q"}, {"r", "q"}} {
		knows := r.knowingAt(b, "test.task", queues...)
		for range 3 {
			task := r.task()
			r.enqueue(task)
			d := m.take1()
			done := knows.waiting(r.ctx, 5, patience)
			start := time.Now()
			m.settle(park(d, time.Hour))
			got := r.woken(done, start)
			r.same(takenOf(got), []broker.ID{task.ID})
			r.attempt(got[0], 2, 0, 0)
			if got[0].Overdue {
				r.Fatalf("a task that was parked for an hour is handed out at once, but is marked as overdue")
			}
			knows.equals(got[0], task)
			r.in(broker.StateRunning, task.ID)
			r.parked()
			knows.settle(knows.succeed(got[0]))
			r.in(broker.StateSucceeded, task.ID)
		}
		knows.close()
	}
}

func parkTakenByNewcomer(r *rig) {
	for _, queues := range [][]string{{"q"}, {"r", "q"}} {
		tasks := r.batch(3)
		r.parks(tasks...)
		r.minion().none()
		got := r.knowing("test.task", queues...).take(3)
		r.sameSet(takenOf(got), idsOf(tasks))
		r.parked()
	}
}

func parkTakenFirst(r *rig) {
	parked, pending := r.task(), r.task()
	r.parks(parked)
	r.enqueue(pending)
	r.same(takenOf(r.knowing("test.task").take(2)), []broker.ID{parked.ID, pending.ID})
}

// A consumer that knows the name and has parked a task gets no other task with the same need from
// the parked ones. Otherwise the two would go on without end. It gets tasks with other needs.
func parkNeverTwice(r *rig) {
	m := r.knowing("test.task")
	one, same, other, codec := r.task(schema(7)), r.task(schema(7)), r.task(schema(8)), r.task(schema(7))
	codec.Codec = "morse"
	r.enqueue(one)
	m.settle(park(m.take1(), time.Hour))
	m.none()
	r.parks(same, other, codec)
	r.sameSet(takenOf(m.take(2)), []broker.ID{other.ID, codec.ID})
	m.none()
	beat(m)
	m.none()
	r.parked(parkedOf(one, 2))
	r.enqueue(r.task(schema(7))) // pending tasks are handed to every consumer
	m.take1()
	r.sameSet(takenOf(r.knowing("test.task").take(2)), []broker.ID{one.ID, same.ID})
}

func parkMany(r *rig) {
	tasks := r.batch(1200)
	for i, task := range tasks {
		if i%300 == 0 {
			task.Payload = append([]byte(itoa(i)), make([]byte, 20_000)...)
		}
	}
	r.parks(tasks...)
	r.parked(parkedOf(tasks[0], len(tasks)))
	m := r.knowing("test.task")
	got := m.take(len(tasks))
	byID := map[broker.ID]*broker.Task{}
	for _, task := range tasks {
		byID[task.ID] = task
	}
	batch := make([]broker.Settlement, len(got))
	for i, d := range got {
		m.equals(d, byID[d.ID])
		delete(byID, d.ID)
		batch[i] = m.succeed(d)
	}
	if len(byID) > 0 {
		r.Fatalf("%d parked tasks were not handed out", len(byID))
	}
	m.settle(batch...)
	r.in(broker.StateSucceeded, idsOf(tasks)...)
	r.parked()
}

func parkManyNeeds(r *rig) {
	const n = 150
	var want []broker.Parked
	var mine []broker.ID
	var tasks []*broker.Task
	for i := range n {
		for _, name := range []string{"test.task", "test.other"} {
			task := r.task(named(name), schema(uint64(i)<<56|1))
			tasks = append(tasks, task)
			if name == "test.task" {
				mine = append(mine, task.ID)
			} else {
				want = append(want, parkedOf(task, 1))
			}
		}
	}
	r.parks(tasks...)
	m := r.knowing("test.task")
	r.sameSet(takenOf(m.take(n)), mine)
	m.none()
	r.parked(want...)
}

// overdue parks a task, and returns its delivery after its time there is over.
func (r *rig) overdue(m *minion, task *broker.Task) *broker.Delivery {
	r.Helper()
	r.enqueue(task)
	from := time.Now().Add(60 * time.Millisecond)
	m.settle(park(m.take1(), 60*time.Millisecond))
	return m.arrive(task.ID, from, time.Now().Add(60*time.Millisecond))
}

func parkOverdue(r *rig) {
	m := r.minion()
	task := r.task()
	d := r.overdue(m, task)
	r.attempt(d, 2, 0, 0)
	if !d.Overdue {
		r.Fatalf("a parked task whose time is over is not marked as overdue")
	}
	r.parked()
	m.settle(giveBack(d))
	if d = m.take1(); !d.Overdue {
		r.Fatalf("after it was given back the task is not marked as overdue")
	}
	m.settle(park(d, time.Hour))
	r.in(broker.StateParked, task.ID)
	d = r.knowing("test.task").take1()
	r.same([]broker.ID{d.ID}, []broker.ID{task.ID})
	if d.Overdue {
		r.Fatalf("a task that was parked again is still marked as overdue")
	}
}

func parkOverdueIsOver(r *rig) {
	m := r.minion()
	for i, verb := range []broker.Verb{broker.VerbRetry, broker.VerbSnooze, broker.VerbRetry, broker.VerbSnooze} {
		d := r.overdue(m, r.task())
		m.settle(broker.Settlement{Delivery: d, Verb: verb, Delay: time.Duration(i/2) * 20 * time.Millisecond})
		r.in(cmp.Or(map[int]broker.State{1: broker.StateRetrying}[i/2], broker.StatePending), d.ID)
		again := m.take1()
		if again.ID != d.ID || again.Overdue {
			r.Fatalf("after a retry or snooze the task is still marked as overdue")
		}
		m.settle(m.succeed(again))
	}
}

func parkOverdueRequeued(r *rig) {
	m := r.minion()
	d := r.overdue(m, r.task())
	m.settle(m.finish(d, broker.StateFailed))
	requeue(r, d.ID)
	if d = m.take1(); d.Overdue {
		r.Fatalf("a requeued dead letter is still marked as overdue")
	}
	m.settle(park(d, time.Hour))
	r.in(broker.StateParked, d.ID)
}

func parkCancel(r *rig) {
	tasks := r.batch(3, keyed(""))
	r.parks(tasks...)
	mail := r.mail()
	watched := r.task(inbox(mail.id), keyed("k"))
	r.parks(watched)
	r.canceled(watched.ID, broker.CancelPrevented)
	r.in(broker.StateCanceled, watched.ID)
	if got := mail.take(1); got[0].ID != watched.ID {
		r.Fatalf("the inbox got a notice of task %s, want one of %s", got[0].ID, watched.ID)
	}
	r.canceled(watched.ID, broker.CancelTooLate)
	r.enqueue(r.task(keyed("k"), after(time.Hour)))
	r.parked(parkedOf(tasks[0], 3))
	r.canceled(tasks[1].ID, broker.CancelPrevented)
	r.parked(parkedOf(tasks[0], 2))
	r.sameSet(takenOf(r.knowing("test.task").take(2)), []broker.ID{tasks[0].ID, tasks[2].ID})
}

// A task that was cancelled while it ran is not parked.
func parkCanceled(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	r.canceled(task.ID, broker.CancelRequested)
	m.settle(park(d, time.Hour))
	r.in(broker.StateCanceled, task.ID)
	r.parked()
}

func parkUnique(r *rig) {
	task := r.task(keyed("k"))
	r.parks(task)
	second := r.task(keyed("k"))
	r.duplicate(r.refused(second), second.ID, task.ID, "k")
	m := r.knowing("test.task")
	m.settle(m.succeed(m.take1()))
	r.enqueue(second)
}

func parkCounts(r *rig) {
	tasks := r.batch(4)
	r.parks(tasks...)
	r.enqueue(r.batch(2, after(time.Hour))...)
	check := func(want broker.QueueInfo) {
		r.Helper()
		want.Name = "q"
		if got := counts(r, "q"); got != want {
			r.Fatalf("the queue is counted as %+v, want %+v", got, want)
		}
	}
	check(broker.QueueInfo{Parked: 4, Scheduled: 2})
	r.canceled(tasks[3].ID, broker.CancelPrevented)
	check(broker.QueueInfo{Parked: 3, Scheduled: 2})
	m := r.knowing("test.task")
	m.settle(m.succeed(m.take1()))
	check(broker.QueueInfo{Parked: 2, Scheduled: 2})
	m.take1()
	check(broker.QueueInfo{Parked: 1, Running: 1, Scheduled: 2})
}

// A settlement with VerbPark is repeated because its reply was lost. The repeat has no effect.
func parkRepeated(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	s := park(m.take1(), time.Hour)
	m.settle(s)
	if err := m.settled(s)[0]; err != nil && !errors.Is(err, broker.ErrLeaseLost) {
		r.Fatalf("repeated: %v", err)
	}
	r.parked(parkedOf(task, 1))
	knows := r.knowing("test.task")
	d := knows.take1()
	r.attempt(d, 2, 0, 0)
	for _, err := range m.settled(s, s) {
		if err != nil && !errors.Is(err, broker.ErrLeaseLost) {
			r.Fatalf("the repeat of a park, while another consumer holds the task, returned %v", err)
		}
	}
	r.in(broker.StateRunning, task.ID)
	knows.settle(knows.succeed(d))
	r.parked()
}

func parkRefused(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	for _, delay := range []time.Duration{0, -time.Second, broker.MaxDuration + 1} {
		r.is(m.settled(park(d, delay))[0], broker.ErrInvalid)
	}
	r.in(broker.StateRunning, task.ID)
	r.is(r.minion().settled(park(d, time.Hour))[0], broker.ErrLeaseLost)
	m.settle(park(d, broker.MaxDuration))
	r.in(broker.StateParked, task.ID)
}

// A consumer takes a parked task and closes without settling it. The task is pending again, for
// every consumer.
func parkTakerCloses(r *rig) {
	task := r.task()
	r.parks(task)
	knows := r.knowing("test.task")
	knows.take1()
	knows.close()
	r.in(broker.StatePending, task.ID)
	r.parked()
	d := r.minion().take1()
	r.attempt(d, 3, 0, 0)
}

func parkTakerDies(r *rig) {
	task := r.task()
	r.parks(task)
	m, knows := r.minion(), r.knowing("test.task")
	knows.take1()
	r.reap([]*minion{m}, knows)
	r.back([]broker.ID{task.ID}, m)
	d := m.take1()
	r.attempt(d, 3, 0, 1)
	m.settle(park(d, time.Hour))
	r.in(broker.StateParked, task.ID)
}

// Some consumers park every task that they get, others run it. Each task must end once.
func parkRaces(r *rig) {
	n := 300
	if r.light {
		n = 60
	}
	tasks := r.batch(n)
	r.enqueue(tasks...)
	ended := make(chan broker.ID, 2*n)
	var workers []func()
	stop := make(chan struct{})
	for i := range 4 {
		knows := i%2 == 0
		m := r.consumer(r.Broker, func(cfg *broker.ConsumerConfig) {
			if knows {
				cfg.Tasks = map[string]uint64{"test.task": 1}
			}
		})
		workers = append(workers, func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := m.Heartbeat(r.ctx, broker.Load{}); err != nil {
					r.Errorf("Heartbeat: %v", err)
					return
				}
				ds, err := m.Dequeue(r.ctx, m.queues, 7, 20*time.Millisecond)
				if err != nil {
					r.Errorf("Dequeue: %v", err)
					return
				}
				var batch []broker.Settlement
				for _, d := range ds {
					s := park(d, time.Hour)
					if knows {
						s = m.succeed(d)
					}
					batch = append(batch, s)
				}
				errs, err := m.Settle(r.ctx, batch)
				if err = errors.Join(err, errors.Join(errs...)); err != nil {
					r.Errorf("Settle: %v", err)
					return
				}
				if knows {
					for _, d := range ds {
						ended <- d.ID
					}
				}
			}
		})
	}
	workers = append(workers, func() {
		defer close(stop)
		left := time.NewTimer(patience)
		defer left.Stop()
		seen := map[broker.ID]bool{}
		for len(seen) < n {
			select {
			case id := <-ended:
				if seen[id] {
					r.Errorf("task %s was run twice", id)
				}
				seen[id] = true
			case <-left.C:
				r.Errorf("only %d of %d tasks have ended", len(seen), n)
				return
			}
		}
	})
	together(workers...)
	r.in(broker.StateSucceeded, idsOf(tasks)...)
	r.parked()
}

func parkMember(r *rig) {
	_, tasks := r.team(2)
	r.parks(tasks...)
	r.canceled(tasks[0].ID, broker.CancelPrevented)
	a := r.arrivals("q", 1)[0]
	r.isArrival(a, tasks[0])
	r.confirm(a)
	m := r.knowing("test.task")
	s := m.succeed(m.take1())
	m.settle(s)
	r.arrived(tasks[1], s.Outcome)
}

// A parked task whose deadline passes expires, and Parked does not report it any more. The same
// holds for a task that is parked after its deadline.
func parkExpires(r *rig) {
	mail := r.mail()
	task := r.task(within(4*brief), inbox(mail.id), keyed("k"))
	stays := r.task(named("test.stays"))
	r.parks(task, stays)
	r.expired(mail.take(1)[0].Outcome, task)
	r.in(broker.StateExpired, task.ID)
	r.parked(parkedOf(stays, 1))
	r.enqueue(r.task(keyed("k"), after(time.Hour)))
	m := r.minion()
	d := r.takenPast(m)
	m.settle(park(d, time.Hour))
	r.expire(&d.Task)
	r.parked(parkedOf(stays, 1))
	r.knowing("test.task").none()
}
