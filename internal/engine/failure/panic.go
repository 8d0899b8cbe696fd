package failure

import (
	"fmt"

	"github.com/go-arbiter/arbiter/internal/base/stack"
	"github.com/go-arbiter/arbiter/task"
)

// PanicError is the error of a handler that panicked. It wraps task.ErrPanic, and the
// value of the panic if that is an error.
type PanicError struct {
	Value any    // nil for runtime.Goexit
	in    string // where the panic was, for the message; empty for the handler itself
	stack string
}

// NewPanic makes an error of a recovered value; nil stands for runtime.Goexit. Only the
// deferred function may call it: it reads the stack of the panic.
func NewPanic(value any) *PanicError {
	return &PanicError{Value: value, stack: stack.OfPanic()}
}

// NewMethodPanic is NewPanic for a panic in a method of the handler's own error. It
// keeps the value as text, because methods of the value may panic as well.
func NewMethodPanic(value, culprit any) *PanicError {
	e := NewPanic(fmt.Sprint(value))
	e.in = fmt.Sprintf(" in a method of the handler's error, a %T", culprit)
	return e
}

func (e *PanicError) Error() string {
	if e.Value == nil {
		return fmt.Sprintf("%v: the handler called runtime.Goexit", task.ErrPanic)
	}
	return fmt.Sprintf("%v%s: %v", task.ErrPanic, e.in, e.Value)
}

// Is reports whether target is [task.ErrPanic].
func (e *PanicError) Is(target error) bool { return target == task.ErrPanic }

func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
