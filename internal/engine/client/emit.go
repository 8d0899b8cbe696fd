package client

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/base/guard"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
)

// Events are values that are published to a topic. On the wire an event is the name of its
// codec, with the length in one byte before it, and then the encoded value. A codec that seals
// binds the value to its topic.

// Emit implements [task.Emitter].
func (c *Client) Emit(ctx context.Context, topic string, payload any) error {
	data, err := EncodeEvent(topic, payload, c.codec)
	if err != nil {
		return err
	}
	return c.Publish(ctx, topic, data)
}

// EncodeEvent returns an event in the form in which it is published. The error wraps
// [broker.ErrInvalid] if the topic or the payload is invalid.
func EncodeEvent(topic string, payload any, enc codec.Codec) ([]byte, error) {
	if err := broker.CheckName("topic", topic); err != nil {
		return nil, fmt.Errorf("emit: %w", err)
	}
	data, err := encodeEvent(topic, payload, enc)
	if err != nil {
		return nil, fmt.Errorf("emit to topic %s: %w: %w", topic, broker.ErrInvalid, err)
	}
	return data, nil
}

// encodeEvent is EncodeEvent without its checks and error texts.
func encodeEvent(topic string, payload any, enc codec.Codec) (data []byte, err error) {
	name := enc.Name()
	defer guard.Codec(name, "AppendValue", &err)
	head := append([]byte{byte(len(name))}, name...)
	s := seal.Of(enc)
	// Only a sealed value is bound to its topic.
	if s == nil {
		return enc.AppendValue(head, payload)
	}
	plain, err := s.Plain().AppendValue(nil, payload)
	if err != nil {
		return nil, err
	}
	data, err = seal.Event(s, topic, plain)
	return append(head, data...), err
}

// DecodeEventPayload decodes the payload of an event into the pointer into. name is the codec's
// name; both come from [DecodeEvent].
func DecodeEventPayload(codecs []codec.Codec, topic, name string, payload []byte, into any) (err error) {
	enc, err := codec.ByName(name, codecs...)
	if err != nil {
		return err
	}
	if s := seal.Of(enc); s != nil {
		if payload, err = seal.OpenEvent(s, topic, payload); err != nil {
			return err
		}
		enc = s.Plain()
	}
	return decodeValue(enc, name, payload, into)
}

// DecodeEvent splits an event into the name of its codec and the encoded payload. The error
// wraps [broker.ErrMalformed].
func DecodeEvent(data []byte) (name string, payload []byte, err error) {
	if len(data) == 0 || len(data) <= int(data[0]) {
		return "", nil, fmt.Errorf("%w payload of %d bytes", broker.ErrMalformed, len(data))
	}
	n := 1 + int(data[0])
	return string(data[1:n]), data[n:], nil
}

// Publish publishes an event that EncodeEvent has encoded. The error wraps ErrClosed after
// Close, and [broker.ErrTooLarge] if the event exceeds the broker's limit for payloads.
func (c *Client) Publish(ctx context.Context, topic string, data []byte) error {
	select {
	case <-c.done:
		return fmt.Errorf("emit to topic %s: %w", topic, c.why)
	default:
	}
	if len(data) > c.limits.Payload {
		return fmt.Errorf("emit to topic %s: %w: payload of %d bytes, the limit is %d", topic, broker.ErrTooLarge, len(data), c.limits.Payload)
	}
	if err := c.b.Publish(ctx, []broker.Event{{Topic: topic, Payload: data}}); err != nil {
		return fmt.Errorf("emit to topic %s: %w", topic, err)
	}
	return nil
}
