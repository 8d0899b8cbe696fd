package failure

import (
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

// Of returns an error as the broker stores it, with the stack of a panic. The
// type is the one of the user's error, not of the wrappers in this package.
func Of(err error) *broker.Failure {
	f := task.NewFailure(err)
	f.Stack = StackOf(err)
	if over, ok := errors.AsType[*TimeoutError](err); ok {
		f.Type = fmt.Sprintf("%T", over.Err)
	}
	if child, ok := errors.AsType[*childError](err); ok {
		child.fill(f)
	}
	if crash, ok := errors.AsType[*task.CrashError](err); ok {
		f.Type = fmt.Sprintf("%T", crash)
	}
	if p, ok := errors.AsType[*PanicError](err); ok {
		if p.Value != nil && p.in == "" {
			f.Type = fmt.Sprintf("%T", p.Value)
		}
	}
	return f
}

// StackOf returns the stack of a panic, here or in a child, or the last output of a
// crashed process. It is empty for any other error.
func StackOf(err error) string {
	var thrown *PanicError
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
