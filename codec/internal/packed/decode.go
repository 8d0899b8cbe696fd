package packed

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// Take decodes the first value of in into v, which has the plan's type and is addressable. It replaces the
// value of v. Depth is the number of arrays and maps around the value.
func (p *Plan) Take(in []byte, v reflect.Value, depth int) (rest []byte, err error) {
	switch p.dec {
	case opInt:
		if len(in) > 0 && in[0] < msgp.FixMap { // a small positive integer, by far the most common
			v.SetInt(int64(in[0]))
			return in[1:], nil
		}
		rest, err = p.takeInt(in, v)
	case opUint:
		rest, err = p.takeUint(in, v)
	case opFloat32, opFloat64:
		rest, err = p.takeFloat(in, v)
	case opBool:
		rest, err = takeBool(in, v)
	case opString:
		var s []byte
		if s, rest, err = msgp.TakeString(in); err == nil {
			v.SetString(string(s))
		}
	case opBytes:
		rest, err = takeBytesInto(in, v)
	case opByteArray:
		rest, err = takeByteArray(in, v)
	case opSlice:
		rest, err = p.takeSlice(in, v, depth)
	case opArray:
		rest, err = p.takeArray(in, v, depth)
	case opMap:
		rest, err = p.takeMap(in, v, depth)
	case opAnyMap:
		rest, err = takeAnyMapInto(in, v, depth)
	case opStruct:
		rest, err = p.takeStruct(in, v, depth)
	case opPointer:
		rest, err = p.takePointer(in, v, depth)
	case opInterface:
		rest, err = takeInterface(in, v, depth)
	case opTime:
		var t time.Time
		if t, rest, err = takeTime(in); err == nil {
			v.Set(reflect.ValueOf(t))
		}
	case opMethods:
		return p.takeMethods(in, v, depth)
	default:
		if msgp.IsNil(in) && v.Kind() == reflect.Interface {
			v.SetZero()
			return in[1:], nil
		}
		return nil, p.err
	}
	if err == msgp.ErrMismatch {
		err = p.explain(err, in)
	}
	return rest, err
}

// explain adds the types found and wanted to a mismatch at the first value of in.
func (p *Plan) explain(err error, in []byte) error {
	switch {
	case err != msgp.ErrMismatch:
		return err
	case in[0] == msgp.Never:
		return msgp.ErrNever
	}
	return rules.Because(rules.ErrType, "found %s, want %s", msgp.FamilyOf(in[0]), p.typ)
}

func (p *Plan) takeInt(in []byte, v reflect.Value) ([]byte, error) {
	n, rest, err := takeNumber(in)
	if err != nil {
		return nil, err
	}
	i, ok := n.int()
	if !ok || v.OverflowInt(i) {
		return nil, rules.Overflows(n.String(), p.typ)
	}
	v.SetInt(i)
	return rest, nil
}

func (p *Plan) takeUint(in []byte, v reflect.Value) ([]byte, error) {
	n, rest, err := takeNumber(in)
	if err != nil {
		return nil, err
	}
	u, ok := n.uint()
	if !ok || v.OverflowUint(u) {
		return nil, rules.Overflows(n.String(), p.typ)
	}
	v.SetUint(u)
	return rest, nil
}

// takeFloat rounds a float64 for a float32, as a conversion does. It accepts an integer only if the float
// represents it exactly.
func (p *Plan) takeFloat(in []byte, v reflect.Value) ([]byte, error) {
	n, rest, err := takeNumber(in)
	if err != nil {
		return nil, err
	}
	f := n.float()
	if p.dec == opFloat32 && !math.IsInf(f, 0) {
		if f = float64(float32(f)); math.IsInf(f, 0) {
			return nil, rules.Overflows(n.String(), p.typ)
		}
	}
	if !n.exactly(f) {
		return nil, rules.Because(rules.ErrOverflow, "an integer does not fit %s exactly", p.typ)
	}
	v.SetFloat(f)
	return rest, nil
}

func takeBool(in []byte, v reflect.Value) ([]byte, error) {
	if len(in) == 0 {
		return nil, rules.ErrTruncated
	}
	if in[0] != msgp.True && in[0] != msgp.False {
		return nil, msgp.ErrMismatch
	}
	v.SetBool(in[0] == msgp.True)
	return in[1:], nil
}

func takeBytesInto(in []byte, v reflect.Value) ([]byte, error) {
	if msgp.IsNil(in) {
		v.SetZero()
		return in[1:], nil
	}
	b, rest, err := msgp.TakeBytes(in)
	if err == nil {
		v.SetBytes(bytes.Clone(b))
	}
	return rest, err
}

func takeByteArray(in []byte, v reflect.Value) ([]byte, error) {
	b, rest, err := msgp.TakeBytes(in)
	if err != nil {
		return nil, err
	}
	if len(b) != v.Len() {
		return nil, rules.Because(rules.ErrType, "found %d bytes, want %s", len(b), v.Type())
	}
	copy(v.Bytes(), b)
	return rest, nil
}

func (p *Plan) takePointer(in []byte, v reflect.Value, depth int) ([]byte, error) {
	if msgp.IsNil(in) {
		v.SetZero()
		return in[1:], nil
	}
	elem := reflect.New(p.elem.typ)
	rest, err := p.elem.Take(in, elem.Elem(), depth)
	if err != nil {
		return nil, err
	}
	v.Set(elem)
	return rest, nil
}

