package codec_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/codec"
	"github.com/vmihailenco/msgpack/v5"
)

// The types below encode the name of the method that encoded them. Methods that must not be called fail.

type customOne struct{ s string }

func (c *customOne) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeString("custom:" + c.s) }
func (c *customOne) DecodeMsgpack(d *msgpack.Decoder) (err error) {
	c.s, err = d.DecodeString()
	return err
}
func (c *customOne) MarshalText() ([]byte, error)    { return nil, errors.New("not the first") }
func (c *customOne) UnmarshalText([]byte) error      { return errors.New("not the first") }
func (c *customOne) MarshalMsgpack() ([]byte, error) { return nil, errors.New("not the first") }
func (c *customOne) UnmarshalMsgpack([]byte) error   { return errors.New("not the first") }

type marshalOne struct{ s string }

func (m marshalOne) MarshalMsgpack() ([]byte, error) { return msgpack.Marshal([]string{m.s}) }
func (m *marshalOne) UnmarshalMsgpack(b []byte) error {
	var s []string
	err := msgpack.Unmarshal(b, &s)
	m.s = "marshal:" + s[0]
	return err
}
func (m marshalOne) MarshalBinary() ([]byte, error) { return nil, errors.New("not the first") }
func (m *marshalOne) UnmarshalBinary([]byte) error  { return errors.New("not the first") }

type binaryOne string

func (b binaryOne) MarshalBinary() ([]byte, error)     { return []byte("b:" + b), nil }
func (b *binaryOne) UnmarshalBinary(data []byte) error { *b = binaryOne(data); return nil }
func (b binaryOne) MarshalText() ([]byte, error)       { return nil, errors.New("not the first") }
func (b *binaryOne) UnmarshalText([]byte) error        { return errors.New("not the first") }

type textOne int

func (x *textOne) MarshalText() ([]byte, error) { return []byte{'a' + byte(*x)}, nil }
func (x *textOne) UnmarshalText(b []byte) error { *x = textOne(b[0] - 'a' + 1); return nil }

// brokenPair has one method of a pair, and a complete pair that comes later in the order.
type brokenPair struct{ rawText }

func (brokenPair) MarshalBinary() ([]byte, error) { return nil, errors.New("has no reverse") }

func TestMethods(t *testing.T) {
	for name, tt := range map[string]struct {
		in, want any
		wire     any
	}{
		"custom":      {customOne{"x"}, customOne{"custom:x"}, "custom:x"},
		"marshaler":   {marshalOne{"x"}, marshalOne{"marshal:x"}, []any{"x"}},
		"binary":      {binaryOne("x"), binaryOne("b:x"), []byte("b:x")},
		"text":        {textOne(0), textOne(1), "a"},
		"whole pair":  {brokenPair{"x"}, brokenPair{"x"}, "x"},
		"raw":         {msgpack.RawMessage("\x05"), msgpack.RawMessage("\x05"), int64(5)},
		"raw nil":     {msgpack.RawMessage(nil), msgpack.RawMessage(nil), nil},
		"json raw":    {json.RawMessage("5"), json.RawMessage("5"), []byte("5")},
		"big.Int":     {*big.NewInt(-5), *big.NewInt(-5), "-5"},
		"url":         {url.URL{Host: "h"}, url.URL{Host: "h"}, []byte("//h")},
		"address":     {netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("1.2.3.4"), []byte{1, 2, 3, 4}},
		"map by text": {map[textKey]int{{1, 2}: 3}, map[textKey]int{{1, 2}: 3}, map[string]any{"12": int64(3)}},
	} {
		t.Run(name, func(t *testing.T) {
			// The value alone, not addressable, and inside other values.
			c := codec.Msgpack()
			v := reflect.ValueOf(tt.in)
			ptr := reflect.New(v.Type())
			ptr.Elem().Set(v)
			slice := reflect.Append(reflect.MakeSlice(reflect.SliceOf(v.Type()), 0, 1), v)
			for _, in := range []any{tt.in, ptr.Interface()} {
				var wire any
				if err := c.DecodeValue(encode(t, c, in), &wire); err != nil || !reflect.DeepEqual(wire, tt.wire) {
					t.Errorf("%T is encoded as %#v, %v; want %#v", in, wire, err, tt.wire)
				}
			}
			got := reflect.New(v.Type())
			if err := c.DecodeValue(encode(t, c, tt.in), got.Interface()); err != nil || !reflect.DeepEqual(got.Elem().Interface(), tt.want) {
				t.Errorf("decoded as %v, error %v; want %v", got.Elem(), err, tt.want)
			}
			slices := reflect.New(slice.Type())
			if err := c.DecodeValue(encode(t, c, slice.Interface()), slices.Interface()); err != nil || !reflect.DeepEqual(slices.Elem().Index(0).Interface(), tt.want) {
				t.Errorf("in a slice: decoded as %v, error %v; want %v", slices.Elem(), err, tt.want)
			}
			inMap := map[string]any{"k": tt.in}
			if err := c.DecodeValue(encode(t, c, inMap), &inMap); err != nil || !reflect.DeepEqual(inMap["k"], tt.wire) {
				t.Errorf("in a map: encoded as %v, error %v; want %v", inMap["k"], err, tt.wire)
			}
		})
	}
}

