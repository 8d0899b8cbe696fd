package task_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

// A result type that can't be encoded is refused when the task is registered and when it is
// called, not after its handler has done its work.
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
			t.Errorf("%s: error %v, want ErrInvalid that names the type", what, err)
		}
	}
	if ran {
		t.Error("the handler ran")
	}
}
