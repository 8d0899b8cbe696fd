package original

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// apply(…, tasks_count, task_args) stores copies of a task at once, whether or not a minion has a
// free slot.
func TestApply(t *testing.T) {
	onBoth(t, 1, func(r *rig) {
		ids, err := r.arb.Apply(r.ctx(), "simple_add", arbiter.Args(1, 2), arbiter.Count(7))
		if err != nil || len(ids) != 7 {
			r.Fatal(ids, err)
		}
		if _, err := r.arb.Apply(r.ctx(), "simple_add", arbiter.Args(1), arbiter.Queue("nobody.is.there")); err != nil {
			r.Errorf("Apply to a queue without minions returned %v", err)
		}
	})
}

// wait_for_tasks(keys) returns tasks in the order in which they are done. An unknown key is an
// error, and no call waits for ever.
func TestWaitForTasks(t *testing.T) {
	onBoth(t, 2, func(r *rig) {
		ids, err := r.arb.Apply(r.ctx(), "simple_add", arbiter.Args(1, 2), arbiter.Count(5))
		if err != nil {
			r.Fatal(err)
		}
		unknown := broker.NewID(broker.KindTask, "default", 0)
		seen, missing := 0, 0
		for st, err := range r.arb.WaitForTasks(r.ctx(), append(ids, unknown)...) {
			switch {
			case errors.Is(err, task.ErrNotFound) && st.ID == unknown:
				missing++
			case err != nil:
				r.Fatal(err)
			default:
				seen++
			}
		}
		if seen != 5 || missing != 1 {
			r.Errorf("%d tasks were done and %d were unknown", seen, missing)
		}
	})
}

// status(key) has the keys of the original, for a task and for a group.
func TestStatus(t *testing.T) {
	onBoth(t, 2, func(r *rig) {
		done, err := r.arb.ApplySync(r.ctx(), "simple_add", arbiter.Args(1, 2))
		if err != nil {
			r.Fatal(err)
		}
		keys := statusOf(r, done[0].ID)
		if keys["task_type"] != "task" || keys["name"] != "simple_add" || keys["state"] != "done" || keys["result"] != 3.0 {
			r.Errorf("the status of a task is %v", keys)
		}
		g, err := r.arb.Group(r.ctx(), []task.Bound{arbiter.Named("simple_add", arbiter.Args(1)), arbiter.Named("simple_add", arbiter.Args(2))})
		if err != nil {
			r.Fatal(err)
		}
		for _, err := range g.WaitForMembers(r.ctx()) {
			if err != nil {
				r.Fatal(err)
			}
		}
		r.until("the group is done", func() bool { return statusOf(r, g.ID())["state"] == "done" })
		r.listed(g.ID(), "task 1", "task 2")
		p, err := r.arb.Pipe(r.ctx(), []task.Bound{arbiter.Named("simple_add", arbiter.Args(1)), arbiter.Named("simple_add", arbiter.Args(2))})
		if err != nil {
			r.Fatal(err)
		}
		if err := p.Result(r.ctx(), nil); err != nil {
			r.Fatal(err)
		}
		r.listed(p.ID(), "task 1", "task 3")
	})
}

// status(key) of a group that has not ended: waiting tasks are "initiated", callback and finalizer
// too.
func TestStatusBeforeTheEnd(t *testing.T) {
	onBoth(t, 1, func(r *rig) {
		g, err := r.arb.Group(r.ctx(), []task.Bound{arbiter.Named("long_running"), arbiter.Named("simple_add", arbiter.Args(1))},
			arbiter.Callback(arbiter.Named("callback")), arbiter.Finalizer(arbiter.Named("finalize"), 0))
		if err != nil {
			r.Fatal(err)
		}
		r.until("one runs", func() bool {
			keys := statusOf(r, g.ID())
			return keys["state"] == "running" && keys["running"] == 1.0
		})
		keys := statusOf(r, g.ID())
		list, _ := keys["tasks"].([]any)
		if n, _ := keys["initiated"].(float64); n < 2 || n+keys["done"].(float64) != 3 || len(list) != 4 {
			r.Errorf("%v", keys)
		}
		for i, kind := range []string{"task", "task", "callback", "finalize"} {
			one, _ := list[i].(map[string]any)
			if one["task_type"] != kind || i >= 2 && (one["state"] != "initiated" || one["result"] != nil) {
				r.Errorf("task %d of the status is %v, want a %s", i, one, kind)
			}
		}
	})
}

