package minion_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

type lists struct {
	N []int `arbiter:"n"`
}

var length = task.Define[lists, int]("length")

// A minion that stops still follows up its last settlements, so no other minion has to
// find them with a heartbeat.
func TestStopMovesFlowsOn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var c *crew
		c = r.crew(2, func(context.Context, args) (int, error) {
			time.Sleep(time.Second) // until the other one runs as well
			c.halt()
			time.Sleep(time.Second)
			return 1, nil
		})
		call := task.Then(task.All(work.Bind(args{1}), work.Bind(args{2})), task.NewStep[[]int](length, "n", nil))
		fut, err := call.Send(t.Context(), r.arb)
		if err != nil {
			t.Fatal(err)
		}
		<-c.done
		if c.err != nil {
			t.Error(c.err)
		}
		if r.b.Calls(faulty.Release) == 0 {
			t.Error("the callback was not released before the minion stopped")
		}
		began := time.Now()
		m := must(minion.New(r.b, minion.Logger(r.logs.logger())))
		if err := task.Handle(m, length, func(_ context.Context, a lists) (int, error) { return len(a.N), nil }); err != nil {
			t.Fatal(err)
		}
		r.start(m, 1)
		if n, err := r.result(fut); n != 2 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		r.near("the callback", time.Since(began), 0)
	})
}

// If the broker can't be reached while flows are moved on, they are moved on after a pause.
func TestFollowUpsAreTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		failures := 0
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if (op == faulty.Arrivals || op == faulty.Arrive || op == faulty.Release) && failures < 9 {
				failures++
				return faulty.ErrUnavailable
			}
			return nil
		}})
		r.crew(2, func(_ context.Context, a args) (int, error) { return a.N, nil })
		fut, err := task.Then(work.Bind(args{1}), task.NewStep[int](work, "n", nil)).Send(t.Context(), r.arb)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.result(fut); n != 1 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		synctest.Wait() // the follow-up ends after the result is there
		if failures != 9 || r.logs.count("broker is back") == 0 {
			t.Errorf("%d failures, log %s", failures, r.logs)
		}
	})
}

// A minion that was cut off tells the broker that it lives before it goes on with follow-ups. They may
// take long, and until then its tasks are charged with its death.
func TestSignOffBeforeFollowUps(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const lastFollowUps = time.Second // how long an ending session works on follow-ups at least
		var cut, signedOff atomic.Pointer[time.Time]
		now := func(at *atomic.Pointer[time.Time]) { at.CompareAndSwap(nil, new(time.Now())) }
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			switch op {
			case faulty.Arrivals:
				return faulty.ErrUnavailable
			case faulty.Heartbeat:
				if signedOff.Load() == nil {
					return faulty.ErrUnavailable
				}
			case faulty.Leave:
				now(&signedOff)
			}
			return nil
		}})
		r.crew(2, func(ctx context.Context, a args) (int, error) {
			if a.N == 0 && cut.Load() == nil {
				<-ctx.Done()
				now(&cut)
			}
			return a.N, nil
		})
		fut := r.send(0)
		if _, err := task.Then(work.Bind(args{1}), task.NewStep[int](work, "n", nil)).Send(t.Context(), r.arb); err != nil {
			t.Fatal(err)
		}
		r.want(fut, broker.StateSucceeded, 2, 0)
		for signedOff.Load() == nil {
			time.Sleep(time.Millisecond)
		}
		if d := signedOff.Load().Sub(*cut.Load()); d > lastFollowUps/2 {
			t.Errorf("the minion signed off %v after the end of its handlers", d)
		}
	})
}

// stubborn is a broker that does not count the members of one flow.
type stubborn struct {
	*faulty.Broker
	flow atomic.Pointer[broker.ID]
	asks atomic.Int32 // how often it was asked to
}

func (b *stubborn) Arrive(ctx context.Context, id broker.ID, arrivals []broker.Arrival) (*broker.Progress, error) {
	if bad := b.flow.Load(); bad != nil && *bad == id {
		b.asks.Add(1)
		return nil, errBad
	}
	return b.Broker.Arrive(ctx, id, arrivals)
}

