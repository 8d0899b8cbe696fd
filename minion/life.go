package minion

import (
	"context"
	"sync"
	"time"
)

// life is the context of an attempt. It is an ordinary cancelable context that
// is made when somebody looks at it: a short handler that does not has nothing
// to pay for.
type life struct {
	parent context.Context

	mu     sync.Mutex // guards what follows
	ctx    context.Context
	cancel context.CancelCauseFunc
	over   bool  // end was called
	cause  error // with this
}

var _ context.Context = (*life)(nil)

// end ends the context, with a cause unless that is nil. Only the first call
// counts.
func (l *life) end(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.over, l.cause = true, cause
	if l.cancel != nil {
		l.cancel(cause)
	}
}

// real returns the context that this one stands for.
func (l *life) real() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancelCause(l.parent)
		if l.over {
			l.cancel(l.cause)
		}
	}
	return l.ctx
}

// why returns the cause if the context has ended.
func (l *life) why() error {
	l.mu.Lock()
	made := l.ctx != nil
	over, cause := l.over, l.cause
	l.mu.Unlock()
	switch {
	case made:
		return context.Cause(l.real())
	case over && cause != nil:
		return cause
	case over:
		return context.Canceled
	case l.parent.Err() == nil: // the usual case, without a lock that all share
		return nil
	}
	return context.Cause(l.parent)
}

func (l *life) Deadline() (time.Time, bool) { return l.parent.Deadline() }
func (l *life) Done() <-chan struct{}       { return l.real().Done() }
func (l *life) Err() error                  { return l.real().Err() }
func (l *life) Value(key any) any           { return l.real().Value(key) }
