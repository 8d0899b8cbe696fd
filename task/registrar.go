package task

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task/request"
)

// Registrar runs tasks. A minion is one.
type Registrar interface {
	// Register adds handlers. If one can't be added, because its definition is wrong or its
	// name is taken, it adds none and returns an error that names the task.
	Register(handlers ...Registration) error
}

// Registration is a task's name with the handler that runs it.
type Registration struct {
	Name     string
	Handler  Handler
	Settings request.Settings // the options of the definition; Retries, Backoff, Timeout, Slots, Isolated and Schema have an effect here
	Err      error            // the error of the definition, which Register returns; nil if there is none
}

// Handler runs one attempt. It decodes the arguments with the codec, and appends the encoded
// result to dst. Its error wraps [ErrBadArguments] if the arguments can't be decoded, and
// [ErrBadResult] if the result can't be encoded.
type Handler func(ctx context.Context, c codec.Codec, args, dst []byte) ([]byte, error)

// Handle registers fn as the handler of the task. The error names the task; it wraps [ErrInvalid]
// if the definition is wrong, fn is nil, or the name is taken.
func Handle[Args, Result any](r Registrar, t Task[Args, Result], fn func(context.Context, Args) (Result, error)) error {
	return r.Register(Implement(t, fn))
}

// Implement returns the registration that [Handle] makes, to register several in one step.
func Implement[Args, Result any](t Task[Args, Result], fn func(context.Context, Args) (Result, error)) Registration {
	reg := Registration{Name: t.name, Settings: t.defaults().Clone(), Err: t.err}
	if reg.Err == nil && reg.Settings.Err != nil {
		reg.Err = fmt.Errorf("task %s: %w", t.name, reg.Settings.Err)
	}
	if reg.Err == nil && fn == nil {
		reg.Err = fmt.Errorf("task %s: %w: its handler is nil", t.name, broker.ErrInvalid)
	}
	reg.Handler = func(ctx context.Context, c codec.Codec, data, dst []byte) ([]byte, error) {
		var args Args
		if err := c.DecodeArgs(data, &args); err != nil {
			return dst, fmt.Errorf("%w: %w", ErrBadArguments, err)
		}
		result, err := fn(ctx, args)
		if err != nil {
			return dst, err
		}
		return appendResult(c, dst, result)
	}
	return reg
}

// HandleFunc registers a handler by name, without types: fn gets the arguments as they were sent,
// and its result is encoded as it is. It suits tasks whose parameters are not known beforehand.
// The options are those that count at registration: [Retries], [WithBackoff], [OnError], [Timeout], [Slots],
// [Isolated], [InProcess] and [Schema]. Others are refused. The errors are those of [Handle].
func HandleFunc(r Registrar, name string, fn func(context.Context, codec.Arguments) (any, error), opts ...Option) error {
	reg := Registration{Name: name, Settings: resolve(onHandler, opts).Clone(), Err: broker.CheckName("task", name)}
	if reg.Err == nil && reg.Settings.Err != nil {
		reg.Err = fmt.Errorf("task %s: %w", name, reg.Settings.Err)
	}
	if reg.Err == nil && fn == nil {
		reg.Err = fmt.Errorf("task %s: %w: its handler is nil", name, broker.ErrInvalid)
	}
	reg.Handler = func(ctx context.Context, c codec.Codec, data, dst []byte) ([]byte, error) {
		var args codec.Arguments
		if err := c.DecodeArgs(data, &args); err != nil {
			return dst, fmt.Errorf("%w: %w", ErrBadArguments, err)
		}
		result, err := fn(ctx, args)
		if err != nil {
			return dst, err
		}
		return appendResult(c, dst, result)
	}
	return r.Register(reg)
}

func appendResult(c codec.Codec, dst []byte, result any) ([]byte, error) {
	if _, none := result.(None); none {
		return dst, nil // a task without a result stores no bytes
	}
	out, err := c.AppendValue(dst, result)
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrBadResult, err)
	}
	return out, nil
}
