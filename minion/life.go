package minion

import (
	"context"
	"sync/atomic"
	"time"
)

// life is the context of an attempt. It is an ordinary cancelable context that
// is made when somebody looks at it: a short handler that does not has nothing
// to pay for.
type life struct {
	parent context.Context
	now    atomic.Pointer[stage] // nil until somebody looks at it, or it ends
}

var _ context.Context = (*life)(nil)

// stage is what a life is: a context that was made, or over before one was. It never
// changes.
type stage struct {
	ctx    context.Context // nil if it is over
	cancel context.CancelCauseFunc
	cause  error // of its end
}

// quietEnd is the usual one: nobody has looked, and there is no cause.
var quietEnd = &stage{cause: context.Canceled}

// end ends the context, with a cause unless that is nil. Only the first call
// counts.
func (l *life) end(cause error) {
	for {
		was, is := l.now.Load(), quietEnd
		if was != nil {
			if was.ctx != nil {
				was.cancel(cause)
			}
			return
		}
		if cause != nil {
			is = &stage{cause: cause}
		}
		if l.now.CompareAndSwap(nil, is) {
			return
		}
	}
}

// real returns the context that this one stands for.
func (l *life) real() context.Context {
	for {
		was := l.now.Load()
		if was != nil && was.ctx != nil {
			return was.ctx
		}
		ctx, cancel := context.WithCancelCause(l.parent)
		if was != nil {
			cancel(was.cause)
		}
		if l.now.CompareAndSwap(was, &stage{ctx: ctx, cancel: cancel}) {
			return ctx
		}
		cancel(nil) // somebody was faster
	}
}

// why returns the cause if the context has ended.
func (l *life) why() error {
	switch p := l.now.Load(); {
	case p == nil && l.parent.Err() == nil: // the usual case, without a lock that all share
		return nil
	case p == nil:
		return context.Cause(l.parent)
	case p.ctx == nil:
		return p.cause
	default:
		return context.Cause(p.ctx)
	}
}

func (l *life) Deadline() (time.Time, bool) { return l.parent.Deadline() }
func (l *life) Done() <-chan struct{}       { return l.real().Done() }
func (l *life) Err() error                  { return l.real().Err() }
func (l *life) Value(key any) any           { return l.real().Value(key) }
