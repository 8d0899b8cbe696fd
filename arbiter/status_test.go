package arbiter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// keys returns a status in JSON, as its keys and values.
func keys(t *testing.T, st arbiter.Status) map[string]any {
	t.Helper()
	data, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestStatus(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		get := func(fut *task.Future[int]) (arbiter.Status, map[string]any) {
			t.Helper()
			st, err := r.arb.Status(t.Context(), fut.ID())
			if err != nil {
				t.Fatal(err)
			}
			return st, keys(t, st)
		}
		check := func(m map[string]any, want map[string]any) {
			t.Helper()
			for k, v := range want {
				if m[k] != v {
					t.Errorf("%s is %v, want %v, in %v", k, m[k], v, m)
				}
			}
			for _, k := range []string{"task_type", "state", "result", "id"} {
				if _, ok := m[k]; !ok {
					t.Errorf("no key %s in %v", k, m)
				}
			}
		}
		fut := r.send(1, task.Delay(time.Hour))
		st, m := get(fut)
		check(m, map[string]any{"task_type": "task", "state": "initiated", "detail": "scheduled", "result": nil, "queue": "default", "id": fut.ID().String()})
		if st.State != broker.StateScheduled || st.Phase() != broker.PhaseInitiated || time.Until(st.Due) != time.Hour {
			t.Errorf("status: %+v, %v", st, m)
		}
		if err := st.Decode(new(int)); !errors.Is(err, arbiter.ErrNotDone) || st.Err() != nil {
			t.Errorf("decode: %v, err: %v", err, st.Err())
		}
		time.Sleep(2 * time.Hour)
		_, m = get(fut)
		check(m, map[string]any{"state": "initiated", "detail": "pending"})

		r.crew(5, func(ctx context.Context, a args) (int, error) {
			if _, err := slow(ctx, args{10}); err != nil {
				return 0, err
			}
			return moody(ctx, a)
		}, minion.Retry(0, nil))
		synctest.Wait()
		st, m = get(fut)
		check(m, map[string]any{"state": "running", "detail": "running", "result": nil, "attempts": 1.0, "minion": st.Minion.String()})
		bad, killed, late := r.send(0), r.send(2), r.send(3, task.Within(time.Second))
		synctest.Wait()
		if _, err := r.arb.Kill(t.Context(), killed.ID()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)

		st, m = get(fut)
		check(m, map[string]any{"state": "done", "detail": "succeeded", "result": 1.0, "name": "work", "attempts": 1.0, "error": nil})
		for _, k := range []string{"enqueued_at", "started_at", "finished_at"} {
			if s, _ := m[k].(string); s == "" {
				t.Errorf("%s is %v", k, m[k])
			} else if _, err := time.Parse(time.RFC3339, s); err != nil {
				t.Error(err)
			}
		}
		if v, err := st.Result(); v != int64(1) || err != nil {
			t.Errorf("result: %T %v, %v", v, v, err)
		}
		st, m = get(bad)
		check(m, map[string]any{"state": "done", "detail": "failed", "result": nil})
		failure, _ := m["error"].(map[string]any)
		if failure["message"] != "bad" || failure["type"] != "*errors.errorString" || failure["final"] != true {
			t.Errorf("error: %v", failure)
		}
		if err := st.Decode(new(int)); !errors.As(err, new(*task.RemoteError)) || !errors.As(st.Err(), new(*task.RemoteError)) {
			t.Errorf("decode: %v, err: %v", err, st.Err())
		}
		st, m = get(killed)
		check(m, map[string]any{"state": "done", "detail": "canceled", "result": nil})
		if !errors.Is(st.Err(), task.ErrCanceled) {
			t.Error(st.Err())
		}
		st, m = get(late)
		check(m, map[string]any{"state": "done", "detail": "expired", "result": nil})
		if !errors.Is(st.Err(), task.ErrExpired) {
			t.Error(st.Err())
		}

		// Any other arbiter may look it up, until the retention ends.
		if st, err := r.arbiter().Status(t.Context(), fut.ID()); err != nil || st.State != broker.StateSucceeded {
			t.Errorf("another arbiter: %v, %v", st.State, err)
		}
		time.Sleep(2 * time.Hour)
		if _, err := r.arb.Status(t.Context(), fut.ID()); !errors.Is(err, task.ErrNotFound) || !strings.Contains(err.Error(), fut.ID().String()) {
			t.Errorf("after the retention: %v", err)
		}
	})
}

