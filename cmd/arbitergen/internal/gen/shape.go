package gen

import (
	"go/types"
	"strconv"
	"strings"
)

// The encoded form of a type is written as a shape: the Go type without the names that do not matter. Its grammar is
//
//	shape = "*" shape | "[]" shape | "[" number "]" shape | "map[" shape "]" shape | leaf
//	leaf  = "bool" | "int8" … | "string" | "bytes" | "time" | "any" | name
//
// A name, which has a dot or a brace in it, is the name of a definition.

// splitShape splits a shape into its leaf and the part around it.
func splitShape(shape string) (outer, leaf string) {
	leaf = shape
	for {
		switch {
		case strings.HasPrefix(leaf, "*"):
			leaf = leaf[1:]
		case strings.HasPrefix(leaf, "["), strings.HasPrefix(leaf, "map["):
			leaf = leaf[closing(leaf)+1:]
		default:
			return shape[:len(shape)-len(leaf)], leaf
		}
	}
}

// closing returns the index of the bracket that closes the first one.
func closing(shape string) int {
	depth := 0
	for i := range len(shape) {
		switch shape[i] {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(shape) - 1 // only possible in a manifest that was edited
}

// definition is a type that shapes refer to by name.
type definition struct {
	Fields   []shapeField `json:"fields,omitempty"`   // the fields of a struct
	Encoding string       `json:"encoding,omitempty"` // the method with which values encode themselves
	Type     string       `json:"type,omitempty"`     // the shape of a recursive type that is not a struct
}

// shapeField is a field of a struct, with its name in the encoding.
type shapeField struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// refusal is the reason why a type cannot be encoded.
type refusal struct {
	path string // from the parameter's type to the refused type
	typ  types.Type
	why  string
	help []string
}

func refuse(path string, typ types.Type, why string, help ...string) *refusal {
	return &refusal{path: path, typ: typ, why: why, help: help}
}

// shaper finds the shapes of types, by the rules of package codec.
type shaper struct {
	defs map[string]*definition
	open map[string]bool // named types, other than structs, whose shapes are being found; true if they recur

	lockless map[types.Type]bool // types whose values contain no lock
}

func newShaper() *shaper {
	return &shaper{
		defs: make(map[string]*definition), open: make(map[string]bool), lockless: make(map[types.Type]bool),
	}
}

// fullName returns a type with complete import paths.
func fullName(t types.Type) string {
	return types.TypeString(t, (*types.Package).Path)
}

// shape returns the shape of a type. Path is the path to it, for error messages.
func (s *shaper) shape(t types.Type, path string) (string, *refusal) {
	t = types.Unalias(t)
	switch {
	case isTime(t):
		return "time", nil
	case isLock(t):
		return "", refuse(path, t, "is a lock and cannot be copied")
	}
	if shape, ok, refused := s.ownShape(t, path); ok || refused != nil {
		return shape, refused
	}
	named, ok := t.(*types.Named)
	if !ok {
		return s.byKind(t, "", path)
	}
	key := fullName(named)
	if _, isStruct := named.Underlying().(*types.Struct); isStruct {
		return s.byKind(t, key, path)
	}
	if _, working := s.open[key]; working {
		s.open[key] = true
		return key, nil
	}
	s.open[key] = false
	shape, refused := s.byKind(t, key, path)
	if s.open[key] && refused == nil {
		s.defs[key] = &definition{Type: shape}
		shape = key
	}
	delete(s.open, key)
	return shape, refused
}

// ownShape returns the shape of a type that encodes itself.
func (s *shaper) ownShape(t types.Type, path string) (shape string, ok bool, refused *refusal) {
	enc, dec := ownMethods(t)
	switch {
	case enc.encode != "" && enc == dec:
		key := fullName(t)
		s.defs[key] = &definition{Encoding: enc.encode}
		return key, true, nil
	case enc.encode != "":
		return "", false, refuse(path, t, "has "+enc.encode+" but not "+enc.decode+", and cannot be decoded",
			"give it a method "+enc.decode+" with a pointer receiver")
	case dec.decode != "" && (dec != textPair || !isString(t)):
		// A string type that has only UnmarshalText is encoded as a string, which UnmarshalText accepts.
		return "", false, refuse(path, t, "has "+dec.decode+" but not "+dec.encode+", and would not be encoded for it",
			"give it a method "+dec.encode)
	}
	return "", false, nil
}

// byKind returns the shape of a type regardless of its methods. Key is the name of a named type.
func (s *shaper) byKind(t types.Type, key, path string) (string, *refusal) {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return basicShape(t, u, path)
	case *types.Pointer:
		if onlyPointers(t) {
			return "", refuse(path, t, "points to nothing but itself")
		}
		return s.with("*", u.Elem(), path)
	case *types.Slice:
		shape, refused := s.with("[]", u.Elem(), path+"[0]")
		if shape == "[]uint8" {
			shape = "bytes"
		}
		return shape, refused
	case *types.Array:
		return s.with("["+strconv.FormatInt(u.Len(), 10)+"]", u.Elem(), path+"[0]")
	case *types.Map:
		keyShape, refused := s.keyShape(u.Key(), path)
		if refused != nil {
			return "", refused
		}
		return s.with("map["+keyShape+"]", u.Elem(), path+"[key]")
	case *types.Struct:
		if key == "" {
			key = fullName(u)
		}
		return s.structShape(t, u, key, path)
	case *types.Interface:
		if u.Empty() {
			return "any", nil
		}
		return "", refuse(path, t, "is an interface with methods, and cannot be decoded", "use a concrete type, or any")
	}
	return "", refuse(path, t, "cannot be encoded")
}

func (s *shaper) with(prefix string, elem types.Type, path string) (string, *refusal) {
	shape, refused := s.shape(elem, path)
	return prefix + shape, refused
}

func basicShape(t types.Type, b *types.Basic, path string) (string, *refusal) {
	switch info := b.Info(); {
	case b.Kind() == types.Invalid && t != types.Typ[types.Invalid]: // see declare
		return "", refuse(path, t, "is generated for a task, and cannot be in the signature of another one", "use a type of your own")
	case b.Kind() == types.UnsafePointer, b.Kind() == types.Invalid, info&types.IsComplex != 0:
		return "", refuse(path, t, "cannot be encoded")
	}
	return types.Typ[b.Kind()].Name(), nil // uint8 for byte
}

// keyShape returns the shape of the keys of a map.
func (s *shaper) keyShape(t types.Type, path string) (string, *refusal) {
	t = types.Unalias(t)
	enc, dec := textMethods(t)
	switch u := t.Underlying().(type) {
	case *types.Interface:
		if u.Empty() {
			return "any", nil
		}
	case *types.Basic:
		if u.Kind() == types.String {
			return "string", nil
		}
		if !enc && u.Info()&types.IsInteger != 0 {
			return basicShape(t, u, path)
		}
	}
	if enc && dec {
		key := fullName(t)
		s.defs[key] = &definition{Encoding: textPair.encode}
		return key, nil
	}
	return "", refuse(path, t, "cannot be the key of a map",
		"keys are strings, integers, any, or have MarshalText and UnmarshalText")
}

// onlyPointers reports whether t is a pointer type that never ends, like "type P *P".
func onlyPointers(t types.Type) bool {
	seen := make(map[types.Type]bool)
	for {
		p, ok := t.Underlying().(*types.Pointer)
		if !ok {
			return false
		}
		if seen[t] {
			return true
		}
		seen[t] = true
		t = types.Unalias(p.Elem())
	}
}

func isString(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Kind() == types.String
}

func isTime(t types.Type) bool { return isNamed(t, "time", "Time") }

// isNamed reports whether t is the type with that name in that package.
func isNamed(t types.Type, pkg, name string) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && named.Obj().Name() == name && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == pkg
}

// joined returns the path of a field.
func joined(path, field string) string { return strings.TrimPrefix(path+"."+field, ".") }
