package brokertest

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// Lookup returns the reason of a retry until the task ends.
var failureTests = []test{
	{"FailureWhileItIsRetried", failureWhileRetried, 0},
	{"FailureStays", failureStays, 0},
	{"FailureIsReplaced", failureReplaced, 0},
	{"FailureEndsWithItsTask", failureEnds, 0},
	{"FailureOfCanceled", failureOfCanceled, 0},
	{"FailureAfterRequeue", failureAfterRequeue, needInspector},
	{"FailureOfRepeatedSettlement", failureRepeated, 0},
	{"FailureOfAnotherOwner", failureOfAnother, needLapse},
	{"FailureOutlivesItsMinion", failureOutlives, needLapse},
	{"LargestFailure", failureLargest, 0},
	{"FailureOfMany", failureOfMany, 0},
}

// failing returns a retry with an error. Its text is different for each task and attempt.
func (m *minion) failing(d *broker.Delivery, delay time.Duration) broker.Settlement {
	s := retry(d, delay)
	s.Outcome.Err = &broker.Failure{
		Type: "*test.Error", Message: fmt.Sprintf("%s failed: %d", d.ID, d.Attempt), Stack: "goroutine 1",
		Chain: []string{"outer", "inner"}, Codes: []string{"code"},
	}
	s.Outcome.Finished = m.r.Now().Truncate(time.Millisecond)
	return s
}

// diffFailed returns how two failures differ, or "". An empty list equals nil, and times are
// compared in milliseconds.
func diffFailed(got, want *broker.LastFailure) string {
	switch {
	case got == nil && want == nil:
		return ""
	case got == nil || want == nil:
		return fmt.Sprintf("got %+v, want %+v", got, want)
	}
	if got.Attempt != want.Attempt || got.At.UnixMilli() != want.At.UnixMilli() {
		return fmt.Sprintf("the failure is of attempt %d at %v; want attempt %d at %v", got.Attempt, got.At, want.Attempt, want.At)
	}
	return diffOutcome(broker.Outcome{Err: &got.Err}, broker.Outcome{Err: &want.Err})
}

// failed checks the state and the last failure of a task.
func (r *rig) failed(id broker.ID, state broker.State, want *broker.LastFailure) {
	r.Helper()
	st := r.lookup(id)[0]
	if st.State != state {
		r.Fatalf("Lookup says that the task is %s, want %s", st.State, state)
	}
	if diff := diffFailed(st.Failed, want); diff != "" {
		r.Fatalf("the last failure of a task that is %s differs: %s", state, diff)
	}
	if want != nil && st.Name != "test.task" {
		r.Fatalf("the name of a task with a failure is %q", st.Name)
	}
}

func failureWhileRetried(r *rig) {
	m := r.minion()
	for _, task := range []*broker.Task{r.task(), r.task(), r.task(), r.task(keyed("k")), r.task(payload(make([]byte, 10<<10)))} {
		r.enqueue(task)
		r.failed(task.ID, broker.StatePending, nil)
		d := m.take1()
		r.failed(task.ID, broker.StateRunning, nil)
		s := m.failing(d, 50*time.Millisecond)
		want := s.LastFailure()
		m.settle(s)
		if st := r.lookup(task.ID)[0]; st.State == broker.StateRetrying && st.Attempt != 1 {
			r.Fatalf("Lookup says that the last attempt is %d, want 1", st.Attempt)
		}
		s.Outcome.Err.Message, s.Outcome.Err.Chain[0] = "changed", "changed" // the broker must have stored a copy
		r.lookup(task.ID)[0].Failed.Err.Chain[0] = "changed"                 // and must return a copy
		if st := r.lookup(task.ID)[0].State; st == broker.StateRetrying {
			r.failed(task.ID, broker.StateRetrying, want)
		}
		d = m.take1()
		r.failed(task.ID, broker.StateRunning, want)
		m.settle(m.failing(d, 0))
		if st := r.lookup(task.ID)[0]; st.State != broker.StatePending || st.Failed == nil || st.Failed.Attempt != 2 {
			r.Fatalf("Lookup of a task that failed twice returned %+v", st)
		}
		m.settle(m.succeed(m.take1()))
		r.failed(task.ID, broker.StateSucceeded, nil)
	}
}

