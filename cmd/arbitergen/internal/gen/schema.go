package gen

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// schema describes the encoded form of a task's arguments and result.
type schema struct {
	params []schemaParam
	result string // a shape; empty if there is no result
	defs   map[string]*definition
}

type schemaParam struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // a shape
	Variadic bool   `json:"variadic,omitempty"`
	Optional bool   `json:"optional,omitempty"` // a call may omit it; not set for a variadic one
	Default  string `json:"default,omitempty"`  // its value in that case; empty for the zero value
}

// accepted lists the types that can be encoded.
var accepted = []string{
	"accepted: bool, numbers, strings, []byte, time.Time and any; slices, arrays, maps,",
	"pointers and structs of these; types with MarshalText and UnmarshalText,",
	"MarshalBinary and UnmarshalBinary, or the same for msgpack",
}

// readSchema finds the shapes of the types. It reports types that can't be encoded, and returns false.
func (t *task) readSchema() bool {
	s, ok := newShaper(), true
	shape := func(where subject) string {
		shape, refused := s.shape(where.typ, where.root(t.unit.qualifier))
		if refused != nil {
			ok = false
			t.refuse(where, refused)
		}
		return shape
	}
	for i, p := range t.params {
		t.schema.params = append(t.schema.params, schemaParam{
			Name:     p.name,
			Type:     shape(subject{fmt.Sprintf("parameter %d", p.number), p.name, p.typ, p.pos()}),
			Variadic: t.variadic() && i == len(t.params)-1,
			Optional: p.optional,
			Default:  p.def,
		})
	}
	if t.result != nil {
		t.schema.result = shape(subject{"result", "result", t.result, t.fn.Type.Results.Pos()})
	}
	t.schema.defs = s.defs
	return ok
}

// subject is a parameter or the result, for error messages.
type subject struct {
	what string // such as "parameter 2"
	name string
	typ  types.Type
	pos  token.Pos
}

// root returns the first segment of paths: the name of the type, or the name of the parameter if the type has none.
func (s subject) root(qualifier types.Qualifier) string {
	typ := s.typ
	for {
		switch t := typ.(type) {
		case *types.Pointer:
			typ = t.Elem()
		case *types.Named, *types.Alias:
			return types.TypeString(t, qualifier)
		default:
			return s.name
		}
	}
}

// refuse reports a type that can't be encoded.
func (t *task) refuse(where subject, r *refusal) {
	if r.typ == types.Typ[types.Invalid] {
		if !t.unit.failed { // otherwise the error was reported already
			t.fail(where.pos, Diagnostic{Msg: where.what + " has a type of cgo, which cannot be encoded", Accepted: accepted})
		}
		return
	}
	root := where.root(t.unit.qualifier)
	typ := types.TypeString(r.typ, t.unit.qualifier)
	place := fmt.Sprintf("%s (%s)", r.path, typ)
	if r.path == root {
		place = typ
		if underlying := underlyingText(r.typ); typ == root && underlying != "" {
			place = fmt.Sprintf("%s (%s)", typ, underlying)
		}
	}
	t.fail(where.pos, Diagnostic{
		Msg: fmt.Sprintf("%s: %s %s", where.what, place, r.why), Help: r.help, Accepted: accepted,
	})
}

// underlyingText returns the underlying type of a named type. It is empty if that would be long, or is clear from the message.
func underlyingText(t types.Type) string {
	switch u := t.Underlying().(type) {
	case *types.Struct, *types.Interface:
		return ""
	default:
		if u == types.Typ[types.Invalid] {
			return ""
		}
		return types.TypeString(u, (*types.Package).Name)
	}
}

// hash returns the hash of the schema. It is the same for all schemas under which the same bytes have the same meaning: the
// names of structs do not count. Which parameters are optional does not count either, since handles send all of them. It is
// never 0.
func (s *schema) hash() uint64 {
	c := canonical{schema: s, number: make(map[string]int)}
	for _, p := range s.params {
		fmt.Fprintf(&c.text, "%s %s %v\n", p.Name, c.shape(p.Type), p.Variadic)
	}
	fmt.Fprintf(&c.text, "= %s\n", c.shape(s.result))
	for c.written < len(c.order) { // define may append to c.order
		c.define(c.order[c.written])
		c.written++
	}
	sum := sha256.Sum256([]byte(c.text.String()))
	return max(binary.BigEndian.Uint64(sum[:]), 1)
}

// canonical writes a schema with numbers in place of the names of definitions, in the order in which they appear.
type canonical struct {
	schema  *schema
	number  map[string]int
	order   []string
	written int
	text    strings.Builder
}

// shape returns a shape with the number of its definition in place of the name.
func (c *canonical) shape(shape string) string {
	outer, leaf := splitShape(shape)
	if c.schema.defs[leaf] == nil {
		return shape
	}
	if _, ok := c.number[leaf]; !ok {
		c.number[leaf] = len(c.order)
		c.order = append(c.order, leaf)
	}
	return fmt.Sprintf("%s#%d", outer, c.number[leaf])
}

func (c *canonical) define(name string) {
	def := c.schema.defs[name]
	switch {
	case def.Encoding != "":
		fmt.Fprintf(&c.text, "%s of %s\n", def.Encoding, name)
	case def.Type != "":
		fmt.Fprintf(&c.text, "%s\n", c.shape(def.Type))
	default:
		fields := make(map[string]string) // their order does not matter
		for _, f := range def.Fields {
			fields[f.Name] = f.Type
		}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			fmt.Fprintf(&c.text, "%s %s,", name, c.shape(fields[name]))
		}
		c.text.WriteByte('\n')
	}
}
