package task

import (
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// Step is a call that still lacks one argument: the result of the call before
// it, of type Upstream. The other arguments are bound. Generated handles have a
// method Step where the function has a parameter named upstream, or one that
// its directive names with upstream=. The zero Step belongs to no task, and
// sending a call of it is an error.
type Step[Upstream, Result any] struct {
	req   *Request // its arguments are codec.Arguments, named, without param
	param string
}

// NewStep returns the step of the task in which param is the parameter that
// waits, and others are the arguments of all other parameters by name. Others
// belongs to the step from now on.
func NewStep[Upstream, Args, Result any](t Task[Args, Result], param string, others map[string]any) Step[Upstream, Result] {
	req := &Request{
		name: t.name, args: untyped{codec.Arguments{Named: others}}, settings: t.defaults(),
		special: &special{err: t.err, upstream: param},
	}
	req.fail(req.settings.forCalls(t.name))
	if _, bound := others[param]; bound {
		req.fail(fmt.Errorf("task %s: %w: the parameter %s of the step is bound already", t.name, broker.ErrInvalid, param))
	}
	return Step[Upstream, Result]{req, param}
}

// With returns a copy of the step whose calls have the options too. What
// [Call.With] says of pipes and groups is so here.
func (s Step[Upstream, Result]) With(opts ...Option) Step[Upstream, Result] {
	if s.req != nil {
		s.req = s.req.with(opts)
	}
	return s
}

// Bind returns the call with upstream as its missing argument. Each call has an
// id of its own.
func (s Step[Upstream, Result]) Bind(upstream Upstream) Call[Result] {
	if s.req == nil {
		return Call[Result]{NewRequest("", nil)}
	}
	return Call[Result]{s.req.bind(upstream)}
}

// Upstream returns the name of the parameter that waits. It is empty for the
// zero Step, and for one that is made of several.
func (s Step[Upstream, Result]) Upstream() string { return s.param }

// Unbound returns the request of the step, whose arguments lack the one that
// waits; nil for the zero Step. Only those who write a [Submitter] need it.
func (s Step[Upstream, Result]) Unbound() *Request { return s.req }
