package minion

import (
	"context"
	"slices"
	"sync"
)

// Middleware wraps the handlers of a minion. The chain is built once per handler, at
// Register; at run time the attempt is found in the context. Middleware is code of the
// user and may return while the handler that it called still runs, so the result of such
// a handler is guarded: after the middleware has returned, it is discarded.

// Handler runs one attempt at a task: it decodes the arguments, calls the function of the
// task, and keeps its result. [task.FromContext] tells which attempt it is.
type Handler func(ctx context.Context) error

// Middleware wraps a Handler, for every attempt. Its error replaces the handler's: it
// decides whether the task is retried. Middleware may call next more than once, but not
// concurrently, with a context derived from its own; the last call gives the result. If
// middleware returns before its call of next has, the task has no result. A call of next
// after the middleware has returned gives an error.
type Middleware func(next Handler) Handler

// Use adds middleware: the first is the outermost. The default is none.
func Use(mw ...Middleware) Option {
	return optionFunc(func(c *config) {
		for i, m := range mw {
			if m == nil {
				c.fail("Use: number %d is nil, want a function", i+1)
				return
			}
		}
		c.use = append(c.use, mw...)
	})
}

// chain returns the innermost handler wrapped in the middleware, or nil without any.
func chain(use []Middleware) Handler {
	if len(use) == 0 {
		return nil
	}
	h := func(ctx context.Context) error {
		a, _ := ctx.Value(attemptKey{}).(*attempt)
		if a == nil {
			return errForeignContext
		}
		return a.handleWrapped(ctx)
	}
	for _, u := range slices.Backward(use) {
		h = u(h)
	}
	return h
}

// attemptKey is the context key under which the innermost handler finds its attempt.
type attemptKey struct{}

// wrapped guards the result of an attempt that runs in middleware. A handler that still
// runs in another goroutine after the middleware has returned must not set the result.
type wrapped struct {
	mu    sync.Mutex
	ended bool // the middleware has returned
}

// end notes that the middleware has returned.
func (w *wrapped) end() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
}

// handleWrapped is handle for a call from middleware.
func (a *attempt) handleWrapped(ctx context.Context) error {
	w := a.wrapped
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return errLateCall
	}
	a.result = nil
	if k := a.sent.Load(); k != nil && k != &sentNothing { // this may be the second run of the handler
		k.submits.reset()
		k.child.Reset()
	}
	w.mu.Unlock()
	out, err := a.call(ctx, nil) // an earlier run may still use a.room
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		a.result = out
	}
	return nil
}
