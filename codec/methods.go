package codec

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-arbiter/arbiter/internal/base/msgp"
	"github.com/go-arbiter/arbiter/internal/base/stack"
)

// ownMethod is a pair of methods with which a type encodes and decodes itself.
type ownMethod uint8

const (
	ownNone ownMethod = iota
	ownCustom
	ownMsgpack
	ownBinary
	ownText
)

// ownPairs are the pairs in the order in which ownMethods looks for them.
var ownPairs = [...]struct {
	method             ownMethod
	encIface, decIface reflect.Type
	encName, decName   string
}{
	{ownCustom, reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.CustomDecoder](), "EncodeMsgpack", "DecodeMsgpack"},
	{ownMsgpack, reflect.TypeFor[msgpack.Marshaler](), reflect.TypeFor[msgpack.Unmarshaler](), "MarshalMsgpack", "UnmarshalMsgpack"},
	{ownBinary, reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler](), "MarshalBinary", "UnmarshalBinary"},
	{ownText, reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](), "MarshalText", "UnmarshalText"},
}

// encoder returns the name of the method of the pair that encodes.
func (m ownMethod) encoder() string { return ownPairs[m-1].encName }

// decoder returns the name of the method of the pair that decodes.
func (m ownMethod) decoder() string { return ownPairs[m-1].decName }

// ownMethods returns the methods with which a type encodes and decodes itself: the first complete pair,
// or else the single methods that it has. In that case they may be of different pairs.
func ownMethods(t reflect.Type) (enc, dec ownMethod) {
	// A pointer is followed first, and the value in an interface has a plan of its own. A
	// time.Time has binary methods, but msgpack has a format for times.
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface || t == timeType {
		return ownNone, ownNone
	}
	pt := reflect.PointerTo(t) // its method set includes the methods of t
	for _, pair := range ownPairs {
		e, d := pt.Implements(pair.encIface), pt.Implements(pair.decIface)
		if e && d {
			return pair.method, pair.method
		}
		if e && enc == ownNone {
			enc = pair.method
		}
		if d && dec == ownNone {
			dec = pair.method
		}
	}
	return enc, dec
}

// call calls a method of the user's type. Its error names the method and the type.
func call(method string, t reflect.Type, f func() error) error {
	return guard(method, t, func() error {
		if err := f(); err != nil {
			return fmt.Errorf("%s of %s: %w", method, t, err)
		}
		return nil
	})
}

// callDecoder is call for a method that decodes: the error does not show the decoded value.
func callDecoder(method string, t reflect.Type, f func() error) error {
	return guardDecoder(method, t, func() error {
		err := f()
		if err == nil {
			return nil
		}
		if own, ok := err.(*reason); ok { //nolint:errorlint // errors of this package show no values
			return fmt.Errorf("%s of %s: %w", method, t, own)
		}
		return &refusal{fmt.Sprintf("%s of %s", method, t), err}
	})
}

// guardDecoder is guard for functions that decode: a PanicError does not show the value of the panic.
func guardDecoder(doing string, t reflect.Type, f func() error) error {
	err := guard(doing, t, f)
	if p, ok := err.(*PanicError); ok { //nolint:errorlint // the error of guard itself
		p.hidden = true
	}
	return err
}

// guard calls f, which runs methods of the user's types. It returns a panic in f as an error.
func guard(doing string, t reflect.Type, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Doing: fmt.Sprintf("%s of %s", doing, t), Value: r, Stack: stack.OfPanic()}
		}
	}()
	return f()
}

