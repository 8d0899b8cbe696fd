package gen

import (
	"go/ast"
	"go/token"
)

// declare adds the names that will be generated to the syntax trees, so that user code that refers to them can be checked. The
// structs of arguments are complete, since they can be part of another task's signature. Handles, their types and the
// functions are declared with an invalid type. The type checker treats such a type as an error that was reported already,
// and reports no errors about its uses.
//
// Names that the user's code declares are left out; see checkNames.
func (u *unit) declare() {
	if len(u.functions) == 0 {
		return
	}
	own := u.declaredNames()
	u.declared, u.imported = u.namesOfPackage(own), u.namesOfImports()
	taken := make(map[string]bool)
	for _, names := range []map[string]token.Pos{u.declared, u.imported} {
		for name := range names {
			taken[name] = true
		}
	}
	added := make(map[string]bool)
	add := func(a *annotated, tok token.Token, name string, typ ast.Expr) {
		_, declared := own[name]
		if declared || added[name] {
			return
		}
		added[name], taken[name] = true, true
		ident := newIdent(a, name)
		var spec ast.Spec = &ast.TypeSpec{Name: ident, Type: typ}
		if tok == token.VAR {
			spec = &ast.ValueSpec{Names: []*ast.Ident{ident}, Type: typ}
		}
		decl := &ast.GenDecl{TokPos: ident.NamePos, Tok: tok, Specs: []ast.Spec{spec}}
		a.file.syntax.Decls = append(a.file.syntax.Decls, decl)
	}
	for _, a := range u.functions {
		if isGeneric(a.fn) {
			continue // refused later; its types have no meaning outside of it
		}
		add(a, token.VAR, a.names.register(u.inTestFile(a)), invalidType(a))
		if len(a.schedules) > 0 {
			add(a, token.VAR, u.schedulesName(a), invalidType(a))
		}
		if u.inClient(a) {
			continue // the rest is in the client package
		}
		add(a, token.TYPE, a.names.args, argsStruct(a))
		add(a, token.VAR, a.names.handle, invalidType(a))
	}
	for _, a := range u.functions { // last, since these names avoid all others
		if u.inClient(a) {
			continue
		}
		a.wrapper = a.names.freeWrapper(taken)
		add(a, token.TYPE, a.wrapper, invalidType(a))
	}
}

func newIdent(a *annotated, name string) *ast.Ident {
	return &ast.Ident{Name: name, NamePos: a.fn.Name.Pos()}
}

func invalidType(a *annotated) ast.Expr {
	return &ast.BadExpr{From: a.fn.Name.Pos(), To: a.fn.Name.Pos()}
}

// argsStruct returns the struct type of a function's arguments.
func argsStruct(a *annotated) ast.Expr {
	pos := a.fn.Name.Pos()
	fields := &ast.FieldList{Opening: pos, Closing: pos}
	for _, p := range parametersOf(a.fn, seemsContext(a.fn)) {
		fields.List = append(fields.List, &ast.Field{Names: []*ast.Ident{newIdent(a, p.field)}, Type: p.fieldType()})
	}
	return &ast.StructType{Struct: pos, Fields: fields}
}

// seemsContext reports whether the first parameter is probably a context. It is called before types are known.
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

// inTestFile reports whether the function has a registration of its own for test files, because the package has others
// outside of test files.
func (u *unit) inTestFile(a *annotated) bool { return a.file.test && !u.external }

// declaredNames returns the names that the unit's files declare, with their positions.
func (u *unit) declaredNames() map[string]token.Pos {
	names := make(map[string]token.Pos)
	for _, tree := range u.trees() {
		collectNames(tree, names)
	}
	delete(names, "_")
	delete(names, "init")
	return names
}

// collectNames adds the names that a file declares at package level.
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
