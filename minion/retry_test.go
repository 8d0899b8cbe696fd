package minion_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

func TestSuccess(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(3, func(_ context.Context, a args) (int, error) { return 2 * a.N, nil })
		fut := r.send(21)
		if n, err := r.result(fut); n != 42 || err != nil {
			t.Errorf("result %d, %v", n, err)
		}
		st := r.want(fut, broker.StateSucceeded, 1, 0)
		if st.Name != "work" || st.Queue != "default" || st.Minion.IsZero() || st.Started.IsZero() {
			t.Errorf("status %+v", st)
		}
	})
}

// A failed task is retried after its backoff, and its retries are counted.
func TestRetries(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var starts []time.Duration
		began := time.Now()
		var infos []task.Info
		r.crew(3, func(ctx context.Context, _ args) (int, error) {
			info, _ := task.FromContext(ctx)
			infos = append(infos, info)
			starts = append(starts, time.Since(began))
			if len(starts) < 4 {
				return 0, errBad
			}
			return len(starts), nil
		}, minion.Retry(5, func(retry int, err error) time.Duration {
			if !errors.Is(err, errBad) {
				t.Errorf("the backoff was asked about %v", err)
			}
			return time.Duration(retry) * time.Minute
		}))
		fut := r.send(1)
		if n, err := r.result(fut); n != 4 || err != nil {
			t.Errorf("result %d, %v", n, err)
		}
		r.want(fut, broker.StateSucceeded, 4, 3)
		for i, want := range []time.Duration{0, time.Minute, 3 * time.Minute, 6 * time.Minute} {
			r.near(fmt.Sprintf("attempt %d", i+1), starts[i], want)
			if in := infos[i]; in.Attempt != uint32(i+1) || in.Retried != i || in.MaxRetries != 5 {
				t.Errorf("attempt %d knows of itself %+v", i+1, in)
			}
		}
	})
}

// The retry policy is the call's, else the registration's, else the minion's.
func TestRetryPolicies(t *testing.T) {
	for _, c := range []struct {
		name       string
		call       []task.Option
		definition []task.Option
		minion     []minion.Option
		retries    int
		after      time.Duration
	}{
		{"the call's", []task.Option{task.Retries(1)}, []task.Option{task.Retries(2)}, []minion.Option{minion.Retry(3, task.Constant(time.Second))}, 1, time.Second},
		{"the call's, none", []task.Option{task.Retries(0)}, []task.Option{task.Retries(2)}, nil, 0, 0},
		{"the definition's", nil, []task.Option{task.Retries(2), task.WithBackoff(task.Constant(time.Hour))}, []minion.Option{minion.Retry(3, task.Constant(time.Second))}, 2, 2 * time.Hour},
		{"the minion's", nil, nil, []minion.Option{minion.Retry(4, task.Constant(time.Second))}, 4, 4 * time.Second},
		{"the default's", nil, nil, nil, task.DefaultMaxRetries, -1},
		{"a backoff that panics", nil, nil, []minion.Option{minion.Retry(2, func(int, error) time.Duration { panic("no") })}, 2, 2 * time.Second},
		{"a backoff that is negative", nil, nil, []minion.Option{minion.Retry(2, task.Constant(-time.Hour))}, 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				m := must(minion.New(r.b, append(c.minion, minion.Logger(r.logs.logger()))...))
				err := task.Handle(m, work.With(c.definition...), func(context.Context, args) (int, error) { return 0, errBad })
				if err != nil {
					t.Fatal(err)
				}
				r.start(m, 1)
				began := time.Now()
				// The handle of another program sends the call: without the options of
				// the definition.
				fut := r.send(1, c.call...)
				_, err = r.result(fut)
				var remote *task.RemoteError
				if !errors.As(err, &remote) || remote.Message != "bad" || remote.Attempts != c.retries+1 {
					t.Errorf("result: %#v", err)
				}
				if c.after >= 0 {
					r.near("the last attempt", time.Since(began), c.after)
				}
				r.want(fut, broker.StateFailed, c.retries+1, c.retries)
			})
		})
	}
}