// A snooze or give-back is no failure, and leaves the last failure as it is.
func failureStays(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	s := m.failing(m.take1(), 0)
	m.settle(s)
	for _, settle := range []func(*broker.Delivery, time.Duration) broker.Settlement{
		snooze, retry, func(d *broker.Delivery, _ time.Duration) broker.Settlement { return giveBack(d) },
		func(d *broker.Delivery, _ time.Duration) broker.Settlement { // the error of a snooze is no failure
			s := m.failing(d, 0)
			s.Verb = broker.VerbSnooze
			return s
		},
	} {
		m.settle(settle(m.take1(), 0))
		r.failed(task.ID, broker.StatePending, s.LastFailure())
	}
	d := m.take1()
	r.failed(task.ID, broker.StateRunning, s.LastFailure())
	m.settle(snooze(d, time.Hour))
	r.failed(task.ID, broker.StateRetrying, s.LastFailure())
}

func failureReplaced(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	for range 3 {
		s := m.failing(m.take1(), 0)
		m.settle(s)
		r.failed(task.ID, broker.StatePending, s.LastFailure())
	}
}

func failureEnds(r *rig) {
	m := r.minion()
	for _, with := range [][]func(*broker.Task){nil, {kept(0, 0)}} {
		for _, state := range finals {
			task := r.task(with...)
			r.enqueue(task)
			m.settle(m.failing(m.take1(), 0))
			m.settle(m.finish(m.take1(), state))
			if st := r.lookup(task.ID)[0]; st.Failed != nil {
				r.Fatalf("Lookup of a task that is %s still returns the last failure %+v", st.State, st.Failed)
			}
		}
	}
}

func failureOfCanceled(r *rig) {
	m := r.minion()
	task := r.task() // cancelled while it waits for its retry
	r.enqueue(task)
	m.settle(m.failing(m.take1(), time.Hour))
	r.canceled(task.ID, broker.CancelPrevented)
	r.failed(task.ID, broker.StateCanceled, nil)
	task = r.task() // cancelled when it is pending again
	r.enqueue(task)
	m.settle(m.failing(m.take1(), 0))
	r.canceled(task.ID, broker.CancelPrevented)
	r.failed(task.ID, broker.StateCanceled, nil)
	for range 2 { // cancelled while it runs, once or twice
		task = r.task()
		r.enqueue(task)
		d := m.take1()
		r.canceled(task.ID, broker.CancelRequested)
		m.settle(m.failing(d, 0))
		r.failed(task.ID, broker.StateCanceled, nil)
		task = r.task()
		r.enqueue(task)
		m.settle(m.failing(m.take1(), 0))
		d = m.take1()
		r.canceled(task.ID, broker.CancelRequested)
		m.settle(m.failing(d, time.Hour))
		r.failed(task.ID, broker.StateCanceled, nil)
	}
	m.none()
}

// A requeued dead letter begins without a last failure. A failure that was left over from its first
// life would show here.
func failureAfterRequeue(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	m.settle(m.failing(m.take1(), 0))
	m.settle(m.finish(m.take1(), broker.StateFailed))
	r.failed(task.ID, broker.StateFailed, nil)
	r.is(requeued(r, task.ID)[0], nil)
	r.failed(task.ID, broker.StatePending, nil)
	s := m.failing(m.take1(), 0)
	m.settle(s)
	r.failed(task.ID, broker.StatePending, s.LastFailure())
}

// A settlement is repeated, late, because its reply was lost. The repeat has no effect.
func failureRepeated(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	first := m.failing(m.take1(), 0)
	m.settle(first)
	_ = m.settled(first)
	r.failed(task.ID, broker.StatePending, first.LastFailure())
	second := m.failing(m.take1(), 0)
	_ = m.settled(first)
	r.failed(task.ID, broker.StateRunning, first.LastFailure())
	r.is(m.settled(second, second)[0], nil) // the repeat in the same batch may be refused
	_ = m.settled(first)
	r.failed(task.ID, broker.StatePending, second.LastFailure())
	m.settle(m.finish(m.take1(), broker.StateFailed))
	_ = m.settled(first, second)
	r.failed(task.ID, broker.StateFailed, nil)
	if _, ok := can[broker.Inspector](r.Broker); ok {
		r.is(requeued(r, task.ID)[0], nil)
		r.failed(task.ID, broker.StatePending, nil)
	}
}

