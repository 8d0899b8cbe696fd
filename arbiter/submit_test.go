package arbiter_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
)

func TestNewRefuses(t *testing.T) {
	b := memory.New()
	for says, f := range map[string]func() (*arbiter.Arbiter, error){
		"broker is nil":    func() (*arbiter.Arbiter, error) { return arbiter.New(nil) },
		"Codec(nil)":       func() (*arbiter.Arbiter, error) { return arbiter.New(b, arbiter.Codec(nil)) },
		"Codecs: number 1": func() (*arbiter.Arbiter, error) { return arbiter.New(b, arbiter.Codecs(nil)) },
		"Logger(nil)":      func() (*arbiter.Arbiter, error) { return arbiter.New(b, arbiter.Logger(nil)) },
	} {
		if _, err := f(); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want an error that says %q", err, says)
		}
	}
}

// Each error of a submission names its call, and the other calls are stored.
func TestSubmitErrors(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		holder := r.send(1, task.Unique("k"))
		var zero task.Call[int]
		calls := []task.Bound{
			work.Bind(args{1}),
			zero,
			work.With(task.Queue("no good")).Bind(args{2}),
			work.With(task.Unique("k")).Bind(args{3}),
			task.Define[struct{ S string }, int]("big").Bind(struct{ S string }{strings.Repeat("x", 2000)}),
			nil,
			work.Bind(args{4}),
		}
		err := r.arb.Submit(t.Context(), calls...)
		var sub *task.SubmitError
		if !errors.As(err, &sub) || sub.Total != len(calls) || sub.Indeterminate() {
			t.Fatalf("submit: %#v", err)
		}
		want := map[int]error{1: task.ErrInvalid, 2: task.ErrInvalid, 3: task.ErrDuplicate, 4: task.ErrTooLarge, 5: task.ErrInvalid}
		for _, f := range sub.Failed {
			if !errors.Is(f.Err, want[f.Index]) {
				t.Errorf("call %d: %v, want %v", f.Index, f.Err, want[f.Index])
			}
			delete(want, f.Index)
		}
		if len(want) > 0 {
			t.Errorf("not among the failed: %v", want)
		}
		var dup *task.DuplicateError
		if !errors.As(err, &dup) || dup.Holder != holder.ID() {
			t.Errorf("the holder of the key: %+v", dup)
		}
		for _, i := range []int{0, 6} {
			if _, err := r.arb.Status(t.Context(), calls[i].Request().ID()); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		}
		if n := r.b.Calls(faulty.Enqueue); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		if err := r.arb.Submit(t.Context()); err != nil {
			t.Errorf("submit nothing: %v", err)
		}
	}, memory.Limits(broker.Limits{Payload: 1000}))
}

// Concurrent callers share requests, and a bulk is one request.
func TestSubmitsAreBatched(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Enqueue {
				time.Sleep(time.Millisecond)
			}
			return nil
		}})
		r.crew(10, echo)
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				if n, err := work.Call(t.Context(), r.arb, args{i}); n != i || err != nil {
					t.Errorf("call %d: %d, %v", i, n, err)
				}
			})
		}
		wg.Wait()
		if n := r.b.Calls(faulty.Enqueue); n > 5 {
			t.Errorf("%d requests for 1000 calls", n)
		}
		calls := make([]task.Call[int], 900)
		for i := range calls {
			calls[i] = work.Bind(args{i})
		}
		before := r.b.Calls(faulty.Enqueue)
		if _, err := task.SendAll(t.Context(), r.arb, calls...); err != nil {
			t.Error(err)
		}
		if n := r.b.Calls(faulty.Enqueue) - before; n != 1 {
			t.Errorf("%d requests for a bulk", n)
		}
	})
}

// If a reply is lost, the submission is repeated, and there is no second task.
func TestLostReply(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		lost := 0
		r.b.Set(faulty.Hooks{After: func(op faulty.Op, _ int) error {
			if op == faulty.Enqueue && lost < 3 {
				lost++
				return faulty.ErrLostReply
			}
			return nil
		}})
		runs := 0
		r.crew(1, func(context.Context, args) (int, error) { runs++; return runs, nil })
		if n, err := work.Call(t.Context(), r.arb, args{1}); n != 1 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		time.Sleep(time.Minute)
		if runs != 1 {
			t.Errorf("it ran %d times", runs)
		}
	})
}

// If the outcome stays unknown, the caller gets ErrIndeterminate, and can send the same Call again.
func TestIndeterminate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		bad := true
		r.b.Set(faulty.Hooks{After: func(op faulty.Op, _ int) error {
			if op == faulty.Enqueue && bad {
				return faulty.ErrLostReply
			}
			return nil
		}})
		runs := 0
		r.crew(1, func(context.Context, args) (int, error) { runs++; return runs, nil })
		call := work.Bind(args{1})
		began := time.Now()
		_, err := call.Send(t.Context(), r.arb)
		var sub *task.SubmitError
		if !errors.As(err, &sub) || !sub.Indeterminate() || sub.Failed[0].ID.IsZero() || !errors.Is(err, task.ErrUnavailable) {
			t.Fatalf("send: %v", err)
		}
		r.near("the error came", began, 5*time.Second, 2*time.Second)
		bad = false
		began = time.Now()
		fut, err := call.Send(t.Context(), r.arb)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := fut.Result(t.Context()); n != 1 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		r.near("the result", began, 0, time.Millisecond)
		// Once more, after the task is done and its result was read.
		again, err := call.Send(t.Context(), r.arb)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := again.Result(t.Context()); n != 1 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		r.near("the result again", began, 0, time.Millisecond)
		if runs != 1 {
			t.Errorf("it ran %d times", runs)
		}
	})
}

