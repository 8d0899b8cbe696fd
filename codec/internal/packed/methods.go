package packed

import (
	"bytes"
	"encoding"
	"reflect"
	"slices"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// appendMethods appends v as its own methods encode it.
func (p *Plan) appendMethods(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	// As in the msgpack library, a nil slice or map is nil, and its methods are not called.
	if k := v.Kind(); (k == reflect.Slice || k == reflect.Map || k == reflect.Func || k == reflect.Chan) && v.IsNil() {
		return append(dst, msgp.Nil), nil
	}
	var data []byte
	if p.encMethods == rules.TextMethods {
		data, err := rules.MarshalText(v)
		if err != nil {
			return dst, err
		}
		return AppendString(dst, string(data))
	}
	method := p.encMethods.Encoder()
	err := rules.Call(method, p.typ, func() (err error) {
		switch m := rules.Receiver(v); p.encMethods {
		case rules.CustomMethods:
			data, err = encodeCustom(m.(msgpack.CustomEncoder))
		case rules.MsgpackMethods:
			data, err = m.(msgpack.Marshaler).MarshalMsgpack()
		case rules.BinaryMethods:
			data, err = m.(encoding.BinaryMarshaler).MarshalBinary()
		}
		return err
	})
	switch {
	case err != nil:
		return dst, err
	case p.encMethods == rules.BinaryMethods:
		return appendBytes(dst, data)
	}
	// A method that writes too little or too much would shift all values after it.
	if rest, err := msgp.Skip(data, depth); err != nil || len(rest) > 0 {
		return dst, rules.Because(rules.ErrSyntax, "%s of %s did not write one msgpack value", method, p.typ)
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
func (p *Plan) takeMethods(in []byte, v reflect.Value, depth int) (rest []byte, err error) {
	v.SetZero()
	if k := v.Kind(); (k == reflect.Slice || k == reflect.Map || k == reflect.Func || k == reflect.Chan) && msgp.IsNil(in) {
		return in[1:], nil
	}
	switch p.decMethods {
	case rules.TextMethods, rules.BinaryMethods:
		var data []byte
		if data, rest, err = msgp.TakeStringOrBytes(in); err != nil {
			return nil, p.explain(err, in)
		}
		data = slices.Clip(data)
		if p.decMethods == rules.TextMethods {
			return rest, rules.UnmarshalText(v, data)
		}
		return rest, rules.CallDecoder("UnmarshalBinary", p.typ, func() error {
			return v.Addr().Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(data)
		})
	}
	// The whole value is checked first: the method, or the library that it uses, may trust the
	// lengths in it.
	if rest, err = msgp.Skip(in, depth); err != nil {
		return nil, err
	}
	data := in[:len(in)-len(rest)]
	return rest, rules.CallDecoder(p.decMethods.Decoder(), p.typ, func() error {
		if p.decMethods == rules.MsgpackMethods {
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
		return rules.Because(rules.ErrTrailing, "left %d of %d bytes unread", r.Len(), len(data))
	}
	return nil
}
