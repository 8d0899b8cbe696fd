package codec

import (
	"reflect"
	"slices"
	"strings"
)

// field is one field of a struct inside a value, as a codec reads it.
type field struct {
	name      string
	typ       reflect.Type
	index     []int
	tagged    bool // name is from a tag
	omitEmpty bool
	omitZero  bool
}

// structFields returns the fields of the struct type t in order, with the fields of embedded structs
// inlined. The name and the options come from the first of the tags that a field has. If several fields
// have one name, the rules are those of encoding/json: the outermost field wins, then the only one with
// a tag, and otherwise none is used.
func structFields(t reflect.Type, tags ...string) []field {
	type embedded struct {
		typ   reflect.Type
		index []int
	}
	var found []field
	taken := make(map[string]bool)
	visited := make(map[reflect.Type]bool)
	// Breadth first, since embedded structs of one depth compete with each other.
	for level := []embedded{{typ: t}}; len(level) > 0; {
		var deeper []embedded
		here := make(map[string][]field)
		for _, e := range level {
			visited[e.typ] = true
		}
		for _, e := range level {
			for i := range e.typ.NumField() {
				sf := e.typ.Field(i)
				f, ok := newField(sf, tags)
				if !ok {
					continue
				}
				f.index = append(e.index[:len(e.index):len(e.index)], i)
				inner := sf.Type
				if inner.Kind() == reflect.Pointer {
					inner = inner.Elem()
				}
				switch inline := sf.Anonymous && !f.tagged && isPlainStruct(inner); {
				case inline && !visited[inner]:
					deeper = append(deeper, embedded{inner, f.index})
				case !inline && sf.IsExported():
					here[f.name] = append(here[f.name], f)
				}
			}
		}
		for name, rivals := range here {
			if !taken[name] {
				if f, ok := dominant(rivals); ok {
					found = append(found, f)
				}
			}
		}
		for name := range here {
			taken[name] = true
		}
		level = deeper
	}
	slices.SortFunc(found, func(a, b field) int { return slices.Compare(a.index, b.index) })
	return found
}

// dominant returns the field that has the name, among the fields with the same name and depth.
func dominant(rivals []field) (field, bool) {
	if len(rivals) == 1 {
		return rivals[0], true
	}
	rivals = slices.DeleteFunc(rivals, func(f field) bool { return !f.tagged })
	if len(rivals) == 1 {
		return rivals[0], true
	}
	return field{}, false
}

// newField reads the first of the tags that sf has. It returns false for the tag "-", which leaves the
// field out.
func newField(sf reflect.StructField, tags []string) (field, bool) {
	f := field{name: sf.Name, typ: sf.Type}
	for _, key := range tags {
		tag, ok := sf.Tag.Lookup(key)
		if !ok {
			continue
		}
		if tag == "-" {
			return f, false
		}
		name, options, _ := strings.Cut(tag, ",")
		if name != "" {
			f.name, f.tagged = name, true
		}
		for option := range strings.SplitSeq(options, ",") {
			f.omitEmpty = f.omitEmpty || option == "omitempty"
			f.omitZero = f.omitZero || option == "omitzero"
		}
		break
	}
	return f, true
}

// in returns the field in the struct v. It returns false if the field is inside an embedded pointer that
// is nil.
func (f *field) in(v reflect.Value) (reflect.Value, bool) {
	if len(f.index) == 1 {
		return v.Field(f.index[0]), true
	}
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, true
}

// make is in for decoding: it allocates structs for embedded pointers that are nil.
func (f *field) make(v reflect.Value) (reflect.Value, error) {
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return v, because(ErrUnsupported, "cannot set the embedded pointer to the unexported %s", v.Type().Elem())
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, nil
}
