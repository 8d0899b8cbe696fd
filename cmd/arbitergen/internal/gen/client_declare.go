package gen

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// clientUnit returns the unit of the client package, with the files that the user has written. There may be none.
func (p *program) clientUnit(c *client) *unit {
	if u := p.units[c.path]; u != nil {
		return u
	}
	if pkg := p.listed[c.path]; pkg != nil && pkg.local() {
		return p.unit(pkg)
	}
	u := p.newUnit(&listed{ImportPath: c.path, Dir: c.dir}, nil)
	u.module, u.moduleDir, u.goVersion = c.worker.module, c.worker.moduleDir, c.worker.goVersion
	p.units[c.path] = u
	return u
}

// declareClient adds the names that will be generated into a client package to its syntax trees, as declare does. If the
// package with the functions is not part of this run, the names are those in the existing generated file.
func (u *unit) declareClient() {
	kinds := make(map[string]token.Token)
	name := u.name
	if file := filepath.Join(u.dir, genClientFile); u.hasClientFile {
		if src, err := os.ReadFile(file); err == nil {
			tree, _ := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
			if tree != nil && tree.Name != nil {
				name = tree.Name.Name
				oldNames(tree, kinds)
			}
		}
	}
	if c := u.program.clients[u.path]; c != nil {
		name = c.name
		clear(kinds)
		for a := range c.functions() {
			kinds[a.names.args], kinds[a.wrapper], kinds[a.names.handle] = token.TYPE, token.TYPE, token.VAR
		}
	}
	own := u.declaredNames()
	maps.DeleteFunc(kinds, func(name string, _ token.Token) bool { _, ok := own[name]; return ok })
	if !token.IsIdentifier(name) || len(kinds) == 0 && len(u.files) > 0 {
		return // the package was never compiled, or there is nothing to add
	}
	f := &file{path: filepath.Join(u.dir, genClientFile), src: []byte("package " + name + "\n")}
	_ = f.parse(u.program.fset) // a package clause alone has no errors
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		pos := f.syntax.Name.Pos()
		ident, typ := &ast.Ident{Name: name, NamePos: pos}, &ast.BadExpr{From: pos, To: pos}
		var spec ast.Spec = &ast.TypeSpec{Name: ident, Type: typ}
		if kinds[name] == token.VAR {
			spec = &ast.ValueSpec{Names: []*ast.Ident{ident}, Type: typ}
		}
		f.syntax.Decls = append(f.syntax.Decls, &ast.GenDecl{TokPos: pos, Tok: kinds[name], Specs: []ast.Spec{spec}})
	}
	u.files = append(u.files, f)
	u.name = name
}

// oldNames collects the types and variables of a generated file.
func oldNames(tree *ast.File, kinds map[string]token.Token) {
	for _, decl := range tree.Decls {
		decl, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				kinds[spec.Name.Name] = token.TYPE
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					kinds[name.Name] = token.VAR
				}
			}
		}
	}
	delete(kinds, "_")
}
