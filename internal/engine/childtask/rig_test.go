package childtask_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/childtask"
	"github.com/go-arbiter/arbiter/internal/engine/failure"
	"github.com/go-arbiter/arbiter/internal/engine/isolate"
	"github.com/go-arbiter/arbiter/task"
)

// envSlow is how long a child takes to start.
const envSlow = "ARBITER_TEST_SLOW"

// The children of the tests are the test program itself.
func TestMain(m *testing.M) {
	if os.Getenv("GORACE") == "" { // otherwise a process under the race detector takes a second to exit
		_ = os.Setenv("GORACE", "atexit_sleep_ms=50")
	}
	if isolate.Waiting() {
		fmt.Fprintln(os.Stderr, serve())
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// serve runs the jobs of the tests. It returns only if it can't start.
func serve() error {
	c, err := isolate.Attach()
	if err != nil {
		return err
	}
	slow, _ := time.ParseDuration(os.Getenv(envSlow))
	time.Sleep(slow)
	s, err := childtask.NewServer(c, []codec.Codec{codec.Msgpack(), codec.JSON()})
	if err != nil {
		return err
	}
	s.Serve(map[string]task.Registration{"deed": task.Implement(deedTask, do)})
	return nil
}

// rig runs jobs in children. The test answers their requests.
type rig struct {
	*testing.T
	pool   *isolate.Pool
	parent parent
}

func newRig(t *testing.T, slots int) *rig {
	t.Helper()
	r := &rig{T: t, pool: isolate.New(isolate.Config{
		Setup: childtask.Setup(codec.Msgpack()), Slots: slots, Grace: time.Minute, Cause: failure.EncodeCause,
		Output: func(l isolate.Line) { fmt.Fprintln(os.Stderr, l.PID, l.Stream, l.Text) },
	})}
	t.Cleanup(r.pool.Close)
	return r
}

var parentID = broker.NewTaskID("jobs", "")

// job returns the job of a deed.
func (r *rig) job(d deed) *childtask.Job {
	r.Helper()
	args, err := codec.Msgpack().AppendArgs(nil, d)
	if err != nil {
		r.Fatal(err)
	}
	return &childtask.Job{ID: parentID, Name: "deed", Queue: "jobs", Attempt: 1, Codec: "msgpack", Payload: args, Limit: 1 << 20}
}

// run runs a job. It fails the test if the job can't be run.
func (r *rig) run(ctx context.Context, job *childtask.Job) childtask.Done {
	r.Helper()
	p := r.parent // a request may be answered after the job has ended, when the test has changed the parent
	done, err := childtask.Run(ctx, r.pool, job, job, &p, func() {})
	if err != nil {
		r.Fatalf("Run: %v", err)
	}
	return done
}

// do does a deed, and returns its result or its error.
func (r *rig) do(d deed) (string, error) {
	r.Helper()
	return r.outcome(r.run(r.Context(), r.job(d)))
}

// outcome returns the result or the error of a deed.
func (r *rig) outcome(done childtask.Done) (out string, err error) {
	r.Helper()
	if done.Err != nil {
		return "", done.Err.Unpack()
	}
	if err := codec.Msgpack().DecodeValue(done.Result, &out); err != nil {
		r.Fatalf("the result %x: %v", done.Result, err)
	}
	return out, nil
}

// parent is the minion's side of the tests. A request without a function is an error.
type parent struct {
	submit  func(ctx context.Context, onSuccess bool, calls []task.Bound) error
	await   func(ctx context.Context, id task.ID) (*broker.Outcome, error)
	publish func(ctx context.Context, topic string, event []byte) error

	steps *broker.Saved // the durable steps; nil if the test expects none
}

func (p *parent) Submit(ctx context.Context, onSuccess bool, calls []task.Bound) error {
	if p.submit == nil {
		return errUnwanted
	}
	return p.submit(ctx, onSuccess, calls)
}

func (p *parent) Await(ctx context.Context, id task.ID) (*broker.Outcome, error) {
	if p.await == nil {
		return nil, errUnwanted
	}
	return p.await(ctx, id)
}

func (p *parent) Publish(ctx context.Context, topic string, event []byte) error {
	if p.publish == nil {
		return errUnwanted
	}
	return p.publish(ctx, topic, event)
}

func (p *parent) SaveStep(_ context.Context, s broker.Step) error {
	if p.steps == nil {
		return errUnwanted
	}
	if s.Name == "large" {
		return fmt.Errorf("%w: too much", broker.ErrSteps)
	}
	p.steps.Steps = append(p.steps.Steps, s)
	return nil
}

func (p *parent) LoadSteps(context.Context) (broker.Saved, error) {
	if p.steps == nil {
		return broker.Saved{}, errUnwanted
	}
	return *p.steps, nil
}

// sent keeps the calls of the submissions.
type sent struct {
	mu    sync.Mutex
	calls []task.Bound
	later []bool // whether the calls are sent only if the task succeeds
	err   error  // the result of the next submissions
}

func (s *sent) submit(_ context.Context, onSuccess bool, calls []task.Bound) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, call := range calls {
		s.calls, s.later = append(s.calls, call), append(s.later, onSuccess)
	}
	return s.err
}

// outcomeOf returns the outcome of a task that has succeeded with a value.
func (r *rig) outcomeOf(value any) *broker.Outcome {
	r.Helper()
	data, err := codec.Msgpack().AppendValue(nil, value)
	if err != nil {
		r.Fatal(err)
	}
	return &broker.Outcome{State: broker.StateSucceeded, Codec: "msgpack", Result: data, Attempts: 1}
}

// stamp is the text that a child makes of a point in time, and the test reads.
func stamp(t time.Time) string { return cmp.Or(t, time.Unix(0, 0)).Format(time.RFC3339Nano) }
