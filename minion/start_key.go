package minion

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
)

// A task with the option UniqueUntilStart frees its unique key when it starts. The minion asks the
// broker for that just before it calls the handler, and waits for the answer: what is sent from
// then on is for another run. The same request makes sure that the task was not replaced while
// this minion held it.

// startKey frees the unique key of a task that is about to start. If over is true, the attempt does
// not start; then settled reports whether st holds its settlement.
func (a *attempt) startKey(st *broker.Settlement) (settled, over bool) {
	switch err := a.freeKey(); {
	case a.ctx.cause() != nil:
		return a.overtaken(st)
	case errors.Is(err, broker.ErrCanceled):
		a.started = time.Time{}
		return a.finish(st, broker.StateCanceled, nil, slog.LevelInfo, "task canceled before it ran"), true
	case errors.Is(err, broker.ErrUnsupported): // the broker of this process stores no such task
		a.started = time.Time{}
		return a.finish(st, broker.StateFailed, err, slog.LevelError, "task failed: it can't run"), true
	case err != nil:
		a.s.r.log.failed(slog.LevelWarn, "task not started: the minion does not own it any more", a.d, err)
		a.started = time.Time{}
		return false, true
	}
	a.started = time.Now()
	return a.overtaken(st) // its deadline may have passed meanwhile
}

// freeKey asks the broker to free the key. It repeats the request until the broker has answered or
// the attempt is over.
func (a *attempt) freeKey() error {
	r := a.s.r
	uniques, err := broker.UniquesOf(r.m.b, "a task with UniqueUntilStart")
	for try := 0; err == nil; try++ {
		ctx, cancel := context.WithTimeout(&a.ctx, a.s.lease/3)
		err = uniques.StartKey(ctx, a.d)
		cancel()
		switch {
		case err == nil:
			r.out.over("start of a task")
			return nil
		case errors.Is(err, broker.ErrLeaseLost) || errors.Is(err, broker.ErrClosed) || errors.Is(err, broker.ErrCanceled) || a.ctx.cause() != nil:
			return err
		}
		r.out.failed("start of a task", err)
		if !backoff.Sleep(&a.ctx, backoff.Delay(try, fastest, slowest)) {
			return err
		}
		err = nil
	}
	return err
}
