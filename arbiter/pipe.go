package arbiter

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// UpstreamParameter is the name of the parameter in which a step of [Arbiter.Pipe] gets the result of the step before it.
const UpstreamParameter = "upstream"

// Named returns a call of a task by its name, for pipes and groups of tasks whose types are not known. It takes the options
// of [Arbiter.Apply] except [Count]. Sending the call reports an invalid option. [task.Named] is the same for handlers,
// without these options.
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
		return task.Named(name, app.args, task.Invalid(app.err))
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

// PersistentArgs are arguments by position that every step gets before its own, as in the original: they are the first
// parameters of all steps. The arguments of several PersistentArgs are appended to each other. The default is none.
func PersistentArgs(args ...any) PipeOption {
	return pipeFunc(func(c *pipeConfig) { c.args = append(c.args, args...) })
}

// PersistentKwArgs are arguments by name that every step gets, unless it has its own argument of that name. The maps of
// several PersistentKwArgs are merged, and the last value of a name counts. The default is none.
func PersistentKwArgs(args map[string]any) PipeOption {
	return pipeFunc(func(c *pipeConfig) { c.kwargs = merged(c.kwargs, args) })
}

// Pipe is the handle of a pipe that was sent. The pipe itself lives in the broker, and goes on without this process.
type Pipe struct{ flowHandle }

// Pipe sends steps that run one after the other. A step made by [Named] gets the result of the step before it in the
// parameter upstream, and the persistent arguments. Other calls have only their own arguments. See [task.Then] for pipes
// whose steps the compiler checks.
//
// Pipe returns at once with the handle of the pipe. [Pipe.WaitForMembers] yields the status of each step as soon as it is done. If a
// step does not succeed, the steps after it are canceled. A pipe without steps succeeds at once: WaitForMembers yields nothing, and
// it has no result. The errors are those of [Arbiter.Group].
func (a *Arbiter) Pipe(ctx context.Context, steps []task.Bound, opts ...PipeOption) (*Pipe, error) {
	var cfg pipeConfig
	for _, o := range opts {
		if o != nil {
			o.applyPipe(&cfg)
		}
	}
	requests := make([]*request.Request, len(steps))
	persisted := false
	for i, step := range steps {
		requests[i] = requestOf(step)
		if requests[i] == nil {
			continue // sending the pipe reports the nil step
		}
		req, ok := cfg.persist(requests[i])
		persisted = persisted || ok
		if ok && i > 0 {
			req = req.Waiting(UpstreamParameter)
		}
		requests[i] = req
	}
	if !persisted && len(steps) > 0 && len(cfg.args)+len(cfg.kwargs) > 0 {
		return nil, fmt.Errorf("pipe: %w option: PersistentArgs and PersistentKwArgs have no effect, since no step was made by name; "+
			"make the steps with arbiter.Named", broker.ErrInvalid)
	}
	p := &Pipe{flowHandle{a: a, req: request.Pipe(requests)}}
	return p, p.Send(ctx)
}

// merged returns the entries of both maps. If both have a name, the value in more counts. It changes neither map.
func merged(args, more map[string]any) map[string]any {
	if len(args) == 0 && len(more) == 0 {
		return nil
	}
	all := make(map[string]any, len(args)+len(more))
	maps.Copy(all, args)
	maps.Copy(all, more)
	return all
}

// persist adds the persistent arguments to a request that was made by name. It returns false for any other request.
func (c *pipeConfig) persist(req *request.Request) (*request.Request, bool) {
	args, ok := req.Args().(codec.Arguments)
	if !ok || req.Flow() != nil {
		return req, false
	}
	args.Positional = append(slices.Clip(c.args), args.Positional...)
	args.Named = merged(c.kwargs, args.Named)
	return req.WithArgs(args), true
}
