package failure_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/failure"
	"github.com/go-arbiter/arbiter/task"
)

// The last failure of an awaited task reaches a handler in a child unchanged, with the
// registered errors that it wraps.
func TestWaitErrorCrosses(t *testing.T) {
	last := task.NewRemoteError(task.ID{7}, &broker.Outcome{Name: "work", Attempts: 4, Err: &broker.Failure{
		Type: "*fs.PathError", Message: "no such file", Chain: []string{"not there"}, Codes: []string{"fs.ErrNotExist"},
	}})
	for _, want := range []*task.RemoteError{last, nil} {
		var w failure.Wire
		data, err := msgpack.Marshal(failure.Pack(&task.WaitError{ID: task.ID{7}, Reason: "it is retrying", Err: context.Canceled, LastFailure: want}))
		if err != nil {
			t.Fatal(err)
		}
		if err := msgpack.Unmarshal(data, &w); err != nil {
			t.Fatal(err)
		}
		err = w.Unpack()
		var e *task.WaitError
		if !errors.As(err, &e) || e.Reason != "it is retrying" || !errors.Is(e, context.Canceled) {
			t.Fatalf("%v", err)
		}
		if !reflect.DeepEqual(e.LastFailure, want) || errors.Is(e.LastFailure, fs.ErrNotExist) != (want != nil) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v, want %+v", e.LastFailure, want)
		}
	}
}

// The instructions of a handler's error reach the minion with their values.
func TestWireControl(t *testing.T) {
	until := time.Date(2027, 1, 2, 3, 4, 5, 6, time.UTC)
	over := func(err error) error {
		t.Helper()
		data, bad := msgpack.Marshal(failure.Pack(fmt.Errorf("answer: %w", err)))
		if bad != nil {
			t.Fatal(bad)
		}
		var w failure.Wire
		if bad := msgpack.Unmarshal(data, &w); bad != nil {
			t.Fatal(bad)
		}
		return w.Unpack()
	}
	var reached *task.LimitReachedError
	if err := over(task.LimitReached(until, "a", "b")); !errors.As(err, &reached) || !reached.Until.Equal(until) || !slices.Equal(reached.Limits, []string{"a", "b"}) {
		t.Errorf("LimitReached: %v", err)
	}
	if err := over(task.LimitReached(until)); !errors.As(err, &reached) || reached.Limits != nil {
		t.Errorf("LimitReached without names: %v", err)
	}
	var snooze *task.SnoozeError
	if err := over(task.Snooze(time.Minute)); !errors.As(err, &snooze) || snooze.After != time.Minute {
		t.Errorf("Snooze: %v", err)
	}
	var after *task.RetryAfterError
	if err := over(task.RetryAfter(time.Minute, errors.New("x"))); !errors.As(err, &after) || after.After != time.Minute {
		t.Errorf("RetryAfter: %v", err)
	}
	var final *task.NoRetryError
	if err := over(task.NoRetry(errors.New("x"))); !errors.As(err, &final) {
		t.Errorf("NoRetry: %v", err)
	}
}
