package arbiter_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// An operator bounds how many tasks wait. No more are stored, in a queue with partitions, too.
func TestMaxWaiting(t *testing.T) {
	onBrokers(t, func(t *testing.T, _ broker.Broker, arb *arbiter.Arbiter) {
		ctx := t.Context()
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		want := func(most, waiting int) {
			t.Helper()
			if gotMost, got, err := arb.MaxWaiting(ctx, "default"); err != nil || gotMost != most || got != waiting {
				t.Errorf("at most %d may wait, and %d do, %v; want %d and %d", gotMost, got, err, most, waiting)
			}
		}
		want(0, 0)
		check(arb.SetMaxWaiting(ctx, "default", 16))
		want(16, 0)
		stored := 0
		for n := range 100 {
			_, err := work.Apply(ctx, arb, args{n})
			var full *task.FullError
			switch {
			case err == nil:
				stored++
			case !errors.As(err, &full) || !errors.Is(err, task.ErrFull) || full.Queue != "default" || full.Waiting < full.Most || !strings.Contains(err.Error(), "queue default is full"):
				t.Fatalf("error %v, want a FullError", err)
			}
		}
		if stored == 0 || stored > 16 {
			t.Errorf("%d tasks were stored, at most 16 may wait", stored)
		}
		want(16, stored)
		check(arb.SetMaxWaiting(ctx, "default", 0))
		_, err := work.Apply(ctx, arb, args{0})
		check(err)
		want(0, stored+1)
		for want, err := range map[string]error{
			"set how many tasks may wait in queue a b": arb.SetMaxWaiting(ctx, "a b", 1),
			"-1, want 1 to 1000000000":                 arb.SetMaxWaiting(ctx, "default", -1),
		} {
			if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want ErrInvalid with %q", err, want)
			}
		}
		_ = arb.Close()
		if err := arb.SetMaxWaiting(ctx, "q", 1); !errors.Is(err, task.ErrClosed) {
			t.Errorf("after Close: error %v", err)
		}
	})
}

// Calls that wait for room are sent as soon as there is some. Others of the same submission are refused at once,
// or stored.
func TestWaitForRoom(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if err := r.arb.SetMaxWaiting(t.Context(), "default", 2); err != nil {
			t.Fatal(err)
		}
		first := []*task.Future[int]{r.send(60), r.send(60)}
		patient, hasty := work.With(task.WaitForRoom()), work
		began := time.Now()
		done := make(chan error, 1)
		var futs []*task.Future[int]
		go func() {
			var err error
			futs, err = task.SendAll(t.Context(), r.arb, patient.Bind(args{1}), hasty.Bind(args{2}), patient.Bind(args{3}), work.With(task.Queue("other")).Bind(args{4}))
			done <- err
		}()
		time.Sleep(time.Minute)
		if len(done) > 0 {
			t.Fatalf("the submission has ended: %v", <-done)
		}
		r.crew(1, slow, minion.Queues("default", "other")) // it makes room for one task at once, and for the next one after a minute
		err := <-done
		var failed *task.SubmitError
		if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Total != 4 || failed.Failed[0].Index != 1 || !errors.Is(failed.Failed[0].Err, task.ErrFull) {
			t.Fatalf("error %v, want that of the call 1", err)
		}
		r.near("the submission", began, 2*time.Minute, 3*time.Second)
		for _, fut := range append(first, futs[0], futs[2], futs[3]) {
			if _, err := fut.Result(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// A wait for room ends with the context, and with the arbiter. The error has both reasons.
func TestWaitForRoomEnds(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if err := r.arb.SetMaxWaiting(t.Context(), "default", 1); err != nil {
			t.Fatal(err)
		}
		r.send(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err := work.With(task.WaitForRoom()).Apply(ctx, r.arb, args{1})
		if !errors.Is(err, task.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want ErrFull and DeadlineExceeded", err)
		}
		r.near("the end", began, time.Minute, time.Second)
		done := make(chan error, 1)
		go func() {
			_, err := work.With(task.WaitForRoom()).Apply(t.Context(), r.arb, args{1})
			done <- err
		}()
		time.Sleep(time.Minute)
		_ = r.arb.Close()
		if err := <-done; !errors.Is(err, task.ErrFull) || !errors.Is(err, task.ErrClosed) {
			t.Errorf("error %v, want ErrFull and ErrClosed", err)
		}
	})
}

// A group without room is refused, and nothing of it waits any more. If it waits for room, it is sent in parts.
func TestFullGroup(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const most = 5
		if err := r.arb.SetMaxWaiting(t.Context(), "default", most); err != nil {
			t.Fatal(err)
		}
		calls := make([]task.Call[int], 2*most)
		for i := range calls {
			calls[i] = work.Bind(args{i})
		}
		_, err := task.All(calls...).Send(t.Context(), r.arb)
		var full *task.FullError
		if !errors.As(err, &full) || full.Most != most {
			t.Fatalf("error %v, want a FullError", err)
		}
		time.Sleep(time.Minute)
		if _, waiting, err := r.arb.MaxWaiting(t.Context(), "default"); err != nil || waiting != 0 {
			t.Errorf("%d tasks wait, %v; want none", waiting, err)
		}
		for i := range calls {
			calls[i] = work.With(task.WaitForRoom()).Bind(args{i})
		}
		r.crew(1, slow)
		all, err := task.All(calls...).Send(t.Context(), r.arb)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := all.Result(t.Context()); err != nil || len(got) != 2*most {
			t.Errorf("results %v, %v", got, err)
		}
	})
}

