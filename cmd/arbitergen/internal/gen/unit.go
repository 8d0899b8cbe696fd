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

// unit is a package whose types are checked together: a package with its own test files if they matter, or the external tests
// of a package.
type unit struct {
	path       string // import path, with _test for external tests
	name       string // name in the package clause
	dir        string
	module     string // path of its module
	moduleDir  string
	goVersion  string
	importMap  map[string]string
	files      []*file
	otherFiles []string     // names of files in the folder that are not part of the unit
	external   bool         // external tests
	functions  []*annotated // in the order of the files
	planned    map[*ast.FuncDecl][]planned
	lines      []generateLine
	client     *client // the package of its handles; nil if that is the unit itself
	needs      map[string]bool
	deps       []*unit // direct imports from the main module that are needed

	declared map[string]token.Pos // names that the package declares, without generated ones
	imported map[string]token.Pos // names that files give to imports
	pkg      *types.Package
	defs     map[*ast.Ident]types.Object

	hasClientFile bool // the handles of another package are generated into it

	program *program
	quiet   bool // its errors are reported elsewhere
	// No code is generated for a unit that has failed. The types of a tainted unit, and of units that import it, may be
	// wrong: errors about them are not reported.
	failed, tainted bool
}

// annotated is a function or method with a directive.
type annotated struct {
	file    *file
	fn      *ast.FuncDecl
	opts    options
	names   names
	wrapper string // the type of the handle

	schedules []planned // the directives of schedules beside it
}

// fail reports an error. No code is generated for the unit then.
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

// position returns a position without regard to //line comments, since the user has to edit the file itself.
func (u *unit) position(pos token.Pos) token.Position {
	return u.program.fset.PositionFor(pos, false)
}

// place returns a position for use in a message.
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
	u.attachSchedules()
}

// checkListed reports the error that go list has for the package, unless it is about generated files, which do not matter, or
// was reported already.
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

// parsePosition parses a position of go list, which is relative to some folder.
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

// resolve returns the package that an import path in the unit's files refers to.
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