type textKey [2]int

func (k textKey) MarshalText() ([]byte, error) {
	return []byte{'0' + byte(k[0]), '0' + byte(k[1])}, nil
}
func (k *textKey) UnmarshalText(b []byte) error {
	*k = textKey{int(b[0] - '0'), int(b[1] - '0')}
	return nil
}

// unruly is a type whose methods misbehave in the way that its text names.
type unruly string

func (u unruly) EncodeMsgpack(e *msgpack.Encoder) error {
	switch u {
	case "panic":
		panic("on purpose")
	case "error":
		return errOnPurpose
	case "nothing":
		return nil
	case "two":
		return errors.Join(e.EncodeInt(1), e.EncodeInt(2))
	case "half":
		return e.EncodeArrayLen(2)
	}
	return e.EncodeString(string(u))
}

func (u *unruly) DecodeMsgpack(d *msgpack.Decoder) error {
	s, err := d.DecodeString()
	switch *u = unruly(s); s {
	case "panic on decoding":
		panic("on purpose")
	case "error on decoding":
		return errOnPurpose
	}
	return err
}

// lazy is a type whose decoder reads nothing.
type lazy struct{}

func (lazy) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeNil() }
func (*lazy) DecodeMsgpack(*msgpack.Decoder) error  { return nil }

type panicText struct{ p *int }

func (p panicText) MarshalText() ([]byte, error) { return []byte{byte(*p.p)}, nil }
func (p *panicText) UnmarshalText([]byte) error  { *p.p = 1; return nil }

type panicZero struct{ A int }

func (panicZero) IsZero() bool { panic("on purpose") }

func TestUnrulyMethods(t *testing.T) {
	c := codec.Msgpack()
	for how, want := range map[string]failure{
		"panic": {says: "EncodeMsgpack of codec_test.unruly panicked: on purpose"}, "error": {is: errOnPurpose, says: "EncodeMsgpack of"},
		"nothing": {is: codec.ErrSyntax}, "two": {is: codec.ErrSyntax}, "half": {is: codec.ErrSyntax},
	} {
		_, err := c.AppendValue(nil, unruly(how))
		want.check(t, "msgpack", err)
		want.path = "x[1]"
		_, err = c.AppendArgs(nil, named(dict{"x": []unruly{"fine", unruly(how)}}))
		want.check(t, "msgpack", err)
	}
	for how, want := range map[string]failure{
		"panic on decoding": {says: "DecodeMsgpack of codec_test.unruly panicked with a string"}, "error on decoding": {is: errOnPurpose, says: "DecodeMsgpack of"},
	} {
		want.path = "[0]"
		want.check(t, "msgpack", c.DecodeValue(encode(t, c, []unruly{unruly(how)}), new([]unruly)))
	}
	failure{codec.ErrTrailing, "[0]", "unread"}.check(t, "msgpack", c.DecodeValue([]byte("\x91\x01"), new([]lazy)))
	failure{codec.ErrTruncated, "", ""}.check(t, "msgpack", c.DecodeValue([]byte("\x92\x01"), new(lazy)))
	failure{codec.ErrTruncated, "[0]", ""}.check(t, "msgpack", c.DecodeValue([]byte("\x91\x92\x01"), new([]lazy)))
	failure{codec.ErrType, "", "found null, want"}.check(t, "msgpack", c.DecodeValue([]byte("\xc0"), new(textOne)))
	failure{codec.ErrType, "", "found number, want"}.check(t, "msgpack", c.DecodeValue([]byte("\x01"), new(binaryOne)))

	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		for _, v := range []any{panicText{}, &panicText{}, list{panicText{}}, map[panicText]int{{}: 1}} {
			_, err := c.AppendValue(nil, v)
			failure{says: "panicked"}.checkSentinel(t, err)
		}
		failure{says: "panicked"}.checkSentinel(t, c.DecodeValue(encode(t, c, "x"), new(panicText)))
		failure{says: "panicked"}.checkSentinel(t, c.DecodeValue(encode(t, c, dict{"x": 1}), new(map[panicText]int)))
		_, err := c.AppendValue(nil, struct {
			Z panicZero `json:"z,omitzero"`
		}{})
		failure{says: "panicked"}.checkSentinel(t, err)
		if err := c.DecodeValue(encode(t, c, []*panicText{nil}), new([]*panicText)); err != nil {
			t.Errorf("a nil pointer: error %v", err)
		}
	})
}

