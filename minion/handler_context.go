package minion

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/internal/base/infokey"
	"github.com/go-arbiter/arbiter/internal/engine/durable"
	"github.com/go-arbiter/arbiter/task"
)

// The context of a handler is the attempt itself, under another type: so it costs no
// allocation. It answers the keys of task.FromContext and of the middleware; all else it
// takes from the attempt's context and its time limit.

// handlerContext is an attempt as the context of its handler.
type handlerContext attempt

var _ context.Context = (*handlerContext)(nil)

func (c *handlerContext) limits() context.Context     { return (*attempt)(c).limits() }
func (c *handlerContext) Deadline() (time.Time, bool) { return c.limits().Deadline() }
func (c *handlerContext) Done() <-chan struct{}       { return c.limits().Done() }
func (c *handlerContext) Err() error                  { return c.limits().Err() }

func (c *handlerContext) Value(key any) any {
	switch key.(type) {
	case infokey.Key:
		return (*attempt)(c).about()
	case attemptKey:
		return (*attempt)(c)
	case durable.Key:
		return (*attempt)(c).durable().State
	}
	return c.limits().Value(key)
}

// about returns the information that task.FromContext gives to the handler.
func (a *attempt) about() *task.Info {
	if info := a.info.Load(); info != nil {
		return info
	}
	d := a.d
	a.info.CompareAndSwap(nil, &task.Info{
		ID: d.ID, Name: d.Name, Queue: d.Queue,
		Attempt: d.Start, Retried: d.Retried, MaxRetries: a.maxRetries(), Recoveries: d.Recoveries,
		Meta: a.meta(), Enqueued: d.Enqueued,
		Submitter: (*submitter)(a), OnSuccess: (*onSuccess)(a),
	})
	return a.info.Load()
}