func failureOfAnother(r *rig) {
	m, late := r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	d := late.take1()
	r.is(m.settled(m.failing(d, 0))[0], broker.ErrLeaseLost)
	r.failed(task.ID, broker.StateRunning, nil)
	r.reap([]*minion{m}, late)
	r.back([]broker.ID{task.ID}, m)
	d2 := m.take1()
	if errs, err := late.Settle(r.ctx, []broker.Settlement{late.failing(d, 0)}); err == nil && errs[0] == nil {
		r.Fatalf("the settlement of a lost lease was accepted")
	}
	r.failed(task.ID, broker.StateRunning, nil)
	m.settle(m.succeed(d2))
}

func failureOutlives(r *rig) {
	m, dying := r.minion(), r.minion()
	task := r.task()
	r.enqueue(task)
	s := dying.failing(dying.take1(), 0)
	dying.settle(s)
	dying.take1()
	r.reap([]*minion{m}, dying)
	r.back([]broker.ID{task.ID}, m)
	r.failed(task.ID, broker.StatePending, s.LastFailure())
	leaving := r.minion()
	leaving.take1()
	leaving.close()
	r.failed(task.ID, broker.StatePending, s.LastFailure())
	m.settle(m.succeed(m.take1()))
	r.failed(task.ID, broker.StateSucceeded, nil)
}

func failureLargest(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	s := m.failing(m.take1(), 0)
	e := s.Outcome.Err
	e.Message, e.Stack = strings.Repeat("ä", broker.MaxMessage), strings.Repeat("ö", broker.MaxStack)
	for range 1000 {
		e.Chain, e.Codes = append(e.Chain, e.Message), append(e.Codes, "code")
	}
	want := s.LastFailure()
	if n := len(want.Err.Message); n > broker.MaxLastMessage || n < broker.MaxLastMessage-1 {
		r.Fatalf("the stored message has %d bytes, which is more than the limit", n)
	}
	if n := len(want.Err.Stack); n > broker.MaxLastStack || n < broker.MaxLastStack-1 {
		r.Fatalf("the stored stack has %d bytes, which is more than the limit", n)
	}
	if n := len(wire.AppendLastFailure(nil, "", want)); n > 10<<10 {
		r.Fatalf("the stored failure has %d bytes, which is more than the limit", n)
	}
	m.settle(s)
	r.failed(task.ID, broker.StatePending, want)
	if e.Chain[0] != "outer" || len(e.Message) != 2*broker.MaxMessage {
		r.Fatalf("Settle changed the caller's settlement")
	}
}

func failureOfMany(r *rig) {
	m := r.minion()
	tasks := r.batch(300)
	r.enqueue(tasks...)
	want := map[broker.ID]*broker.LastFailure{}
	var batch []broker.Settlement
	for i, d := range m.take(len(tasks)) {
		s := retry(d, 0)
		switch i % 4 {
		case 0:
			s = m.failing(d, 0)
		case 1:
			s = m.failing(d, time.Hour)
		case 2:
			s = m.succeed(d)
		}
		want[d.ID] = s.LastFailure()
		batch = append(batch, s)
	}
	m.settle(batch...)
	check := func() {
		r.Helper()
		for i, st := range r.lookup(idsOf(tasks)...) {
			if diff := diffFailed(st.Failed, want[st.ID]); diff != "" {
				r.Fatalf("the last failure of task %d, which is %s, differs: %s", i, st.State, diff)
			}
		}
	}
	check()
	batch = nil
	for _, d := range m.take(len(tasks) / 2) {
		delete(want, d.ID)
		batch = append(batch, m.succeed(d))
	}
	m.settle(batch...)
	check()
}
