package gen

import (
	"fmt"
	"go/types"
	"testing"
)

// TestNested finds the shapes of types that refer to each other many times. The work must grow with the number of types and
// not with the number of paths, which is 4^40 here. The types are built by hand, since Go's own type checker would follow
// every path of some of them.
func TestNested(t *testing.T) {
	const levels = 40
	pkg := types.NewPackage("p", "p")
	named := func(name string, fields ...*types.Var) types.Type {
		return types.NewNamed(types.NewTypeName(0, pkg, name, nil), types.NewStruct(fields, nil), nil)
	}
	field := func(name string, typ types.Type) *types.Var { return types.NewField(0, pkg, name, typ, false) }
	embedded := func(name string, typ types.Type) *types.Var { return types.NewField(0, pkg, name, typ, true) }

	for name, level := range map[string]func(i int, below types.Type) []*types.Var{
		"fields": func(_ int, below types.Type) []*types.Var {
			return []*types.Var{field("A", below), field("B", below), field("C", below), field("D", below)}
		},
		"arrays": func(_ int, below types.Type) []*types.Var {
			return []*types.Var{field("A", types.NewArray(below, 1)), field("B", types.NewArray(below, 2))}
		},
		"pointers": func(_ int, below types.Type) []*types.Var {
			return []*types.Var{field("A", types.NewPointer(below)), field("B", types.NewPointer(below))}
		},
		"maps": func(_ int, below types.Type) []*types.Var {
			return []*types.Var{field("A", types.NewMap(types.Typ[types.String], below)), field("B", types.NewSlice(below))}
		},
		"embedded": func(i int, below types.Type) []*types.Var {
			e, f := fmt.Sprintf("E%d", i), fmt.Sprintf("F%d", i)
			return []*types.Var{
				embedded(e, named(e, embedded("T", below))), embedded(f, named(f, embedded("T", below))),
				field(fmt.Sprintf("Own%d", i), types.Typ[types.Int]),
			}
		},
	} {
		typ := named("T0", field("N", types.Typ[types.Int]))
		for i := range levels {
			typ = named(fmt.Sprintf("T%d", i+1), level(i, typ)...)
		}
		s := newShaper()
		if shape, refused := s.shape(typ, "x"); refused != nil || shape != "p.T40" {
			t.Errorf("%s: %s, %v", name, shape, refused)
		}
		if name == "embedded" { // each Own except the outermost is ambiguous, and so is N
			if got := fmt.Sprint(s.defs["p.T40"].Fields); got != "[{Own39 int}]" {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
}