// pipe sends a pipe whose steps need no time, and checks how long it takes.
func (r *rig) pipe(opts ...task.Option) {
	r.Helper()
	began := time.Now()
	fut, err := task.Then(work.With(opts...).Bind(args{1}), task.NewStep[int](work.With(opts...), "n", nil)).Send(r.Context(), r.arb)
	if err != nil {
		r.Fatal(err)
	}
	if n, err := r.result(fut); n != 1 || err != nil {
		r.Errorf("result: %d, %v", n, err)
	}
	r.near("a pipe", time.Since(began), 0)
}

// A flow that can't be moved on delays neither other flows, of its queue or another, nor
// the end of the minion. It is tried again, with pauses, and logged once.
func TestFollowUpThatFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		b := &stubborn{Broker: r.b}
		m := must(minion.New(b, minion.Logger(r.logs.logger()), minion.Queues("default", "other")))
		if err := task.Handle(m, work, func(_ context.Context, a args) (int, error) { return a.N, nil }); err != nil {
			t.Fatal(err)
		}
		c := r.start(m, 2)
		bad := task.Then(work.With(task.Delay(time.Second)).Bind(args{1}), task.NewStep[int](work, "n", nil))
		if _, err := bad.Send(t.Context(), r.arb); err != nil {
			t.Fatal(err)
		}
		id := bad.Request().ID()
		b.flow.Store(&id)
		time.Sleep(10 * time.Second)
		for range 10 {
			r.pipe()
			r.pipe(task.Queue("other"))
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if n := b.asks.Load(); n < 30 || n > 300 {
			t.Errorf("it was tried %d times", n)
		}
		if n := r.logs.count("arrive: bad"); n != 1 {
			t.Errorf("it was logged %d times: %s", n, r.logs)
		}
		began := time.Now()
		if err := c.stop(); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > minParting+100*time.Millisecond {
			t.Errorf("the minion stopped after %v", d)
		}
	})
}

// minParting is how long a minion that stops tries to settle.
const minParting = 5 * time.Second

// If inheriting calls can't be killed, that delays neither flows nor the kills of other
// calls. Each failure is logged and tried again.
func TestKillThatFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var cancels, marks atomic.Int32
		var works atomic.Bool
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			switch {
			case works.Load():
			case op == faulty.MarkFlow: // the first request of the kill of a flow
				marks.Add(1)
				return errBad
			case op == faulty.Cancel && cancels.Add(1) == 2: // the first cancel was the arbiter's
				return errBad
			}
			return nil
		}})
		later := work.With(task.Inherit(), task.Delay(time.Hour))
		var ids []task.ID
		r.family(4, func(_ context.Context, a args) (int, error) { return a.N, nil },
			func(ctx context.Context, _ args) (int, error) {
				group, err := task.All(later.Bind(args{1}), later.Bind(args{2})).With(task.Inherit()).Send(ctx, submitter(ctx))
				if err != nil {
					t.Error(err)
					return 0, err
				}
				single, err := later.Apply(ctx, submitter(ctx), args{3})
				if err != nil {
					t.Error(err)
					return 0, err
				}
				ids = []task.ID{group.ID(), single.ID()}
				return 0, obey(ctx)
			})
		fut, err := parent.Apply(t.Context(), r.arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := r.arb.Kill(t.Context(), fut.ID(), arbiter.Wait()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		r.pipe()
		if st := r.status(ids[1]); st.State != broker.StateCanceled {
			t.Errorf("the single inheriting task is %s", st.State)
		}
		if n := marks.Load(); n < 3 || n > 30 {
			t.Errorf("the kill of the group was tried %d times", n)
		}
		works.Store(true)
		time.Sleep(3 * time.Second)
		if st := r.status(ids[0]); st.State != broker.StateCanceled {
			t.Errorf("the group is %s", st.State)
		}
		if r.logs.count(": bad") == 0 || r.logs.count("broker is back") != 1 {
			t.Errorf("log: %s", r.logs)
		}
	})
}
