package arbiter

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
)

// ErrMissed is yielded by [Arbiter.Listen] if events were dropped before they could be read.
var ErrMissed = errors.New("events were missed")

// Event is an event of a topic.
type Event struct {
	Topic  string
	Cursor broker.Cursor // the position of the event; Listen from it yields the events after it

	codec   string
	payload []byte
	codecs  []codec.Codec
}

// Decode decodes the payload into the pointer v. The error is a [*codec.Error] if the payload does not fit v. It wraps
// [codec.ErrUnknownCodec] if the arbiter does not have the payload's codec; see [Codecs].
func (e Event) Decode(v any) error {
	if err := client.DecodeEventPayload(e.codecs, e.Topic, e.codec, e.payload, v); err != nil {
		return fmt.Errorf("event of topic %s: %w", e.Topic, err)
	}
	return nil
}

// Emit appends an event to a topic. The name of a topic is 1 to 128 of A-Z a-z 0-9 _ . and -. A topic keeps its last
// 100,000 events, and none for longer than an hour. The error wraps [task.ErrInvalid], [task.ErrTooLarge],
// [task.ErrUnavailable] or [task.ErrClosed]. If it wraps [task.ErrIndeterminate], emitting again may make a second event.
// A handler emits with [task.Info.Emit].
func (a *Arbiter) Emit(ctx context.Context, topic string, payload any) error {
	return a.client.Emit(ctx, topic, payload)
}

// Listen yields the events of a topic in order. It starts after from: [broker.CursorNow] for the events from now on,
// [broker.CursorStart] for all that are kept, or an [Event.Cursor] to go on where another loop, perhaps in another
// process, has ended.
//
// Two errors do not end the loop. If events were dropped before they could be read, because there were too many or too
// much time has passed, [ErrMissed] is yielded with an empty event. If an event was not written by an arbiter or minion,
// it is yielded with its cursor and an error that wraps [broker.ErrMalformed].
//
// All other errors end the loop after they were yielded: ctx's error, [task.ErrClosed] if the arbiter or the broker is
// closed, and [task.ErrInvalid] or [task.ErrUnavailable] if the topic can't be subscribed to.
func (a *Arbiter) Listen(ctx context.Context, topic string, from broker.Cursor) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := a.listen(ctx, topic, from, yield); err != nil {
			yield(Event{}, fmt.Errorf("listen to topic %s: %w", topic, err))
		}
	}
}

// listen is the loop of Listen. It returns nil if the caller has left the loop.
func (a *Arbiter) listen(ctx context.Context, topic string, from broker.Cursor, yield func(Event, error) bool) error {
	if err := broker.CheckName("topic", topic); err != nil {
		return err
	}
	if err := a.open(); err != nil {
		return err
	}
	sub, err := a.b.Subscribe(ctx, topic, from)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }()
	// Receive waits in the broker, which does not know when the arbiter is closed.
	over, end := context.WithCancel(ctx)
	defer end()
	go func() {
		select {
		case <-a.client.Done():
			end()
		case <-over.Done():
		}
	}()
	for {
		events, missed, err := sub.Receive(over)
		if missed && !yield(Event{}, ErrMissed) {
			return nil
		}
		for _, e := range events {
			ev := Event{Topic: e.Topic, Cursor: e.Cursor, codecs: a.codecs}
			var bad error
			ev.codec, ev.payload, bad = client.DecodeEvent(e.Payload)
			if bad != nil {
				bad = fmt.Errorf("topic %s, event %s: %w", topic, e.Cursor, bad)
			}
			if !yield(ev, bad) {
				return nil
			}
		}
		switch {
		case len(events) > 0 || err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case over.Err() != nil:
			return a.client.Why()
		default:
			return err
		}
	}
}
