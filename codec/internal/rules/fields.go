package rules

import (
	"reflect"
	"slices"
	"strings"
)

// Field is one field of a struct inside a value, as a codec reads it.
type Field struct {
	Name      string
	Type      reflect.Type
	Index     []int
	Tagged    bool // Name is from a tag
	OmitEmpty bool
	OmitZero  bool
}

// FieldsOf returns the fields of the struct type t in order, with the fields of embedded structs
// inlined. The name and the options come from the first of the tags that a field has. If several fields
// have one name, the rules are those of encoding/json: the outermost field wins, then the only one with
// a tag, and otherwise none is used.
func FieldsOf(t reflect.Type, tags ...string) []Field {
	type embedded struct {
		typ   reflect.Type
		index []int
	}
	var found []Field
	taken := make(map[string]bool)
	visited := make(map[reflect.Type]bool)
	// Breadth first, since embedded structs of one depth compete with each other.
	for level := []embedded{{typ: t}}; len(level) > 0; {
		var deeper []embedded
		here := make(map[string][]Field)
		for _, e := range level {
			visited[e.typ] = true
		}
		for _, e := range level {
			for i := range e.typ.NumField() {
				sf := e.typ.Field(i)
				f, ok := FieldOf(sf, tags)
				if !ok {
					continue
				}
				f.Index = append(slices.Clip(e.index), i)
				inner := sf.Type
				if inner.Kind() == reflect.Pointer {
					inner = inner.Elem()
				}
				switch inline := sf.Anonymous && !f.Tagged && IsPlainStruct(inner); {
				case inline && !visited[inner]:
					deeper = append(deeper, embedded{inner, f.Index})
				case !inline && sf.IsExported():
					here[f.Name] = append(here[f.Name], f)
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
	slices.SortFunc(found, func(a, b Field) int { return slices.Compare(a.Index, b.Index) })
	return found
}

// dominant returns the field that has the name, among the fields with the same name and depth.
func dominant(rivals []Field) (Field, bool) {
	if len(rivals) == 1 {
		return rivals[0], true
	}
	rivals = slices.DeleteFunc(rivals, func(f Field) bool { return !f.Tagged })
	if len(rivals) == 1 {
		return rivals[0], true
	}
	return Field{}, false
}

// FieldOf reads the first of the tags that sf has. It returns false for the tag "-", which leaves the
// field out.
func FieldOf(sf reflect.StructField, tags []string) (Field, bool) {
	f := Field{Name: sf.Name, Type: sf.Type}
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
			f.Name, f.Tagged = name, true
		}
		for option := range strings.SplitSeq(options, ",") {
			f.OmitEmpty = f.OmitEmpty || option == "omitempty"
			f.OmitZero = f.OmitZero || option == "omitzero"
		}
		break
	}
	return f, true
}

// In returns the field in the struct v. It returns false if the field is inside an embedded pointer that
// is nil.
func (f *Field) In(v reflect.Value) (reflect.Value, bool) {
	if len(f.Index) == 1 {
		return v.Field(f.Index[0]), true
	}
	for _, i := range f.Index {
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

// Make is In for decoding: it allocates structs for embedded pointers that are nil.
func (f *Field) Make(v reflect.Value) (reflect.Value, error) {
	for _, i := range f.Index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return v, Because(ErrUnsupported, "cannot set the embedded pointer to the unexported %s", v.Type().Elem())
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, nil
}

// IsPlainStruct reports whether t is a struct that is encoded by its fields. Such a struct is inlined if it is
// embedded.
func IsPlainStruct(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || t == TimeType {
		return false
	}
	enc, dec := MethodsOf(t)
	return enc == NoMethods && dec == NoMethods
}

// EmbeddedSize returns the size of the structs behind embedded pointers on the path to a field. Decoding the field allocates
// them.
func EmbeddedSize(t reflect.Type, index []int) (size int) {
	for _, i := range index[:len(index)-1] {
		if t = t.Field(i).Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
			size += int(t.Size())
		}
	}
	return size
}
