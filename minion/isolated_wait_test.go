package minion

import (
	"context"
	"errors"
	"io/fs"
	"reflect"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// The last failure of an awaited task reaches a handler in a child unchanged, with the
// registered errors that it wraps.
func TestWaitErrorCrosses(t *testing.T) {
	last := task.NewRemoteError(task.ID{7}, &broker.Outcome{Name: "work", Attempts: 4, Err: &broker.Failure{
		Type: "*fs.PathError", Message: "no such file", Chain: []string{"not there"}, Codes: []string{"fs.ErrNotExist"},
	}})
	for _, want := range []*task.RemoteError{last, nil} {
		var w wireError
		if err := unpack(pack(packError(&task.WaitError{ID: task.ID{7}, Reason: "it is retrying", Err: context.Canceled, LastFailure: want})), &w); err != nil {
			t.Fatal(err)
		}
		err := w.unpack()
		var e *task.WaitError
		if !errors.As(err, &e) || e.Reason != "it is retrying" || !errors.Is(e, context.Canceled) {
			t.Fatalf("%v", err)
		}
		if !reflect.DeepEqual(e.LastFailure, want) || errors.Is(e.LastFailure, fs.ErrNotExist) != (want != nil) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v, want %+v", e.LastFailure, want)
		}
	}
}
