package task

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task/request"
)

// Step is a call that lacks one argument: the result of the call before it, of type Upstream. The
// other arguments are bound. A generated handle has a method Step if its function has a parameter
// named upstream, or one that the directive names with upstream=. The zero Step belongs to no
// task, and sending a call of it is an error.
type Step[Upstream, Result any] struct {
	req   *request.Request // its arguments are codec.Arguments by name, without param
	param string
}

// NewStep returns a step of the task. Param is the parameter that gets the result of the call
// before, and others are the arguments of all other parameters by name. The step keeps the map:
// do not change it later.
func NewStep[Upstream, Args, Result any](t Task[Args, Result], param string, others map[string]any) Step[Upstream, Result] {
	s, err := &t.defaults().Settings, t.unsendable()
	if s.Lane.FromArgs() && err == nil {
		var args Args
		if err = setArgs(&args, others); err != nil {
			err = fmt.Errorf("task %s: %w: step: %w", t.name, broker.ErrInvalid, err)
		} else {
			s = s.ForArgs(args)
		}
	}
	return Step[Upstream, Result]{request.Step(t.name, s, err, param, others), param}
}

// setArgs sets the fields of a struct of arguments by the names of their parameters. The options that take a key from the
// arguments see them as this struct.
func setArgs(args any, byName map[string]any) error {
	v := reflect.ValueOf(args).Elem()
	if v.Kind() != reflect.Struct {
		return fmt.Errorf("its arguments are a %s, want a struct", v.Type())
	}
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("arbiter"), ",")
		if name == "" {
			name = f.Name
		}
		arg, given := byName[name]
		if !given || arg == nil || !f.IsExported() {
			continue
		}
		if value := reflect.ValueOf(arg); value.Type().AssignableTo(f.Type) {
			v.FieldByIndex(f.Index).Set(value)
		} else {
			return fmt.Errorf("parameter %s is a %s, and its argument a %T", name, f.Type, arg)
		}
	}
	return nil
}

// With returns a copy of the step whose calls have the options added. If the step is a pipe or
// group, the rules of [Call.With] apply.
func (s Step[Upstream, Result]) With(opts ...Option) Step[Upstream, Result] {
	if s.req != nil {
		s.req = s.req.With(adding(opts))
	}
	return s
}

// Bind returns the call of the step with upstream as its missing argument. Each call has an id of
// its own.
func (s Step[Upstream, Result]) Bind(upstream Upstream) Call[Result] {
	if s.req == nil {
		return Call[Result]{request.New("", nil, nil)}
	}
	return Call[Result]{s.req.Bind(upstream)}
}

// Upstream returns the name of the missing parameter. It is empty for the zero Step, and for a step
// that was made from several.
func (s Step[Upstream, Result]) Upstream() string { return s.param }

// Unbound returns the request of the step, which lacks one argument. It is nil for the zero Step.
// Only code that implements a [Submitter] needs it.
func (s Step[Upstream, Result]) Unbound() *request.Request { return s.req }
