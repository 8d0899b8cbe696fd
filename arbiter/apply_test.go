package arbiter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// whoMinion runs a task that returns its own id. The copy that starts first takes longest.
func whoMinion(r *rig) {
	r.Helper()
	m := must(minion.New(r.b, minion.Logger(silent), minion.DrainTimeout(0)))
	pause := 10 * time.Second
	err := task.HandleFunc(m, "who", func(ctx context.Context, a codec.Arguments) (any, error) {
		info, _ := task.FromContext(ctx)
		pause -= time.Second
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if len(a.Positional) > 0 {
			return nil, task.NoRetry(errBad)
		}
		return info.ID.String(), nil
	})
	if err != nil {
		r.Fatal(err)
	}
	go func() { _ = m.Run(context.Background(), 1) }()
	r.Cleanup(func() { _ = m.Close() })
}

// As with sync=True in the original, ApplySync returns the results: each status is at the index of its copy and has that
// copy's result, also if the result is not kept.
func TestApplySync(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		whoMinion(r)
		done, err := r.arb.ApplySync(t.Context(), "who", arbiter.Count(4), arbiter.Options(task.Retention(0)))
		if err != nil || len(done) != 4 {
			t.Fatalf("%+v, %v", done, err)
		}
		seen := make(map[task.ID]bool)
		for i, st := range done {
			var own string
			if err := st.Decode(&own); err != nil || own != st.ID.String() || st.State != broker.StateSucceeded {
				t.Errorf("copy %d is %s and gives %s, %v", i, st.ID, own, err)
			}
			seen[st.ID] = true
		}
		if len(seen) != 4 {
			t.Errorf("%d ids of 4 copies", len(seen))
		}
		done, err = r.arb.ApplySync(t.Context(), "who", arbiter.Args("fail"))
		var remote *task.RemoteError
		if err != nil || len(done) != 1 || done[0].State != broker.StateFailed || !errors.As(done[0].Err(), &remote) {
			t.Errorf("one that fails: %+v, %v", done, err)
		}
	})
}

// If the wait is given up, ApplySync returns the statuses known by then. Copies that can't be stored are not waited for.
func TestApplySyncEndsEarly(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		whoMinion(r)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		done, err := r.arb.ApplySync(ctx, "who", arbiter.Count(3)) // 9 s, 8 s, 7 s
		if !errors.Is(err, context.DeadlineExceeded) || len(done) != 3 {
			t.Fatalf("%+v, %v", done, err)
		}
		ended := 0
		for _, st := range done {
			_, err := st.Result()
			switch {
			case st.ID.IsZero():
				t.Errorf("no id: %+v", st)
			case err == nil:
				ended++
			case !errors.Is(err, arbiter.ErrNotDone):
				t.Errorf("one that is not done: %v", err)
			}
		}
		if ended != 2 {
			t.Errorf("%d have ended, want 2", ended)
		}
		// One of three copies with the same key is stored.
		done, err = r.arb.ApplySync(t.Context(), "who", arbiter.Count(3), arbiter.Options(task.Unique("k")))
		if !errors.Is(err, task.ErrDuplicate) || len(done) != 1 || done[0].ID.IsZero() {
			t.Errorf("of three copies with one key: %+v, %v; want one stored", done, err)
		}
		if _, err := r.arb.ApplySync(t.Context(), "who", arbiter.Count(0)); !errors.Is(err, task.ErrInvalid) {
			t.Errorf("Count(0): %v", err)
		}
	})
}
