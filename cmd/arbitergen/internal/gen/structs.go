package gen

import (
	"cmp"
	"go/types"
	"reflect"
	"slices"
	"strings"
)

// structShape returns the name of a struct's definition, and adds the definition if it is missing.
func (s *shaper) structShape(t types.Type, u *types.Struct, key, path string) (string, *refusal) {
	if _, ok := s.defs[key]; ok {
		return key, nil
	}
	if at, lock := s.findLock(u, path); lock != nil {
		return "", refuse(at, lock, "is a lock and cannot be copied")
	}
	fields, refused := structFields(u, path)
	if refused != nil {
		return "", refused
	}
	if len(fields) == 0 && u.NumFields() > 0 && !anyExported(u) {
		return "", refuse(path, t, "has no exported fields, and no methods to encode it")
	}
	def := &definition{Fields: make([]shapeField, 0, len(fields))}
	s.defs[key] = def // now, since fields may refer to it
	for _, f := range fields {
		shape, refused := s.shape(f.typ, f.path)
		if refused != nil {
			delete(s.defs, key)
			if refused.help == nil {
				refused.help = []string{"to leave the field out, give it the tag `msgpack:\"-\"`"}
			}
			return "", refused
		}
		def.Fields = append(def.Fields, shapeField{f.name, shape})
	}
	return key, nil
}

func anyExported(u *types.Struct) bool {
	for f := range u.Fields() {
		if f.Exported() {
			return true
		}
	}
	return false
}

// structField is a field that is encoded, perhaps of an embedded struct.
type structField struct {
	name   string // in the encoding
	path   string // in Go
	typ    types.Type
	index  []int
	tagged bool
}

// structFields returns the fields that package codec encodes, in order. The fields of embedded structs are inlined. Of several
// fields with one name only the dominant one is returned.
func structFields(t *types.Struct, path string) ([]structField, *refusal) {
	type embedded struct {
		typ   *types.Struct
		path  string
		index []int
	}
	var found []structField
	taken := make(map[string]bool)
	visited := make(map[*types.Struct]bool)
	for level := []embedded{{typ: t, path: path}}; len(level) > 0; {
		var deeper []embedded
		times := make(map[*types.Struct]int) // how often a struct is in deeper
		var names []string
		here := make(map[string][]structField)
		for _, e := range level {
			visited[e.typ] = true
		}
		for _, e := range level {
			for i := range e.typ.NumFields() {
				v := e.typ.Field(i)
				f, ok := newStructField(v, e.typ.Tag(i))
				if !ok {
					continue
				}
				f.path = joined(e.path, v.Name())
				f.index = append(slices.Clip(e.index), i)
				inner, pointer := plainStruct(v.Type())
				switch inline := v.Embedded() && !f.tagged && inner != nil; {
				case inline && pointer && !v.Exported():
					return nil, refuse(f.path, v.Type(), "is an embedded pointer to an unexported struct, and cannot be decoded")
				case inline && !visited[inner]:
					// A second one is enough to make each of its fields ambiguous. Without a limit
					// their number could double on each level.
					if times[inner]++; times[inner] <= 2 {
						deeper = append(deeper, embedded{inner, f.path, f.index})
					}
				case !inline && v.Exported():
					if here[f.name] == nil {
						names = append(names, f.name)
					}
					here[f.name] = append(here[f.name], f)
				}
			}
		}
		for _, name := range names {
			if f, ok := dominant(here[name]); ok && !taken[name] {
				found = append(found, f)
			}
			taken[name] = true
		}
		level = deeper
	}
	slices.SortFunc(found, func(a, b structField) int { return slices.CompareFunc(a.index, b.index, cmp.Compare) })
	return found, nil
}

// dominant returns the field that has the name, among the fields with the same name and depth.
func dominant(rivals []structField) (structField, bool) {
	if len(rivals) > 1 {
		rivals = slices.DeleteFunc(slices.Clone(rivals), func(f structField) bool { return !f.tagged })
	}
	if len(rivals) != 1 {
		return structField{}, false
	}
	return rivals[0], true
}

// newStructField reads the tags of a field. It returns false if a tag leaves the field out.
func newStructField(v *types.Var, tag string) (structField, bool) {
	f := structField{name: v.Name(), typ: v.Type()}
	for _, key := range []string{"msgpack", "json"} {
		value, ok := reflect.StructTag(tag).Lookup(key)
		if !ok {
			continue
		}
		if value == "-" {
			return f, false
		}
		if name, _, _ := strings.Cut(value, ","); name != "" {
			f.name, f.tagged = name, true
		}
		break
	}
	return f, true
}

// plainStruct returns the struct t, or the struct that t points to, if it is encoded by its fields. Such a struct is inlined if
// it is embedded.
func plainStruct(t types.Type) (u *types.Struct, pointer bool) {
	t = types.Unalias(t)
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t, pointer = types.Unalias(p.Elem()), true
	}
	u, ok := t.Underlying().(*types.Struct)
	if !ok || isTime(t) {
		return nil, pointer
	}
	if enc, dec := ownMethods(t); enc != (ownPair{}) || dec != (ownPair{}) {
		return nil, pointer
	}
	return u, pointer
}
