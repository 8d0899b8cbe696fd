package request_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// A draft has an id only if its request has one, and a request gets an id only once.
func TestDraft(t *testing.T) {
	req := task.Named("t", codec.Arguments{}, task.Queue("q")).Request()
	var first, second broker.Task
	for _, draft := range []*broker.Task{&first, &second} {
		if err := req.Draft(draft, codec.Msgpack(), time.Now(), nil); err != nil {
			t.Fatal(err)
		}
		if err := draft.CheckDraft(broker.Limits{}.WithDefaults()); err != nil || !draft.ID.IsZero() || !req.ID().IsZero() {
			t.Errorf("CheckDraft: %v; the draft has id %v and the request %v, want none", err, draft.ID, req.ID())
		}
		if err := draft.Check(broker.Limits{}.WithDefaults()); !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("Check of a draft: error %v, want ErrInvalid", err)
		}
	}
	id := broker.NewTaskID("q", "")
	if again := req.Identify(&first, func(*broker.Task) task.ID { return id }); again || first.ID != id || req.ID() != id {
		t.Errorf("the first draft got id %s (again: %v) and the request %s, want %s", first.ID, again, req.ID(), id)
	}
	if again := req.Identify(&second, nil); !again || second.ID != id {
		t.Errorf("the second draft got id %s (again: %v), want %s again", second.ID, again, id)
	}
	if err := second.Check(broker.Limits{}.WithDefaults()); err != nil {
		t.Error(err)
	}
}

// A request whose arguments can't be encoded stays unchanged, and so does the record.
func TestDraftNotEncodable(t *testing.T) {
	bad := request.New("t", make(chan int), nil)
	draft := broker.Task{Name: "other"}
	if err := bad.Draft(&draft, codec.Msgpack(), time.Now(), nil); !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("a channel as arguments: error %v, want ErrInvalid", err)
	}
	if draft.Name != "other" || !bad.ID().IsZero() {
		t.Errorf("the record is now %+v and the request has id %s", draft, bad.ID())
	}
}

// Draft writes the payload into room if it fits into the capacity, and never behind its end.
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
			t.Errorf("a payload of %d bytes with a room of %d: written into it is %v", len(want), cap(room), in)
		}
		if cap(first.Payload) != len(first.Payload) {
			t.Errorf("a payload of %d bytes has capacity %d: an append would overwrite the next payload", len(first.Payload), cap(first.Payload))
		}
		other := make([]byte, 0, 1000)
		if err := call.Request().Draft(&second, codec.JSON(), time.Now(), other); err != nil || &second.Payload[0] != &first.Payload[0] {
			t.Errorf("the second draft has another payload than the first (error %v)", err)
		}
	}
}

// Args returns the arguments as they were given.
func TestRequestArgs(t *testing.T) {
	type args struct{ X int }
	handle := task.Define[args, int]("t")
	for name, req := range map[string]*request.Request{
		"bound":        handle.Bind(args{7}).Request(),
		"with options": handle.Bind(args{7}).With(task.Retries(1)).Request(),
		"by name":      request.New("t", args{7}, nil),
		"replaced":     request.New("t", codec.Arguments{}, nil).WithArgs(args{7}),
	} {
		if got := req.Args(); got != (args{7}) {
			t.Errorf("%s: %#v", name, got)
		}
	}
	if got := request.Pipe(nil).Args(); got != nil {
		t.Errorf("Args of a pipe: %#v, want nil", got)
	}
}

// indented is a codec whose result begins one byte after the start of its buffer.
type indented struct{ codec.Codec }

func (c indented) AppendArgs(dst []byte, args any) ([]byte, error) {
	out, err := c.Codec.AppendArgs(append(dst, ' '), args)
	return out[1:], err
}

// If a codec's result is in room but not at its beginning, Draft copies it: others use the room later.
func TestDraftCopiesUnalignedPayload(t *testing.T) {
	room := make([]byte, 0, 64)
	req := request.New("t", codec.Arguments{Positional: []any{"hello"}}, nil)
	var draft broker.Task
	if err := req.Draft(&draft, indented{codec.JSON()}, time.Now(), room); err != nil {
		t.Fatal(err)
	}
	copy(room[:64], bytes.Repeat([]byte{'X'}, 64))
	if string(draft.Payload) != `["hello"]` {
		t.Errorf("the payload has changed to %q", draft.Payload)
	}
}

// Both packages have the name of the default queue.
func TestDefaultQueue(t *testing.T) {
	if got := request.Default().Queue; got != task.DefaultQueue {
		t.Errorf("the default queue is %s, and %s in package task", got, task.DefaultQueue)
	}
}

// The settings of a request are changed in a copy. In a group each task gets them, and the caller's settings stay.
func TestWith(t *testing.T) {
	own := request.Default()
	own.Meta = map[string]string{"k": "v"}
	req := request.New("t", nil, &own)
	changed := req.With(func(s *request.Settings) {
		s.Queue = "other"
		s.Meta["k"] = "w"
	})
	if got := changed.Settings(); got.Queue != "other" || got.Meta["k"] != "w" {
		t.Errorf("the changed settings are %+v", got)
	}
	if got := req.Settings(); got.Queue != task.DefaultQueue || got.Meta["k"] != "v" || own.Meta["k"] != "v" {
		t.Errorf("the settings that were copied are now %+v", got)
	}
	if got := req.With(nil); got == req || got.Settings().Queue != task.DefaultQueue || !got.ID().IsZero() {
		t.Errorf("without a change, the copy has the settings %+v", got.Settings())
	}
	group := request.Group([]*request.Request{req, changed}, request.GroupSettings{Callback: req}).With(func(s *request.Settings) { s.Retries = 7 })
	for i, m := range append(group.Flow().Members, group.Flow().Callback) {
		if m.Settings().Retries != 7 {
			t.Errorf("task %d of the group has %d retries, want 7", i, m.Settings().Retries)
		}
	}
	kept := group.WithRetention(time.Minute)
	if kept.Settings().Retention != time.Minute || kept.Flow().Members[0].Settings().Retention != broker.DefaultRetention {
		t.Errorf("the group is kept for %v, and its member for %v; want a minute for the group alone",
			kept.Settings().Retention, kept.Flow().Members[0].Settings().Retention)
	}
	own.Err = broker.ErrTooLarge
	if err := request.New("t", nil, &own).Check(); !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("Check returned %v, want the error of the settings", err)
	}
}
