package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

var errRefused = errors.New("connection\nrefused")

func init() {
	if err := task.RegisterError("wait_failure_test.refused", errRefused); err != nil {
		panic(err)
	}
}

// reach waits until a task is in the state that done wants.
func reach(t *testing.T, b broker.Broker, id task.ID, done func(st *broker.Status) bool) {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		found, err := b.Lookup(t.Context(), []broker.ID{id})
		if err != nil {
			t.Fatal(err)
		}
		if done(&found[0]) {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("it is %+v", found[0])
		}
	}
}

// The error of a wait tells why the task is being retried, while it waits for its next attempt and while that runs: to its sender,
// to other processes, and for a task in a group.
func TestWaitErrorFailure(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		served(t, b, "default", func(ctx context.Context, a args) (int, error) {
			info, _ := task.FromContext(ctx)
			switch {
			case a.N == 0: // retried in an hour
				return 0, task.RetryAfter(time.Hour, fmt.Errorf("%w: %s", errRefused, strings.Repeat("ö", 1000)))
			case info.Attempt == 1:
				return 0, task.RetryAfter(time.Millisecond, errRefused)
			}
			return 0, waitFor(ctx)
		}, minion.Retry(5, task.Constant(time.Hour)))
		arb, other := client(t, b), client(t, b)

		retried, err := work.Apply(t.Context(), arb, args{0})
		if err != nil {
			t.Fatal(err)
		}
		reach(t, b, retried.ID(), func(st *broker.Status) bool { return st.State == broker.StateRetrying })
		group, err := arb.Group(t.Context(), task.Calls(work.Bind(args{0})))
		if err != nil {
			t.Fatal(err)
		}
		member := onlyMember(t, b, group.ID())
		reach(t, b, member, func(st *broker.Status) bool { return st.State == broker.StateRetrying })
		again, err := work.Apply(t.Context(), arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		reach(t, b, again.ID(), func(st *broker.Status) bool { return st.State == broker.StateRunning && st.Attempt == 2 })

		const next, cutOff = "it is retrying, next at 2", `, in queue "default"; attempt 1 failed: connection refused: öö`
		cases := map[string]struct {
			from *arbiter.Arbiter
			id   task.ID
			of   task.ID // the task that failed
			says []string
			end  string
		}{
			"own":         {arb, retried.ID(), retried.ID(), []string{"task work (", ": context deadline exceeded: " + next, cutOff}, "öö…"},
			"by id":       {other, retried.ID(), retried.ID(), []string{"task work (", next, cutOff}, "öö…"},
			"in a group":  {arb, group.ID(), member, []string{"group ", "task work (", " in " + next, cutOff}, "öö…"},
			"group by id": {other, group.ID(), member, []string{"group ", "task work (", " in " + next, cutOff}, "öö…"},
			"runs again":  {arb, again.ID(), again.ID(), []string{": it is running, attempt 2, at minion "}, "; attempt 1 failed: connection refused"},
			"that by id":  {other, again.ID(), again.ID(), []string{"task work (", ": it is running, attempt 2, at minion "}, "; attempt 1 failed: connection refused"},
		}
		t.Run("waits", func(t *testing.T) { // so that the code below runs after all of them
			for what, test := range cases {
				t.Run(what, func(t *testing.T) {
					t.Parallel()
					var e *task.WaitError
					err := toldWait(t, func(err error) bool {
						return errors.As(err, &e) && e.LastFailure != nil
					}, func(ctx context.Context) error {
						var none any
						return test.from.Await(ctx, test.id, &none)
					})
					if !errors.As(err, &e) || e.LastFailure == nil {
						t.Fatalf("%v (%+v)", err, e)
					}
					for _, part := range test.says {
						if !strings.Contains(err.Error(), part) {
							t.Errorf("%q lacks %q", err, part)
						}
					}
					if !strings.HasSuffix(err.Error(), test.end) || len(e.Reason) > 500 || strings.ToValidUTF8(e.Reason, "") != e.Reason {
						t.Errorf("%q does not end with %q", err, test.end)
					}
					f := e.LastFailure
					if f.Attempts != 1 || f.Task != "work" || f.ID != test.of || !strings.HasPrefix(f.Message, errRefused.Error()) || !errors.Is(f, errRefused) {
						t.Errorf("%+v", f)
					}
					var remote *task.RemoteError
					if errors.Is(err, errRefused) || errors.As(err, &remote) {
						t.Error("the task has not failed, and the wait's error says that it has")
					}
				})
			}
		})
	})
}

// onlyMember returns the only member of a group.
func onlyMember(t *testing.T, b broker.Broker, group task.ID) task.ID {
	t.Helper()
	members, err := b.(broker.Flows).Members(t.Context(), group, 0, 2, false)
	if err != nil || len(members) != 1 {
		t.Fatal(members, err)
	}
	return members[0].ID
}

// client returns an arbiter on a broker.
func client(t *testing.T, b broker.Broker) *arbiter.Arbiter {
	t.Helper()
	arb, err := arbiter.New(b, arbiter.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arb.Close() })
	return arb
}

// For a task that is waited for by its id, and for one in a group, the error has the name that the broker tells. So it is found
// that no minion knows the task. (Redis does not tell the name of a task that is pending.)
func TestWaitErrorName(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		served(t, b, "default", func(_ context.Context, a args) (int, error) { return a.N, nil })
		arb, other := client(t, b), client(t, b)
		later := task.Define[args, int]("wirk").With(task.Delay(time.Hour))
		fut, err := later.Apply(t.Context(), arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		group, err := arb.Group(t.Context(), task.Calls(later.Bind(args{2})))
		if err != nil {
			t.Fatal(err)
		}
		const want = `, none of whose 1 living minions knows the task (tasks known: work)`
		for _, test := range []struct {
			id         task.ID
			name, says string
		}{
			{fut.ID(), "wirk", "task wirk ("},
			{group.ID(), "", ": task wirk (" + onlyMember(t, b, group.ID()).String() + ") in it is scheduled until "},
		} {
			err := stuckWait(t, func(ctx context.Context) error { return other.Await(ctx, test.id, nil) })
			var e *task.WaitError
			if !errors.Is(err, task.ErrNoMinion) || !errors.As(err, &e) || e.Name != test.name || !strings.Contains(err.Error(), test.says) || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%v (%+v), want %q and %q", err, e, test.says, want)
			}
		}
	})
}

// All goroutines that wait for one future learn why the task is not done, not only the first.
func TestWaitErrorTurn(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		served(t, b, "default", func(_ context.Context, a args) (int, error) { return a.N, nil })
		fut, err := work.With(task.Queue("defoult")).Apply(t.Context(), client(t, b), args{1})
		if err != nil {
			t.Fatal(err)
		}
		errs := make([]error, 4)
		told := func(err error) bool {
			var e *task.WaitError
			return errors.As(err, &e) && e.Stuck && e.Name == "work" && e.Queue == "defoult" && errors.Is(err, context.DeadlineExceeded) && err.Error() == errs[0].Error()
		}
		_ = toldWait(t, func(error) bool { return !slices.ContainsFunc(errs, func(err error) bool { return !told(err) }) }, func(ctx context.Context) error {
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() { _, errs[i] = fut.Result(ctx) })
			}
			wg.Wait()
			return nil
		})
		for _, err := range errs {
			if !told(err) {
				t.Errorf("%v, want %v", err, errs[0])
			}
		}
	})
}
