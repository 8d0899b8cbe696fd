package failure

import (
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/task"
)

// TimeoutError is the error of a handler that returned an error after its timeout. It
// wraps task.ErrTimeout and the handler's error.
type TimeoutError struct {
	After time.Duration
	Err   error // of the handler
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%v (%v): %v", task.ErrTimeout, e.After, e.Err)
}

// Is reports whether target is [task.ErrTimeout].
func (e *TimeoutError) Is(target error) bool { return target == task.ErrTimeout }

func (e *TimeoutError) Unwrap() error { return e.Err }
