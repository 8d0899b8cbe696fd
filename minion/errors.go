package minion

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/base/stack"
	"github.com/go-arbiter/arbiter/task"
)

// This file has the errors of handlers as the minion sees them: panics, timeouts, and
// misuse of middleware. Each keeps the error of the user's code and adds what the minion
// knows, such as the stack of a panic. newFailure turns an error into the form that the
// broker stores.

// ErrAbandoned is wrapped by the error of [Minion.Run] when handlers still run after the
// minion has stopped, because they ignored the end of their contexts. The error names
// their tasks, which were given back to their queues.
var ErrAbandoned = errors.New("handlers still run")

// errLost is the error of a session that has lost its lease.
var errLost = errors.New("lease lost")

// errForeignContext is the error that middleware gets if it calls next with a context
// that is not derived from its own.
var errForeignContext = task.NoRetry(fmt.Errorf("%w: middleware called its handler with a context that is not derived from its own", broker.ErrInvalid))

// errLateCall is the error that middleware gets if it calls next after it has returned.
var errLateCall = task.NoRetry(fmt.Errorf("%w: middleware called its handler after it had returned", broker.ErrInvalid))

// panicError is the error of a handler that panicked. It wraps task.ErrPanic, and the
// value of the panic if that is an error.
type panicError struct {
	value any
	in    string // where the panic was, for the message; empty for the handler itself
	stack string
}

// newPanic makes an error of a recovered value; nil stands for runtime.Goexit. Only the
// deferred function may call it: it reads the stack of the panic.
func newPanic(value any) *panicError {
	return &panicError{value: value, stack: stack.OfPanic()}
}

// newMethodPanic is newPanic for a panic in a method of the handler's own error. It
// keeps the value as text, because methods of the value may panic as well.
func newMethodPanic(value, culprit any) *panicError {
	e := newPanic(fmt.Sprint(value))
	e.in = fmt.Sprintf(" in a method of the handler's error, a %T", culprit)
	return e
}

// stackOf returns the stack of a panic, here or in a child, or the last output of a
// crashed process. It is empty for any other error.
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

// timeoutError is the error of a handler that returned an error after its timeout. It
// wraps task.ErrTimeout and the handler's error.
type timeoutError struct {
	timeout time.Duration
	err     error
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("%v (%v): %v", task.ErrTimeout, e.timeout, e.err)
}

func (e *timeoutError) Is(target error) bool { return target == task.ErrTimeout }

func (e *timeoutError) Unwrap() error { return e.err }

// newFailure returns an error as the broker stores it, with the stack of a panic. The
// type is the one of the user's error, not of the wrappers in this package.
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