// onlyEncodes and onlyDecodes have one method of a pair each.
type onlyEncodes struct{ s string }

func (o onlyEncodes) MarshalText() ([]byte, error) { return []byte(o.s), nil }

type onlyDecodes struct{ S string }

func (o *onlyDecodes) UnmarshalText(b []byte) error { o.S = string(b); return nil }

func TestHalfPairs(t *testing.T) {
	c := codec.Msgpack()
	data := encode(t, c, onlyEncodes{"x"})
	if string(data) != "\xa1x" {
		t.Errorf("%q", data)
	}
	failure{codec.ErrUnsupported, "", "has MarshalText but not UnmarshalText"}.check(t, "msgpack", c.DecodeValue(data, new(onlyEncodes)))
	data = encode(t, c, map[onlyEncodes]int{{"x"}: 1})
	failure{codec.ErrUnsupported, "[key 0]", "has MarshalText but not UnmarshalText"}.check(t, "msgpack", c.DecodeValue(data, new(map[onlyEncodes]int)))
	var got onlyDecodes
	if err := c.DecodeValue([]byte("\xa1x"), &got); err != nil || got.S != "x" {
		t.Errorf("%v, %v", got, err)
	}
}

// argsWithMethods is a struct of arguments with methods, which are not used: it is encoded by its fields.
type argsWithMethods struct {
	X int `arbiter:"x"`
}

func (argsWithMethods) MarshalText() ([]byte, error)   { return nil, errors.New("called") }
func (*argsWithMethods) UnmarshalText([]byte) error    { return errors.New("called") }
func (argsWithMethods) MarshalJSON() ([]byte, error)   { return nil, errors.New("called") }
func (*argsWithMethods) UnmarshalJSON([]byte) error    { return errors.New("called") }
func (argsWithMethods) MarshalBinary() ([]byte, error) { return nil, errors.New("called") }

func TestArgsWithMethods(t *testing.T) {
	bothCodecs(t, func(t *testing.T, c codec.Codec) {
		var got argsWithMethods
		if err := c.DecodeArgs(mustArgs(t, c, argsWithMethods{5}), &got); err != nil || got.X != 5 {
			t.Errorf("decoded as %v, error %v", got, err)
		}
	})
}

// A PanicError tells which method panicked, with which value, and where.
func TestPanicError(t *testing.T) {
	for _, c := range []codec.Codec{codec.Msgpack(), codec.JSON()} {
		err := c.DecodeValue(encode(t, c, "x"), new(panicText))
		var p *codec.PanicError
		if !errors.As(err, &p) || p.Value == nil || !strings.Contains(p.Doing, "panicText") || !strings.Contains(p.Stack, "UnmarshalText") ||
			!strings.HasPrefix(p.Stack, "panic(") {
			t.Errorf("%s: error %v, %+v", c.Name(), err, p)
		}
	}
}
