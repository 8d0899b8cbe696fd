package minion

import (
	"context"
	"sync/atomic"
	"time"
)

// Each attempt needs a context that can be cancelled, but most handlers are short and
// never look at theirs. A lazyContext makes the real context on first use: a handler that does
// not use it pays for no allocation and does not register with the parent, whose lock
// all attempts would share.

// lazyContext is the context of an attempt.
type lazyContext struct {
	parent context.Context
	state  atomic.Pointer[stage] // nil until the context is first used or ends
}

var _ context.Context = (*lazyContext)(nil)

// stage is the state of a lazyContext: a context that was made, or an end that came before one
// was made. A stage never changes; a lazyContext goes on to another one.
type stage struct {
	ctx    context.Context // nil if the context ended before a context was made
	cancel context.CancelCauseFunc
	cause  error // the cause of that end
}

// plainEnd is the usual last stage: the context was never used and ends without a cause.
var plainEnd = &stage{cause: context.Canceled}

// end ends the context with a cause; nil stands for context.Canceled. Only the first call
// has an effect.
func (l *lazyContext) end(cause error) {
	for {
		was, is := l.state.Load(), plainEnd
		if was != nil {
			if was.ctx != nil {
				was.cancel(cause)
			}
			return
		}
		if cause != nil {
			is = &stage{cause: cause}
		}
		if l.state.CompareAndSwap(nil, is) {
			return
		}
	}
}

// real returns the real context, and makes it if necessary.
func (l *lazyContext) real() context.Context {
	for {
		was := l.state.Load()
		if was != nil && was.ctx != nil {
			return was.ctx
		}
		ctx, cancel := context.WithCancelCause(l.parent)
		if was != nil {
			cancel(was.cause)
		}
		if l.state.CompareAndSwap(was, &stage{ctx: ctx, cancel: cancel}) {
			return ctx
		}
		cancel(nil) // another goroutine was faster
	}
}

// cause returns the cause of the context's end, or nil if it has not ended.
func (l *lazyContext) cause() error {
	switch p := l.state.Load(); {
	case p == nil && l.parent.Err() == nil: // the usual case, which takes no shared lock
		return nil
	case p == nil:
		return context.Cause(l.parent)
	case p.ctx == nil:
		return p.cause
	default:
		return context.Cause(p.ctx)
	}
}

func (l *lazyContext) Deadline() (time.Time, bool) { return l.parent.Deadline() }
func (l *lazyContext) Done() <-chan struct{}       { return l.real().Done() }
func (l *lazyContext) Err() error                  { return l.real().Err() }
func (l *lazyContext) Value(key any) any           { return l.real().Value(key) }