func TestSubmitUnavailable(t *testing.T) {
	for _, op := range []faulty.Op{faulty.Enqueue, faulty.Inbox} {
		t.Run(string(op), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				var until time.Time
				r.b.Set(faulty.Hooks{Before: func(_ context.Context, o faulty.Op, _ int) error {
					if o == op && time.Now().Before(until) {
						return faulty.ErrUnavailable
					}
					return nil
				}})
				r.crew(1, echo)
				until = time.Now().Add(3 * time.Second)
				if n, err := work.Call(t.Context(), r.arb, args{3}); n != 3 || err != nil {
					t.Errorf("through a short outage: %d, %v", n, err)
				}
				until = time.Now().Add(time.Hour)
				arb := r.arbiter()
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				began := time.Now()
				_, err := work.Apply(ctx, arb, args{3})
				if !errors.As(err, new(*task.SubmitError)) {
					t.Errorf("until ctx ends: %v", err)
				}
				r.near("ctx's end", began, 0, 2*time.Second)
				_, err = work.Apply(t.Context(), arb, args{3})
				if !errors.Is(err, task.ErrUnavailable) || errors.Is(err, task.ErrIndeterminate) {
					t.Errorf("in a long outage: %v", err)
				}
				if d := time.Since(began); d > 20*time.Second {
					t.Errorf("that took %v", d)
				}
			})
		})
	}
}

func TestSubmitCanceled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := work.Apply(ctx, r.arb, args{1})
		if !errors.Is(err, context.Canceled) || errors.Is(err, task.ErrIndeterminate) || !errors.As(err, new(*task.SubmitError)) {
			t.Errorf("submit: %v", err)
		}
		if n := r.b.Total(); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, slow)
		fut := r.send(60)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := fut.Result(t.Context()); !errors.Is(err, task.ErrClosed) {
				t.Errorf("a wait when the arbiter is closed: %v", err)
			}
		})
		wg.Go(func() {
			for _, err := range r.arb.WaitForTasks(t.Context(), fut.ID()) {
				if !errors.Is(err, task.ErrClosed) {
					t.Errorf("a loop when the arbiter is closed: %v", err)
				}
			}
		})
		synctest.Wait()
		if err := errors.Join(r.arb.Close(), r.arb.Close()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		_, err := work.Apply(t.Context(), r.arb, args{1})
		if !errors.Is(err, task.ErrClosed) || !errors.As(err, new(*task.SubmitError)) {
			t.Errorf("submit after close: %v", err)
		}
		_, err = r.arb.Status(t.Context(), fut.ID())
		_, err2 := r.arb.Kill(t.Context(), fut.ID())
		_, err3 := r.arb.Workers(t.Context())
		err4 := r.arb.Emit(t.Context(), "topic", 1)
		for _, err := range []error{err, err2, err3, err4, r.arb.Await(t.Context(), fut.ID(), nil)} {
			if !errors.Is(err, task.ErrClosed) {
				t.Errorf("after close: %v", err)
			}
		}
		// The task goes on, and another arbiter gets its result.
		other := r.arbiter()
		if n, err := task.NewFuture[int](other, fut.ID()).Result(t.Context()); n != 60 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
	})
}

func TestBrokerClosed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		fut := r.send(1)
		foreign := task.NewFuture[int](r.arbiter(), fut.ID())
		var wg sync.WaitGroup
		for _, f := range []*task.Future[int]{fut, foreign} {
			wg.Go(func() {
				if _, err := f.Result(t.Context()); !errors.Is(err, task.ErrClosed) {
					t.Errorf("a wait when the broker is closed: %v", err)
				}
			})
		}
		synctest.Wait()
		_ = r.b.Close()
		wg.Wait()
		if _, err := work.Apply(t.Context(), r.arb, args{1}); !errors.Is(err, task.ErrClosed) {
			t.Errorf("submit: %v", err)
		}
	})
}

// Close works at any moment, whatever is under way.
func TestCloseStress(t *testing.T) {
	for range 200 {
		b := memory.New()
		arb, err := arbiter.New(b, arbiter.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				if i%4 == 3 {
					_ = arb.Close()
					return
				}
				_, err := work.Call(t.Context(), arb, args{i})
				if !errors.Is(err, task.ErrClosed) {
					t.Errorf("call: %v", err)
				}
			})
		}
		wg.Wait()
		_ = b.Close()
	}
}

func TestJSONCodec(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		arb := r.arbiter(arbiter.Codec(codec.JSON()))
		r.crew(1, echo)
		if n, err := work.Call(t.Context(), arb, args{5}); n != 5 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
	})
}
