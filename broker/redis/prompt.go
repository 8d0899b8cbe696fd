package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A server that hangs, or a line on which nothing arrives any more, keeps a request
// until the client's timeouts are over. Callers need not wait for that: each method
// returns when its context ends. The request goes on, on a goroutine of its own, until
// the server answers or the client gives up; what it brings then is dropped, or kept
// for the next call where it must not be lost.

// ask runs f, which asks the server, and returns what f returns, or an error when ctx
// ends before. The error wraps that of ctx then.
func ask[T any](ctx context.Context, f func() (T, error)) (T, error) {
	return askOr(ctx, f, func(T, error) {})
}

// askOr is ask. Late is given what f returns when nobody waits for it any more.
func askOr[T any](ctx context.Context, f func() (T, error), late func(T, error)) (T, error) {
	if ctx.Done() == nil || ctx.Err() != nil { // f sees that ctx has ended
		out, err := f()
		return out, ended(ctx, err)
	}
	type answer struct {
		out T
		err error
	}
	came := make(chan answer, 1)
	var left atomic.Bool // set by whoever is late: the caller that leaves, or f
	go func() {
		out, err := f()
		came <- answer{out, err}
		if left.Swap(true) {
			late(out, err)
		}
	}()
	select {
	case a := <-came:
		return a.out, ended(ctx, a.err)
	case <-ctx.Done():
	}
	if left.Swap(true) { // it came at the last moment
		a := <-came
		return a.out, ended(ctx, a.err)
	}
	var none T
	return none, fmt.Errorf("redis: %w: no answer from the server yet: %w", broker.ErrIndeterminate, ctx.Err())
}

// do is ask for what returns nothing but an error.
func do(ctx context.Context, f func() error) error {
	_, err := ask(ctx, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// ended returns err with the error of a context that has ended meanwhile: the client's
// timeouts end with the context, and do not say that it was the reason.
func ended(ctx context.Context, err error) error {
	if err == nil || !errors.Is(err, broker.ErrUnavailable) && !errors.Is(err, broker.ErrIndeterminate) {
		return err
	}
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		<-ctx.Done() // it is about to end: whoever asks it shall see that
	}
	why := ctx.Err()
	if why == nil {
		return err
	}
	var batch *broker.BatchError
	if errors.As(err, &batch) {
		errs := make([]error, len(batch.Errs))
		for i, one := range batch.Errs {
			errs[i] = ended(ctx, one)
		}
		return broker.NewBatchError(errs)
	}
	if errors.Is(err, why) {
		return err
	}
	return fmt.Errorf("%w: %w", err, why)
}
