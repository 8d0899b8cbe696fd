package gen

import (
	"context"
	"go/ast"
	"maps"
	"slices"
	"strings"
)

// requirements finds the packages that must be loaded before the types of the units can be checked.
type requirements struct {
	program  *program
	order    []*unit // dependencies first
	external map[string]bool
	state    map[*unit]visit
}

type visit uint8

const (
	visiting visit = iota + 1
	visited
)

// require returns the units with all units that they depend on, dependencies first. It loads the export data of packages in
// other modules.
func (p *program) require(ctx context.Context, units []*unit) ([]*unit, error) {
	if err := p.listMissing(ctx, units); err != nil {
		return nil, err
	}
	r := &requirements{program: p, external: make(map[string]bool), state: make(map[*unit]visit)}
	for _, u := range units {
		r.visit(u)
	}
	if len(r.external) > 0 {
		pkgs, err := export(ctx, p.dir, slices.Sorted(maps.Keys(r.external)))
		if err != nil {
			return nil, err
		}
		for _, pkg := range pkgs {
			p.exports[pkg.ImportPath] = pkg
		}
	}
	return r.order, nil
}

func (r *requirements) visit(u *unit) {
	if r.state[u] != 0 {
		return
	}
	r.state[u] = visiting
	u.needs = make(map[string]bool)
	for _, tree := range u.trees() {
		nameOf := func(path string) string { return r.program.packageName(u.resolve(path)) }
		for _, spec := range neededImports(tree, nameOf) {
			r.need(u, spec)
		}
	}
	r.state[u] = visited
	r.order = append(r.order, u)
}

// need records that the types of an imported package are needed.
func (r *requirements) need(u *unit, spec *ast.ImportSpec) {
	path := importPath(spec)
	if path == "" || path == "C" || path == "unsafe" || u.needs[path] {
		return
	}
	u.needs[path] = true
	dep := r.program.local(u.resolve(path))
	if dep == nil {
		r.external[u.resolve(path)] = true
		return
	}
	if r.state[dep] == visiting {
		u.errorf(spec.Pos(), "import cycle: %s imports %s, which imports it in turn", u.path, dep.path)
		delete(u.needs, path)
		u.tainted = true
		return
	}
	r.visit(dep)
	u.deps = append(u.deps, dep)
}

// local returns the unit of a package in a main module, or nil if it is not in one.
func (p *program) local(path string) *unit {
	if c := p.clients[path]; c != nil {
		return p.clientUnit(c)
	}
	if pkg := p.listed[path]; pkg != nil && pkg.local() {
		return p.unit(pkg)
	}
	return nil
}

// exportError returns the reason why a package has no export data.
func (p *program) exportError(path string) string {
	for _, pkg := range []*listed{p.exports[path], p.listed[path]} {
		if pkg != nil && pkg.Error != nil {
			return oneLine(strings.TrimSpace(pkg.Error.Err))
		}
	}
	return "the go command has no export data for it"
}
