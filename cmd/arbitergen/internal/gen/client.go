package gen

import (
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// client is a package for the handles of another package. Programs that only submit tasks import it, and so do not link
// the functions.
type client struct {
	worker *unit // the package with the functions
	line   generateLine
	dir    string // absolute
	path   string // import path
	name   string

	// The names that the user's own files in the folder declare, and the names that they give to imports.
	declared, imported map[string]token.Pos
}

// findClients finds the client packages of the units. Asked is the folder on the command line, or empty.
func (p *program) findClients(asked string) {
	for _, f := range p.folders {
		if u := f.base; u != nil && len(u.functions)+len(u.lines) > 0 {
			u.findClient(asked)
		}
	}
}

// findClient finds the unit's client package, if its //go:generate lines have one. Only these lines count, since a run of
// arbitergen ./... has no other source.
func (u *unit) findClient(asked string) {
	i := slices.IndexFunc(u.lines, func(l generateLine) bool { return l.client != "" })
	if i < 0 {
		if asked != "" && len(u.functions) > 0 {
			u.errorAt(u.functions[0].fn.Name.Pos(), "-client "+asked+" is not in the //go:generate lines of the package",
				"arbitergen ./... needs such a line, too: //go:generate go tool arbitergen -client "+asked)
		}
		return
	}
	line := u.lines[i]
	for _, other := range u.lines {
		if other.client != line.client {
			u.errorf(other.pos, "this line has another -client than the //go:generate line at %s", u.place(line.pos))
			return
		}
	}
	switch {
	case asked != "" && filepath.Clean(asked) != filepath.Clean(line.client):
		u.errorf(line.pos, "the line has -client %s, but the command line has -client %s", line.client, asked)
		return
	case len(line.packages) > 0 && !slices.Equal(line.packages, []string{"."}):
		u.errorf(line.pos, "-client is only for the package that the line is in: remove %s", strings.Join(line.packages, " "))
		return
	}
	c := &client{worker: u, line: line, dir: filepath.Join(u.dir, filepath.FromSlash(line.client))}
	if msg, help := c.locate(); msg != "" {
		u.errorAt(line.pos, "-client "+line.client+": "+msg, help)
		return
	}
	if other := u.program.clients[c.path]; other != nil {
		u.errorAt(line.pos, fmt.Sprintf("-client %s: it is the client of %s already", line.client, other.worker.path), oneEach)
		return
	}
	u.client = c
	u.program.clients[c.path] = c
	c.chooseNames()
}

const oneEach = "give each package with tasks a client package of its own"

// locate finds the package of the folder. It returns an error message and a remedy if the folder can't be used.
func (c *client) locate() (msg, help string) {
	root := c.worker.moduleDir
	rel, err := filepath.Rel(root, c.dir)
	switch {
	case filepath.IsAbs(c.line.client):
		return "want a folder relative to that of the package", "such as ../client"
	case err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)):
		return "it is not in the module " + c.worker.module, "choose a folder in it"
	case c.dir == c.worker.dir:
		return "it is the folder of the package itself", "leave -client out, or choose another folder, such as ../client"
	}
	for dir := c.dir; dir != root; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return "it is in another module, that of " + relative(c.worker.program.dir, filepath.Join(dir, "go.mod")), "choose a folder in " + c.worker.module
		}
	}
	c.name = filepath.Base(c.dir)
	if !token.IsIdentifier(c.name) || c.name == "_" || c.name == "main" {
		return c.name + " cannot be the name of a package that others import", "the package has the name of its folder"
	}
	c.path = path.Join(c.worker.module, filepath.ToSlash(rel))
	return c.readFolder()
}

// readFolder reads the names in the user's own files in the folder.
func (c *client) readFolder() (msg, help string) {
	c.declared, c.imported = make(map[string]token.Pos), make(map[string]token.Pos)
	files, _ := filepath.Glob(filepath.Join(escapeGlob(c.dir), "*.go"))
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			return err.Error(), ""
		}
		if ours(name, src) {
			if msg, help := c.checkOwner(name, src); msg != "" {
				return msg, help
			}
			if filepath.Base(name) == genClientFile {
				continue
			}
		}
		tree, _ := parser.ParseFile(c.worker.program.fset, name, src, parser.SkipObjectResolution)
		if tree == nil || tree.Name == nil || tree.Name.Name == "" || strings.HasSuffix(name, "_test.go") && tree.Name.Name == c.name+"_test" {
			continue
		}
		if tree.Name.Name != c.name {
			return fmt.Sprintf("%s is of package %s", relative(c.worker.program.dir, name), tree.Name.Name),
				"the package of the handles has the name of its folder: rename one of the two"
		}
		collectNames(tree, c.declared)
		collectImports(tree, c.imported)
	}
	delete(c.declared, "_")
	delete(c.declared, "init")
	return "", ""
}

// escapeGlob escapes a path so that a pattern matches it literally.
func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

// checkOwner returns an error if the folder has the handles of another package that still exists and is not part of this
// run.
func (c *client) checkOwner(file string, src []byte) (msg, help string) {
	owner := ownerOf(file, src)
	u := c.worker
	if owner == "" || owner == u.path {
		return "", ""
	}
	matched := slices.ContainsFunc(u.program.folders, func(f *folder) bool { return f.pkg.ImportPath == owner })
	if matched || !u.program.exists(owner, u) {
		return "", "" // if it is part of the run and has the same client, findClient reports it
	}
	return "it has the handles of " + owner, oneEach + ", or remove " + relative(u.program.dir, file)
}

// exists reports whether the unit's module has Go files of that package.
func (p *program) exists(importPath string, u *unit) bool {
	rel, ok := strings.CutPrefix(importPath, u.module)
	if !ok {
		return false
	}
	found, _ := filepath.Glob(filepath.Join(escapeGlob(u.moduleDir), filepath.FromSlash(rel), "*.go"))
	return len(found) > 0
}

// chooseNames gives the tasks names that are exported. The type of a handle gets a name that no other code uses.
func (c *client) chooseNames() {
	taken := maps.Clone(c.declared)
	maps.Copy(taken, c.imported)
	used := make(map[string]bool)
	for name := range taken {
		used[name] = true
	}
	for a := range c.functions() {
		a.names = a.names.forClient(a.fn)
		used[a.names.args], used[a.names.handle] = true, true
	}
	for a := range c.functions() {
		a.wrapper = a.names.freeWrapper(used)
	}
}

// functions yields the functions whose handles are in the client package: all except those in test files.
func (c *client) functions() func(func(*annotated) bool) {
	return func(yield func(*annotated) bool) {
		for _, a := range c.worker.functions {
			if !a.file.test && !yield(a) {
				return
			}
		}
	}
}

// inClient reports whether the handle of the function is in a client package.
func (u *unit) inClient(a *annotated) bool { return u.client != nil && !a.file.test }
