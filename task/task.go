package task

import (
	"context"
	"fmt"
	"reflect"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task/request"
)

// Task is the typed handle of a kind of task. It is a small value that can be copied. The zero Task
// has no name, and sending a call of it is an error.
//
// Args is a struct whose exported fields are the parameters; package codec has the rules. Result
// is any type that can be a parameter, or [None].
type Task[Args, Result any] struct {
	name     string
	settings *settings // the values of its options; nil in the zero Task
	err      error     // the error of its definition, reported when the handle is used
}

// None is the Result of a task that returns only an error.
type None = struct{}

// Define returns the handle of the task with that name. All its calls start with the options in
// defaults. Define itself never fails. Sending a call and registering a handler report a wrong
// definition, with an error that wraps [ErrInvalid]: a bad name or option, a type that can't be
// Args, or a Result that can't be encoded and decoded, such as a channel.
func Define[Args, Result any](name string, defaults ...Option) Task[Args, Result] {
	t := Task[Args, Result]{name: name, settings: resolve(onDefine, defaults)}
	if err := broker.CheckName("task", name); err != nil {
		t.err = err
	} else if err := codec.CheckArgs(reflect.TypeFor[Args]()); err != nil {
		t.err = fmt.Errorf("task %s: %w: arguments: %w", name, broker.ErrInvalid, err)
	} else if err := codec.CheckResult(reflect.TypeFor[Result]()); err != nil {
		t.err = fmt.Errorf("task %s: %w: result: %w", name, broker.ErrInvalid, err)
	}
	return t
}

// Name returns the name of the task.
func (t Task[Args, Result]) Name() string { return t.name }

// With returns a copy of the handle whose calls have the options added. Later options win over
// earlier ones. An option that only counts at registration, such as [WithBackoff], makes it a
// handle for [Handle]. Its calls are refused, since the minion that runs them may have been
// registered with another value.
func (t Task[Args, Result]) With(opts ...Option) Task[Args, Result] {
	t.settings = t.defaults().with(onHandle, opts)
	return t
}

func (t Task[Args, Result]) defaults() *settings {
	if t.settings == nil {
		return noOptions
	}
	return t.settings
}

// unsendable returns the reason why calls of the handle can't be sent, or nil.
func (t Task[Args, Result]) unsendable() error {
	if t.err != nil {
		return t.err
	}
	return t.defaults().forCalls(t.name)
}

// Bind returns a call with the arguments, to be sent later, alone or with others. The arguments are
// encoded when the call is sent. Until then do not change anything that they point to.
func (t Task[Args, Result]) Bind(args Args) Call[Result] {
	return Call[Result]{request.Bind(t.name, &t.defaults().Settings, t.unsendable(), args)}
}

// Apply sends a call and returns its future. The errors are those of [Call.Send].
func (t Task[Args, Result]) Apply(ctx context.Context, s Submitter, args Args) (*Future[Result], error) {
	return t.Bind(args).Send(ctx, s)
}

// Call sends a call and waits for its result. The errors are those of [Call.Send] and
// [Future.Result].
func (t Task[Args, Result]) Call(ctx context.Context, s Submitter, args Args) (Result, error) {
	fut, err := t.Apply(ctx, s, args)
	if err != nil {
		var none Result
		return none, err
	}
	return fut.Result(ctx)
}
