package task

import (
	"context"
	"errors"
	"sync"
)

// Future is a call that was sent. Its methods may be called concurrently.
type Future[Result any] struct {
	id   ID
	from Submitter

	mu      sync.Mutex    // guards done, waiting and turn
	done    bool          // result and err are final
	waiting bool          // somebody asks the submitter, and writes result and err
	turn    chan struct{} // closed when the submitter has an answer; nil if nobody else waits for it
	err     error
	result  Result
}

// NewFuture returns the future of a task that was sent before, perhaps by
// another process: any submitter of the same broker and namespace can wait for
// it, as long as its result is kept.
func NewFuture[Result any](s Submitter, id ID) *Future[Result] {
	return &Future[Result]{id: id, from: s}
}

// ID returns the task's id.
func (f *Future[Result]) ID() ID { return f.id }

// Result waits until the task is done and returns its result. It may be called
// again, and gives the same. The error is
//
//   - a [*WaitError], if ctx ends first: it wraps ctx's error, and says why the
//     task is not done. The task goes on,
//   - a [*RemoteError], if the handler's error had the last word,
//   - one that wraps [ErrCanceled] or [ErrExpired],
//   - [ErrNotFound], if the result is not kept any more,
//   - a [*WaitError] that wraps [ErrClosed], if the submitter was closed first,
//   - a [*codec.Error], if what came back is no Result, or its codec panics.
func (f *Future[Result]) Result(ctx context.Context) (Result, error) {
	var none Result
	done, err := f.takeTurn(ctx)
	if err != nil {
		return none, err
	}
	if done {
		return f.result, f.err // which nobody writes any more
	}
	// As long as it is our turn, nobody else looks at what the result will be.
	defer func() { f.endTurn(done) }() // also if the submitter panics: others may wait for their turn
	f.result = none
	err = orNowhere(f.from).Await(ctx, f.id, &f.result)
	if unfinished(ctx, err) {
		return none, err
	}
	f.err, done = err, true
	return f.result, err
}

// takeTurn waits until the future is done or nobody else asks the submitter:
// a result that is kept for no time can be had only once.
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

// turnAwaiter is a [Submitter] that says why a task is not done to those, too, who wait
// for their turn: an arbiter, and the submitter of a handler in the minion's process.
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

// endTurn lets the next one ask the submitter, or have its answer.
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

// unfinished reports whether err speaks of the wait and not of the task. A
// task's own error can wrap context.Canceled; then it is a *RemoteError.
func unfinished(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	var remote *RemoteError
	if errors.As(err, &remote) {
		return false
	}
	return ctx.Err() != nil || !errors.Is(err, ErrCanceled) && !errors.Is(err, ErrExpired)
}
