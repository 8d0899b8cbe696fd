package gen

import (
	"cmp"
	"context"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// folder is a folder of the user that can have generated files.
type folder struct {
	pkg      *listed
	base     *unit // the package; nil if no file has a directive or something similar
	external *unit // the same for its external tests
	// The generated files that belong to this build, by name. Files that a build tag excludes may be right for another
	// build, and stay.
	present map[string]bool
}

// units returns base and external, as far as the folder has them.
func (f *folder) units() []*unit {
	return slices.DeleteFunc([]*unit{f.base, f.external}, func(u *unit) bool { return u == nil })
}

// program is the data of one run.
type program struct {
	dir     string // the current folder
	fset    *token.FileSet
	diags   *diagnostics
	listed  map[string]*listed // by import path
	folders []*folder          // the folders that match the patterns, in the order of their paths
	units   map[string]*unit   // by import path; units of other packages are added on demand
	exports map[string]*listed // packages of other modules, with export data
	clients map[string]*client // by import path
}

// load reads the packages that match the patterns. It does not check types.
func load(ctx context.Context, dir string, patterns []string, diags *diagnostics) (*program, error) {
	p := &program{
		dir: dir, fset: token.NewFileSet(), diags: diags,
		listed: make(map[string]*listed), units: make(map[string]*unit), exports: make(map[string]*listed),
		clients: make(map[string]*client),
	}
	pkgs, err := describe(ctx, dir, patterns)
	if err != nil {
		return nil, err
	}
	for _, pkg := range pkgs {
		p.listed[pkg.ImportPath] = pkg
		if pkg.DepOnly {
			continue
		}
		if msg := unsuitable(pkg); msg != "" {
			diags.errorf("%s", msg)
			continue
		}
		p.folders = append(p.folders, &folder{pkg: pkg})
	}
	if !slices.ContainsFunc(pkgs, func(pkg *listed) bool { return !pkg.DepOnly }) {
		diags.add(Diagnostic{Msg: strings.Join(patterns, " ") + " matched no packages", Warning: true})
	}
	slices.SortFunc(p.folders, func(a, b *folder) int { return cmp.Compare(a.pkg.Dir, b.pkg.Dir) })
	if err := p.readFolders(); err != nil {
		return nil, err
	}
	for _, f := range p.folders {
		for _, u := range f.units() {
			p.units[u.path] = u
		}
	}
	return p, nil
}

// unsuitable returns the reason why no code can be generated for a matched package, or "" if it can.
func unsuitable(pkg *listed) string {
	switch {
	case pkg.ImportPath == "command-line-arguments":
		return "want packages or folders, not Go files: arbitergen works on whole packages"
	case len(pkg.GoFiles)+len(pkg.CgoFiles)+len(pkg.TestGoFiles)+len(pkg.XTestGoFiles) == 0 && pkg.Error != nil:
		return oneLine(pkg.Error.Err)
	case !pkg.local():
		return pkg.ImportPath + " is not in the main module: code is only generated there"
	}
	return ""
}

// readFolders reads and parses the folders, several at a time.
func (p *program) readFolders() error {
	var wg sync.WaitGroup
	errs := make([]error, len(p.folders))
	limit := make(chan struct{}, 16) // bounds the number of open files
	for i, f := range p.folders {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			errs[i] = p.readFolder(f)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *program) readFolder(f *folder) error {
	pkg := f.pkg
	base, err := readFiles(pkg.Dir, slices.Concat(pkg.GoFiles, pkg.CgoFiles), false)
	if err != nil {
		return err
	}
	tests, err := readFiles(pkg.Dir, pkg.TestGoFiles, true)
	if err != nil {
		return err
	}
	external, err := readFiles(pkg.Dir, pkg.XTestGoFiles, true)
	if err != nil {
		return err
	}
	f.present = make(map[string]bool)
	for _, name := range slices.Concat(pkg.GoFiles, pkg.TestGoFiles, pkg.XTestGoFiles, pkg.InvalidGoFiles) {
		if src, err := os.ReadFile(filepath.Join(pkg.Dir, name)); slices.Contains(genFiles, name) && err == nil {
			f.present[name] = ours(name, src)
		}
	}
	// External tests may use names that the package's own tests declare for them.
	if anyMentions(tests) || anyMentions(external) {
		base = append(base, tests...)
	}
	if anyMentions(base) || anyMentions(external) && len(tests) > 0 {
		f.base = p.newUnit(pkg, base)
		f.base.parse()
		f.base.findFunctions()
		f.base.checkListed(pkg)
	}
	if anyMentions(external) {
		f.external = p.newUnit(pkg, external)
		f.external.path += "_test"
		f.external.external = true
		f.external.parse()
		f.external.findFunctions()
	}
	return nil
}

func (p *program) newUnit(pkg *listed, files []*file) *unit {
	u := &unit{
		path: pkg.ImportPath, dir: pkg.Dir, importMap: pkg.ImportMap, files: files,
		otherFiles: slices.Concat(pkg.IgnoredGoFiles, pkg.TestGoFiles), program: p,
		hasClientFile: slices.Contains(pkg.GoFiles, genClientFile),
	}
	if pkg.Module != nil {
		u.module, u.moduleDir = pkg.Module.Path, pkg.Module.Dir
		if v := pkg.Module.GoVersion; v != "" {
			u.goVersion = "go" + v
		}
	}
	return u
}

// unit returns the unit of a package in a main module that other packages import.
func (p *program) unit(pkg *listed) *unit {
	if u := p.units[pkg.ImportPath]; u != nil {
		return u
	}
	files, err := readFiles(pkg.Dir, slices.Concat(pkg.GoFiles, pkg.CgoFiles), false)
	u := p.newUnit(pkg, files)
	p.units[pkg.ImportPath] = u
	if err != nil {
		u.failed, u.tainted = true, true
		p.diags.errorf("%v", err)
		return u
	}
	u.parse()
	u.checkListed(pkg)
	// Errors in its directives are reported when the package itself is part of a run.
	u.quiet = true
	u.findFunctions()
	if len(u.functions) > 0 {
		u.findClient("")
	}
	u.quiet, u.failed = false, u.tainted
	return u
}

// annotatedUnits returns the units of this run that have tasks.
func (p *program) annotatedUnits() []*unit {
	var units []*unit
	for _, f := range p.folders {
		for _, u := range f.units() {
			if len(u.functions) > 0 {
				units = append(units, u)
			}
		}
	}
	return units
}

// listMissing lists the packages that only test files import, since go list did not follow those imports.
func (p *program) listMissing(ctx context.Context, units []*unit) error {
	missing := make(map[string]bool)
	for _, u := range units {
		for _, tree := range u.trees() {
			for _, spec := range tree.Imports {
				if path := u.resolve(importPath(spec)); p.listed[path] == nil && path != "C" && path != "unsafe" && path != "" {
					missing[path] = true
				}
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	pkgs, err := describe(ctx, p.dir, slices.Sorted(maps.Keys(missing)))
	if err != nil {
		return err
	}
	for _, pkg := range pkgs {
		if p.listed[pkg.ImportPath] == nil {
			p.listed[pkg.ImportPath] = pkg
		}
	}
	return nil
}
