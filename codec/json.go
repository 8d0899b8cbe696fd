package codec

import (
	"reflect"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

const jsonName = "json"

// jsonCodec is the codec that JSON returns.
type jsonCodec struct{}

// JSON returns the codec named "json", for receivers and people that read JSON.
//
// Values follow the rules of encoding/json, with the strictness that the package documentation describes.
// Bytes are base64 strings, and a time.Time is a string with its zone. An integer must be an integer
// literal, which 2.0 is not. Names of nested fields match regardless of case. Invalid UTF-8 is replaced.
// HTML characters are not escaped. Methods on pointer receivers are called, but as in encoding/json not
// for values inside maps and interfaces.
func JSON() Codec { return jsonCodec{} }

func (jsonCodec) Name() string { return jsonName }

func (jsonCodec) AppendValue(dst []byte, v any) ([]byte, error) {
	w := jsonWriter{buf: dst}
	if err := w.value(addressable(v)); err != nil {
		return dst, finish(jsonName, err)
	}
	if err := jsonDepth(w.buf[len(dst):]); err != nil {
		return dst, finish(jsonName, err)
	}
	return w.buf, nil
}

// addressable returns v, or a pointer to a copy of v if that can make a difference: encoding/json calls
// methods on pointer receivers only for addressable values.
func addressable(v any) any {
	rv := reflect.ValueOf(v)
	switch k := rv.Kind(); {
	case k == reflect.Struct || k == reflect.Array:
	case k == reflect.Invalid || k == reflect.Pointer || rv.Type().PkgPath() == "":
		return v
	}
	return rules.Receiver(rv)
}

func (jsonCodec) DecodeValue(data []byte, v any) error {
	rv, err := target(v)
	if err == nil {
		if data, err = jsonOne(data); err == nil {
			err = jsonAfford(data, rv.Type(), &rules.Budget{Size: len(data)})
		}
		if err == nil {
			err = jsonInto(data, rv)
		}
	}
	return finish(jsonName, err)
}

func (jsonCodec) AppendArgs(dst []byte, args any) ([]byte, error) {
	w := jsonWriter{buf: dst}
	var err error
	if a, ok := argumentsOf(args); ok {
		err = w.arguments(a)
	} else {
		err = w.args(args)
	}
	if err == nil {
		err = jsonDepth(w.buf[len(dst):])
	}
	if err != nil {
		return dst, finish(jsonName, err)
	}
	return w.buf, nil
}

func (jsonCodec) DecodeArgs(data []byte, args any) error {
	if a, ok := args.(*Arguments); ok && a != nil {
		data, err := jsonOne(data)
		if err == nil {
			err = jsonArguments(data, a)
		}
		return finish(jsonName, err)
	}
	v, err := argsTarget(args)
	if err != nil {
		return finish(jsonName, err)
	}
	sig, err := signatureOf(v.Type())
	if err != nil {
		return finish(jsonName, err)
	}
	if data, err = jsonOne(data); err == nil {
		err = jsonArgs(data, sig, v)
	}
	return finish(jsonName, err)
}
