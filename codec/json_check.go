package codec

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// jsonTraits tell which properties of a type need work beyond encoding/json.
type jsonTraits struct {
	any   bool // a value can contain an any, and so a json.Number
	array bool // a value can contain an array, whose length must be checked
	heavy bool // a value may need much memory for few bytes, see jsonWeigh
	own   bool // it is decoded by methods of its own
}

var jsonTraitsOf sync.Map // reflect.Type -> jsonTraits

func traitsOf(t reflect.Type) jsonTraits {
	if traits, ok := jsonTraitsOf.Load(t); ok {
		return traits.(jsonTraits)
	}
	var traits jsonTraits
	traits.collect(t, make(map[reflect.Type]bool))
	byJSON, byText := jsonMethods(t)
	traits.own = byJSON || byText
	traits.heavy = jsonHeavy(t, make(map[reflect.Type]bool))
	jsonTraitsOf.Store(t, traits)
	return traits
}

func (j *jsonTraits) collect(t reflect.Type, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	if m, text := jsonMethods(t); m || text {
		return
	}
	switch t.Kind() {
	case reflect.Interface:
		j.any = true
	case reflect.Array:
		j.array = true
		j.collect(t.Elem(), seen)
	case reflect.Pointer, reflect.Slice, reflect.Map:
		j.collect(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if f.IsExported() || f.Anonymous {
				j.collect(f.Type, seen)
			}
		}
	}
}

// jsonMethods reports with which methods of its own a type is decoded.
func jsonMethods(t reflect.Type) (unmarshalJSON, unmarshalText bool) {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return false, false
	}
	pt := reflect.PointerTo(t)
	return pt.Implements(reflect.TypeFor[json.Unmarshaler]()),
		pt.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// jsonCheck checks a value that encoding/json has decoded into type t. It finds errors that encoding/json
// ignores: null for a type that has no null, and arrays with another length than the Go array.
func jsonCheck(raw []byte, t reflect.Type) error {
	null := raw[0] == 'n'
	byJSON, byText := jsonMethods(t)
	switch k := t.Kind(); {
	case byJSON && t != rules.TimeType:
		return nil
	case k == reflect.Interface:
		return nil
	case null && (k == reflect.Pointer || k == reflect.Slice || k == reflect.Map):
		return nil
	case null:
		return rules.Because(ErrType, "found null, want %s", t)
	case byJSON || byText:
		return nil
	case k == reflect.Pointer:
		return jsonCheck(raw, t.Elem())
	case k == reflect.Map && raw[0] == '{':
		n := 0
		for c := range jsonChildren(raw) {
			if err := jsonCheck(c.raw, t.Elem()); err != nil {
				return rules.AtEntry(err, n)
			}
			n++
		}
	case (k == reflect.Slice || k == reflect.Array) && raw[0] == '[':
		return jsonCheckArray(raw, t)
	case k == reflect.Struct && raw[0] == '{':
		fields := jsonFieldsOf(t)
		for c := range jsonChildren(raw) {
			if f := fields.find(c.name()); f != nil {
				if err := jsonCheck(c.raw, f.Type); err != nil {
					return rules.AtName(err, f.Name)
				}
			}
		}
	}
	return nil
}

func jsonCheckArray(raw []byte, t reflect.Type) error {
	n := 0
	for c := range jsonChildren(raw) {
		if err := jsonCheck(c.raw, t.Elem()); err != nil {
			return rules.AtIndex(err, n)
		}
		n++
	}
	if t.Kind() == reflect.Array && n != t.Len() {
		return rules.Because(ErrType, "found %d elements, want %s", n, t)
	}
	return nil
}

// jsonFields are the fields of a struct by the rules of encoding/json.
type jsonFields struct {
	fields []rules.Field
	byName map[string]int
}

var jsonFieldsCache sync.Map // reflect.Type of a struct -> *jsonFields

func jsonFieldsOf(t reflect.Type) *jsonFields {
	if f, ok := jsonFieldsCache.Load(t); ok {
		return f.(*jsonFields)
	}
	f := &jsonFields{rules.FieldsOf(t, "json"), make(map[string]int)}
	for i := range f.fields {
		f.byName[f.fields[i].Name] = i
	}
	jsonFieldsCache.Store(t, f)
	return f
}

// find returns the field with that name: an exact match, or else one regardless of case.
func (f *jsonFields) find(name string) *rules.Field {
	if i, ok := f.byName[name]; ok {
		return &f.fields[i]
	}
	for i := range f.fields {
		if strings.EqualFold(f.fields[i].Name, name) {
			return &f.fields[i]
		}
	}
	return nil
}
