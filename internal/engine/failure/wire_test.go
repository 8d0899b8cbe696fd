package failure_test

import (
	"context"
	"errors"
	"io/fs"
	"reflect"
	"testing"

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
