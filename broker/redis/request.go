package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Each method of the broker returns when its context ends. The client library alone does
// not achieve that: a server that hangs, or a connection on which nothing arrives any more,
// keeps a request until the client's timeouts are over.
//
// So ask runs the request on a goroutine of its own and waits for the request or for the
// end of the context. A request that the caller has left goes on until the server answers or
// the client gives up. Its result is dropped. Where it must not be lost, such as tasks that
// were handed out, the caller passes a function to askOr that gets the late result. Enqueue and
// Settle, the most frequent requests, have another way, which takes less time; see link.go.

// ask runs f, which sends a request to the server, and returns the results of f. If ctx
// ends before f it returns an error that wraps the error of ctx.
func ask[T any](ctx context.Context, f func() (T, error)) (T, error) {
	return askOr(ctx, f, func(T, error) {})
}

// askOr is ask with a function for late results: if ctx ends before f, late is called with
// the results of f, on the goroutine of f.
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
	// The caller sets left when it leaves, f when it has ended. Whichever finds it set is the
	// second one: f then calls late, and the caller takes the results, which are there.
	var left atomic.Bool
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
	if left.Swap(true) { // f has ended at the last moment
		a := <-came
		return a.out, ended(ctx, a.err)
	}
	var none T
	return none, fmt.Errorf("redis: %w: no answer from the server yet: %w", broker.ErrIndeterminate, ctx.Err())
}

// do is ask for a request that returns only an error.
func do(ctx context.Context, f func() error) error {
	_, err := ask(ctx, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// ended adds the error of ctx to err if ctx has ended. The client ends a request with its
// context, but returns the error of a timeout, which does not wrap that of the context.
func ended(ctx context.Context, err error) error {
	if err == nil || !errors.Is(err, broker.ErrUnavailable) && !errors.Is(err, broker.ErrIndeterminate) {
		return err
	}
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		<-ctx.Done() // its timer is about to fire; wait, so that ctx.Err is not nil
	}
	why := ctx.Err()
	if why == nil {
		return err
	}
	if batch, ok := errors.AsType[*broker.BatchError](err); ok {
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