// The status of a task that is being retried has its last error, also while the next attempt runs. When the task is done, the
// error is no longer there.
func TestStatusOfRetried(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(ctx context.Context, _ args) (int, error) {
			info, _ := task.FromContext(ctx)
			time.Sleep(time.Minute)
			if info.Attempt < 3 {
				return 0, fmt.Errorf("attempt %d: %w", info.Attempt, errBad)
			}
			return 7, nil
		}, minion.Retry(5, func(int, error) time.Duration { return time.Hour }))
		fut := r.send(1, task.Meta("k", "v"))
		check := func(detail broker.State, attempts, failed int) map[string]any {
			t.Helper()
			st, err := r.arb.Status(t.Context(), fut.ID())
			if err != nil {
				t.Fatal(err)
			}
			m := keys(t, st)
			var remote *task.RemoteError
			switch {
			case st.State != detail || st.Attempts != attempts || st.Name != "work" || m["name"] != "work" || st.Meta["k"] != "v":
				t.Errorf("%+v, want it %s after attempt %d", st, detail, attempts)
			case failed == 0:
				if st.Err() != nil || st.Error != nil || st.ErrorAttempt != 0 || !st.ErrorAt.IsZero() || m["error"] != nil {
					t.Errorf("%s: it has failed: %+v, %v", detail, st, st.Err())
				}
			case !errors.As(st.Err(), &remote) || remote.Attempts != failed || remote.Task != "work" ||
				!strings.Contains(st.Err().Error(), fmt.Sprintf("attempt %d: bad", failed)):
				t.Errorf("%s: %v, want that attempt %d failed", detail, st.Err(), failed)
			case st.ErrorAttempt != failed || m["error_attempt"] != float64(failed) || time.Since(st.ErrorAt) > 2*time.Hour || m["error"] == nil:
				t.Errorf("%s: %+v, %v", detail, st, m)
			}
			if err := st.Decode(new(int)); failed > 0 && !errors.Is(err, arbiter.ErrNotDone) {
				t.Errorf("decode: %v", err)
			}
			return m
		}
		synctest.Wait()
		check(broker.StateRunning, 1, 0)
		time.Sleep(2 * time.Minute)
		m := check(broker.StateRetrying, 1, 1)
		if m["state"] != "initiated" || m["due_at"] == nil || m["result"] != nil {
			t.Errorf("status: %v", m)
		}
		time.Sleep(time.Hour - 30*time.Second)
		if m := check(broker.StateRunning, 2, 1); m["state"] != "running" {
			t.Errorf("status: %v", m)
		}
		time.Sleep(2 * time.Minute)
		check(broker.StateRetrying, 2, 2)
		if n, err := fut.Result(t.Context()); n != 7 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		check(broker.StateSucceeded, 3, 0)
	})
}

// A status can be encoded as JSON for each value that a codec decodes.
// TestStatusJSONHasEveryField sets one field of a status after the other: the JSON form shows each.
func TestStatusJSONHasEveryField(t *testing.T) {
	plain := keys(t, arbiter.Status{})
	for _, f := range reflect.VisibleFields(reflect.TypeFor[arbiter.Status]()) {
		if !f.IsExported() {
			continue
		}
		var st arbiter.Status
		switch field := reflect.ValueOf(&st).Elem().FieldByIndex(f.Index); v := field.Addr().Interface().(type) {
		case *task.ID:
			*v = broker.NewTaskID("q", "")
		case *time.Time:
			*v = time.UnixMilli(1_700_000_000_123)
		case *string:
			*v = "x"
		case *map[string]string:
			*v = map[string]string{"k": "v"}
		case **arbiter.Failure:
			*v = new(arbiter.Failure)
		case **arbiter.FlowStatus:
			*v = new(arbiter.FlowStatus)
		case *broker.State:
			*v = broker.StatePending
		case *int:
			*v = 1
		case *bool:
			*v = true
		default:
			t.Fatalf("%s is a %s: let this test set it", f.Name, f.Type)
		}
		if reflect.DeepEqual(keys(t, st), plain) {
			t.Errorf("the JSON form of a status does not show %s: see MarshalJSON", f.Name)
		}
	}
}

