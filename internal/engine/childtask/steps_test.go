package childtask_test

import (
	"errors"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

// A handler in a child saves and loads its durable steps through its minion, which also hears for which
// signal the task waits.
func TestSteps(t *testing.T) {
	r := newRig(t, 1)
	r.parent.steps = &broker.Saved{}
	job := r.job(deed{What: "steps", Text: "first"})
	done := r.run(t.Context(), job)
	_, err := r.outcome(done)
	snooze, is := errors.AsType[*task.SnoozeError](err)
	if !is || snooze.After > time.Hour || done.Signal != "s" {
		t.Fatalf("the handler ended with %v, and waits for signal %q", err, done.Signal)
	}
	if got := r.parent.steps.Steps; len(got) != 2 || got[0].Name != "a" || got[1].Name != "s" {
		t.Fatalf("saved: %+v", got)
	}
	data, err := codec.Msgpack().AppendValue(nil, 7)
	if err != nil {
		t.Fatal(err)
	}
	r.parent.steps.Signals = []broker.Signal{{ID: parentID, Name: "s", Codec: "msgpack", Data: data}}
	job = r.job(deed{What: "steps", Text: "second"})
	job.Attempt = 2
	if got, err := r.outcome(r.run(t.Context(), job)); got != "first 7" || err != nil {
		t.Errorf("a later attempt returned %q, %v", got, err)
	}
}
