package minion

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/stack"
	"github.com/go-arbiter/arbiter/task"
)

// ErrAbandoned is wrapped by the error of Run when handlers still run although
// the minion has stopped, because they ignored the end of their contexts. The
// error names their tasks, which were given back to their queues.
var ErrAbandoned = errors.New("handlers still run")

// errLost says that a session has lost its lease.
var errLost = errors.New("lease lost")

// errForeignContext is returned to middleware that calls next with a context
// that isn't derived from its own.
var errForeignContext = task.NoRetry(fmt.Errorf("%w: middleware called its handler with a context of another origin", broker.ErrInvalid))

// errLateCall is returned to middleware that calls next after it has returned.
var errLateCall = task.NoRetry(fmt.Errorf("%w: middleware called its handler after it had returned", broker.ErrInvalid))

// panicError is a handler's panic. It wraps task.ErrPanic, and the value if
// that is an error.
type panicError struct {
	value any
	in    string // what panicked; empty if it was the handler itself
	stack string
}

// newPanic must be called by the function that is deferred. A nil value is a
// runtime.Goexit.
func newPanic(value any) *panicError {
	return &panicError{value: value, stack: stack.OfPanic()}
}

// newMethodPanic is newPanic for a method of the error that a handler returned or
// panicked with. The value is made text: its methods may panic as well.
func newMethodPanic(value, culprit any) *panicError {
	e := newPanic(fmt.Sprint(value))
	e.in = fmt.Sprintf(" in a method of the handler's error, a %T", culprit)
	return e
}

// stackOf returns where err panicked, here or in a child, or what a process said
// that crashed; it is empty for an error that was returned.
func stackOf(err error) string {
	var thrown *panicError
	var inCodec *codec.PanicError
	var child *childError
	var crash *task.CrashError
	switch {
	case errors.As(err, &thrown):
		return thrown.stack
	case errors.As(err, &inCodec):
		return inCodec.Stack
	case errors.As(err, &crash):
		return crash.Output
	case errors.As(err, &child):
		return child.Failure.Stack
	}
	return ""
}

func (e *panicError) Error() string {
	if e.value == nil {
		return fmt.Sprintf("%v: the handler called runtime.Goexit", task.ErrPanic)
	}
	return fmt.Sprintf("%v%s: %v", task.ErrPanic, e.in, e.value)
}

func (e *panicError) Is(target error) bool { return target == task.ErrPanic }

func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// timeoutError is what a handler returned when its timeout was over. It is
// task.ErrTimeout, and wraps the handler's error.
type timeoutError struct {
	timeout time.Duration
	err     error
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("%v (%v): %v", task.ErrTimeout, e.timeout, e.err)
}

func (e *timeoutError) Is(target error) bool { return target == task.ErrTimeout }

func (e *timeoutError) Unwrap() error { return e.err }

// newFailure returns an error as it travels, with the stack of a panic. Its
// type is the user's, not that of what is wrapped around it here.
func newFailure(err error) *broker.Failure {
	f := task.NewFailure(err)
	f.Stack = stackOf(err)
	var over *timeoutError
	if errors.As(err, &over) {
		f.Type = fmt.Sprintf("%T", over.err)
	}
	var child *childError
	if errors.As(err, &child) {
		child.fill(f)
	}
	var crash *task.CrashError
	if errors.As(err, &crash) {
		f.Type = fmt.Sprintf("%T", crash)
	}
	var p *panicError
	if errors.As(err, &p) {
		if p.value != nil && p.in == "" {
			f.Type = fmt.Sprintf("%T", p.value)
		}
	}
	return f
}
