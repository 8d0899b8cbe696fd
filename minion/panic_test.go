package minion_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// bomb is an argument whose decoding panics.
type bomb struct{ Text string }

func (b bomb) MarshalText() ([]byte, error) { return []byte(b.Text), nil }

func (b *bomb) UnmarshalText([]byte) error { panic("bomb") }

type bombArgs struct {
	B bomb `arbiter:"b"`
}

// logged checks that some line of the log contains all parts.
func (l *logs) logged(t *testing.T, parts ...string) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return
		}
	}
	t.Errorf("no line with %q in:\n%s", parts, l)
}

// Every attempt that panics is logged with its stack, however the task ends and whether the
// handler, its error or a policy has panicked.
func TestPanicIsLogged(t *testing.T) {
	const here = "panicHere" // a function name in the stack
	for name, tt := range map[string]struct {
		fn    func(context.Context, args) (int, error)
		opts  []minion.Option
		parts []string
		ended broker.State
	}{
		"retried": {
			func(ctx context.Context, a args) (int, error) {
				if info, _ := task.FromContext(ctx); info.Attempt == 1 {
					panicHere()
				}
				return a.N, nil
			},
			[]minion.Option{minion.Retry(1, task.Constant(0))},
			[]string{"level=WARN", "to be retried", "attempt=1", here}, broker.StateSucceeded,
		},
		"the last attempt": {
			func(context.Context, args) (int, error) { panicHere(); return 0, nil },
			[]minion.Option{minion.Retry(1, task.Constant(0))},
			[]string{"level=ERROR", "no retries left", "attempt=2", here}, broker.StateFailed,
		},
		"middleware": {
			func(_ context.Context, a args) (int, error) { return a.N, nil },
			[]minion.Option{minion.Retry(0, nil), minion.Use(func(next minion.Handler) minion.Handler {
				return func(ctx context.Context) error {
					err := next(ctx)
					panicHere()
					return err
				}
			})},
			[]string{"level=ERROR", "no retries left", here}, broker.StateFailed,
		},
		"the backoff": {
			func(context.Context, args) (int, error) { return 0, errBad },
			[]minion.Option{minion.Retry(1, func(int, error) time.Duration { panicHere(); return 0 })},
			[]string{"level=ERROR", "the backoff policy of the task panicked", here}, broker.StateFailed,
		},
		"a method of the error": {
			func(context.Context, args) (int, error) { return 0, awful{} },
			[]minion.Option{minion.Retry(0, nil)},
			[]string{"level=ERROR", "in a method of the handler's error, a minion_test.awful", "stack=", "minion_test.awful."}, broker.StateFailed,
		},
		"a canceled task": {
			func(ctx context.Context, _ args) (int, error) { <-ctx.Done(); panicHere(); return 0, nil },
			nil,
			[]string{"level=WARN", "task canceled", here}, broker.StateCanceled,
		},
		"an expired task": {
			func(ctx context.Context, _ args) (int, error) { <-ctx.Done(); panicHere(); return 0, nil },
			nil,
			[]string{"level=WARN", "task expired", here}, broker.StateExpired,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.crew(1, tt.fn, tt.opts...)
				var opts []task.Option
				if tt.ended == broker.StateExpired {
					opts = append(opts, task.Within(time.Second))
				}
				fut := r.send(1, opts...)
				if tt.ended == broker.StateCanceled {
					time.Sleep(time.Second)
					if _, err := r.arb.Kill(t.Context(), fut.ID()); err != nil {
						t.Fatal(err)
					}
				}
				_, _ = r.result(fut)
				if st := r.status(fut.ID()); st.State != tt.ended {
					t.Errorf("the task is %s, want %s", st.State, tt.ended)
				}
				r.logs.logged(t, append(tt.parts, "task.id="+fut.ID().String(), "stack=")...)
			})
		})
	}
}