func TestStatusJSON(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		odd := task.Define[args, any]("odd")
		values := []any{
			math.NaN(), math.Inf(1), []any{math.Inf(-1), 1},
			map[int]string{1: "one"}, map[string]any{"a": math.NaN()}, []byte("bytes"), time.Unix(0, 0), nil, "s", true,
		}
		m := must(minion.New(r.b, minion.Logger(silent)))
		err := task.Handle(m, odd, func(_ context.Context, a args) (any, error) { return values[a.N], nil })
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = m.Run(context.Background(), 1) }()
		defer func() { _ = m.Close() }()
		var ids []task.ID
		for i := range values {
			fut, err := odd.Apply(t.Context(), r.arb, args{i})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, fut.ID())
		}
		var results []any
		for _, id := range ids {
			if err := r.arb.Await(t.Context(), id, nil); err != nil {
				t.Fatal(err)
			}
			st, err := r.arb.Status(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			m := keys(t, st)
			if m["result_error"] != nil {
				t.Errorf("result_error: %v", m["result_error"])
			}
			results = append(results, m["result"])
		}
		if results[0] != "NaN" || results[1] != "+Inf" || results[6] != "1970-01-01T00:00:00Z" || results[8] != "s" || results[9] != true {
			t.Errorf("results: %v", results)
		}
		if one, _ := results[3].(map[string]any); one["1"] != "one" {
			t.Errorf("a map by number: %v", results[3])
		}
	})
}

func TestKill(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		kill := func(id task.ID, opts ...arbiter.KillOption) arbiter.Verdict {
			t.Helper()
			v, err := r.arb.Kill(t.Context(), id, opts...)
			if err != nil {
				t.Errorf("kill: %v", err)
			}
			return v
		}
		pending, delayed := r.send(1), r.send(1, task.Delay(time.Hour))
		for _, fut := range []*task.Future[int]{pending, delayed} {
			if v := kill(fut.ID(), arbiter.Wait()); v != arbiter.NeverStarted {
				t.Errorf("a task that waits: %q", v)
			}
			if v := kill(fut.ID()); v != arbiter.TooLate {
				t.Errorf("killed again: %q", v)
			}
			if _, err := fut.Result(t.Context()); !errors.Is(err, task.ErrCanceled) {
				t.Errorf("result: %v", err)
			}
		}
		r.crew(2, slow)
		one, two := r.send(100), r.send(100, task.Retention(0))
		synctest.Wait()
		if v := kill(one.ID()); v != arbiter.Stopping {
			t.Errorf("a task that runs: %q", v)
		}
		if v := kill(two.ID(), arbiter.Wait()); v != arbiter.Stopped {
			t.Errorf("a task that runs, waited for: %q", v)
		}
		// The wait of Kill does not take the outcome away from the future.
		if _, err := two.Result(t.Context()); !errors.Is(err, task.ErrCanceled) {
			t.Errorf("result: %v", err)
		}
		unknown := broker.NewID(broker.KindTask, "default", 0)
		if _, err := r.arb.Kill(t.Context(), unknown); !errors.Is(err, task.ErrNotFound) || !strings.Contains(err.Error(), unknown.String()) {
			t.Errorf("an unknown task: %v", err)
		}
		// A kill by an arbiter that did not send the task.
		three := r.send(1000)
		synctest.Wait()
		began := time.Now()
		if v, err := r.arbiter().Kill(t.Context(), three.ID(), arbiter.Wait()); v != arbiter.Stopped || err != nil {
			t.Errorf("from elsewhere: %q, %v", v, err)
		}
		r.near("that", began, 0, time.Second)
	})
}

