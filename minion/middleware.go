package minion

import (
	"context"
	"sync"
)

// Handler runs one attempt at a task: it decodes the arguments, calls the
// function behind the task, and keeps its result. What the attempt is for,
// [task.FromContext] tells.
type Handler func(ctx context.Context) error

// Middleware wraps what runs around every attempt. The error it returns is
// judged in place of the handler's. It may call next with a context derived
// from its own, at most once at a time; the result of the last call counts. A
// call that has not returned when the middleware does counts for nothing: the
// task has no result then. One that begins later returns an error.
type Middleware func(next Handler) Handler

// Use adds middleware: the first is the outermost. The default is none.
func Use(mw ...Middleware) Option {
	return optionFunc(func(c *config) {
		for i, m := range mw {
			if m == nil {
				c.fail("Use: number %d is nil", i+1)
				return
			}
		}
		c.use = append(c.use, mw...)
	})
}

// chain returns h within the middleware, or nil if there is none.
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
	for i := len(use) - 1; i >= 0; i-- {
		h = use[i](h)
	}
	return h
}

// attemptKey is where a handler within middleware finds its attempt.
type attemptKey struct{}

// wrapped guards the result of an attempt that middleware runs. Middleware may
// return while a handler that it has started still runs, in a goroutine of its
// own: what that handler returns must not become the result any more.
type wrapped struct {
	mu    sync.Mutex
	ended bool // the middleware has returned
}

// end says that the middleware has returned.
func (w *wrapped) end() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
}

// handleWrapped is handle for a call by middleware.
func (a *attempt) handleWrapped(ctx context.Context) error {
	w := a.wrapped
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return errLateCall
	}
	a.result = nil
	if k := a.kin.Load(); k != nil && k != &childless { // it may be the second run of the handler
		k.submits.reset()
		k.child.Reset()
	}
	w.mu.Unlock()
	out, err := a.call(ctx, nil) // no room to share: an earlier run may still use it
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
