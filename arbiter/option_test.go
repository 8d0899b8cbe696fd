package arbiter_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/optionlist"
	"github.com/go-arbiter/arbiter/task"
)

// Each option has a test of its effect.
func TestOptionsHaveTests(t *testing.T) {
	err := optionlist.Check(".", map[string]string{
		"Codec": "TestJSONCodec", "Codecs": "TestSealedChangeOver", "Logger": "TestAwaitThroughOutage", "CheckSchema": "TestCheckSchema",
		"Args": "TestApply", "KwArgs": "TestApply", "Count": "TestApply", "Queue": "TestApply", "Options": "TestApply",
		"Callback": "TestGroup", "CallbackStep": "TestCallbackStep", "Finalizer": "TestFinalizerTimeout",
		"Quorum": "TestCollectAndQuorum", "Collect": "TestGroupCollect", "GroupRetention": "TestGroupStatus",
		"CountsOnly": "TestCountsOnly", "Wait": "TestKill", "WaitAtMost": "TestKillUnresponsive",
		"PersistentArgs": "TestPipe", "PersistentKwArgs": "TestPipe", "WaitForWorkers": "TestSquadWaits",
	})
	if err != nil {
		t.Error(err)
	}
}

// Options that would have no effect are refused by an error that names them.
func TestOptionsWithoutEffect(t *testing.T) {
	b := memory.New()
	defer func() { _ = b.Close() }()
	arb, err := arbiter.New(b)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	ctx := t.Context()
	call := arbiter.Named("t")
	backoff := task.WithBackoff(task.Constant(time.Second))
	for name, try := range map[string]func() error{
		"WithBackoff":  func() error { _, err := arb.Apply(ctx, "t", arbiter.Options(backoff)); return err },
		"Isolated":     func() error { _, err := arb.Apply(ctx, "t", arbiter.Options(task.Isolated())); return err },
		"WithBackoff ": func() error { return arb.Submit(ctx, arbiter.Named("t", arbiter.Options(backoff))) },
		"Count":        func() error { return arb.Submit(ctx, arbiter.Named("t", arbiter.Count(2))) },
		"PersistentArgs": func() error {
			_, err := arb.Pipe(ctx, []task.Bound{plusTask.Bind(addArgs{})}, arbiter.PersistentArgs(1))
			return err
		},
		"PersistentKwArgs": func() error {
			_, err := arb.Pipe(ctx, []task.Bound{plusTask.Bind(addArgs{})}, arbiter.PersistentKwArgs(map[string]any{"x": 1}))
			return err
		},
		"WaitAtMost(-1ns)": func() error {
			ids, err := arb.Apply(ctx, "t")
			if err != nil {
				return err
			}
			_, err = arb.Kill(ctx, ids[0], arbiter.WaitAtMost(-1))
			return err
		},
		"WaitAtMost(-1s)": func() error {
			g, err := arb.Group(ctx, []task.Bound{call})
			if err != nil {
				return err
			}
			_, err = g.Kill(ctx, arbiter.WaitAtMost(-time.Second))
			return err
		},
	} {
		if err := try(); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
			t.Errorf("%s: error %v, want ErrInvalid that names it", name, err)
		}
	}
}
