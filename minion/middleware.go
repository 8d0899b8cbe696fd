package minion

import "context"

// Handler runs one attempt at a task: it decodes the arguments, calls the
// function behind the task, and keeps its result. What the attempt is for,
// [task.FromContext] tells.
type Handler func(ctx context.Context) error

// Middleware wraps what runs around every attempt. The error it returns is
// judged in place of the handler's. It may call next with a context derived
// from its own, at most once at a time; the result of the last call counts.
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
		return a.handle(ctx)
	}
	for i := len(use) - 1; i >= 0; i-- {
		h = use[i](h)
	}
	return h
}

// attemptKey is where a handler within middleware finds its attempt.
type attemptKey struct{}
