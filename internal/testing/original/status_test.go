package original

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// status(key) of a single task has task_type, state, result and meta, in each of the three states.
// A value that is not known yet is null. There may be more keys.
func TestStatusOfTask(t *testing.T) {
	onBoth(t, 2, func(r *rig) {
		meta := map[string]any{"trace": "abc", "user": ""}
		send := func(name string, opts ...arbiter.ApplyOption) task.ID {
			r.Helper()
			opts = append(opts, arbiter.Options(task.Meta("trace", "abc"), task.Meta("user", "")))
			ids, err := r.arb.Apply(r.ctx(), name, opts...)
			if err != nil {
				r.Fatal(err)
			}
			return ids[0]
		}
		is := func(what string, id task.ID, state string, result any) map[string]any {
			r.Helper()
			keys := statusOf(r, id)
			for _, key := range []string{"task_type", "state", "result", "meta"} {
				if _, there := keys[key]; !there {
					r.Errorf("%s: the status has no key %s", what, key)
				}
			}
			if keys["task_type"] != "task" || keys["state"] != state || keys["result"] != result || !reflect.DeepEqual(keys["meta"], meta) {
				r.Errorf("%s: the status is %v, want the state %s, the result %v and the metadata %v", what, keys, state, result, meta)
			}
			return keys
		}
		is("nobody serves its queue", send("simple_add", arbiter.Queue("nobody.is.there")), "initiated", nil)
		later := send("simple_add", arbiter.Options(task.Delay(time.Hour)))
		if keys := is("it is scheduled", later, "initiated", nil); keys["name"] != "simple_add" || keys["due_at"] == nil {
			r.Errorf("the status of a scheduled task is %v", keys)
		}
		if _, err := r.arb.Kill(r.ctx(), later); err != nil {
			r.Fatal(err)
		}
		is("it was killed before it ran", later, "done", nil)

		long := send("long_running")
		r.until("it runs", func() bool { return r.started.Load() == 1 })
		if keys := is("it runs", long, "running", nil); keys["name"] != "long_running" {
			r.Errorf("the status of a running task is %v", keys)
		}
		if _, err := r.arb.Kill(r.ctx(), long); err != nil {
			r.Fatal(err)
		}
		ended := func(id task.ID) task.ID {
			r.Helper()
			for _, err := range r.arb.WaitForTasks(r.ctx(), id) {
				if err != nil {
					r.Fatal(err)
				}
			}
			return id
		}
		is("it has ended", ended(send("simple_add", arbiter.Args(1, 2))), "done", 3.0)
		is("it has failed", ended(send("simple_add", arbiter.Args("x"))), "done", nil)

		// A task without metadata has no such key.
		ids, err := r.arb.Apply(r.ctx(), "simple_add", arbiter.Args(1))
		if err != nil {
			r.Fatal(err)
		}
		if keys := statusOf(r, ids[0]); keys["meta"] != nil {
			r.Errorf("the status of a task without metadata has the metadata of %v", keys)
		}
	})
}

// A task of the original fails at its first error. Here it is retried: its state is "initiated"
// again, and the status has the error too.
func TestStatusOfRetried(t *testing.T) {
	onBoth(t, 1, func(r *rig) {
		m, err := minion.New(r.b, minion.Logger(silent), minion.Queue("moody"), minion.DrainTimeout(0),
			minion.Retry(5, nil))
		if err != nil {
			r.Fatal(err)
		}
		if err := task.HandleFunc(m, "moody", func(context.Context, codec.Arguments) (any, error) {
			return nil, task.RetryAfter(time.Hour, errors.New("not today"))
		}); err != nil {
			r.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- m.Run(context.Background(), 1) }()
		defer func() {
			if err := errors.Join(m.Close(), <-done); err != nil {
				r.Error(err)
			}
		}()
		ids, err := r.arb.Apply(r.ctx(), "moody", arbiter.Queue("moody"))
		if err != nil {
			r.Fatal(err)
		}
		var keys map[string]any
		r.until("the task is retried", func() bool {
			keys = statusOf(r, ids[0])
			return keys["detail"] == "retrying"
		})
		failure, _ := keys["error"].(map[string]any)
		if keys["state"] != "initiated" || keys["result"] != nil || keys["name"] != "moody" || keys["attempts"] != 1.0 ||
			keys["error_attempt"] != 1.0 || keys["error_at"] == nil || keys["due_at"] == nil || failure["message"] != "not today" {
			r.Errorf("the status of a task that is retried is %v", keys)
		}
	})
}
