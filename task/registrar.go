package task

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// Registrar runs tasks: a minion.
type Registrar interface {
	// Register adds handlers: all of them, or none and an error. A name that
	// is taken is an error.
	Register(handlers ...Registration) error
}

// Registration says which handler stands behind a task's name.
type Registration struct {
	Name     string
	Handler  Handler
	Settings Settings // as the task was defined; retries and backoff count here
	Err      error    // what is wrong with the definition, for Register to return
}

// Handler runs one attempt: it decodes the arguments with the codec, and
// appends the encoded result to dst. An error from decoding wraps
// [ErrBadArguments], one from encoding [ErrBadResult].
type Handler func(ctx context.Context, c codec.Codec, args, dst []byte) ([]byte, error)

// Handle registers fn as the handler of the task. The error names the task:
// its definition is wrong, fn is nil, or the name is taken.
func Handle[Args, Result any](r Registrar, t Task[Args, Result], fn func(context.Context, Args) (Result, error)) error {
	return r.Register(Implement(t, fn))
}

// Implement returns the registration that [Handle] makes, so that several can
// be registered at once.
func Implement[Args, Result any](t Task[Args, Result], fn func(context.Context, Args) (Result, error)) Registration {
	reg := Registration{Name: t.name, Settings: t.defaults().clone(), Err: t.err}
	if reg.Err == nil && reg.Settings.err != nil {
		reg.Err = fmt.Errorf("task %s: %w", t.name, reg.Settings.err)
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

// HandleFunc registers a handler by name, without types: what it returns is
// encoded as it is. It suits tasks whose arguments are not known beforehand. Its
// options are those that count where a handler is registered: [Retries],
// [WithBackoff], [Timeout], [Isolated] and [Schema]; others are refused.
func HandleFunc(r Registrar, name string, fn func(context.Context, codec.Arguments) (any, error), opts ...Option) error {
	reg := Registration{Name: name, Settings: resolve(onHandler, opts).clone(), Err: broker.CheckName("task", name)}
	if reg.Err == nil && reg.Settings.err != nil {
		reg.Err = fmt.Errorf("task %s: %w", name, reg.Settings.err)
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
		return dst, nil // no result is no bytes
	}
	out, err := c.AppendValue(dst, result)
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrBadResult, err)
	}
	return out, nil
}
