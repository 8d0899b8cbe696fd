package task_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
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
		if err := req.Draft(draft, codec.Msgpack(), time.Now(), nil); err != nil {
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
	if err := bad.Draft(&draft, codec.Msgpack(), time.Now(), nil); !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("a channel as arguments: %v", err)
	}
	if draft.Name != "other" || !bad.ID().IsZero() {
		t.Errorf("left are %+v and %s", draft, bad.ID())
	}
}

// The payload goes where its caller has room for it, if there is enough, and no further.
func TestDraftRoom(t *testing.T) {
	type args struct{ Text string }
	handle := task.Define[args, int]("t")
	for _, size := range []int{0, 5, 63, 64, 65, 500} {
		room := make([]byte, 0, 64)
		call := handle.Bind(args{strings.Repeat("x", size)})
		var first, second broker.Task
		if err := call.Request().Draft(&first, codec.Msgpack(), time.Now(), room); err != nil {
			t.Fatal(err)
		}
		want, err := codec.Msgpack().AppendArgs(nil, args{strings.Repeat("x", size)})
		if err != nil || !bytes.Equal(first.Payload, want) {
			t.Errorf("%d bytes are encoded as %q (%v), want %q", size, first.Payload, err, want)
		}
		if in, fits := &first.Payload[0] == &room[:1][0], len(want) <= cap(room); in != fits {
			t.Errorf("a payload of %d bytes is in a room of %d: %v", len(want), cap(room), in)
		}
		if cap(first.Payload) != len(first.Payload) {
			t.Errorf("a payload of %d bytes can grow to %d in the room of the next", len(first.Payload), cap(first.Payload))
		}
		other := make([]byte, 0, 1000)
		if err := call.Request().Draft(&second, codec.JSON(), time.Now(), other); err != nil || &second.Payload[0] != &first.Payload[0] {
			t.Errorf("drafted again (%v), the payload is another one", err)
		}
	}
}

// A request tells its arguments as they were given.
func TestRequestArgs(t *testing.T) {
	type args struct{ X int }
	handle := task.Define[args, int]("t")
	for name, req := range map[string]*task.Request{
		"bound":        handle.Bind(args{7}).Request(),
		"with options": handle.Bind(args{7}).With(task.Retries(1)).Request(),
		"by name":      task.NewRequest("t", args{7}),
		"replaced":     task.NewRequest("t", codec.Arguments{}).WithArgs(args{7}),
	} {
		if got := req.Args(); got != (args{7}) {
			t.Errorf("%s: %#v", name, got)
		}
	}
	if got := task.FailedRequest("t", errors.New("no")).Args(); got != nil {
		t.Errorf("of none: %#v", got)
	}
}

// indented is a codec that returns what it has appended without its first byte.
type indented struct{ codec.Codec }

func (c indented) AppendArgs(dst []byte, args any) ([]byte, error) {
	out, err := c.Codec.AppendArgs(append(dst, ' '), args)
	return out[1:], err
}

// What a codec leaves in its room, but not at its beginning, is no part of a request.
func TestDraftRoomOfOthers(t *testing.T) {
	room := make([]byte, 0, 64)
	req := task.NewRequest("t", codec.Arguments{Positional: []any{"hello"}})
	var draft broker.Task
	if err := req.Draft(&draft, indented{codec.JSON()}, time.Now(), room); err != nil {
		t.Fatal(err)
	}
	copy(room[:64], bytes.Repeat([]byte{'X'}, 64))
	if string(draft.Payload) != `["hello"]` {
		t.Errorf("the payload has become %q", draft.Payload)
	}
}

// A result that can never be encoded is refused where the task is registered and
// where it is called, not when its handler has done its work.
func TestDefineRefusesResult(t *testing.T) {
	type done struct{ Done chan int }
	handle := task.Define[thumbArgs, []done]("t")
	ran := false
	reg := task.Implement(handle, func(context.Context, thumbArgs) ([]done, error) { ran = true; return nil, nil })
	for what, err := range map[string]error{
		"Implement": reg.Err,
		"Handle":    task.Handle(&registrations{}, handle, func(context.Context, thumbArgs) ([]done, error) { return nil, nil }),
		"a call":    handle.Bind(thumbArgs{}).Request().Check(),
		"a step":    task.NewStep[[]byte](handle, "upstream", nil).Unbound().Check(),
	} {
		if !errors.Is(err, task.ErrInvalid) || !errors.Is(err, codec.ErrUnsupported) || !strings.Contains(err.Error(), "task t: invalid: result:") ||
			!strings.Contains(err.Error(), "chan int cannot be encoded") {
			t.Errorf("%s: error %v", what, err)
		}
	}
	if ran {
		t.Error("the handler ran")
	}
}
