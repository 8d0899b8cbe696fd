package brokertest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// broker.Steps: the saved state of tasks that are not over.
func stepTests() []test {
	tests := []test{
		{"SaveAndLoad", stepSave, 0},
		{"Replaced", stepReplaced, 0},
		{"OfOtherTasks", stepOthers, 0},
		{"Bytes", stepBytes, 0},
		{"NextAttempts", stepAttempts, 0},
		{"StaleAttempt", stepStale, 0},
		{"AfterALostLease", stepLostLease, needLapse},
		{"EndsWithTheTask", stepEnds, 0},
		{"DeadLetterKeepsThem", stepRequeue, needInspector},
		{"DropSteps", stepDrop, needInspector},
		{"DropStepsOfNoLetter", stepDropNothing, needInspector},
		{"ForgottenWithTheId", stepForgotten, needJump},
		{"WaitForgottenWithTheId", waitForgotten, needJump},
		{"Waits", stepWaits, needJump},
		{"Limits", stepLimits, 0},
		{"TooMany", stepTooMany, needHeavy},
		{"Invalid", stepInvalid, 0},
		{"SignalBeforeTheStart", signalBefore, 0},
		{"SignalWhileItRuns", signalRunning, 0},
		{"SignalWakes", signalWakes, 0},
		{"SignalBetweenLoadAndSnooze", signalBetween, 0},
		{"SignalOfAnotherName", signalOther, 0},
		{"SignalDoesNotCutARetryShort", signalRetry, 0},
		{"SignalAgain", signalAgain, 0},
		{"SignalToNoTask", signalNobody, 0},
		{"SignalsAtOnce", signalsAtOnce, 0},
	}
	for i := range tests {
		tests[i].needs |= needSteps
	}
	return tests
}

func (r *rig) state() broker.Steps { return &watchedSteps{raw(r.Broker).(broker.Steps), r.dog} }

type watchedSteps struct {
	b   broker.Steps
	dog *watchdog
}

func (s *watchedSteps) SaveStep(ctx context.Context, d *broker.Delivery, step broker.Step) error {
	return s.dog.do("SaveStep", func() error { return s.b.SaveStep(ctx, d, step) })
}

func (s *watchedSteps) LoadSteps(ctx context.Context, d *broker.Delivery) (broker.Saved, error) {
	return ask(s.dog, "LoadSteps", func() (broker.Saved, error) { return s.b.LoadSteps(ctx, d) })
}

func (s *watchedSteps) Signal(ctx context.Context, id broker.ID, signal broker.Signal) error {
	return s.dog.do("Signal", func() error { return s.b.Signal(ctx, id, signal) })
}

func (s *watchedSteps) DropSteps(ctx context.Context, id broker.ID, from string) error {
	return s.dog.do("DropSteps", func() error { return s.b.DropSteps(ctx, id, from) })
}

// save saves a step, which must succeed.
func (r *rig) save(d *broker.Delivery, name, data string) {
	r.Helper()
	if err := r.state().SaveStep(r.ctx, d, broker.Step{Name: name, Data: []byte(data)}); err != nil {
		r.Fatalf("SaveStep of %s: %v", name, err)
	}
}