// listed checks the status of a group, squad or pipe that is done. Each of its tasks is listed with
// its type and result, and the counts are complete.
func (r *rig) listed(id task.ID, want ...string) {
	r.Helper()
	keys := statusOf(r, id)
	list, _ := keys["tasks"].([]any)
	got := make([]string, len(list))
	for i, v := range list {
		one, _ := v.(map[string]any)
		got[i] = fmt.Sprint(one["task_type"], " ", one["result"])
		if one["state"] != "done" {
			r.Errorf("task %d of the status is %v, want done", i, one["state"])
		}
	}
	if !slices.Equal(got, want) || keys["state"] != "done" || keys["initiated"] != 0.0 || keys["running"] != 0.0 || keys["done"] != float64(len(want)) {
		r.Errorf("the status of the %s is %v with %v initiated, %v running, %v done and the tasks %v; want the tasks %v",
			keys["task_type"], keys["state"], keys["initiated"], keys["running"], keys["done"], got, want)
	}
}

func statusOf(r *rig, id task.ID) map[string]any {
	r.Helper()
	st, err := r.arb.Status(r.ctx(), id)
	if err != nil {
		r.Fatal(err)
	}
	text, err := json.Marshal(st)
	if err != nil {
		r.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(text, &keys); err != nil {
		r.Fatal(err)
	}
	return keys
}

// workers() returns the current total, active and available slots for each queue. With three
// running tasks none of three slots is available. When the tasks are stopped, all three are
// available again.
func TestWorkers(t *testing.T) {
	onBoth(t, 3, func(r *rig) {
		busy := stall.Start(r)
		are := func(when string, total, active int) {
			r.Helper()
			since := time.Now()
			r.until(when, func() bool {
				all, err := r.arb.Workers(r.ctx())
				if err != nil {
					r.Fatal(err)
				}
				return all["default"] == arbiter.Workers{Total: total, Active: active, Available: total - active}
			})
			if took := time.Since(since); took > busy.Late(3*time.Second) { // without a change of the load heartbeats come every 4 s
				r.Errorf("%s: workers() was right only after %v", when, took)
			}
		}
		are("nothing runs", 3, 0)
		ids, err := r.arb.Apply(r.ctx(), "long_running", arbiter.Count(3))
		if err != nil {
			r.Fatal(err)
		}
		r.until("they run", func() bool { return r.started.Load() == 3 })
		are("three tasks run", 3, 3)
		for _, id := range ids {
			if _, err := r.arb.Kill(r.ctx(), id); err != nil {
				r.Fatal(err)
			}
		}
		for _, err := range r.arb.WaitForTasks(r.ctx(), ids...) {
			if err != nil {
				r.Fatal(err)
			}
		}
		are("the three tasks were stopped", 3, 0)
	})
}

// minion.apply(…) in a task is tested by TestTaskInTask. The call of the RPC is synchronous, and a
// remote error is returned as an error.
func TestRPC(t *testing.T) {
	onBoth(t, 1, func(r *rig) {
		add := request.New("simple_add", codec.Arguments{Positional: []any{1, "two"}}, nil)
		if err := r.arb.Submit(r.ctx(), add); err != nil {
			r.Fatal(err)
		}
		var sum int
		err := r.arb.Await(r.ctx(), add.ID(), &sum)
		var remote *task.RemoteError
		if !errors.As(err, &remote) || !strings.Contains(err.Error(), "not a number") {
			r.Errorf("the error of the remote call is %v", err)
		}
	})
}

// close(): tasks that were sent go on without their arbiter.
func TestClose(t *testing.T) {
	onBoth(t, 1, func(r *rig) {
		if _, err := r.arb.Group(r.ctx(), []task.Bound{arbiter.Named("simple_add", arbiter.Args(1))},
			arbiter.Callback(arbiter.Named("callback")), arbiter.Finalizer(arbiter.Named("finalize"), time.Minute)); err != nil {
			r.Fatal(err)
		}
		if err := r.arb.Close(); err != nil {
			r.Fatal(err)
		}
		r.until("callback and finalizer ran", func() bool { return r.callbacks.Load() == 1 && r.finals.Load() == 1 })
	})
}

// The event node: events reach every listener, compressed and signed (hmac_key). Events of a sender
// without the key are dropped.
func TestEventNode(t *testing.T) {
	onBoth(t, 1, func(r *rig) {
		signed, err := codec.Sign(codec.Compress(codec.Msgpack()), []byte("0123456789abcdef"))
		if err != nil {
			r.Fatal(err)
		}
		friend, err := arbiter.New(r.b, arbiter.Codec(signed), arbiter.Logger(silent))
		if err != nil {
			r.Fatal(err)
		}
		defer func() { _ = friend.Close() }()
		long := strings.Repeat("so it goes ", 200)
		if err := r.arb.Emit(r.ctx(), "news", "from a stranger"); err != nil {
			r.Fatal(err)
		}
		if err := friend.Emit(r.ctx(), "news", long); err != nil {
			r.Fatal(err)
		}
		n := 0
		for ev, err := range friend.Listen(r.ctx(), "news", broker.CursorStart) {
			if err != nil {
				r.Fatal(err)
			}
			var text string
			err := ev.Decode(&text)
			if n++; n == 1 {
				if err == nil {
					r.Errorf("an event of a sender without the key arrived: %q", text)
				}
				continue
			}
			if text != long || err != nil {
				r.Errorf("%.20q, %v", text, err)
			}
			break
		}
	})
}

// The original's mock event node, for tests without Redis, is the broker in memory.
func TestMockEventNode(t *testing.T) {
	b := memory.New()
	arb, err := arbiter.New(b, arbiter.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	if err := arb.Emit(t.Context(), "news", 1); err != nil {
		t.Error(err)
	}
	if err := errors.Join(arb.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}

// The metadata of a task is handed to its handler.
func TestTaskMeta(t *testing.T) {
	b := memory.New()
	m, err := minion.New(b, minion.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1)
	if err := task.HandleFunc(m, "meta", func(ctx context.Context, _ codec.Arguments) (any, error) {
		info, _ := task.FromContext(ctx)
		seen <- info.Meta["trace"]
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	arb, err := arbiter.New(b, arbiter.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Run(context.Background(), 1) }()
	if _, err := arb.Apply(t.Context(), "meta", arbiter.Options(task.Meta("trace", "abc"))); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != "abc" {
		t.Errorf("the handler got the metadata %q", got)
	}
	if err := errors.Join(arb.Close(), m.Close(), <-ended, b.Close()); err != nil {
		t.Error(err)
	}
}

// The broker forgets a task when its retention is over.
func TestTaskRetention(t *testing.T) {
	onBoth(t, 1, func(r *rig) {
		done, err := r.arb.ApplySync(r.ctx(), "simple_add", arbiter.Args(1), arbiter.Options(task.Retention(300*time.Millisecond)))
		if err != nil {
			r.Fatal(err)
		}
		r.until("the task is forgotten", func() bool {
			_, err := r.arb.Status(r.ctx(), done[0].ID)
			return errors.Is(err, task.ErrNotFound)
		})
	})
}