// A panic is also logged if the lease is lost, so that the attempt is not settled.
func TestPanicAfterLeaseIsLogged(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var o out
		r.b.Set(o.hooks(all...))
		r.crew(2, func(ctx context.Context, a args) (int, error) {
			if info, _ := task.FromContext(ctx); info.Attempt > 1 {
				return a.N, nil
			}
			<-ctx.Done()
			panicHere()
			return 0, nil
		})
		fut := r.send(1)
		synctest.Wait()
		o.down.Store(true)
		time.Sleep(5 * time.Minute)
		o.down.Store(false)
		r.want(fut, broker.StateSucceeded, 2, 0)
		r.logs.logged(t, "level=WARN", "task panicked after its lease was lost", "task.id="+fut.ID().String(), "attempt=1", "stack=", "panicHere")
	})
}

// A panic in an unmarshal method of the arguments is reported with its stack.
func TestPanicOfArguments(t *testing.T) {
	for _, c := range []codec.Codec{codec.Msgpack(), codec.JSON()} {
		bubble(t, func(t *testing.T, r *rig) {
			m := must(minion.New(r.b, minion.Logger(r.logs.logger())))
			handle := task.Define[bombArgs, int]("bomb")
			if err := task.Handle(m, handle, func(context.Context, bombArgs) (int, error) { return 0, nil }); err != nil {
				t.Fatal(err)
			}
			r.start(m, 1)
			payload, err := c.AppendArgs(nil, bombArgs{bomb{"x"}})
			if err != nil {
				t.Fatal(err)
			}
			record := &broker.Task{
				ID: broker.NewTaskID("default", ""), Name: "bomb", Queue: "default", Codec: c.Name(), Payload: payload,
				Retries: broker.DefaultRetries, Retention: time.Hour, DeadFor: time.Hour,
			}
			if err := r.b.Enqueue(t.Context(), []*broker.Task{record}); err != nil {
				t.Fatal(err)
			}
			_, err = task.NewFuture[int](r.arb, record.ID).Result(t.Context())
			var remote *task.RemoteError
			if !errors.Is(err, task.ErrBadArguments) || !errors.As(err, &remote) || !strings.Contains(remote.Stack, "bomb).UnmarshalText") {
				t.Errorf("%s: error %v, %+v", c.Name(), err, remote)
			}
			r.logs.logged(t, "level=ERROR", "not to be retried", "stack=", "bomb).UnmarshalText")
		})
	}
}

// A panic in a child is logged in the minion with the child's stack. A crash is logged with
// the last output of the process.
func TestIsolatedPanicIsLogged(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1, minion.Retry(0, task.Constant(0)))
	_ = y.remote(deed{What: "panic", Text: "oh"}, task.Retries(1))
	y.logs.logged(t, "level=WARN", "to be retried", "attempt=1", `error="panic: oh"`, "stack=", "isolated_rig_test.go")
	y.logs.logged(t, "level=ERROR", "no retries left", "attempt=2", "stack=", "isolated_rig_test.go")
	_ = y.remote(deed{What: "lone panic", Text: "alone"}, task.Retries(0))
	y.logs.logged(t, "level=ERROR", "no retries left", "stack=", "panic: alone")
	// An output of one line is part of the error and is not repeated, unless the error
	// truncates it.
	exit := y.send(deed{What: "exit", N: 3}, task.Retries(0))
	_, _ = y.result(exit)
	y.logs.logged(t, "level=ERROR", "no retries left", exit.ID().String(), "exit code 3: before the end")
	for line := range strings.Lines(y.logs.String()) {
		if strings.Contains(line, exit.ID().String()) && strings.Contains(line, "stack=") {
			t.Errorf("the stack repeats the error: %s", line)
		}
	}
	long := strings.Repeat("x", 400)
	_ = y.remote(deed{What: "last words", Text: long}, task.Retries(0))
	y.logs.logged(t, "level=ERROR", "no retries left", "stack=", long)
}
