package codec

import (
	"errors"
	"fmt"
)

// Codec turns values into bytes and back. Implementations are safe for
// concurrent use.
//
// The Append methods add the encoding to dst and return the extended slice; on
// error they return dst as it was. The Decode methods demand that data holds
// exactly one value, and keep no reference to data.
type Codec interface {
	// Name is the name that travels with each message and by which the receiver
	// finds the codec. It matches [a-z0-9.+-]{1,32} and never changes.
	Name() string

	// AppendValue encodes one value, such as a result. Nil is a value.
	AppendValue(dst []byte, v any) ([]byte, error)

	// DecodeValue decodes one value into v, a non-nil pointer, and replaces what
	// v points to.
	DecodeValue(data []byte, v any) error

	// AppendArgs encodes the arguments of a call. A struct or a pointer to one
	// becomes a map by parameter name, Arguments or a pointer to it an array or a
	// map. Everything else is refused. What args points to stays as it is.
	AppendArgs(dst []byte, args any) ([]byte, error)

	// DecodeArgs decodes the arguments of a call into args, a non-nil pointer to
	// a struct or to Arguments. Both accept every form that AppendArgs writes.
	DecodeArgs(data []byte, args any) error
}

// Arguments are the arguments of a call by name, for a caller that has no struct
// type for them.
//
// Positional arguments alone are encoded as an array, Named ones alone as a map.
// If there are both, the map also holds the array of the positional ones under
// the empty key, which is therefore no name for an argument. No arguments at all
// are an empty array. Maps are encoded with sorted keys, so equal arguments give
// equal bytes.
type Arguments struct {
	// Positional are the values of the first parameters, in order.
	Positional []any
	// Named are the values of further parameters by name.
	Named map[string]any
}

// ErrUnknownCodec is the error of [ByName] for a name that no codec has.
var ErrUnknownCodec = errors.New("codec: unknown codec")

// Default returns the codec to encode with for who has named none but can decode
// more: the first of them that signs or encrypts, since then nothing else is
// accepted (see [ByName]), else [Msgpack]. Nil codecs in more are passed over.
func Default(more ...Codec) Codec {
	for _, c := range more {
		if isSealed(c) {
			return c
		}
	}
	return Msgpack()
}

// ByName returns the codec of that name: the first among more that has it, else
// [Msgpack] or [JSON], unless one of more signs or encrypts: then nothing else is
// accepted. Nil codecs in more are passed over. If there is none, the error is
// [ErrUnknownCodec] with the name.
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
		return nil, fmt.Errorf("%w %q: it is not among those given, of which %s signs or encrypts, so what is built in is refused; "+
			"encode with one of them, or give this one, too, by the option Codecs", ErrUnknownCodec, shorten(name), lock.Name())
	}
	switch name {
	case msgpackName:
		return Msgpack(), nil
	case jsonName:
		return JSON(), nil
	}
	return nil, fmt.Errorf("%w %q: it is neither built in (%s, %s) nor among the %d given; register a Codec of that name",
		ErrUnknownCodec, shorten(name), msgpackName, jsonName, len(more))
}
