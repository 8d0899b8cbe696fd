package task

import (
	"context"
	"fmt"
)

// Emitter emits events: an arbiter, or what a running task finds in its context.
type Emitter interface {
	// Emit appends an event to a topic; see [Info.Emit].
	Emit(ctx context.Context, topic string, payload any) error
}

var (
	_ Submitter = Info{}
	_ Emitter   = Info{}
)

// Submit implements [Submitter]: an Info sends by its field Submitter. Without one it
// refuses all calls with an error that wraps [ErrInvalid].
func (i Info) Submit(ctx context.Context, calls ...Bound) error {
	return orNowhere(i.Submitter).Submit(ctx, calls...)
}

// Await implements [Submitter], in the same way.
func (i Info) Await(ctx context.Context, id ID, into any) error {
	return orNowhere(i.Submitter).Await(ctx, id, into)
}

// AwaitTurn waits until turn is closed, while another goroutine awaits the task with
// [Info.Await]. A future calls it if several goroutines wait for its result. If ctx ends
// first, the error is a [*WaitError].
func (i Info) AwaitTurn(ctx context.Context, id ID, turn <-chan struct{}) error {
	return awaitTurn(ctx, i.Submitter, id, turn)
}

// Emit appends an event to a topic, by the field Submitter, at once: an attempt that is
// repeated emits it again. A topic is 1 to 128 of A-Z a-z 0-9 _ . and -. It keeps its
// last 100,000 events, and none for longer than an hour; an arbiter's Listen reads them.
// The error wraps [ErrInvalid], [ErrTooLarge], [ErrUnavailable] or [ErrClosed]; if it
// wraps [ErrIndeterminate], emitting again may make a second event. Outside of an
// attempt it wraps ErrInvalid.
func (i Info) Emit(ctx context.Context, topic string, payload any) error {
	e, ok := orNowhere(i.Submitter).(Emitter)
	if !ok {
		return fmt.Errorf("emit to topic %s: %w: the submitter, a %T, is no task.Emitter", topic, ErrInvalid, i.Submitter)
	}
	return e.Emit(ctx, topic, payload)
}

// Emit implements [Emitter].
func (n nowhere) Emit(_ context.Context, topic string, _ any) error {
	return fmt.Errorf("emit to topic %s: %w: %s", topic, ErrInvalid, n.why)
}
