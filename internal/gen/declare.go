package gen

import (
	"go/ast"
	"go/token"
	"maps"
)

// declare adds to the syntax trees what will be generated, so that code which
// uses it can be checked. The types of arguments are complete: they can be part
// of another task's signature. The handles and functions are there in name
// only. Their type is one that has an error which was reported elsewhere, and
// so nothing that is done with them is an error.
//
// Names that the user's code declares are left out; see checkNames.
func (u *unit) declare() {
	u.declared = u.declaredNames()
	taken := maps.Clone(u.declared)
	add := func(f *file, decl *ast.GenDecl, name *ast.Ident) {
		if _, ok := taken[name.Name]; !ok {
			taken[name.Name] = name.Pos()
			f.syntax.Decls = append(f.syntax.Decls, decl)
		}
	}
	for _, a := range u.functions {
		if isGeneric(a.fn) {
			continue // refused later, and its types mean nothing outside of it
		}
		n := namesOf(a.fn)
		pos := a.fn.Name.Pos()
		ident := func(name string) *ast.Ident { return &ast.Ident{Name: name, NamePos: pos} }

		fields := &ast.FieldList{Opening: pos, Closing: pos}
		for _, p := range parametersOf(a.fn, seemsContext(a.fn)) {
			fields.List = append(fields.List, &ast.Field{Names: []*ast.Ident{ident(p.field)}, Type: p.fieldType()})
		}
		args := &ast.TypeSpec{Name: ident(n.args), Type: &ast.StructType{Struct: pos, Fields: fields}}
		add(a.file, &ast.GenDecl{TokPos: pos, Tok: token.TYPE, Specs: []ast.Spec{args}}, args.Name)
		for _, name := range []string{n.handle, n.register(u.inTestFile(a))} {
			spec := &ast.ValueSpec{Names: []*ast.Ident{ident(name)}, Type: &ast.BadExpr{From: pos, To: pos}}
			add(a.file, &ast.GenDecl{TokPos: pos, Tok: token.VAR, Specs: []ast.Spec{spec}}, spec.Names[0])
		}
	}
}

// seemsContext reports whether the first parameter is a context, as far as can
// be said without types.
func seemsContext(fn *ast.FuncDecl) bool {
	if len(fn.Type.Params.List) == 0 {
		return false
	}
	switch typ := ast.Unparen(fn.Type.Params.List[0].Type).(type) {
	case *ast.SelectorExpr:
		return typ.Sel.Name == "Context"
	case *ast.Ident:
		return typ.Name == "Context"
	}
	return false
}

// inTestFile reports whether the function is registered apart from others of
// its package, because they are in test files and the others are not.
func (u *unit) inTestFile(a *annotated) bool { return a.file.test && !u.external }

// declaredNames returns the names that the unit's files declare, with their
// places.
func (u *unit) declaredNames() map[string]token.Pos {
	names := make(map[string]token.Pos)
	for _, tree := range u.trees() {
		collectNames(tree, names)
	}
	delete(names, "_")
	delete(names, "init")
	return names
}

// collectNames adds the names that a file declares for its whole package.
func collectNames(tree *ast.File, names map[string]token.Pos) {
	for _, decl := range tree.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Recv == nil {
				names[decl.Name.Name] = decl.Name.Pos()
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names[spec.Name.Name] = spec.Name.Pos()
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						names[name.Name] = name.Pos()
					}
				}
			}
		}
	}
}
