package codec

import (
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// Codec encodes values as bytes and decodes them. Implementations are safe for concurrent use.
//
// The Append methods append the encoding to dst and return the extended slice. On error they return dst
// unchanged. The Decode methods require that data holds exactly one value, and keep no reference to
// data.
type Codec interface {
	// Name is the codec's name. Each message has it, and the receiver finds the codec by it.
	// It matches [a-z0-9.+-]{1,32} and never changes.
	Name() string

	// AppendValue encodes one value, such as a result. Nil is a valid value.
	AppendValue(dst []byte, v any) ([]byte, error)

	// DecodeValue decodes one value into v, a non-nil pointer, and replaces the value that v
	// points to.
	DecodeValue(data []byte, v any) error

	// AppendArgs encodes the arguments of a call. A struct or a pointer to one becomes a map by
	// parameter name. Arguments or a pointer to them become an array or a map. All other types
	// are refused. AppendArgs does not change anything that args points to.
	AppendArgs(dst []byte, args any) ([]byte, error)

	// DecodeArgs decodes the arguments of a call into args, a non-nil pointer to a struct or to
	// Arguments. Either accepts every form that AppendArgs writes.
	DecodeArgs(data []byte, args any) error
}

// Arguments are the arguments of a call by position and by name, for callers that have no struct type
// for them.
//
// Positional arguments alone are encoded as an array, and named arguments alone as a map. If there are
// both, the map also has the array of positional arguments, under the empty key; so the empty string
// can't be a name. If there are none, the encoding is an empty array. Maps are encoded with sorted keys,
// so that equal arguments have equal bytes.
type Arguments struct {
	// Positional are the values of the first parameters, in order.
	Positional []any
	// Named are the values of further parameters by name.
	Named map[string]any
}

// ErrUnknownCodec is the error of [ByName] if no codec has the name.
var ErrUnknownCodec = errors.New("codec: unknown codec")

// Default returns the codec to encode with in a program that has named none for it, but has codecs to
// decode with in more. It is the first of these that signs or encrypts, since then no other codec is
// accepted (see [ByName]), or else [Msgpack]. Nil codecs in more are ignored.
func Default(more ...Codec) Codec {
	for _, c := range more {
		if isSealed(c) {
			return c
		}
	}
	return Msgpack()
}

// ByName returns the codec with that name: the first in more that has it, or else [Msgpack] or [JSON].
// If a codec in more signs or encrypts, only the codecs in more are accepted. Nil codecs in more are
// ignored. The error wraps [ErrUnknownCodec] and has the name.
func ByName(name string, more ...Codec) (Codec, error) {
	var lock Codec
	for _, c := range more {
		if c == nil {
			continue
		}
		if c.Name() == name {
			return c, nil
		}
		if lock == nil && isSealed(c) {
			lock = c
		}
	}
	if lock != nil {
		return nil, fmt.Errorf("%w %q: the codec %s signs or encrypts, so only the codecs that were given are accepted; "+
			"encode with one of them, or add this one with the option Codecs", ErrUnknownCodec, rules.Shorten(name), lock.Name())
	}
	switch name {
	case msgpackName:
		return Msgpack(), nil
	case jsonName:
		return JSON(), nil
	}
	return nil, fmt.Errorf("%w %q: it is neither built in (%s, %s) nor among the %d given; add a codec of that name with the option Codecs",
		ErrUnknownCodec, rules.Shorten(name), msgpackName, jsonName, len(more))
}
