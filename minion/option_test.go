package minion_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/optionlist"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// Each option has a test of its effect.
func TestOptionsHaveTests(t *testing.T) {
	err := optionlist.Check(".", map[string]string{
		"Queue": "TestStrictQueues", "Queues": "TestStrictQueues", "Weighted": "TestWeightedQueues",
		"Retry": "TestRetryPolicies", "DrainTimeout": "TestDrainRelease", "MaxRecoveries": "TestMinionDied", "ParkFor": "TestParkFor",
		"AtMost": "TestAtMost", "AtMostFrom": "TestAtMostFromKeepsTheOrder",
		"Logger": "TestPanicIsLogged", "Codec": "TestTaskInTask", "Codecs": "TestUnknownCodec", "Use": "TestMiddleware",
		"OnError":  "TestErrorRules",
		"Limits":   "TestDeclaredLimits",
		"Isolated": "TestIsolatedAll", "MemoryLimit": "TestIsolatedMemory", "KillGrace": "TestIsolatedKill", "ChildTasks": "TestIsolatedReuse",
	})
	if err != nil {
		t.Error(err)
	}
}

// New or Run returns an error for an option that would have no effect.
func TestOptionsWithoutEffect(t *testing.T) {
	for name, opts := range map[string][]minion.Option{
		"MemoryLimit": {minion.MemoryLimit(minion.MinMemory)},
		"KillGrace":   {minion.KillGrace(time.Minute)},
		"ChildTasks":  {minion.ChildTasks(1)},
		"Logger(nil)": {minion.Logger(nil)},
		"Codec(nil)":  {minion.Codec(nil)},
		"Codecs":      {minion.Codecs(codec.JSON(), nil)},
		"Use":         {minion.Use(nil)},
		"OnError":     {minion.OnError(nil)},
		"Queues":      {minion.Queue("a"), minion.Queues("b")},
	} {
		m, err := minion.New(memory.New(), opts...)
		if err == nil {
			err = task.Handle(m, plain, func(context.Context, args) (int, error) { return 0, nil })
		}
		if err == nil { // only Run knows whether a task is isolated
			err = m.Run(t.Context(), 1)
		}
		if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want ErrInvalid that names it", name, err)
		}
	}
}

// A call can remove the timeout with which its task is registered, and a registration can
// remove the timeout of the task's definition.
func TestNoTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		registered, call []task.Option
		want             broker.State
	}{
		"as registered":       {[]task.Option{task.Timeout(time.Second)}, nil, broker.StateFailed},
		"none for the call":   {[]task.Option{task.Timeout(time.Second)}, []task.Option{task.Timeout(0)}, broker.StateSucceeded},
		"the call's":          {[]task.Option{task.Timeout(0)}, []task.Option{task.Timeout(time.Second)}, broker.StateFailed},
		"none where it is":    {[]task.Option{task.Timeout(time.Second), task.Timeout(0)}, nil, broker.StateSucceeded},
		"shorter than a tick": {nil, []task.Option{task.Timeout(time.Nanosecond)}, broker.StateFailed},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				m := must(minion.New(r.b, minion.Logger(r.logs.logger())))
				err := task.Handle(m, work.With(tt.registered...), func(ctx context.Context, a args) (int, error) {
					timer := time.NewTimer(time.Hour)
					defer timer.Stop()
					select {
					case <-timer.C:
						return a.N, nil
					case <-ctx.Done():
						return 0, task.NoRetry(ctx.Err())
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				r.start(m, 1)
				r.want(r.send(1, tt.call...), tt.want, 1, 0)
			})
		})
	}
}
