package arbiter

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/client"
)

// ErrMissed is yielded by [Arbiter.Listen] where events were dropped before they
// could be read.
var ErrMissed = errors.New("events were missed")

// Event is an event of a topic.
type Event struct {
	Topic  string
	Cursor broker.Cursor // its place; Listen goes on after it

	codec   string
	payload []byte
	codecs  []codec.Codec
}

// Decode decodes what was emitted into the pointer v. The error is a
// [*codec.Error] if it is no such value, or wraps [codec.ErrUnknownCodec].
func (e Event) Decode(v any) error {
	if err := client.DecodeEventPayload(e.codecs, e.Topic, e.codec, e.payload, v); err != nil {
		return fmt.Errorf("event of topic %s: %w", e.Topic, err)
	}
	return nil
}

// Emit appends an event to a topic: 1 to 128 of A-Z a-z 0-9 _ . and -. A topic
// keeps its last 100,000 events, and none for longer than an hour. The error
// wraps [task.ErrInvalid], [task.ErrTooLarge], [task.ErrUnavailable] or
// [task.ErrClosed]; if it wraps [task.ErrIndeterminate], emitting again may make
// a second event. A handler emits by [task.Info.Emit].
func (a *Arbiter) Emit(ctx context.Context, topic string, payload any) error {
	return a.client.Emit(ctx, topic, payload)
}

// Listen yields the events of a topic after a place, in order:
// [broker.CursorNow] for those that come from the start of the loop on,
// [broker.CursorStart] for all that are kept, or an [Event.Cursor] to go on
// where another loop, perhaps of another process, was left.
//
// Where events were dropped before they could be read, because there were too
// many or too much time has passed, [ErrMissed] is yielded with an empty event;
// an event that no arbiter wrote is yielded with its cursor and an error that
// wraps [broker.ErrMalformed]. The loop goes on after both. All other errors end
// it, after they were yielded: ctx's, [task.ErrClosed] if the arbiter or the broker is closed, and
// [task.ErrInvalid] or [task.ErrUnavailable] if the topic can't be subscribed to.
func (a *Arbiter) Listen(ctx context.Context, topic string, from broker.Cursor) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := a.listen(ctx, topic, from, yield); err != nil {
			yield(Event{}, fmt.Errorf("listen to topic %s: %w", topic, err))
		}
	}
}

// listen returns nil if the loop was left.
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
	// The subscription is the broker's, so that it must be told of our end.
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
