package task_test

import (
	"errors"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

// A draft has no id until its request has one, which it gets once.
func TestDraft(t *testing.T) {
	req := task.NewRequest("t", codec.Arguments{}, task.Queue("q"))
	var first, second broker.Task
	for _, draft := range []*broker.Task{&first, &second} {
		if err := req.Draft(draft, codec.Msgpack(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := draft.CheckDraft(broker.Limits{}.WithDefaults()); err != nil || !draft.ID.IsZero() || !req.ID().IsZero() {
			t.Errorf("a draft: %v, %v, of request %v", err, draft.ID, req.ID())
		}
		if err := draft.Check(broker.Limits{}.WithDefaults()); !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("a draft as a task: %v", err)
		}
	}
	id := broker.NewTaskID("q", "")
	if again := req.Identify(&first, func(*broker.Task) task.ID { return id }); again || first.ID != id || req.ID() != id {
		t.Errorf("the first got %s (again: %v), the request has %s, want %s", first.ID, again, req.ID(), id)
	}
	if again := req.Identify(&second, nil); !again || second.ID != id {
		t.Errorf("the second got %s (again: %v)", second.ID, again)
	}
	if err := second.Check(broker.Limits{}.WithDefaults()); err != nil {
		t.Error(err)
	}
}

// What can't be encoded leaves request and record as they were.
func TestDraftOfNothing(t *testing.T) {
	bad := task.NewRequest("t", make(chan int))
	draft := broker.Task{Name: "other"}
	if err := bad.Draft(&draft, codec.Msgpack(), time.Now()); !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("a channel as arguments: %v", err)
	}
	if draft.Name != "other" || !bad.ID().IsZero() {
		t.Errorf("left are %+v and %s", draft, bad.ID())
	}
}
