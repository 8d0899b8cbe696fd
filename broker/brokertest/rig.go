package brokertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
)

// patience is how long a test waits for an expected event before it fails.
const patience = 30 * time.Second

// rig is the state of a running test: the broker under test, and helpers. A method that can end the
// test must be called from the goroutine of the test.
type rig struct {
	testing.TB
	Harness
	ctx       context.Context
	light     bool
	patient   bool // opened with Config.Patient: no lease may end
	tasks     int  // number of tasks so far; makes payloads different
	ids       int  // number of ids so far
	block     broker.Block
	stall     stall.Watch
	answers   *answers
	crew      []*minion // all minions so far
	unrenewed longest   // how long the suite did not renew a lease that was then lost, see minion.lives
	began     time.Time
	dog       *watchdog // nil if Config.Stuck is negative
}

func newRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	return rigOn(t.Context(), t, cfg)
}

func rigOn(ctx context.Context, t testing.TB, cfg Config) *rig {
	t.Helper()
	r := &rig{TB: t, Harness: cfg.open(t), ctx: ctx, light: cfg.Light, patient: cfg.patient, dog: cfg.dog, answers: cfg.answers, began: time.Now()}
	r.Broker = r.watch(r.Broker)
	if reopen := r.Reopen; reopen != nil {
		r.Reopen = func(t testing.TB) broker.Broker { return r.watch(reopen(t)) }
	}
	if r.dog != nil {
		r.dog.lease.Store(int64(r.Lease))
	}
	if cfg.Bubble == nil {
		stop := make(chan struct{})
		t.Cleanup(func() { close(stop) })
		go r.stall.Run(stop)
	}
	t.Cleanup(func() {
		if err := r.Broker.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

// prompt is how long a push may take to arrive, stalls of the machine included.
func (r *rig) prompt() time.Duration { return r.late(r.Prompt) }

// late returns the longest allowed time for an event that should take d, stalls of the machine
// included.
func (r *rig) late(d time.Duration) time.Duration {
	return max(r.stall.Late(d), d+stall.Hops*r.answers.longest(r.began))
}

// stalled returns the longest stall of this process or of the store so far.
func (r *rig) stalled() time.Duration { return max(r.stall.Longest(), r.answers.longest(r.began)) }

// longest is the longest of some durations.
type longest struct{ d atomic.Int64 }

func (l *longest) note(d time.Duration) {
	for old := l.d.Load(); int64(d) > old && !l.d.CompareAndSwap(old, int64(d)); old = l.d.Load() {
	}
}

func (l *longest) get() time.Duration { return time.Duration(l.d.Load()) }

// before runs a check of a state that ends at a known time. If the check fails after that time, the
// failure is ignored, because a stall of the machine may have delayed the check. In a bubble
// nothing stalls.
func (r *rig) before(end time.Time, check func()) {
	r.Helper()
	tb := r.TB
	r.TB = &catcher{TB: tb}
	defer func() {
		r.TB = tb
		switch p := recover().(type) {
		case nil:
		case fatal:
			r.Helper()
			if r.Now().Before(end) {
				r.Fatalf("%s", p)
			}
			r.Logf("ignored, because the check came too late: %s", p)
		default:
			panic(p)
		}
	}()
	check()
}

// other returns another client of the store, or the same client if the store has one only.
func (r *rig) other() broker.Broker {
	r.Helper()
	if r.Reopen == nil {
		return r.Broker
	}
	b := r.Reopen(r.TB)
	r.Cleanup(func() { _ = b.Close() })
	return b
}

// task returns a valid task of queue "q" with a unique payload. The options change it.
func (r *rig) task(with ...func(*broker.Task)) *broker.Task {
	r.tasks++
	t := &broker.Task{
		Name:      "test.task",
		Queue:     "q",
		Codec:     "json",
		Payload:   fmt.Appendf(nil, "%d", r.tasks),
		Retries:   3,
		Retention: broker.DefaultRetention,
		DeadFor:   broker.DefaultDeadRetention,
		Enqueued:  r.Now().Truncate(time.Millisecond),
	}
	for _, opt := range with {
		opt(t)
	}
	if t.ID.IsZero() {
		t.ID = r.id(t.Queue)
	}
	return t
}

// id returns an id for a task. Most ids are of one block, like the ids of tasks that are sent
// together, although these tasks have different lives.
func (r *rig) id(queue string) broker.ID {
	if r.ids++; r.ids%4 == 0 {
		return broker.NewID(broker.KindTask, queue, 0)
	}
	id := r.block.NewTaskID(queue, 0)
	id[9] = 0 // the partition
	return id
}

func onQueue(name string) func(*broker.Task)    { return func(t *broker.Task) { t.Queue = name } }
func after(d time.Duration) func(*broker.Task)  { return func(t *broker.Task) { t.Delay = d } }
func keyed(key string) func(*broker.Task)       { return func(t *broker.Task) { t.Unique.Key = key } }
func inbox(id broker.ID) func(*broker.Task)     { return func(t *broker.Task) { t.Inbox = id } }
func payload(b []byte) func(*broker.Task)       { return func(t *broker.Task) { t.Payload = b } }
func within(d time.Duration) func(*broker.Task) { return func(t *broker.Task) { t.Deadline = d } }

func kept(retention, dead time.Duration) func(*broker.Task) {
	return func(t *broker.Task) { t.Retention, t.DeadFor = retention, dead }
}

// batch returns n tasks with the options.
func (r *rig) batch(n int, with ...func(*broker.Task)) []*broker.Task {
	tasks := make([]*broker.Task, n)
	for i := range tasks {
		tasks[i] = r.task(with...)
	}
	return tasks
}

// enqueue enqueues tasks, which must succeed.
func (r *rig) enqueue(tasks ...*broker.Task) {
	r.Helper()
	if err := r.Broker.Enqueue(r.ctx, tasks); err != nil {
		r.Fatalf("Enqueue of %d tasks: %v", len(tasks), err)
	}
}

// refused enqueues one task, which must be refused, and returns its error.
func (r *rig) refused(t *broker.Task) error {
	r.Helper()
	return r.refusals([]*broker.Task{t}, 0)[0]
}

// refusals enqueues a batch. The tasks at exactly these indexes must be refused. It returns the
// errors of the batch.
func (r *rig) refusals(tasks []*broker.Task, at ...int) []error {
	r.Helper()
	err := r.Broker.Enqueue(r.ctx, tasks)
	var batch *broker.BatchError
	if !errors.As(err, &batch) {
		r.Fatalf("Enqueue returned %v, want a *BatchError", err)
	}
	if len(batch.Errs) != len(tasks) {
		r.Fatalf("the BatchError has %d errors for %d tasks", len(batch.Errs), len(tasks))
	}
	want := map[int]bool{}
	for _, i := range at {
		want[i] = true
	}
	for i, err := range batch.Errs {
		if want[i] != (err != nil) {
			r.Fatalf("task %d of the batch: the error is %v, want an error: %v", i, err, want[i])
		}
	}
	return batch.Errs
}

// lookup returns the statuses of the ids, and checks what must hold for every status.
func (r *rig) lookup(ids ...broker.ID) []broker.Status {
	r.Helper()
	sts, err := r.Broker.Lookup(r.ctx, ids)
	if err != nil {
		r.Fatalf("Lookup: %v", err)
	}
	if len(sts) != len(ids) {
		r.Fatalf("Lookup returned %d statuses for %d ids", len(sts), len(ids))
	}
	for i, st := range sts {
		if st.ID != ids[i] {
			r.Fatalf("Lookup returned as status %d the one of %s, want %s", i, st.ID, ids[i])
		}
		if st.Outcome != nil && (!st.State.Final() || st.Outcome.State != st.State) {
			r.Fatalf("Lookup of %s returned the state %s and an outcome with the state %s", st.ID, st.State, st.Outcome.State)
		}
	}
	return sts
}

// in checks the states of tasks.
func (r *rig) in(state broker.State, ids ...broker.ID) {
	r.Helper()
	for _, st := range r.lookup(ids...) {
		if st.State != state {
			r.Fatalf("task %s is %s, want %s", st.ID, st.State, state)
		}
	}
}

// outcome returns the outcome of a final task.
func (r *rig) outcome(id broker.ID) broker.Outcome {
	r.Helper()
	st := r.lookup(id)[0]
	if st.Outcome == nil {
		r.Fatalf("task %s is %s and has no outcome, want one", id, st.State)
	}
	return *st.Outcome
}

// cancel cancels tasks, and returns the verdicts.
func (r *rig) cancel(ids ...broker.ID) []broker.CancelVerdict {
	r.Helper()
	return r.cancelAt(r.Broker, ids...)
}

func (r *rig) cancelAt(b broker.Broker, ids ...broker.ID) []broker.CancelVerdict {
	r.Helper()
	verdicts, err := b.Cancel(r.ctx, ids)
	if err != nil {
		r.Fatalf("Cancel: %v", err)
	}
	if len(verdicts) != len(ids) {
		r.Fatalf("Cancel returned %d verdicts for %d ids", len(verdicts), len(ids))
	}
	return verdicts
}

// canceled cancels one task and checks the verdict.
func (r *rig) canceled(id broker.ID, want broker.CancelVerdict) {
	r.Helper()
	if got := r.cancel(id)[0]; got != want {
		r.Fatalf("the verdict of Cancel is %q, want %q", got, want)
	}
}

// idle sleeps, so that calls in other goroutines begin to wait.
func (r *rig) idle() { time.Sleep(max(r.Slack, 20*time.Millisecond)) }

// pass lets d pass while the minions send heartbeats.
func (r *rig) pass(d time.Duration, alive ...*minion) {
	r.Helper()
	for d > 0 && len(alive) > 0 {
		_, every := alive[0].Lease()
		step := min(d, every/2)
		beat(alive...)
		r.Advance(step)
		d -= step
	}
	if d > 0 {
		r.Advance(d)
	}
	beat(alive...)
}

// reap lets the leases of the dead minions end while the others send heartbeats. It waits until the
// registry does not list the dead any more.
func (r *rig) reap(alive []*minion, dead ...*minion) {
	r.Helper()
	if r.patient {
		r.Fatalf("a fault of the suite: this test lets a lease end, but its line in the table lacks needLapse")
	}
	r.pass(r.Lease+r.Slack, alive...)
	r.eventually("Minions does not list the dead minions any more", func() bool {
		beat(alive...)
		infos, err := r.Broker.Minions(r.ctx)
		if err != nil {
			r.Fatalf("Minions: %v", err)
		}
		for _, m := range dead {
			for _, info := range infos {
				if info.ID == m.ID() {
					return false
				}
			}
		}
		return true
	})
}

// back waits until the tasks are pending again, while the minions send heartbeats. Heartbeats
// recover the tasks of dead minions.
func (r *rig) back(ids []broker.ID, alive ...*minion) {
	r.Helper()
	r.eventually("the tasks are pending again", func() bool {
		beat(alive...)
		for _, st := range r.lookup(ids...) {
			if st.State != broker.StatePending {
				return false
			}
		}
		return true
	})
}

// eventually waits until is returns true. what describes the expected state.
func (r *rig) eventually(what string, is func() bool) {
	r.Helper()
	for start := time.Now(); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Since(start) > patience {
			r.Fatalf("after %v this has not happened: %s", patience, what)
		}
	}
}

// together runs the functions at the same time, and waits for all of them.
func together(fns ...func()) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for _, fn := range fns {
		wg.Go(func() {
			<-start
			fn()
		})
	}
	close(start)
	wg.Wait()
}

// many returns n functions that call fn with 0 to n-1.
func many(n int, fn func(i int)) []func() {
	fns := make([]func(), n)
	for i := range fns {
		fns[i] = func() { fn(i) }
	}
	return fns
}
