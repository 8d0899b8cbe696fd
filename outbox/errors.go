package outbox

import (
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/task"
)

// ErrDone is wrapped by the error of [Outbox.Done] if another attempt of the task has committed its
// result. Roll the transaction back; [Find] returns the result.
var ErrDone = errors.New("another attempt of the task has committed its result")

// ErrRefused is wrapped by the error of a wait for a task that the broker has refused, see
// [Outbox.Refused].
var ErrRefused = errors.New("the broker has refused the task")

// invalid returns an error that wraps [task.ErrInvalid].
func invalid(format string, args ...any) error {
	return fmt.Errorf("outbox: %w: %s", task.ErrInvalid, fmt.Sprintf(format, args...))
}