// load returns the saved state of a task, sorted by name.
func (r *rig) load(d *broker.Delivery) broker.Saved {
	r.Helper()
	saved, err := r.state().LoadSteps(r.ctx, d)
	if err != nil {
		r.Fatalf("LoadSteps: %v", err)
	}
	slices.SortFunc(saved.Steps, func(a, b broker.Step) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(saved.Signals, func(a, b broker.Signal) int { return cmp.Compare(a.Name, b.Name) })
	return saved
}

// has checks the steps of a task: names and data in turn, sorted by name.
func (r *rig) has(d *broker.Delivery, want ...string) {
	r.Helper()
	var got []string
	for _, s := range r.load(d).Steps {
		got = append(got, s.Name, string(s.Data))
	}
	if !slices.Equal(got, want) {
		r.Fatalf("the task has the steps %q, want %q", got, want)
	}
}

// signal returns a new signal.
func (r *rig) signal(name, data string) broker.Signal {
	return broker.Signal{ID: broker.NewID(broker.KindParty, "", 0), Name: name, Codec: "json", Data: []byte(data)}
}

// send gives a task a signal, which must succeed.
func (r *rig) send(id broker.ID, s broker.Signal) {
	r.Helper()
	if err := r.state().Signal(r.ctx, id, s); err != nil {
		r.Fatalf("Signal %s: %v", s.Name, err)
	}
}

// signaled checks the signals of a task, sorted by name.
func (r *rig) signaled(d *broker.Delivery, want ...broker.Signal) {
	r.Helper()
	got := r.load(d).Signals
	if !slices.EqualFunc(got, want, func(a, b broker.Signal) bool {
		return a.ID == b.ID && a.Name == b.Name && a.Codec == b.Codec && bytes.Equal(a.Data, b.Data)
	}) {
		r.Fatalf("the task has the signals %v, want %v", got, want)
	}
}

// fails checks an error of a step or signal.
func (r *rig) fails(err, want error, what string) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Fatalf("%s: error %v, want %v", what, err, want)
	}
}

// awaiting returns a snooze that waits for a signal.
func awaiting(d *broker.Delivery, delay time.Duration, signal string) broker.Settlement {
	s := snooze(d, delay)
	s.Await = signal
	return s
}

func stepSave(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	r.has(d)
	r.save(d, "b", "two")
	r.save(d, "a", "one")
	r.save(d, "c", "")
	r.has(d, "a", "one", "b", "two", "c", "")
}

func stepReplaced(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	for _, data := range []string{"1", "a longer one", "", "2", "2"} {
		r.save(d, "cursor", data)
		r.has(d, "cursor", data)
	}
}

func stepOthers(r *rig) {
	m := r.minion()
	r.enqueue(r.batch(3)...)
	ds := m.take(3)
	for i, d := range ds {
		r.save(d, "a", strconv.Itoa(i))
	}
	m.settle(m.succeed(ds[1]))
	r.has(ds[0], "a", "0")
	r.has(ds[2], "a", "2")
}

func stepBytes(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	data := make([]byte, 0, 300)
	for i := range 300 {
		data = append(data, byte(i))
	}
	r.save(d, "a", string(data))
	s := r.signal("a", string(data))
	r.send(d.ID, s)
	r.has(d, "a", string(data))
	r.signaled(d, s)
	got := r.load(d)
	got.Steps[0].Data[0]++ // the caller may change what it gets
	r.has(d, "a", string(data))
}

