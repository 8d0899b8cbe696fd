package client

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/base/guard"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/internal/engine/title"
	"github.com/go-arbiter/arbiter/task"
)

// Waiting for one task is the most frequent thing that a client does, so it has a path without
// allocations: watches are reused, and a plain result is decoded from the record of its outcome
// without reading the rest. Everything else (failures, sealed results, codecs that do not
// match) takes the general path through Completion, which also words the errors.

// A watch is reused only after its wait has ended with a completion: then no entry of the table
// refers to it. After an error another goroutine may still be about to signal it.

// maxSpare bounds how many watches are kept for reuse.
const maxSpare = 64

// Await implements [task.Submitter].
func (c *Client) Await(ctx context.Context, id task.ID, into any) error {
	a, err := c.await(ctx, id)
	if err != nil {
		return err
	}
	if a.record != nil && into != nil {
		// The usual case. If anything is unusual, the whole outcome is read below, and its
		// errors say what.
		name, result, ok := wire.ParseResult(a.record)
		if ok && len(result) > 0 && c.decodePlain(name, result, into) {
			return nil
		}
	}
	a.read()
	if err := a.Err(); err != nil {
		return err
	}
	return Decode(id, a.Outcome, into, c.codecs)
}

// decodePlain decodes a result that is not sealed, and reports whether that worked.
func (c *Client) decodePlain(name string, result []byte, into any) bool {
	enc, err := codec.ByName(name, c.codecs...)
	return err == nil && seal.Of(enc) == nil && decodeValue(enc, name, result, into) == nil
}

// AwaitOutcome waits until the task is done and returns its outcome, also that of a failure. It
// returns an error where Await has no outcome either: the end of ctx, a closed client, or a
// task that is unknown or whose outcome is not kept (ErrNotFound).
func (c *Client) AwaitOutcome(ctx context.Context, id task.ID) (*broker.Outcome, error) {
	a, err := c.await(ctx, id)
	if err != nil {
		return nil, err
	}
	a.read()
	if err := a.Err(); err != nil {
		return nil, err
	}
	return a.Outcome, nil
}

// await waits for the completion of a single task. It is a Watch without the allocations.
func (c *Client) await(ctx context.Context, id broker.ID) (Completion, error) {
	c.mu.Lock()
	// The outcome may have come before anybody asked.
	if a, ok := c.table.take(id); ok {
		c.mu.Unlock()
		return a, nil
	}
	now := time.Now()
	var w *Watch
	if n := len(c.spare); n > 0 {
		w, c.spare = c.spare[n-1], c.spare[:n-1]
	} else {
		w = newWatch(c)
	}
	w.one[0] = id
	w.ids, w.begun, w.at = w.one[:], now, 0
	c.table.wait(id, w, now)
	c.schedule(now)
	c.mu.Unlock()

	// From here on it is a wait like any other.
	completions, err := w.Wait(ctx)
	if err != nil {
		w.Close() // not reused: another goroutine may be about to signal it
		return Completion{}, err
	}
	a := completions[0]
	c.mu.Lock()
	// The outcome is here, so no entry refers to w. A token may be left in signal, if Wait saw
	// the completion before the token.
	select {
	case <-w.signal:
	default:
	}
	w.ids, w.ready = nil, completions[:0]
	completions[0] = Completion{}
	if len(c.spare) < maxSpare {
		c.spare = append(c.spare, w)
	}
	c.mu.Unlock()
	return a, nil
}

// Err returns nil if the completion has an outcome. Otherwise it says why not: the error wraps
// ErrNotFound, or says that the outcome can't be read.
func (a *Completion) Err() error {
	switch {
	case a.Outcome != nil:
		return nil
	case a.bad != nil:
		return a.bad
	case a.State.Final():
		return fmt.Errorf("%s: %w: it is %s, and its result is not kept any more", title.Of(a.ID, a.name), broker.ErrNotFound, a.State)
	// A broker must still remember a task of that age, so it has lost data.
	case a.Own && a.age() < broker.MinTombstone:
		return fmt.Errorf("%s: %w: it was sent from here %v ago, and the broker knows nothing of it: it has lost data, as when a server is emptied, or started again without its file",
			title.Of(a.ID, a.name), broker.ErrNotFound, a.age().Round(time.Millisecond))
	case a.Own:
		return fmt.Errorf("%s: %w: it was sent from here, and its retention has ended, or the broker has lost data", title.Of(a.ID, a.name), broker.ErrNotFound)
	}
	return fmt.Errorf("%s: %w: it was never sent, its retention has ended, or the broker has lost data", title.Of(a.ID, a.name), broker.ErrNotFound)
}

