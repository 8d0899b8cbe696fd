package packed

import (
	"bytes"
	"maps"
	"math"
	"reflect"
	"slices"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// appendMap appends the map v with its keys in order: strings by their bytes, and other keys by the bytes
// of their encoding. It appends the entries in the order of the iteration, and then sorts the encoded
// entries in dst.
func (p *Plan) appendMap(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.IsNil() {
		return append(dst, msgp.Nil), nil
	}
	if depth >= rules.MaxDepth {
		return dst, rules.ErrTooDeep
	}
	dst, err := AppendMapHead(dst, v.Len())
	if err != nil {
		return dst, err
	}
	start := len(dst)
	entries := make([]entry, 0, v.Len())
	key := reflect.New(p.mapKey.typ).Elem()
	elem := reflect.New(p.elem.typ).Elem()
	for iter := v.MapRange(); iter.Next(); {
		key.SetIterKey(iter)
		elem.SetIterValue(iter)
		e := entry{start: len(dst)}
		if dst, err = p.mapKey.appendKey(dst, key); err != nil {
			return dst, err
		}
		e.value = len(dst)
		if dst, err = p.elem.Append(dst, elem, depth+1); err != nil {
			return dst, rules.AtName(err, showKey(key))
		}
		e.end = len(dst)
		entries = append(entries, e)
	}
	return sortEntries(dst, start, entries)
}

// entry is the range of an encoded entry of a map. The key is from start to value.
type entry struct{ start, value, end int }

// sortEntries sorts the entries in dst, which begin at start. Equal keys are an error: different values of
// a Go type can have the same encoding.
func sortEntries(dst []byte, start int, entries []entry) ([]byte, error) {
	slices.SortFunc(entries, func(a, b entry) int {
		return compareKeys(dst[a.start:a.value], dst[b.start:b.value])
	})
	for i := 1; i < len(entries); i++ {
		a, b := entries[i-1], entries[i]
		if bytes.Equal(dst[a.start:a.value], dst[b.start:b.value]) {
			return dst, rules.Because(rules.ErrDuplicate, "two keys of the map are both encoded as %q", rules.Shorten(string(dst[a.start:a.value])))
		}
	}
	sorted := make([]byte, 0, len(dst)-start)
	for _, e := range entries {
		sorted = append(sorted, dst[e.start:e.end]...)
	}
	return append(dst[:start], sorted...), nil
}

// compareKeys compares two encoded keys. It compares strings by their contents, so that the order is the
// same as in JSON.
func compareKeys(a, b []byte) int {
	if s, _, err := msgp.TakeString(a); err == nil {
		if t, _, err := msgp.TakeString(b); err == nil {
			return bytes.Compare(s, t)
		}
	}
	return bytes.Compare(a, b)
}

// appendKey appends the key v of a map.
func (p *Plan) appendKey(dst []byte, v reflect.Value) ([]byte, error) {
	switch p.key {
	case keyString:
		return AppendString(dst, v.String())
	case keyInt:
		return msgp.AppendInt(dst, v.Int()), nil
	case keyUint:
		return msgp.AppendUint(dst, v.Uint()), nil
	case keyText:
		text, err := rules.MarshalText(v)
		if err != nil {
			return dst, err
		}
		return AppendString(dst, string(text))
	case keyAny:
		return appendAnyKey(dst, v.Elem())
	}
	return dst, p.err
}

// appendAnyKey appends a key from an interface. It accepts all types that can be the key of a typed map, and
// all values that the decoder can put into a map[any]any.
func appendAnyKey(dst []byte, v reflect.Value) ([]byte, error) {
	if !v.IsValid() {
		return append(dst, msgp.Nil), nil
	}
	switch p := PlanOf(v.Type()); {
	case p.enc == opTime || p.enc == opBool: // a time also has a text, but is decoded as a time
		return p.Append(dst, v, 0)
	case p.key != keyNone:
		return p.appendKey(dst, v)
	case v.CanFloat() && math.IsNaN(v.Float()):
		return dst, rules.Because(rules.ErrUnsupported, "NaN cannot be the key of a map")
	case p.enc == opFloat32 || p.enc == opFloat64:
		return p.Append(dst, v, 0)
	}
	return dst, rules.Because(rules.ErrUnsupported, "%s cannot be the key of a map", v.Type())
}

// showKey returns the key v of a map as a segment of a path.
func showKey(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Interface && !v.IsNil():
		return showKey(v.Elem())
	case v.Kind() == reflect.String:
		return v.String()
	case v.CanInt():
		return number{numInt, uint64(v.Int())}.String()
	case v.CanUint():
		return number{numUint, v.Uint()}.String()
	}
	return v.Type().String()
}

// appendAnyMap is appendMap for map[string]any, the most common type.
func appendAnyMap(dst []byte, m map[string]any, depth int) ([]byte, error) {
	if m == nil {
		return append(dst, msgp.Nil), nil
	}
	if depth >= rules.MaxDepth {
		return dst, rules.ErrTooDeep
	}
	dst, err := AppendMapHead(dst, len(m))
	if err != nil {
		return dst, err
	}
	return AppendNamed(dst, m, depth)
}

// AppendNamed appends the entries of m in the order of their keys, without a head.
func AppendNamed(dst []byte, m map[string]any, depth int) ([]byte, error) {
	var err error
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if dst, err = AppendString(dst, k); err != nil {
			return dst, err
		}
		if dst, err = AppendAny(dst, m[k], depth+1); err != nil {
			return dst, rules.AtName(err, k)
		}
	}
	return dst, nil
}
