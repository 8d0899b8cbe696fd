package gen

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// unit is a package as types are checked: with its own test files if they
// matter, or the external tests of a package.
type unit struct {
	path       string // import path; that of external tests ends in _test
	name       string // package clause
	dir        string
	module     string // path of its module
	moduleDir  string
	goVersion  string
	importMap  map[string]string
	files      []*file
	otherFiles []string     // names of files in the folder that are not checked with it
	external   bool         // external tests
	functions  []*annotated // in the order of the files
	lines      []generateLine
	client     *client // where its handles go; nil if they are in the package
	needs      map[string]bool
	deps       []*unit // of the main module, directly imported and needed

	declared map[string]token.Pos // names of the package that are not generated
	imported map[string]token.Pos // names of imports in single files
	pkg      *types.Package
	defs     map[*ast.Ident]types.Object

	hasClientFile bool // handles of another package are generated into it

	program *program
	quiet   bool // what is wrong is reported elsewhere
	// Nothing is generated for a unit that failed. The types of a tainted one, and
	// of those that need it, are not to be relied on: nothing is said about them.
	failed, tainted bool
}

// annotated is a function or method with a directive.
type annotated struct {
	file    *file
	fn      *ast.FuncDecl
	opts    options
	names   names
	wrapper string // the type of the handle
}

// fail reports an error, after which nothing is generated for the unit.
func (u *unit) fail(pos token.Pos, d Diagnostic) {
	u.failed = true
	d.Pos = u.position(pos)
	u.report(d)
}

func (u *unit) report(d Diagnostic) {
	if !u.quiet {
		u.program.diags.add(d)
	}
}

func (u *unit) errorAt(pos token.Pos, msg string, help ...string) {
	u.fail(pos, Diagnostic{Msg: msg, Help: help})
}

func (u *unit) errorf(pos token.Pos, format string, args ...any) {
	u.errorAt(pos, fmt.Sprintf(format, args...))
}

func (u *unit) warnf(pos token.Pos, format string, args ...any) {
	u.report(Diagnostic{Pos: u.position(pos), Msg: fmt.Sprintf(format, args...), Warning: true})
}

// position ignores //line comments: it is this file that has to be edited.
func (u *unit) position(pos token.Pos) token.Position {
	return u.program.fset.PositionFor(pos, false)
}

// place writes a position within a message.
func (u *unit) place(pos token.Pos) string {
	p := u.position(pos)
	return fmt.Sprintf("%s:%d", relative(u.program.dir, p.Filename), p.Line)
}

// parse parses all files.
func (u *unit) parse() {
	for _, f := range u.files {
		for _, e := range f.parse(u.program.fset) {
			u.failed, u.tainted = true, true
			u.report(Diagnostic{Pos: e.Pos, Msg: e.Msg})
		}
		switch {
		case f.syntax == nil || f.syntax.Name == nil:
			u.failed, u.tainted = true, true
			f.syntax = nil
		case u.name == "":
			u.name = f.syntax.Name.Name
		case u.name != f.syntax.Name.Name:
			u.tainted = true
			u.errorf(f.syntax.Name.Pos(), "package %s in a folder of package %s", f.syntax.Name.Name, u.name)
		}
	}
}

// findFunctions finds the functions with directives.
func (u *unit) findFunctions() {
	for _, f := range u.files {
		if f.syntax != nil && f.mentions() {
			u.scan(f)
		}
	}
}

// checkListed reports what go list found wrong with the package, unless it is
// about generated files, which do not count, or about what was found already.
func (u *unit) checkListed(pkg *listed) {
	if pkg.Error == nil || u.tainted || strings.HasPrefix(pkg.Error.Err, "found packages ") {
		return
	}
	name, _, _ := strings.Cut(filepath.Base(pkg.Error.Pos), ":")
	if slices.Contains(genFiles, name) {
		return
	}
	u.failed = true
	pos := token.Position{Filename: u.dir}
	if name != "." {
		pos = parsePosition(u.dir, pkg.Error.Pos)
	}
	u.report(Diagnostic{Pos: pos, Msg: oneLine(pkg.Error.Err)})
}

// parsePosition reads a position that go list gives relative to some folder.
func parsePosition(dir, s string) token.Position {
	parts := strings.Split(filepath.Base(s), ":")
	pos := token.Position{Filename: filepath.Join(dir, parts[0])}
	if len(parts) > 1 {
		pos.Line, _ = strconv.Atoi(parts[1])
	}
	if len(parts) > 2 {
		pos.Column, _ = strconv.Atoi(parts[2])
	}
	return pos
}

// trees returns the syntax trees.
func (u *unit) trees() []*ast.File {
	trees := make([]*ast.File, 0, len(u.files))
	for _, f := range u.files {
		if f.syntax != nil {
			trees = append(trees, f.syntax)
		}
	}
	return trees
}

// resolve returns which package an import path in the unit's files stands for.
func (u *unit) resolve(path string) string {
	if to, ok := u.importMap[path]; ok {
		return to
	}
	return path
}

// hasTests reports whether some of the annotated functions are in test files.
func (u *unit) hasTests() bool {
	return slices.ContainsFunc(u.functions, func(a *annotated) bool { return a.file.test })
}
