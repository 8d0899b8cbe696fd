package task

import (
	"context"
	"fmt"
)

// Emitter emits events. An arbiter is one, and so is the [Info] of a running task.
type Emitter interface {
	// Emit appends an event to a topic; see [Info.Emit].
	Emit(ctx context.Context, topic string, payload any) error
}

var (
	_ Submitter = Info{}
	_ Emitter   = Info{}
)

// Submit implements [Submitter] with the field Submitter. Without one, it refuses all calls with
// an error that wraps [ErrInvalid].
func (i Info) Submit(ctx context.Context, calls ...Bound) error {
	return orNowhere(i.Submitter).Submit(ctx, calls...)
}

// Await implements [Submitter] with the field Submitter. Without one, its error wraps
// [ErrInvalid].
func (i Info) Await(ctx context.Context, id ID, into any) error {
	return orNowhere(i.Submitter).Await(ctx, id, into)
}

// AwaitTurn waits until turn is closed, while another goroutine waits for the task in
// [Info.Await]. A future calls it if several goroutines wait for its result. If ctx ends first,
// the error is a [*WaitError].
func (i Info) AwaitTurn(ctx context.Context, id ID, turn <-chan struct{}) error {
	return awaitTurn(ctx, i.Submitter, id, turn)
}

// Emit appends an event to a topic, with the field Submitter. The event is stored at once, so a
// repeated attempt emits it again. The name of a topic is 1 to 128 of A-Z a-z 0-9 _ . and -. A
// topic keeps its last 100,000 events, and none for longer than an hour. An arbiter's Listen
// receives them.
//
// The error wraps [ErrInvalid], [ErrTooLarge], [ErrUnavailable] or [ErrClosed]. If it wraps
// [ErrIndeterminate], emitting again may make a second event. Outside of an attempt it wraps
// ErrInvalid.
func (i Info) Emit(ctx context.Context, topic string, payload any) error {
	e, ok := orNowhere(i.Submitter).(Emitter)
	if !ok {
		return fmt.Errorf("emit to topic %s: %w: the submitter is a %T, which is not a task.Emitter", topic, ErrInvalid, i.Submitter)
	}
	return e.Emit(ctx, topic, payload)
}

// Emit implements [Emitter].
func (n nowhere) Emit(_ context.Context, topic string, _ any) error {
	return fmt.Errorf("emit to topic %s: %w: %s", topic, ErrInvalid, n.why)
}
