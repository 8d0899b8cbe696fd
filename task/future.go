package task

import (
	"context"
	"errors"
	"sync"
)

// Future is an invocation that was sent. Its methods may be called concurrently.
type Future[Result any] struct {
	id   ID
	from Submitter

	mu      sync.Mutex    // guards done, waiting and turn
	done    bool          // result and err are final
	waiting bool          // one goroutine waits at the submitter, and will write result and err
	turn    chan struct{} // closed when the submitter has answered; nil if no other goroutine waits
	err     error
	result  Result
}

// NewFuture returns the future of a task that was sent before, perhaps by another process. Any
// submitter of the same broker and namespace can wait for it as long as the result is kept.
// Result must be the task's result type.
func NewFuture[Result any](s Submitter, id ID) *Future[Result] {
	return &Future[Result]{id: id, from: s}
}

// ID returns the task's id.
func (f *Future[Result]) ID() ID { return f.id }

// Result waits until the task is done and returns its result. Further calls return the same.
// The error is
//
//   - a [*WaitError], if ctx ends first: it wraps ctx's error and tells why the task is not
//     done. The task goes on,
//   - a [*RemoteError], if the task has failed: the error of its last attempt,
//   - an error that wraps [ErrCanceled], if it was killed, or [ErrExpired], if its deadline
//     has passed,
//   - [ErrNotFound], if the result is no longer kept,
//   - a [*WaitError] that wraps [ErrClosed], if the submitter was closed first,
//   - [ErrNotSubmitted], if the call was sent with [OnSuccess] by the attempt that waits,
//   - a [*codec.Error], if the stored result can't be decoded into a Result.
func (f *Future[Result]) Result(ctx context.Context) (Result, error) {
	var none Result
	done, err := f.takeTurn(ctx)
	if err != nil {
		return none, err
	}
	if done {
		return f.result, f.err // final: no goroutine writes them any more
	}
	// Until endTurn, no other goroutine reads f.result. The call is deferred because the
	// submitter may panic while others wait for their turn.
	defer func() { f.endTurn(done) }()
	f.result = none
	err = orNowhere(f.from).Await(ctx, f.id, &f.result)
	if unfinished(ctx, err) {
		return none, err
	}
	f.err, done = err, true
	return f.result, err
}

// takeTurn waits until the future is done or no other goroutine waits at the submitter. Only one
// may: a result whose retention is 0 can be received only once.
func (f *Future[Result]) takeTurn(ctx context.Context) (done bool, err error) {
	for {
		f.mu.Lock()
		if f.done || !f.waiting {
			done = f.done
			f.waiting = !done
			f.mu.Unlock()
			return done, nil
		}
		if f.turn == nil {
			f.turn = make(chan struct{})
		}
		turn := f.turn
		f.mu.Unlock()
		if err := awaitTurn(ctx, f.from, f.id, turn); err != nil {
			return false, err
		}
	}
}

// turnAwaiter is a [Submitter] whose WaitError tells why a task is not done also to goroutines
// that wait for their turn. An arbiter is one, and so is the submitter of a handler in the
// minion's process.
type turnAwaiter interface {
	AwaitTurn(ctx context.Context, id ID, turn <-chan struct{}) error
}

// awaitTurn waits until turn is closed. If ctx ends first, the error is a *WaitError.
func awaitTurn(ctx context.Context, s Submitter, id ID, turn <-chan struct{}) error {
	if s, ok := s.(turnAwaiter); ok {
		return s.AwaitTurn(ctx, id, turn)
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		return &WaitError{ID: id, Err: ctx.Err()}
	}
}

// endTurn ends the turn of the goroutine that waited: the next one waits at the submitter, or
// takes the answer if there is one.
func (f *Future[Result]) endTurn(done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = false
	f.done = done
	if f.turn != nil {
		close(f.turn)
		f.turn = nil
	}
}

// unfinished reports whether err is about the wait and not about the task. A task's own error
// can wrap context.Canceled, but then it is a *RemoteError.
func unfinished(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	if _, ok := errors.AsType[*RemoteError](err); ok {
		return false
	}
	return ctx.Err() != nil || !errors.Is(err, ErrCanceled) && !errors.Is(err, ErrExpired)
}
