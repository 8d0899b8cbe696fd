package gen

import (
	"go/ast"
	"path"
	"strconv"
)

// importPath returns the path of an import, or "" if it is malformed.
func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return ""
	}
	return p
}

// neededImports returns the imports of a file that matter if function bodies are ignored. The others, which are most, are
// never loaded.
func neededImports(tree *ast.File, nameOf func(path string) string) []*ast.ImportSpec {
	used := usedQualifiers(tree)
	var needed []*ast.ImportSpec
	for _, spec := range tree.Imports {
		var name string
		if spec.Name != nil {
			name = spec.Name.Name
		} else {
			name = nameOf(importPath(spec))
		}
		if name == "." || used[name] {
			needed = append(needed, spec)
		}
	}
	return needed
}

// usedQualifiers returns the names x of all expressions x.y outside of function bodies.
func usedQualifiers(tree *ast.File) map[string]bool {
	used := make(map[string]bool)
	var visit func(ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv != nil {
				ast.Inspect(n.Recv, visit)
			}
			ast.Inspect(n.Type, visit)
			return false
		case *ast.FuncLit:
			ast.Inspect(n.Type, visit)
			return false
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				used[x.Name] = true
			}
		}
		return true
	}
	ast.Inspect(tree, visit)
	return used
}

// packageName returns the name of a package. If the package was not listed, it is guessed from the path.
func (p *program) packageName(importPath string) string {
	if pkg := p.listed[importPath]; pkg != nil && pkg.Name != "" {
		return pkg.Name
	}
	return path.Base(importPath)
}
