package arbiter_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// telling is a broker that reports which tasks its minions run.
type telling struct {
	broker.Broker

	mu    sync.Mutex
	tasks map[broker.ID]map[string]uint64
	asked int
	mute  bool  // it reports no tasks
	err   error // the error of Minions
}

// Consume implements [broker.Broker].
func (b *telling) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	c, err := b.Broker.Consume(ctx, cfg)
	if err == nil {
		b.mu.Lock()
		b.tasks[c.ID()] = cfg.Tasks
		b.mu.Unlock()
	}
	return c, err
}

// Minions implements [broker.Broker].
func (b *telling) Minions(ctx context.Context) ([]broker.MinionInfo, error) {
	infos, err := b.Broker.Minions(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	for i := range infos {
		infos[i].Tasks = b.tasks[infos[i].ID]
		if b.mute {
			infos[i].Tasks = nil
		}
	}
	return infos, errors.Join(err, b.err)
}

// checking runs f with an arbiter that checks schemas.
func checking(t *testing.T, f func(r *rig, b *telling)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &telling{Broker: memory.New(), tasks: make(map[broker.ID]map[string]uint64)}
		r := &rig{T: t, b: faulty.New(b)}
		r.arb = r.arbiter(arbiter.CheckSchema())
		defer func() { _ = r.b.Close() }()
		f(r, b)
	})
}

var (
	oldWork = task.Define[args, int]("versioned", task.Schema(1))
	newWork = task.Define[args, int]("versioned", task.Schema(2))
)

// runs starts a minion that runs the task.
func (r *rig) runs(t task.Task[args, int]) {
	r.Helper()
	m := must(minion.New(r.b, minion.Logger(silent), minion.DrainTimeout(0)))
	if err := task.Handle(m, t, echo); err != nil {
		r.Fatal(err)
	}
	go func() { _ = m.Run(context.Background(), 1) }()
	r.Cleanup(func() { _ = m.Close() })
	synctest.Wait()
}

func TestCheckSchema(t *testing.T) {
	checking(t, func(r *rig, _ *telling) {
		refused := func(err error, known bool, minions int) {
			r.Helper()
			var schema *arbiter.SchemaError
			if !errors.As(err, &schema) || !errors.Is(err, task.ErrInvalid) || schema.Known != known || schema.Minions != minions {
				r.Errorf("%v (%+v)", err, schema)
			}
		}
		// Without a minion nothing is refused.
		if _, err := newWork.Apply(r.Context(), r.arb, args{1}); err != nil {
			r.Errorf("without a minion: %v", err)
		}

		r.runs(oldWork)
		time.Sleep(time.Second) // for as long as the list of minions may be old
		if n, err := oldWork.Call(r.Context(), r.arb, args{2}); n != 2 || err != nil {
			r.Errorf("the right schema: %d, %v", n, err)
		}
		call := newWork.Bind(args{3})
		_, err := call.Send(r.Context(), r.arb)
		refused(err, true, 1)
		if !call.Request().ID().IsZero() {
			r.Error("a refused call has an id")
		}
		_, err = work.Apply(r.Context(), r.arb, args{4})
		refused(err, false, 1)
		_, err = r.arb.Apply(r.Context(), "unknown")
		refused(err, false, 1)
		if _, err := r.arb.ApplySync(r.Context(), "versioned", arbiter.Args(5)); err != nil {
			r.Errorf("by name: %v", err)
		}
		if _, err := newWork.With(task.Queue("other")).Apply(r.Context(), r.arb, args{6}); err != nil {
			r.Errorf("in a queue that nobody serves: %v", err)
		}

		// Of several calls, those that can be decoded are sent.
		futs, err := task.SendAll(r.Context(), r.arb, newWork.Bind(args{7}), oldWork.Bind(args{8}), newWork.Bind(args{9}))
		refused(err, true, 1)
		var sub *task.SubmitError
		if !errors.As(err, &sub) || len(sub.Failed) != 2 || sub.Failed[0].Index != 0 || sub.Failed[1].Index != 2 || sub.Total != 3 {
			r.Errorf("%+v", sub)
		}
		if n, err := futs[1].Result(r.Context()); n != 8 || err != nil {
			r.Errorf("the one that was sent: %d, %v", n, err)
		}

		// A new minion counts at once.
		r.runs(newWork)
		if _, err := call.Send(r.Context(), r.arb); err != nil {
			r.Errorf("with a new minion: %v", err)
		}
	})
}

// TestCheckSchemaAsks checks that the minions are listed at most once a second.
func TestCheckSchemaAsks(t *testing.T) {
	checking(t, func(r *rig, b *telling) {
		r.runs(oldWork)
		for range 100 {
			if _, err := oldWork.Call(r.Context(), r.arb, args{1}); err != nil {
				r.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if b.asked > 11 {
			r.Errorf("the minions were asked for %d times in 10 s", b.asked)
		}
	})
}

// TestCheckSchemaUnknown checks that calls are sent if the tasks of the minions are unknown.
func TestCheckSchemaUnknown(t *testing.T) {
	checking(t, func(r *rig, b *telling) {
		b.mute = true
		r.runs(oldWork)
		if _, err := newWork.Apply(r.Context(), r.arb, args{1}); err != nil {
			r.Errorf("the broker does not tell: %v", err)
		}
		time.Sleep(time.Minute)
		b.mute, b.err = false, task.ErrUnavailable
		if _, err := newWork.Apply(r.Context(), r.arb, args{1}); err != nil {
			r.Errorf("the broker cannot be asked: %v", err)
		}
	})
}
