package task_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

type thumbArgs struct {
	Upstream []byte `arbiter:"upstream"`
	Width    int    `arbiter:"width"`
}

var thumbTask = task.Define[thumbArgs, []byte]("thumb", task.Queue("images"))

// decodeThumb prepares the call and decodes the arguments in its record, as a minion does.
func decodeThumb(t *testing.T, call task.Call[[]byte]) thumbArgs {
	t.Helper()
	record, err := call.Request().Prepare(codec.Msgpack(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if record.Name != "thumb" || record.Queue != "images" {
		t.Errorf("task %q in queue %q, want thumb in images", record.Name, record.Queue)
	}
	var args thumbArgs
	if err := codec.Msgpack().DecodeArgs(record.Payload, &args); err != nil {
		t.Fatal(err)
	}
	return args
}

func TestStepBind(t *testing.T) {
	step := task.NewStep[[]byte](thumbTask, "upstream", map[string]any{"width": 80})
	first, second := step.Bind([]byte("a")), step.Bind([]byte("b"))
	for want, call := range map[string]task.Call[[]byte]{"a": first, "b": second} {
		if got := decodeThumb(t, call); !reflect.DeepEqual(got, thumbArgs{[]byte(want), 80}) {
			t.Errorf("the handler gets %+v, want upstream %s and width 80", got, want)
		}
	}
	if first.Request().ID() == second.Request().ID() {
		t.Error("two calls of a step share an id")
	}
	if got, want := step.Unbound().Args(), (codec.Arguments{Named: map[string]any{"width": 80}}); !reflect.DeepEqual(got, want) {
		t.Errorf("unbound arguments %v, want %v", got, want)
	}
	if step.Upstream() != "upstream" {
		t.Errorf("the missing parameter is %q, want upstream", step.Upstream())
	}
}

func TestStepMisuse(t *testing.T) {
	var zero task.Step[[]byte, []byte]
	if zero.Unbound() != nil || zero.Upstream() != "" {
		t.Error("the zero Step has a request")
	}
	tests := []struct {
		name string
		step task.Step[[]byte, []byte]
		want string
	}{
		{"zero", zero, "task name"},
		{"bound twice", task.NewStep[[]byte](thumbTask, "width", map[string]any{"width": 80}), "width of the step is bound already"},
		{"bad task", task.NewStep[[]byte](task.Define[thumbArgs, []byte]("no spaces"), "upstream", nil), "no spaces"},
	}
	for _, test := range tests {
		_, err := test.step.Bind(nil).Request().Prepare(codec.Msgpack(), time.Now())
		if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want ErrInvalid with %q", test.name, err, test.want)
		}
	}
}

func TestSchema(t *testing.T) {
	call := thumbTask.With(task.Schema(7)).Bind(thumbArgs{})
	record, err := call.Request().Prepare(codec.Msgpack(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if record.Schema != 7 {
		t.Errorf("schema %d, want 7", record.Schema)
	}
}
