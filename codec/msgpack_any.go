package codec

import (
	"bytes"
	"math"
	"reflect"
)

// takeAny decodes the first value of in by the rule for the type any.
func takeAny(in []byte, depth int) (v any, rest []byte, err error) {
	if len(in) == 0 {
		return nil, nil, ErrTruncated
	}
	switch familyOf(in[0]) {
	case famNil:
		return nil, in[1:], nil
	case famBool:
		return in[0] == codeTrue, in[1:], nil
	case famNumber:
		n, rest, err := takeNumber(in)
		return n.value(), rest, err
	case famString:
		s, rest, err := takeString(in)
		return string(s), rest, err
	case famBytes:
		b, rest, err := takeBytes(in)
		return bytes.Clone(b), rest, err
	case famExt:
		return takeAnyTime(in)
	case famArray:
		return takeAnySlice(in, depth)
	case famMap:
		return takeAnyMap(in, depth)
	}
	return nil, nil, errNever
}

// value returns the number in the type that it has in an any.
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

// anyAhead is how many elements of an array or map of any are allocated before
// they have been seen; see maxAhead.
const anyAhead = 64

func takeAnySlice(in []byte, depth int) (any, []byte, error) {
	n, rest, err := takeArrayHead(in)
	switch {
	case err != nil:
		return nil, nil, err
	case depth >= maxDepth:
		return nil, nil, ErrTooDeep
	}
	s, rest, err := takeAnyElems(rest, n, depth)
	return s, rest, err
}

// takeAnyElems decodes the next n values.
func takeAnyElems(in []byte, n, depth int) (s []any, rest []byte, err error) {
	s = make([]any, 0, min(n, anyAhead))
	for i := range n {
		var v any
		if v, in, err = takeAny(in, depth+1); err != nil {
			return nil, nil, atIndex(err, i)
		}
		s = append(s, v)
	}
	return s, in, nil
}

// takeAnyMapInto decodes into v, which is a map[string]any.
func takeAnyMapInto(in []byte, v reflect.Value, depth int) ([]byte, error) {
	if isNil(in) {
		v.SetZero()
		return in[1:], nil
	}
	n, rest, err := takeMapHead(in)
	switch {
	case err != nil:
		return nil, err
	case depth >= maxDepth:
		return nil, ErrTooDeep
	}
	m := make(map[string]any, min(n, anyAhead))
	for range n {
		var name []byte
		if name, rest, err = takeName(rest); err != nil {
			return nil, err
		}
		if m[string(name)], rest, err = takeAny(rest, depth+1); err != nil {
			return nil, atName(err, string(name))
		}
	}
	v.Set(reflect.ValueOf(m))
	return rest, nil
}

// takeAnyMap returns a map[string]any, unless there is a key of another type:
// then it is a map[any]any.
func takeAnyMap(in []byte, depth int) (any, []byte, error) {
	n, rest, err := takeMapHead(in)
	switch {
	case err != nil:
		return nil, nil, err
	case depth >= maxDepth:
		return nil, nil, ErrTooDeep
	}
	named := make(map[string]any, min(n, anyAhead))
	var keyed map[any]any
	for range n {
		var key, v any
		if key, rest, err = takeAnyKey(rest); err != nil {
			return nil, nil, err
		}
		if v, rest, err = takeAny(rest, depth+1); err != nil {
			return nil, nil, atName(err, showKey(reflect.ValueOf(&key).Elem()))
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

// takeAnyKey returns the key of a map whose type does not say what the keys are.
// It can be everything that Go can compare, except NaN, which equals no key.
func takeAnyKey(in []byte) (key any, rest []byte, err error) {
	if len(in) == 0 {
		return nil, nil, ErrTruncated
	}
	switch f := familyOf(in[0]); f {
	case famBytes, famArray, famMap:
		return nil, nil, because(ErrType, "%s cannot be the key of a map", f)
	}
	key, rest, err = takeAny(in, 0)
	if f, ok := key.(float64); ok && math.IsNaN(f) {
		return nil, nil, because(ErrType, "NaN cannot be the key of a map")
	}
	return key, rest, err
}
