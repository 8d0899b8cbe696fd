package codec

import (
	"reflect"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// jsonHeavy is isHeavy for the JSON codec, which has no plans.
func jsonHeavy(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	if m, text := jsonMethods(t); m || text {
		return false
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		return t.Elem().Size() > rules.PerByte || jsonHeavy(t.Elem(), seen)
	case reflect.Array:
		return jsonHeavy(t.Elem(), seen)
	case reflect.Map:
		return t.Key().Size()+t.Elem().Size() > rules.PerByte || jsonHeavy(t.Elem(), seen)
	case reflect.Struct:
		for _, f := range jsonFieldsOf(t).fields {
			if rules.EmbeddedSize(t, f.Index) > rules.PerByte || jsonHeavy(f.Type, seen) {
				return true
			}
		}
	}
	return false
}

// jsonAfford weighs a valid value, and returns an error if the message needs too much memory with it.
func jsonAfford(raw []byte, t reflect.Type, b *rules.Budget) error {
	if !b.IsLong() && !traitsOf(t).heavy {
		return nil
	}
	jsonWeigh(raw, 0, t, b)
	return b.Check()
}

// jsonAffordElems is jsonAfford for values that are elements of a slice of type t.
func jsonAffordElems(elems [][]byte, t reflect.Type, b *rules.Budget) error {
	if !b.IsLong() && !traitsOf(t).heavy {
		return nil
	}
	for _, raw := range elems {
		b.Need += int64(t.Elem().Size())
		jsonWeigh(raw, 0, t.Elem(), b)
	}
	return b.Check()
}

// jsonWeigh adds the memory that the value at raw[i] needs to b, and returns the end of the value. The input must be valid.
func jsonWeigh(raw []byte, i int, t reflect.Type, b *rules.Budget) (end int) {
	k, traits := t.Kind(), traitsOf(t)
	switch {
	case !b.IsLong() && !traits.heavy || traits.own:
		return jsonEnd(raw, i)
	case k == reflect.Interface:
		return jsonWeighAny(raw, i, b)
	case k == reflect.Pointer && raw[i] != 'n':
		b.Need += int64(t.Elem().Size())
		return jsonWeigh(raw, i, t.Elem(), b)
	case raw[i] == '[' && (k == reflect.Slice || k == reflect.Array):
		for i = jsonSpace(raw, i+1); raw[i] != ']'; i = jsonNext(raw, i) {
			if k == reflect.Slice {
				b.Need += int64(t.Elem().Size())
			}
			i = jsonWeigh(raw, i, t.Elem(), b)
		}
		return i + 1
	case raw[i] == '{' && (k == reflect.Map || k == reflect.Struct):
		for i = jsonSpace(raw, i+1); raw[i] != '}'; i = jsonNext(raw, i) {
			end := jsonEnd(raw, i)
			name := raw[i:end]
			i = jsonSpace(raw, jsonSpace(raw, end)+1) // over the colon
			if k == reflect.Map {
				b.Need += int64(t.Key().Size() + t.Elem().Size())
				i = jsonWeigh(raw, i, t.Elem(), b)
			} else if f := jsonFieldsOf(t).find(string(jsonText(name))); f != nil {
				b.Need += int64(rules.EmbeddedSize(t, f.Index))
				i = jsonWeigh(raw, i, f.Type, b)
			} else {
				i = jsonEnd(raw, i)
			}
		}
		return i + 1
	}
	return jsonEnd(raw, i)
}

// jsonWeighAny is jsonWeigh for a value that is decoded into an any.
func jsonWeighAny(raw []byte, i int, b *rules.Budget) (end int) {
	switch raw[i] {
	case '[':
		b.Need += rules.HeadSize
		for i = jsonSpace(raw, i+1); raw[i] != ']'; i = jsonNext(raw, i) {
			b.Need += rules.AnySize
			i = jsonWeighAny(raw, i, b)
		}
		return i + 1
	case '{':
		b.Need += rules.MapSize
		for i = jsonSpace(raw, i+1); raw[i] != '}'; i = jsonNext(raw, i) {
			b.Need += rules.EntrySize
			i = jsonSpace(raw, jsonSpace(raw, jsonEnd(raw, i))+1) // over the colon
			i = jsonWeighAny(raw, i, b)
		}
		return i + 1
	case '"':
		b.Need += rules.HeadSize
	case 'n', 't', 'f':
	default:
		b.Need += rules.NumberSize
	}
	return jsonEnd(raw, i)
}
