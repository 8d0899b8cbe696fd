package gen

import (
	"fmt"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// checkClient reports types in a signature that the client package can't mention: they are declared in the package of the
// function, which the client must not import.
func (t *task) checkClient() bool {
	c := t.unit.client
	if !token.IsExported(t.names.handle) {
		t.errorAt(t.pos(), fmt.Sprintf("its handle would be called %s, which package %s cannot export", t.names.handle, c.name),
			"rename the function to begin with a letter that has a capital form")
		return false
	}
	ok := true
	check := func(what string, typ types.Type, pos token.Pos) {
		if msg, help := c.refuses(typ, make(map[types.Type]bool)); msg != "" {
			t.errorAt(pos, what+": "+msg, help)
			ok = false
		}
	}
	for _, p := range t.params {
		check(fmt.Sprintf("parameter %d", p.number), p.typ, p.pos())
	}
	if t.result != nil {
		check("result", t.result, t.fn.Type.Results.Pos())
	}
	return ok
}

// refuses returns why the client package can't mention the type, and the remedy. It only looks into types that have no
// name of their own, since only these are written out.
func (c *client) refuses(typ types.Type, seen map[types.Type]bool) (msg, help string) {
	if seen[typ] {
		return "", ""
	}
	seen[typ] = true
	switch t := typ.(type) {
	case *types.Alias:
		if msg, help := c.refusesName(t.Obj()); msg != "" {
			if target, _ := c.refuses(types.Unalias(t), seen); target == "" {
				help = "write the type that it is an alias of: " + types.TypeString(types.Unalias(t), c.worker.qualifier)
			}
			return msg, help
		}
		return c.refusesAny(slices.Collect(t.TypeArgs().Types()), seen)
	case *types.Named:
		if msg, help := c.refusesName(t.Obj()); msg != "" {
			return msg, help
		}
		return c.refusesAny(slices.Collect(t.TypeArgs().Types()), seen)
	case *types.Pointer:
		return c.refuses(t.Elem(), seen)
	case *types.Slice:
		return c.refuses(t.Elem(), seen)
	case *types.Array:
		return c.refuses(t.Elem(), seen)
	case *types.Map:
		return c.refusesAny([]types.Type{t.Key(), t.Elem()}, seen)
	case *types.Struct:
		for f := range t.Fields() {
			if !f.Exported() {
				return fmt.Sprintf("the field %s is not exported, so the type is another one in every package", f.Name()), c.remedy()
			}
			if msg, help := c.refuses(f.Type(), seen); msg != "" {
				return msg, help
			}
		}
	}
	return "", ""
}

func (c *client) refusesAny(list []types.Type, seen map[types.Type]bool) (msg, help string) {
	for _, t := range list {
		if msg, help := c.refuses(t, seen); msg != "" {
			return msg, help
		}
	}
	return "", ""
}

// refusesName returns why the client package can't mention the name of a type.
func (c *client) refusesName(name *types.TypeName) (msg, help string) {
	pkg := name.Pkg()
	switch {
	case pkg == nil || pkg.Path() == c.path:
	case pkg == c.worker.pkg:
		return fmt.Sprintf("%s is declared in this package, which the client package %s must not import", name.Name(), c.path), c.remedy()
	case !mayImport(c.path, pkg.Path()):
		return fmt.Sprintf("%s.%s is in an internal package, which the client package %s must not import", pkg.Name(), name.Name(), c.path), c.remedy()
	}
	return "", ""
}

func (c *client) remedy() string {
	return "move the type to a package that both can import: " + c.path + ", or another one"
}

// mayImport reports whether the rule for internal packages lets package from import package to.
func mayImport(from, to string) bool {
	elems := strings.Split(to, "/")
	for i, elem := range slices.Backward(elems) {
		if elem == "internal" {
			parent := strings.Join(elems[:i], "/")
			return from == parent || strings.HasPrefix(from, parent+"/") || parent == ""
		}
	}
	return true
}