// The state stays through all that can happen to a task before it is over.
func stepAttempts(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	var want []string
	for i, end := range []func(d *broker.Delivery) broker.Settlement{
		func(d *broker.Delivery) broker.Settlement { return retry(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return retry(d, time.Millisecond) },
		func(d *broker.Delivery) broker.Settlement { return snooze(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return snooze(d, time.Millisecond) },
		giveBack,
	} {
		name := "step" + strconv.Itoa(i)
		r.save(d, name, name)
		want = append(want, name, name)
		m.settle(end(d))
		d = m.take1()
		r.has(d, want...)
	}
	m.close()
	m = r.minion()
	d = m.take1()
	r.has(d, want...)
}

// Only the owner of the attempt saves and reads state.
func stepStale(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	r.save(d, "a", "old")
	m.settle(retry(d, 0))
	stale := func() {
		r.Helper()
		r.fails(r.state().SaveStep(r.ctx, d, broker.Step{Name: "a", Data: []byte("stale")}), broker.ErrLeaseLost, "SaveStep of an earlier attempt")
		_, err := r.state().LoadSteps(r.ctx, d)
		r.fails(err, broker.ErrLeaseLost, "LoadSteps of an earlier attempt")
	}
	stale()
	again := m.take1()
	stale()
	r.has(again, "a", "old")
	r.save(again, "a", "new")
	stale()
	r.has(again, "a", "new")
	m.settle(m.succeed(again))
	stale()
	foreign := *again
	foreign.Minion = r.minion().ID()
	r.fails(r.state().SaveStep(r.ctx, &foreign, broker.Step{Name: "a"}), broker.ErrLeaseLost, "SaveStep of another minion")
}

func stepLostLease(r *rig) {
	dead := r.minion()
	r.enqueue(r.task())
	d := dead.take1()
	r.save(d, "a", "1")
	r.Advance(r.Lease + r.Slack)
	m := r.minion()
	r.back([]broker.ID{d.ID}, m)
	again := m.take1()
	r.fails(r.state().SaveStep(r.ctx, d, broker.Step{Name: "a", Data: []byte("late")}), broker.ErrLeaseLost, "SaveStep after the lease was lost")
	r.has(again, "a", "1")
}

// A task that is sent again under its id, after its end was forgotten, begins without state. Until then it is
// not sent again.
func stepEnds(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	r.save(d, "a", "1")
	r.send(d.ID, r.signal("s", "1"))
	m.settle(m.succeed(d))
	r.fails(r.state().Signal(r.ctx, d.ID, r.signal("t", "1")), broker.ErrEnded, "Signal to a task that has succeeded")
	r.fails(r.state().SaveStep(r.ctx, d, broker.Step{Name: "a"}), broker.ErrLeaseLost, "SaveStep for a task that has succeeded")
}

func stepRequeue(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	r.save(d, "a", "1")
	s := r.signal("s", "x")
	r.send(d.ID, s)
	m.settle(m.finish(d, broker.StateFailed))
	r.fails(r.state().Signal(r.ctx, d.ID, r.signal("t", "1")), broker.ErrEnded, "Signal to a dead letter")
	if errs, err := r.inspector().Requeue(r.ctx, []broker.ID{task.ID}); err != nil || errs[0] != nil {
		r.Fatalf("Requeue: %v, %v", errs, err)
	}
	d = m.take1()
	r.has(d, "a", "1")
	r.signaled(d, s)
	r.save(d, "b", "2")
	r.has(d, "a", "1", "b", "2")
}

// A dead letter that is requeued after DropSteps takes the step again, and those behind it. A step that was
// replaced keeps its place. What is dropped makes room.
func stepDrop(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	big := string(make([]byte, broker.MaxStepBytes/2))
	for _, name := range []string{"c", "a", "d", "b"} {
		r.save(d, name, "1")
	}
	s := r.signal("s", "x")
	r.send(d.ID, s)
	r.save(d, "e", big)
	r.save(d, "c", "2")
	m.settle(m.finish(d, broker.StateFailed))
	if err := r.state().DropSteps(r.ctx, task.ID, "d"); err != nil {
		r.Fatalf("DropSteps: %v", err)
	}
	r.fails(r.state().DropSteps(r.ctx, task.ID, "d"), broker.ErrNotFound, "DropSteps again")
	if errs, err := r.inspector().Requeue(r.ctx, []broker.ID{task.ID}); err != nil || errs[0] != nil {
		r.Fatalf("Requeue: %v, %v", errs, err)
	}
	d = m.take1()
	r.has(d, "a", "1", "c", "2")
	r.signaled(d, s)
	r.save(d, "e", big)
	r.save(d, "f", big[:len(big)-100])
	r.has(d, "a", "1", "c", "2", "e", big, "f", big[:len(big)-100])
}

func stepDropNothing(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	r.save(d, "a", "1")
	r.fails(r.state().DropSteps(r.ctx, task.ID, "a"), broker.ErrNotFound, "DropSteps of a task that runs")
	m.settle(m.finish(d, broker.StateFailed))
	r.fails(r.state().DropSteps(r.ctx, task.ID, "b"), broker.ErrNotFound, "DropSteps of a step that was not saved")
	r.fails(r.state().DropSteps(r.ctx, r.task().ID, "a"), broker.ErrNotFound, "DropSteps of an unknown task")
	r.fails(r.state().DropSteps(r.ctx, task.ID, "a b"), broker.ErrInvalid, "DropSteps of an invalid name")
	if errs, err := r.inspector().Requeue(r.ctx, []broker.ID{task.ID}); err != nil || errs[0] != nil {
		r.Fatalf("Requeue: %v, %v", errs, err)
	}
	r.has(m.take1(), "a", "1")
}

// However a task ends, a later one with its id has none of its state.
func stepForgotten(r *rig) {
	m := r.minion()
	const short = time.Minute
	tasks := r.batch(4, kept(short, short))
	r.enqueue(tasks...)
	for i, d := range m.take(4) {
		r.save(d, "a", "1")
		r.send(d.ID, r.signal("s", "1"))
		switch i {
		case 0:
			m.settle(m.succeed(d))
		case 1:
			m.settle(m.finish(d, broker.StateFailed))
		case 2:
			m.settle(snooze(d, time.Hour))
		case 3:
			m.settle(m.finish(d, broker.StateCanceled))
		}
	}
	if _, err := r.Broker.Cancel(r.ctx, []broker.ID{tasks[2].ID}); err != nil {
		r.Fatalf("Cancel: %v", err)
	}
	r.pass(broker.DefaultRetention+broker.MinTombstone+2*time.Minute, m)
	r.enqueue(tasks...)
	for _, d := range m.take(4) {
		if d.Attempt != 1 {
			r.Fatalf("the task is at attempt %d, so it was not forgotten", d.Attempt)
		}
		r.has(d)
		r.signaled(d)
	}
}

// A task that waited for a signal, and had no other state, leaves nothing behind: a signal of that name does not make a
// later task with its id due, which waits for something else.
func waitForgotten(r *rig) {
	m := r.minion()
	const short = time.Minute
	tasks := r.batch(1, kept(short, short))
	r.enqueue(tasks...)
	m.settle(awaiting(m.take1(), time.Hour, "s"))
	if _, err := r.Broker.Cancel(r.ctx, []broker.ID{tasks[0].ID}); err != nil {
		r.Fatalf("Cancel: %v", err)
	}
	r.pass(broker.DefaultRetention+broker.MinTombstone+2*time.Minute, m)
	r.enqueue(tasks...)
	d := m.take1()
	if d.Attempt != 1 {
		r.Fatalf("the task is at attempt %d, so it was not forgotten", d.Attempt)
	}
	m.settle(snooze(d, time.Hour))
	r.send(d.ID, r.signal("s", "1"))
	m.none()
	r.in(broker.StateRetrying, d.ID)
}

// The broker measures the wait of a step.
func stepWaits(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	if err := r.state().SaveStep(r.ctx, d, broker.Step{Name: "wait", Wait: 48 * time.Hour}); err != nil {
		r.Fatalf("SaveStep: %v", err)
	}
	r.save(d, "none", "")
	left := func(least, most time.Duration) {
		r.Helper()
		steps := r.load(d).Steps
		if got := steps[1].Wait; got < least || got > most {
			r.Fatalf("%v are left of the wait, want %v to %v", got, least, most)
		}
		if got := steps[0].Wait; got > 0 {
			r.Fatalf("%v are left of a step without a wait", got)
		}
	}
	left(47*time.Hour, 48*time.Hour+time.Millisecond)
	r.pass(24*time.Hour, m)
	left(23*time.Hour, 24*time.Hour+time.Millisecond)
	r.pass(25*time.Hour, m)
	left(-100*time.Hour, 0)
}

func stepLimits(r *rig) {
	m := r.minion()
	r.enqueue(r.batch(2)...)
	ds := m.take(2)
	d := ds[0]
	big := make([]byte, broker.MaxStepBytes/2-10)
	save := func(name string, data []byte) error {
		return r.state().SaveStep(r.ctx, d, broker.Step{Name: name, Data: data})
	}
	for _, name := range []string{"a", "b"} {
		if err := save(name, big); err != nil {
			r.Fatalf("SaveStep: %v", err)
		}
	}
	r.fails(save("c", big), broker.ErrSteps, "SaveStep of a step for which there is no room")
	r.fails(save("b", bytes.Repeat(big, 2)), broker.ErrSteps, "SaveStep of a larger step")
	r.fails(r.state().Signal(r.ctx, d.ID, broker.Signal{ID: d.ID, Name: "s", Data: big}), broker.ErrSteps, "Signal for which there is no room")
	if err := save("b", nil); err != nil { // it makes room
		r.Fatalf("SaveStep: %v", err)
	}
	if err := save("c", big); err != nil {
		r.Fatalf("SaveStep: %v", err)
	}
	r.has(ds[1])
}

func stepTooMany(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	r.send(d.ID, r.signal("s", "1"))
	for i := range broker.MaxSteps - 1 {
		r.save(d, "step"+strconv.Itoa(i), "x")
	}
	r.fails(r.state().SaveStep(r.ctx, d, broker.Step{Name: "more"}), broker.ErrSteps, "SaveStep of one step too many")
	r.fails(r.state().Signal(r.ctx, d.ID, r.signal("more", "")), broker.ErrSteps, "Signal of one too many")
	r.save(d, "step7", "y")
	if n := len(r.load(d).Steps); n != broker.MaxSteps-1 {
		r.Fatalf("the task has %d steps, want %d", n, broker.MaxSteps-1)
	}
	m.settle(m.succeed(d))
}

func stepInvalid(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	for _, s := range []broker.Step{
		{}, {Name: "a b"}, {Name: string(make([]byte, 200))}, {Name: "a", Wait: -1}, {Name: "a", Wait: broker.MaxDuration + 1},
	} {
		r.fails(r.state().SaveStep(r.ctx, d, s), broker.ErrInvalid, "SaveStep of an invalid step")
	}
	for _, s := range []broker.Signal{
		{ID: d.ID}, {Name: "a"}, {ID: d.ID, Name: "a b"}, {ID: d.ID, Name: "a", Codec: string(make([]byte, 33))},
	} {
		r.fails(r.state().Signal(r.ctx, d.ID, s), broker.ErrInvalid, "Signal of an invalid signal")
	}
	r.has(d)
	r.signaled(d)
	wrong := m.succeed(d)
	wrong.Await = "s"
	r.fails(m.settled(wrong)[0], broker.ErrInvalid, "a settlement that awaits a signal and is no snooze")
	r.fails(m.settled(awaiting(d, time.Hour, "a b"))[0], broker.ErrInvalid, "a settlement that awaits a signal with an invalid name")
	m.settle(m.succeed(d))
}

func signalBefore(r *rig) {
	m := r.minion()
	tasks := []*broker.Task{r.task(), r.task(after(time.Millisecond))}
	for _, task := range tasks {
		r.enqueue(task)
		s := r.signal("s", "early")
		r.send(task.ID, s)
		d := m.take1()
		r.signaled(d, s)
		m.settle(m.succeed(d))
	}
}

func signalRunning(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	a, b := r.signal("a", "1"), r.signal("b", "2")
	r.send(d.ID, b)
	r.send(d.ID, a)
	r.signaled(d, a, b)
	m.settle(retry(d, 0))
	r.signaled(m.take1(), a, b)
}

// A task that waits for a signal is due as soon as it has the signal, also if the minion waits for tasks meanwhile.
func signalWakes(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	for i := range 3 {
		d := m.take1()
		name := "s" + strconv.Itoa(i)
		m.settle(awaiting(d, time.Hour, name))
		m.none()
		got := m.waiting(r.ctx, 1, r.Lease/2)
		start := time.Now()
		r.send(d.ID, r.signal(name, "now"))
		again := r.woken(got, start)[0]
		if again.ID != d.ID || again.Attempt != d.Attempt+1 || again.Retried != 0 {
			r.Fatalf("the task came back as attempt %d with %d retries, want attempt %d without", again.Attempt, again.Retried, d.Attempt+1)
		}
		m.settle(giveBack(again))
	}
}

// A signal that comes after the task has looked, and before it is snoozed, is not missed.
func signalBetween(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	r.signaled(d)
	s := r.signal("s", "between")
	r.send(d.ID, s)
	m.settle(awaiting(d, time.Hour, "s"))
	r.signaled(m.take1(), s)
}

func signalOther(r *rig) {
	m := r.minion()
	r.enqueue(r.batch(2)...)
	ds := m.take(2)
	m.settle(awaiting(ds[0], time.Hour, "a"), snooze(ds[1], time.Hour))
	for _, d := range ds {
		r.send(d.ID, r.signal("b", ""))
	}
	m.none()
	r.in(broker.StateRetrying, ds[0].ID)
	r.in(broker.StateRetrying, ds[1].ID)
}

// A wait is over with the attempt that follows it: a signal does not make a task due that waits for something else now.
func signalRetry(r *rig) {
	m := r.minion()
	r.enqueue(r.batch(2)...)
	ds := m.take(2)
	m.settle(awaiting(ds[0], time.Millisecond, "s"), awaiting(ds[1], time.Millisecond, "s"))
	ds = m.take(2)
	m.settle(retry(ds[0], time.Hour), snooze(ds[1], time.Hour))
	for _, d := range ds {
		r.send(d.ID, r.signal("s", ""))
	}
	m.none()
}

func signalAgain(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	d := m.take1()
	s := r.signal("s", "1")
	r.send(d.ID, s)
	r.send(d.ID, s)
	r.fails(r.state().Signal(r.ctx, d.ID, r.signal("s", "2")), broker.ErrSignaled, "another Signal of the same name")
	r.signaled(d, s)
	m.settle(snooze(d, time.Hour))
	r.send(d.ID, s)
	m.none()
}

func signalNobody(r *rig) {
	r.enqueue(r.task())
	r.fails(r.state().Signal(r.ctx, r.id("q"), r.signal("s", "")), broker.ErrNotFound, "Signal to an unknown task")
	r.fails(r.state().Signal(r.ctx, r.id("elsewhere"), r.signal("s", "")), broker.ErrNotFound, "Signal to a task of an unknown queue")
}

// Of many signals of one name, a task gets one. It is not missed, whatever the task does meanwhile.
func signalsAtOnce(r *rig) {
	m := r.minion()
	r.enqueue(r.batch(10)...)
	ds := m.take(10)
	const senders = 3
	accepted := make([][senders]error, len(ds))
	var wg sync.WaitGroup
	steps := r.state()
	for i, d := range ds {
		for k := range senders {
			s := r.signal("s", strconv.Itoa(k))
			wg.Go(func() { accepted[i][k] = steps.Signal(r.ctx, d.ID, s) })
		}
	}
	for _, d := range ds {
		m.settle(awaiting(d, time.Hour, "s"))
	}
	wg.Wait()
	for i, errs := range accepted {
		n := 0
		for _, err := range errs {
			if err == nil {
				n++
			} else if !errors.Is(err, broker.ErrSignaled) {
				r.Fatalf("Signal: %v", err)
			}
		}
		if n != 1 {
			r.Fatalf("%d signals to task %d were accepted, want one: %v", n, i, errs)
		}
	}
	for _, d := range m.take(10) {
		if n := len(r.load(d).Signals); n != 1 {
			r.Fatalf("the task has %d signals", n)
		}
	}
}
