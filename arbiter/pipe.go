package arbiter

import (
	"context"
	"fmt"
	"maps"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

// UpstreamParameter is the parameter in which a step of [Arbiter.Pipe] gets the
// result of the step before it.
const UpstreamParameter = "upstream"

// Named is a call of a task by its name, with the options of [Arbiter.Apply]
// but [Count]: for pipes and groups of tasks whose types are not known. [task.Named] is
// the same without these options, for handlers.
func Named(name string, opts ...ApplyOption) task.Call[any] {
	app := application{count: 1}
	for _, o := range opts {
		if o != nil {
			o.applyTo(&app)
		}
	}
	if app.err == nil && app.count != 1 {
		app.err = fmt.Errorf("%w option: Count is for Apply and ApplySync", broker.ErrInvalid)
	}
	if app.err != nil {
		return task.NewCall[any](task.FailedRequest(name, app.err))
	}
	return task.Named(name, app.args, app.opts...)
}

// PipeOption changes a pipe; see [Arbiter.Pipe].
type PipeOption interface {
	applyPipe(*pipeConfig)
}

type pipeConfig struct {
	args   []any
	kwargs map[string]any
}

type pipeFunc func(*pipeConfig)

func (f pipeFunc) applyPipe(c *pipeConfig) { f(c) }

// PersistentArgs are arguments by position that every step gets before its own, as
// in the original: they are the first parameters of all steps. Those of several
// PersistentArgs come one after the other. The default is none.
func PersistentArgs(args ...any) PipeOption {
	return pipeFunc(func(c *pipeConfig) { c.args = append(c.args, args...) })
}

// PersistentKwArgs are arguments by name that every step gets, unless it has
// its own of the name. Those of several PersistentKwArgs are put together; of the
// same name the last one counts. The default is none.
func PersistentKwArgs(args map[string]any) PipeOption {
	return pipeFunc(func(c *pipeConfig) { c.kwargs = merged(c.kwargs, args) })
}

// Pipe is a pipe that was sent. It lives in the broker: whoever settles a step
// starts the next one.
type Pipe struct{ flowHandle }

// Pipe sends steps to be done one after the other. A step made by [Named] gets
// the result of the step before it in the parameter upstream, and the persistent
// arguments; other calls have their own arguments only. See [task.Then] for
// pipes whose steps are checked by the compiler.
//
// It returns at once: the pipe has its id, and [Pipe.Wait] yields the result of
// each step as it is done. A step that does not succeed stops the pipe: the steps
// after it are canceled. A pipe of no steps succeeds at once: Wait yields nothing,
// and it has no result. The errors are as those of [Arbiter.Group].
func (a *Arbiter) Pipe(ctx context.Context, steps []task.Bound, opts ...PipeOption) (*Pipe, error) {
	var cfg pipeConfig
	for _, o := range opts {
		if o != nil {
			o.applyPipe(&cfg)
		}
	}
	requests := make([]*task.Request, len(steps))
	persisted := false
	for i, step := range steps {
		requests[i] = requestOf(step)
		if requests[i] == nil {
			continue // sending it says what is wrong
		}
		req, ok := cfg.persist(requests[i])
		persisted = persisted || ok
		if ok && i > 0 {
			req = req.Waiting(UpstreamParameter)
		}
		requests[i] = req
	}
	if !persisted && len(steps) > 0 && len(cfg.args)+len(cfg.kwargs) > 0 {
		return nil, fmt.Errorf("pipe: %w option: PersistentArgs and PersistentKwArgs have no effect: no step is by name; "+
			"make it by arbiter.Named", broker.ErrInvalid)
	}
	p := &Pipe{flowHandle{a: a, req: task.NewPipe(requests)}}
	return p, p.Send(ctx)
}

// merged returns arguments by name with more of them, which count where both have
// the name. Neither map is changed.
func merged(args, more map[string]any) map[string]any {
	if len(args) == 0 && len(more) == 0 {
		return nil
	}
	all := make(map[string]any, len(args)+len(more))
	maps.Copy(all, args)
	maps.Copy(all, more)
	return all
}

// persist adds the persistent arguments to a request by name, and reports
// whether it is one.
func (c *pipeConfig) persist(req *task.Request) (*task.Request, bool) {
	args, ok := req.Args().(codec.Arguments)
	if !ok || req.Flow() != nil {
		return req, false
	}
	args.Positional = append(c.args[:len(c.args):len(c.args)], args.Positional...)
	args.Named = merged(c.kwargs, args.Named)
	return req.WithArgs(args), true
}