func takeInterface(in []byte, v reflect.Value, depth int) ([]byte, error) {
	x, rest, err := TakeAny(in, depth)
	if err != nil {
		return nil, err
	}
	if x == nil {
		v.SetZero()
	} else {
		v.Set(reflect.ValueOf(x))
	}
	return rest, nil
}

func (p *Plan) takeArray(in []byte, v reflect.Value, depth int) ([]byte, error) {
	n, rest, err := msgp.TakeArrayHead(in)
	switch {
	case err != nil:
		return nil, err
	case depth >= rules.MaxDepth:
		return nil, rules.ErrTooDeep
	case n != v.Len():
		return nil, rules.Because(rules.ErrType, "found %d elements, want %s", n, p.typ)
	}
	for i := range n {
		if rest, err = p.elem.Take(rest, v.Index(i), depth+1); err != nil {
			return nil, rules.AtIndex(err, i)
		}
	}
	return rest, nil
}

func (p *Plan) takeSlice(in []byte, v reflect.Value, depth int) ([]byte, error) {
	if msgp.IsNil(in) {
		v.SetZero()
		return in[1:], nil
	}
	n, rest, err := msgp.TakeArrayHead(in)
	if err != nil {
		return nil, err
	}
	return p.TakeElems(rest, n, v, depth)
}

// maxAhead is how many bytes are allocated for elements before they are decoded. A declared length can't
// be trusted: an element may be one byte in the input and many in memory, and each of several nested
// arrays may declare all the remaining bytes as its elements.
const maxAhead = 4 << 10

// TakeElems decodes the next n values into the slice v.
func (p *Plan) TakeElems(in []byte, n int, v reflect.Value, depth int) (rest []byte, err error) {
	if depth >= rules.MaxDepth {
		return nil, rules.ErrTooDeep
	}
	v.SetZero()
	if n == 0 {
		v.Set(reflect.MakeSlice(p.typ, 0, 0))
		return in, nil
	}
	ahead := maxAhead / max(1, int(p.elem.typ.Size()))
	for i := range n {
		if i == v.Len() {
			v.Grow(min(n-i, max(ahead, 1)))
			v.SetLen(min(n, v.Cap()))
		}
		if in, err = p.elem.Take(in, v.Index(i), depth+1); err != nil {
			return nil, rules.AtIndex(err, i)
		}
	}
	return in, nil
}

func (p *Plan) takeStruct(in []byte, v reflect.Value, depth int) ([]byte, error) {
	n, rest, err := msgp.TakeMapHead(in)
	switch {
	case err != nil:
		return nil, err
	case depth >= rules.MaxDepth:
		return nil, rules.ErrTooDeep
	}
	v.SetZero()
	next := 0
	for k := range n {
		var name []byte
		if name, rest, err = TakeName(rest); err != nil {
			return nil, err
		}
		// Most senders write the fields in the order of this struct.
		i, ok := next, next < len(p.fields) && p.fields[next].Name == string(name)
		if !ok {
			i, ok = p.byName[string(name)]
		}
		if !ok {
			if rest, err = msgp.Skip(rest, depth+1); err != nil {
				return nil, rules.AtEntry(err, k)
			}
			continue
		}
		next = i + 1
		f := &p.fields[i]
		fv, err := f.Make(v)
		if err == nil {
			rest, err = f.plan.Take(rest, fv, depth+1)
		}
		if err != nil {
			return nil, rules.AtName(err, f.Name)
		}
	}
	return rest, nil
}

// TakeName decodes a key that must be a string.
func TakeName(in []byte) (name, rest []byte, err error) {
	if name, rest, err = msgp.TakeString(in); err == msgp.ErrMismatch {
		err = rules.Because(rules.ErrType, "found %s, want a name", msgp.FamilyOf(in[0]))
	}
	return name, rest, err
}

func (p *Plan) takeMap(in []byte, v reflect.Value, depth int) ([]byte, error) {
	if msgp.IsNil(in) {
		v.SetZero()
		return in[1:], nil
	}
	n, rest, err := msgp.TakeMapHead(in)
	switch {
	case err != nil:
		return nil, err
	case depth >= rules.MaxDepth:
		return nil, rules.ErrTooDeep
	}
	entrySize := int(p.mapKey.typ.Size() + p.elem.typ.Size())
	v.Set(reflect.MakeMapWithSize(p.typ, min(n, maxAhead/max(1, entrySize))))
	key := reflect.New(p.mapKey.typ).Elem()
	elem := reflect.New(p.elem.typ).Elem()
	for i := range n {
		if rest, err = p.mapKey.takeKey(rest, key); err != nil {
			return nil, rules.AtEntry(err, i)
		}
		if rest, err = p.elem.Take(rest, elem, depth+1); err != nil {
			return nil, rules.AtEntry(err, i)
		}
		v.SetMapIndex(key, elem)
	}
	return rest, nil
}

// takeKey decodes the key of a map into v.
func (p *Plan) takeKey(in []byte, v reflect.Value) (rest []byte, err error) {
	var s []byte
	switch p.key {
	case keyString:
		if s, rest, err = msgp.TakeString(in); err == nil {
			v.SetString(string(s))
		}
	case keyInt:
		rest, err = p.takeInt(in, v)
	case keyUint:
		rest, err = p.takeUint(in, v)
	case keyText:
		if s, rest, err = msgp.TakeStringOrBytes(in); err == nil {
			v.SetZero()
			err = rules.UnmarshalText(v, slices.Clip(s))
		}
	default:
		var key any
		if key, rest, err = takeAnyKey(in); err == nil {
			v.Set(reflect.ValueOf(&key).Elem())
		}
	}
	return rest, p.explain(err, in)
}