// Calls of handlers are refused, too. What waits for its turn in a pipe is not.
func TestFullForHandlers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(2, func(ctx context.Context, a args) (int, error) {
			if a.N == 1 {
				info, _ := task.FromContext(ctx)
				_, err := work.With(task.Queue("small")).Apply(ctx, info, args{2})
				if !errors.Is(err, task.ErrFull) {
					return 0, task.NoRetry(err)
				}
			}
			return a.N, nil
		})
		if err := r.arb.SetMaxWaiting(t.Context(), "small", 1); err != nil {
			t.Fatal(err)
		}
		r.send(0, task.Queue("small"))
		if _, err := r.send(1).Result(t.Context()); err != nil {
			t.Error(err)
		}
		if err := r.arb.SetMaxWaiting(t.Context(), "default", 2); err != nil {
			t.Fatal(err)
		}
		pipe, err := r.arb.Pipe(t.Context(), task.Calls(works(3, 4)...))
		if err != nil {
			t.Fatal(err)
		}
		if err := pipe.Result(t.Context(), nil); err != nil {
			t.Error(err)
		}
	})
}

// Calls that wait for room are sent in their order, and however many wait, only one of them asks.
func TestWaitForRoomInLine(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if err := r.arb.SetMaxWaiting(t.Context(), "default", 1); err != nil {
			t.Fatal(err)
		}
		r.send(0)
		const callers = 50
		var all sync.WaitGroup
		for n := 1; n <= callers; n++ {
			all.Go(func() {
				if _, err := work.With(task.WaitForRoom()).Call(t.Context(), r.arb, args{n}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		before := r.b.Calls(faulty.Enqueue)
		time.Sleep(time.Minute)
		if n := r.b.Calls(faulty.Enqueue) - before; n < 50 || n > 130 { // with pauses of half a second to a second
			t.Errorf("%d requests in a minute, want about 80", n)
		}
		var order []int
		before = r.b.Calls(faulty.Enqueue)
		r.crew(1, func(_ context.Context, a args) (int, error) {
			order = append(order, a.N)
			return a.N, nil
		})
		all.Wait()
		if len(order) != callers+1 || !slices.IsSorted(order) {
			t.Errorf("the calls ran in the order %v", order)
		}
		if n := r.b.Calls(faulty.Enqueue) - before; n > 4*callers {
			t.Errorf("%d requests for %d calls", n, callers)
		}
	})
}

// A group that is killed while its sender waits for room is not sent any more.
func TestFullGroupIsKilled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if err := r.arb.SetMaxWaiting(t.Context(), "default", 1); err != nil {
			t.Fatal(err)
		}
		r.send(0)
		group := task.All(work.With(task.WaitForRoom()).Bind(args{1}), work.Bind(args{2}))
		done := make(chan error, 1)
		go func() {
			_, err := group.Send(t.Context(), r.arb)
			done <- err
		}()
		time.Sleep(time.Minute)
		if _, err := r.arb.Kill(t.Context(), group.Request().ID()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil && !errors.Is(err, task.ErrCanceled) && !errors.Is(err, task.ErrIndeterminate) {
			t.Errorf("the submission has ended with %v", err)
		}
		r.crew(1, func(_ context.Context, a args) (int, error) {
			if a.N > 0 {
				t.Errorf("member %d has run", a.N)
			}
			return a.N, nil
		})
		time.Sleep(time.Minute)
	})
}