// age returns how long ago the id of the task was made, by the clock of the process that made
// it, which is this one if a.Own. Brokers remember a task for longer than MinTombstone.
func (a *Completion) age() time.Duration {
	made := int64(0)
	for _, b := range a.ID[:6] {
		made = made<<8 | int64(b)
	}
	return time.Since(time.UnixMilli(made))
}

// Error returns the error that a future gives for a task that ended with the outcome: nil if it
// succeeded.
func Error(id broker.ID, o *broker.Outcome) error {
	switch o.State {
	case broker.StateSucceeded:
		return nil
	case broker.StateCanceled:
		if !o.ReplacedBy.IsZero() {
			return &task.ReplacedError{ID: id, Name: o.Name, By: o.ReplacedBy}
		}
		return fmt.Errorf("%s: %w", title.Of(id, o.Name), broker.ErrCanceled)
	case broker.StateExpired:
		return fmt.Errorf("%s: %w", title.Of(id, o.Name), broker.ErrExpired)
	}
	return task.NewRemoteError(id, o)
}

// Decode decodes the result of an outcome into the pointer into, or returns the error of a task
// that did not succeed. If into is nil, any result is accepted. A task that returned nothing
// leaves a [task.None] or an interface as it is. For any other type that is a [*codec.Error],
// so that a missing result is not mistaken for a zero value. An outcome that is not sealed as
// it must be is a [*codec.Error], too.
func Decode(id broker.ID, o *broker.Outcome, into any, codecs []codec.Codec) error {
	open, err := seal.OpenOutcome(codecs, id, o)
	if err != nil {
		return fmt.Errorf("%s: %w", title.Of(id, o.Name), err)
	}
	return DecodeOpened(id, open, into)
}

// DecodeOpened is Decode for an outcome whose seal was opened.
func DecodeOpened(id broker.ID, o seal.Opened, into any) error {
	if err := Error(id, o.Outcome); err != nil {
		return err
	}
	switch {
	case into == nil:
		return nil
	case o.Err != nil: // a group that succeeded and whose results could not be combined
		return task.NewRemoteError(id, o.Outcome)
	case len(o.Result) == 0:
		if err := checkNone(o.Codec, into); err != nil {
			return fmt.Errorf("%s: %w", title.Of(id, o.Name), err)
		}
		return nil
	case o.Plain == nil:
		return fmt.Errorf("%s: %w", title.Of(id, o.Name), o.Unknown)
	}
	if err := decodeValue(o.Plain, o.Codec, o.Result, into); err != nil {
		return fmt.Errorf("%s: result: %w", title.Of(id, o.Name), err)
	}
	return nil
}

// decodeValue decodes a value, and turns a panic of the codec into an error.
func decodeValue(enc codec.Codec, name string, result []byte, into any) (err error) {
	defer guard.Codec(name, "DecodeValue", &err)
	return enc.DecodeValue(result, into)
}

// checkNone returns an error unless into accepts a task that returned nothing.
func checkNone(name string, into any) error {
	t := reflect.TypeOf(into)
	if t == nil || t.Kind() != reflect.Pointer {
		return nil
	}
	if t = t.Elem(); t.Kind() == reflect.Interface || t == reflect.TypeFor[task.None]() {
		return nil
	}
	return fmt.Errorf("result: %w", &codec.Error{
		Codec: name, Err: fmt.Errorf("%w: the task returned nothing, and a result of type %v is wanted", codec.ErrType, t),
	})
}