// By default a task survives an outage of an hour in a service that it needs. A task that
// can never succeed has failed for good after three hours.
func TestDefaultRetriesOutliveAnOutage(t *testing.T) {
	for range 20 { // the pauses are random
		bubble(t, func(t *testing.T, r *rig) {
			back := time.Now().Add(time.Hour)
			r.crew(1, func(_ context.Context, a args) (int, error) {
				if a.N < 0 || time.Now().Before(back) {
					return 0, errBad
				}
				return a.N, nil
			})
			began := time.Now()
			good, bad := r.send(7), r.send(-1)
			if n, err := r.result(good); n != 7 || err != nil {
				t.Errorf("after an outage of an hour: %d, %v", n, err)
			}
			if _, err := r.result(bad); err == nil || time.Since(began) > 3*time.Hour {
				t.Errorf("the task that can't succeed ended after %v: %v", time.Since(began), err)
			}
		})
	}
}

func TestNoRetry(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(context.Context, args) (int, error) {
			return 0, fmt.Errorf("deep: %w", task.NoRetry(errBad))
		})
		fut := r.send(1)
		_, err := r.result(fut)
		var remote *task.RemoteError
		if !errors.As(err, &remote) || remote.Message != "deep: bad" {
			t.Errorf("result: %v", err)
		}
		if st := r.want(fut, broker.StateFailed, 1, 0); !st.Error.Final {
			t.Errorf("the error is not marked final: %+v", st.Error)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	bubble(t, func(_ *testing.T, r *rig) {
		n := 0
		r.crew(1, func(context.Context, args) (int, error) {
			if n++; n == 1 {
				return 0, task.RetryAfter(7*time.Minute, errBad)
			}
			return n, nil
		})
		began := time.Now()
		fut := r.send(1)
		r.want(fut, broker.StateSucceeded, 2, 1)
		r.near("the retry", time.Since(began), 7*time.Minute)
	})
}

func TestSnooze(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := 0
		r.crew(1, func(context.Context, args) (int, error) {
			if n++; n <= 10 {
				return 0, fmt.Errorf("not yet: %w", task.Snooze(time.Hour))
			}
			return n, nil
		}, minion.Retry(0, nil))
		began := time.Now()
		fut := r.send(1)
		r.want(fut, broker.StateSucceeded, 11, 0)
		r.near("the end", time.Since(began), 10*time.Hour)
		if r.logs.count("level=WARN")+r.logs.count("level=ERROR") > 0 {
			t.Errorf("a snooze is not a failure, but this was logged:\n%s", r.logs)
		}
	})
}

// A retry that would come after the deadline is not made, and the task keeps its error.
func TestRetryPastDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(context.Context, args) (int, error) { return 0, errBad },
			minion.Retry(9, task.Constant(25*time.Second)))
		began := time.Now()
		fut := r.send(1, task.Within(time.Minute))
		_, err := r.result(fut)
		var remote *task.RemoteError
		if !errors.As(err, &remote) || remote.Message != "bad" {
			t.Errorf("result: %v", err)
		}
		r.want(fut, broker.StateFailed, 3, 2)
		r.near("the end", time.Since(began), 50*time.Second)
	})
}

// A snooze past the deadline ends at the deadline.
func TestSnoozePastDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(context.Context, args) (int, error) { return 0, task.Snooze(time.Hour) })
		began := time.Now()
		fut := r.send(1, task.Within(time.Minute))
		if _, err := r.result(fut); !errors.Is(err, task.ErrExpired) {
			t.Errorf("result: %v", err)
		}
		r.near("the end", time.Since(began), time.Minute)
	})
}

// The error of another task does not say that this task's arguments are bad.
func TestErrorOfAnotherTask(t *testing.T) {
	bubble(t, func(_ *testing.T, r *rig) {
		other := &task.RemoteError{}
		r.crew(1, func(context.Context, args) (int, error) {
			return 0, fmt.Errorf("%w: %w", task.ErrBadArguments, other)
		}, minion.Retry(2, task.Constant(0)))
		r.want(r.send(1), broker.StateFailed, 3, 2)
	})
}
