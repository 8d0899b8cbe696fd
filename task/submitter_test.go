package task_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

func TestRemoteErrorText(t *testing.T) {
	id := broker.NewID(broker.KindTask, "q", 0)
	for want, err := range map[string]*task.RemoteError{
		"task a: no":                   {Task: "a", ID: id, Message: "no"},
		"task " + id.String() + ": no": {ID: id, Message: "no"},
		"no":                           {Message: "no"},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err.Error(), want)
		}
	}
}

// Outside of an attempt, sending is an error and not a panic.
func TestNoSubmitter(t *testing.T) {
	ctx := context.Background()
	type none struct{}
	work := task.Define[none, int]("work")
	bare, ok := task.FromContext(ctx)
	if ok {
		t.Error("FromContext found an attempt in a context without one")
	}
	byHand, ok := task.FromContext(task.NewContext(ctx, &task.Info{Name: "by hand"}))
	if !ok || byHand.Name != "by hand" {
		t.Errorf("FromContext returned %+v, %v; want the Info made by hand", byHand, ok)
	}
	var stored task.Info // such as one that was stored and decoded again
	for what, s := range map[string]task.Submitter{
		"a context without an attempt": bare.Submitter,
		"an Info that a test makes":    byHand.Submitter,
		"a stored Info":                stored.Submitter,
		"on success":                   bare.OnSuccess,
		"on success, by hand":          task.OnSuccess(task.NewContext(ctx, &task.Info{})),
	} {
		_, sent := work.Apply(ctx, s, none{})
		_, called := work.Call(ctx, s, none{})
		_, all := task.SendAll(ctx, s, work.Bind(none{}), work.Bind(none{}))
		for how, err := range map[string]error{"Apply": sent, "Call": called, "SendAll": all} {
			var sub *task.SubmitError
			if !errors.As(err, &sub) || !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "the context of a running task") {
				t.Errorf("%s, %s: error %v, want a SubmitError that wraps ErrInvalid", what, how, err)
			}
		}
		id := broker.NewID(broker.KindTask, "q", 0)
		if _, err := task.NewFuture[int](s, id).Result(ctx); err == nil || !strings.Contains(err.Error(), id.String()) {
			t.Errorf("%s, Result: error %v, want one with the id %s", what, err, id)
		}
	}
}

// mute is a submitter that is not an Emitter.
type mute struct{ task.Submitter }

func TestInfoOutsideOfAnAttempt(t *testing.T) {
	ctx := context.Background()
	bare, _ := task.FromContext(ctx)
	for what, info := range map[string]task.Info{"bare": bare, "stored": {}, "mute": {Submitter: mute{}}} {
		if err := info.Emit(ctx, "news", 1); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "emit to topic news") {
			t.Errorf("%s: Emit: error %v, want ErrInvalid that names the topic", what, err)
		}
		if what == "mute" {
			continue
		}
		if _, err := task.Named("work", task.Args(1)).Call(ctx, info); !errors.Is(err, task.ErrInvalid) {
			t.Errorf("%s: Call: error %v, want ErrInvalid", what, err)
		}
		if err := info.Await(ctx, broker.NewID(broker.KindTask, "q", 0), nil); !errors.Is(err, task.ErrInvalid) {
			t.Errorf("%s: Await: error %v, want ErrInvalid", what, err)
		}
	}
}