// receiver returns a pointer to v, or to a copy of v if it is not addressable.
func receiver(v reflect.Value) any {
	if v.CanAddr() {
		return v.Addr().Interface()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Interface()
}

// marshalText returns the text of v, whose type has the method MarshalText.
func marshalText(v reflect.Value) (text []byte, err error) {
	err = call("MarshalText", v.Type(), func() (err error) {
		text, err = receiver(v).(encoding.TextMarshaler).MarshalText()
		return err
	})
	return text, err
}

// unmarshalText sets v, which must be addressable, from the text.
func unmarshalText(v reflect.Value, text []byte) error {
	m, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	if !ok {
		return halfPair(v.Type(), ownText)
	}
	return callDecoder("UnmarshalText", v.Type(), func() error { return m.UnmarshalText(text) })
}

// halfPair returns the error for decoding a type that has only the method to encode.
func halfPair(t reflect.Type, enc ownMethod) error {
	return because(ErrUnsupported, "cannot decode %s, which has %s but not %s", t, enc.encoder(), enc.decoder())
}

// appendMethods appends v as its own methods encode it.
func (p *plan) appendMethods(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	// As in the msgpack library, a nil slice or map is nil, and its methods are not called.
	if k := v.Kind(); (k == reflect.Slice || k == reflect.Map || k == reflect.Func || k == reflect.Chan) && v.IsNil() {
		return append(dst, msgp.Nil), nil
	}
	var data []byte
	if p.encMethods == ownText {
		data, err := marshalText(v)
		if err != nil {
			return dst, err
		}
		return appendString(dst, string(data))
	}
	method := p.encMethods.encoder()
	err := call(method, p.typ, func() (err error) {
		switch m := receiver(v); p.encMethods {
		case ownCustom:
			data, err = encodeCustom(m.(msgpack.CustomEncoder))
		case ownMsgpack:
			data, err = m.(msgpack.Marshaler).MarshalMsgpack()
		case ownBinary:
			data, err = m.(encoding.BinaryMarshaler).MarshalBinary()
		}
		return err
	})
	switch {
	case err != nil:
		return dst, err
	case p.encMethods == ownBinary:
		return appendBytes(dst, data)
	}
	// A method that writes too little or too much would shift all values after it.
	if rest, err := msgp.Skip(data, depth); err != nil || len(rest) > 0 {
		return dst, because(ErrSyntax, "%s of %s did not write one msgpack value", method, p.typ)
	}
	return append(dst, data...), nil
}

func encodeCustom(m msgpack.CustomEncoder) ([]byte, error) {
	var out bytes.Buffer
	enc := msgpack.NewEncoder(&out)
	enc.UseCompactInts(true)
	enc.SetSortMapKeys(true)
	enc.SetCustomStructTag("json")
	err := m.EncodeMsgpack(enc)
	return out.Bytes(), err
}

// takeMethods decodes the first value of in into v with the type's own methods.
func (p *plan) takeMethods(in []byte, v reflect.Value, depth int) (rest []byte, err error) {
	v.SetZero()
	if k := v.Kind(); (k == reflect.Slice || k == reflect.Map || k == reflect.Func || k == reflect.Chan) && msgp.IsNil(in) {
		return in[1:], nil
	}
	switch p.decMethods {
	case ownText, ownBinary:
		var data []byte
		if data, rest, err = msgp.TakeStringOrBytes(in); err != nil {
			return nil, p.explain(err, in)
		}
		data = data[:len(data):len(data)]
		if p.decMethods == ownText {
			return rest, unmarshalText(v, data)
		}
		return rest, callDecoder("UnmarshalBinary", p.typ, func() error {
			return v.Addr().Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(data)
		})
	}
	// The whole value is checked first: the method, or the library that it uses, may trust the
	// lengths in it.
	if rest, err = msgp.Skip(in, depth); err != nil {
		return nil, err
	}
	data := in[:len(in)-len(rest)]
	return rest, callDecoder(p.decMethods.decoder(), p.typ, func() error {
		if p.decMethods == ownMsgpack {
			return v.Addr().Interface().(msgpack.Unmarshaler).UnmarshalMsgpack(bytes.Clone(data))
		}
		return decodeCustom(v.Addr().Interface().(msgpack.CustomDecoder), data)
	})
}

func decodeCustom(m msgpack.CustomDecoder, data []byte) error {
	r := bytes.NewReader(data)
	dec := msgpack.NewDecoder(r) // reads r directly, without a buffer of its own
	dec.SetCustomStructTag("json")
	if err := m.DecodeMsgpack(dec); err != nil {
		return err
	}
	if r.Len() > 0 {
		return because(ErrTrailing, "left %d of %d bytes unread", r.Len(), len(data))
	}
	return nil
}
