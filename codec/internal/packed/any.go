package packed

import (
	"bytes"
	"math"
	"reflect"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// TakeAny decodes the first value of in as for the type any.
func TakeAny(in []byte, depth int) (v any, rest []byte, err error) {
	if len(in) == 0 {
		return nil, nil, rules.ErrTruncated
	}
	switch msgp.FamilyOf(in[0]) {
	case msgp.FamNil:
		return nil, in[1:], nil
	case msgp.FamBool:
		return in[0] == msgp.True, in[1:], nil
	case msgp.FamNumber:
		n, rest, err := takeNumber(in)
		return n.value(), rest, err
	case msgp.FamString:
		s, rest, err := msgp.TakeString(in)
		return string(s), rest, err
	case msgp.FamBytes:
		b, rest, err := msgp.TakeBytes(in)
		return bytes.Clone(b), rest, err
	case msgp.FamExt:
		return takeAnyTime(in)
	case msgp.FamArray:
		return takeAnySlice(in, depth)
	case msgp.FamMap:
		return takeAnyMap(in, depth)
	}
	return nil, nil, msgp.ErrNever
}

// value returns the number in the type that an any gets.
func (n number) value() any {
	switch n.kind {
	case numInt:
		return int64(n.bits)
	case numUint:
		return n.bits
	}
	return n.float()
}

func takeAnyTime(in []byte) (any, []byte, error) {
	t, rest, err := takeTime(in)
	if err != nil {
		return nil, nil, err
	}
	return t, rest, nil
}

// anyAhead is how many elements of an array or map of any are allocated before they have been decoded; see
// maxAhead.
const anyAhead = 64

func takeAnySlice(in []byte, depth int) (any, []byte, error) {
	n, rest, err := msgp.TakeArrayHead(in)
	switch {
	case err != nil:
		return nil, nil, err
	case depth >= rules.MaxDepth:
		return nil, nil, rules.ErrTooDeep
	}
	s, rest, err := TakeAnyElems(rest, n, depth)
	return s, rest, err
}

// TakeAnyElems decodes the next n values.
func TakeAnyElems(in []byte, n, depth int) (s []any, rest []byte, err error) {
	s = make([]any, 0, min(n, anyAhead))
	for i := range n {
		var v any
		if v, in, err = TakeAny(in, depth+1); err != nil {
			return nil, nil, rules.AtIndex(err, i)
		}
		s = append(s, v)
	}
	return s, in, nil
}

// takeAnyMapInto decodes into v, a map[string]any.
func takeAnyMapInto(in []byte, v reflect.Value, depth int) ([]byte, error) {
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
	m := make(map[string]any, min(n, anyAhead))
	for i := range n {
		var name []byte
		if name, rest, err = TakeName(rest); err != nil {
			return nil, err
		}
		if m[string(name)], rest, err = TakeAny(rest, depth+1); err != nil {
			return nil, rules.AtEntry(err, i)
		}
	}
	v.Set(reflect.ValueOf(m))
	return rest, nil
}

// takeAnyMap returns a map[string]any, or a map[any]any if a key is not a string.
func takeAnyMap(in []byte, depth int) (any, []byte, error) {
	n, rest, err := msgp.TakeMapHead(in)
	switch {
	case err != nil:
		return nil, nil, err
	case depth >= rules.MaxDepth:
		return nil, nil, rules.ErrTooDeep
	}
	named := make(map[string]any, min(n, anyAhead))
	var keyed map[any]any
	for i := range n {
		var key, v any
		if key, rest, err = takeAnyKey(rest); err != nil {
			return nil, nil, err
		}
		if v, rest, err = TakeAny(rest, depth+1); err != nil {
			return nil, nil, rules.AtEntry(err, i)
		}
		name, isName := key.(string)
		if !isName && keyed == nil {
			keyed = make(map[any]any, len(named)+1)
			for k, v := range named {
				keyed[k] = v
			}
		}
		if keyed != nil {
			keyed[key] = v
		} else {
			named[name] = v
		}
	}
	if keyed != nil {
		return keyed, rest, nil
	}
	return named, rest, nil
}

// takeAnyKey decodes a key of a map with keys of any type. Every comparable value is allowed, except NaN,
// which does not equal itself.
func takeAnyKey(in []byte) (key any, rest []byte, err error) {
	if len(in) == 0 {
		return nil, nil, rules.ErrTruncated
	}
	switch f := msgp.FamilyOf(in[0]); f {
	case msgp.FamBytes, msgp.FamArray, msgp.FamMap:
		return nil, nil, rules.Because(rules.ErrType, "%s cannot be the key of a map", f)
	}
	key, rest, err = TakeAny(in, 0)
	if f, ok := key.(float64); ok && math.IsNaN(f) {
		return nil, nil, rules.Because(rules.ErrType, "NaN cannot be the key of a map")
	}
	return key, rest, err
}
