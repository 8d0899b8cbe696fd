package rules

import (
	"encoding"
	"fmt"
	"reflect"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-arbiter/arbiter/internal/base/stack"
)

// Methods is a pair of methods with which a type encodes and decodes itself.
type Methods uint8

// The pairs, in the order in which MethodsOf looks for them.
const (
	NoMethods Methods = iota
	CustomMethods
	MsgpackMethods
	BinaryMethods
	TextMethods
)

// TimeType is the type time.Time.
var TimeType = reflect.TypeFor[time.Time]()

// ownPairs are the pairs in the order in which MethodsOf looks for them.
var ownPairs = [...]struct {
	method             Methods
	encIface, decIface reflect.Type
	encName, decName   string
}{
	{CustomMethods, reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.CustomDecoder](), "EncodeMsgpack", "DecodeMsgpack"},
	{MsgpackMethods, reflect.TypeFor[msgpack.Marshaler](), reflect.TypeFor[msgpack.Unmarshaler](), "MarshalMsgpack", "UnmarshalMsgpack"},
	{BinaryMethods, reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler](), "MarshalBinary", "UnmarshalBinary"},
	{TextMethods, reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](), "MarshalText", "UnmarshalText"},
}

// Encoder returns the name of the method of the pair that encodes.
func (m Methods) Encoder() string { return ownPairs[m-1].encName }

// Decoder returns the name of the method of the pair that decodes.
func (m Methods) Decoder() string { return ownPairs[m-1].decName }

// MethodsOf returns the methods with which a type encodes and decodes itself: the first complete pair,
// or else the single methods that it has. In that case they may be of different pairs.
func MethodsOf(t reflect.Type) (enc, dec Methods) {
	// A pointer is followed first, and the value in an interface has a plan of its own. A
	// time.Time has binary methods, but msgpack has a format for times.
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface || t == TimeType {
		return NoMethods, NoMethods
	}
	pt := reflect.PointerTo(t) // its method set includes the methods of t
	for _, pair := range ownPairs {
		e, d := pt.Implements(pair.encIface), pt.Implements(pair.decIface)
		if e && d {
			return pair.method, pair.method
		}
		if e && enc == NoMethods {
			enc = pair.method
		}
		if d && dec == NoMethods {
			dec = pair.method
		}
	}
	return enc, dec
}

// Call calls a method of the user's type. Its error names the method and the type.
func Call(method string, t reflect.Type, f func() error) error {
	return Guard(method, t, func() error {
		if err := f(); err != nil {
			return fmt.Errorf("%s of %s: %w", method, t, err)
		}
		return nil
	})
}

// CallDecoder is Call for a method that decodes: the error does not show the decoded value.
func CallDecoder(method string, t reflect.Type, f func() error) error {
	return GuardDecoder(method, t, func() error {
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

// GuardDecoder is Guard for functions that decode: the error of a panic does not show its value.
func GuardDecoder(doing string, t reflect.Type, f func() error) error {
	err := Guard(doing, t, f)
	if p, ok := err.(*PanicError); ok { //nolint:errorlint // the error of guard itself
		p.Hidden = true
	}
	return err
}

// Guard calls f, which runs methods of the user's types. It returns a panic in f as an error.
func Guard(doing string, t reflect.Type, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Doing: fmt.Sprintf("%s of %s", doing, t), Value: r, Stack: stack.OfPanic()}
		}
	}()
	return f()
}

// Receiver returns a pointer to v, or to a copy of v if it is not addressable.
func Receiver(v reflect.Value) any {
	if v.CanAddr() {
		return v.Addr().Interface()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Interface()
}

// MarshalText returns the text of v, whose type has the method MarshalText.
func MarshalText(v reflect.Value) (text []byte, err error) {
	err = Call("MarshalText", v.Type(), func() (err error) {
		text, err = Receiver(v).(encoding.TextMarshaler).MarshalText()
		return err
	})
	return text, err
}

// UnmarshalText sets v, which must be addressable, from the text.
func UnmarshalText(v reflect.Value, text []byte) error {
	m, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr())
	if !ok {
		return HalfPair(v.Type(), TextMethods)
	}
	return CallDecoder("UnmarshalText", v.Type(), func() error { return m.UnmarshalText(text) })
}

// HalfPair returns the error for decoding a type that has only the method to encode.
func HalfPair(t reflect.Type, enc Methods) error {
	return Because(ErrUnsupported, "cannot decode %s, which has %s but not %s", t, enc.Encoder(), enc.Decoder())
}
