package gen

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/types"
	"io"
	"os"
	"strings"
)

// check checks the types of the units, which are in the order of their dependencies. It ignores the bodies of functions.
func (p *program) check(order []*unit) {
	compiled := importer.ForCompiler(p.fset, "gc", p.openExport)
	for _, u := range order {
		for _, dep := range u.deps {
			u.tainted = u.tainted || dep.tainted
		}
		u.declare()
		if u.hasClientFile || p.clients[u.path] != nil {
			u.declareClient()
		}
		u.check(&unitImporter{unit: u, program: p, compiled: compiled})
	}
}

// openExport opens the export data of a package in another module.
func (p *program) openExport(path string) (io.ReadCloser, error) {
	if pkg := p.exports[path]; pkg != nil && pkg.Export != "" {
		return os.Open(pkg.Export)
	}
	return nil, errors.New(p.exportError(path))
}

func (u *unit) check(imports types.Importer) {
	var wrong []Diagnostic
	conf := types.Config{
		GoVersion:        u.goVersion,
		IgnoreFuncBodies: true,
		FakeImportC:      true,
		Importer:         imports,
		Sizes:            types.SizesFor("gc", build.Default.GOARCH),
		Error: func(err error) {
			found, ok := errors.AsType[types.Error](err)
			more, continued := strings.CutPrefix(found.Msg, "\t")
			switch {
			// An invalid type is the type of a name that will be generated, or of one whose
			// error was reported already.
			case !ok, u.tainted, strings.Contains(found.Msg, "invalid type"):
			case continued && len(wrong) > 0:
				last := &wrong[len(wrong)-1]
				last.Help = append(last.Help, u.place(found.Pos)+": "+more)
			default:
				wrong = append(wrong, Diagnostic{Pos: u.position(found.Pos), Msg: found.Msg})
			}
		},
	}
	u.defs = make(map[*ast.Ident]types.Object)
	// The returned error is the first of the errors that were reported above.
	u.pkg, _ = conf.Check(u.path, u.program.fset, u.trees(), &types.Info{Defs: u.defs})
	for _, d := range wrong {
		u.report(d)
	}
	// The types are used only if all are right, since a wrong one may be infinite, such as T in
	// "type T[P any] struct{ Next *T[[]P] }".
	u.tainted = u.tainted || len(wrong) > 0
	u.failed = u.failed || u.tainted
}

// unitImporter imports packages for one unit.
type unitImporter struct {
	unit     *unit
	program  *program
	compiled types.Importer
}

// Import implements [types.Importer].
func (i *unitImporter) Import(path string) (*types.Package, error) {
	target := i.unit.resolve(path)
	switch {
	case path == "unsafe":
		return types.Unsafe, nil
	case !i.unit.needs[path]:
		// Only the bodies of functions use the package, so its contents do not matter.
		pkg := types.NewPackage(target, i.program.packageName(target))
		pkg.MarkComplete()
		return pkg, nil
	}
	if dep := i.program.units[target]; dep != nil {
		if dep.pkg == nil {
			return nil, fmt.Errorf("package %s has errors", target)
		}
		return dep.pkg, nil
	}
	return i.compiled.Import(target)
}