func TestApply(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(3, slow)
		ids, err := r.arb.Apply(t.Context(), "work", arbiter.Args(2))
		if err != nil || len(ids) != 1 {
			t.Fatalf("apply: %v, %v", ids, err)
		}
		began := time.Now()
		done, err := r.arb.ApplySync(t.Context(), "work", arbiter.KwArgs(map[string]any{"n": 2}), arbiter.Count(9))
		if err != nil || len(done) != 9 {
			t.Fatalf("apply: %v, %v", done, err)
		}
		ids = nil
		for _, st := range done {
			ids = append(ids, st.ID)
		}
		r.near("nine of two seconds in three slots", began, 6*time.Second, 2*time.Second)
		slices.SortFunc(ids, func(a, b task.ID) int { return strings.Compare(a.String(), b.String()) })
		if len(slices.Compact(ids)) != 9 {
			t.Error("ids are there twice")
		}
		n := 0
		for st, err := range r.arb.WaitForTasks(t.Context(), ids...) {
			if err != nil || st.State != broker.StateSucceeded {
				t.Errorf("task: %+v, %v", st, err)
			}
			n++
		}
		if n != 9 {
			t.Errorf("%d results", n)
		}
		ids, err = r.arb.Apply(t.Context(), "work", arbiter.Args(1), arbiter.Queue("other"), arbiter.Options(task.Delay(time.Hour), task.Retries(0)))
		if err != nil {
			t.Fatal(err)
		}
		if st, err := r.arb.Status(t.Context(), ids[0]); err != nil || st.Queue != "other" || st.State != broker.StateScheduled {
			t.Errorf("status: %+v, %v", st, err)
		}
		for says, opts := range map[string][]arbiter.ApplyOption{
			"Count(0)":      {arbiter.Count(0)},
			"Count(100001)": {arbiter.Count(arbiter.MaxCount + 1)},
			"queue name":    {arbiter.Queue("no good")},
			"chan":          {arbiter.Args(make(chan int))},
		} {
			ids, err := r.arb.Apply(t.Context(), "work", opts...)
			if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), says) || len(ids) != 0 {
				t.Errorf("apply: %v, %v, want an error that says %q", ids, err, says)
			}
		}
		if _, err := r.arb.Apply(t.Context(), "no good"); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "no good") {
			t.Errorf("apply: %v", err)
		}
		// The ids of copies that may be stored are returned even with an error.
		ids, err = r.arb.Apply(t.Context(), "work", arbiter.Args(1), arbiter.Count(3), arbiter.Options(task.Unique("k")))
		if !errors.Is(err, task.ErrDuplicate) || len(ids) != 1 {
			t.Errorf("apply: %v, %v", ids, err)
		}
	})
}

func TestWorkers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if w, err := r.arb.Workers(t.Context()); len(w) != 0 || err != nil {
			t.Errorf("nobody: %v, %v", w, err)
		}
		r.crew(3, slow)
		r.crew(5, slow, minion.Queues("default", "other"))
		r.send(600)
		r.send(600, task.Queue("other"))
		time.Sleep(time.Minute)
		w, err := r.arb.Workers(t.Context())
		data, _ := json.Marshal(w)
		if err != nil || w["default"].Total != 8 || w["other"].Total != 5 || w["other"].Active < 1 || w["default"].Active+w["default"].Available != 8 {
			t.Errorf("workers: %s, %v", data, err)
		}
		if !strings.Contains(string(data), `"other":{"total":5,"active":`) {
			t.Errorf("workers: %s", data)
		}
		minions, err := r.arb.Minions(t.Context())
		if len(minions) != 2 || err != nil || minions[0].PID == 0 {
			t.Errorf("minions: %+v, %v", minions, err)
		}
	})
}
