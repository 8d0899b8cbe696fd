package gen

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"regexp"
)

// checkNames reports names of generated code that are already taken. It returns all names of the package, with those that will
// be generated.
func (u *unit) checkNames(tasks []*task) map[string]bool {
	names := make(map[string]bool)
	for name := range u.declared {
		names[name] = true
	}
	here := claims{u.declared, u.imported, make(map[string]claim)}
	checkSchedules(tasks)
	for _, t := range tasks {
		if len(t.schedules) > 0 {
			here.claim(u.schedulesName(t.annotated), claim{t, scheduleList})
		}
		if u.inClient(t.annotated) {
			here.claim(t.registerName(), claim{t, registration})
			t.checkShadows(u.declared)
			continue
		}
		here.handle(t)
		here.claim(t.registerName(), claim{t, registration})
		t.checkShadows(u.declared)
		names[t.wrapper] = true
	}
	if u.client != nil {
		u.client.checkNames(tasks)
	}
	for name := range here.claimed {
		names[name] = true
	}
	return names
}

// checkNames does the same for the names in the client package.
func (c *client) checkNames(tasks []*task) {
	there := claims{c.declared, c.imported, make(map[string]claim)}
	for _, t := range tasks {
		if c.worker.inClient(t.annotated) {
			there.handle(t)
			t.checkShadows(c.declared)
		}
	}
}

// scope returns all names of the client package.
func (c *client) scope() map[string]bool {
	names := make(map[string]bool)
	for name := range c.declared {
		names[name] = true
	}
	for a := range c.functions() {
		names[a.names.args], names[a.names.handle], names[a.wrapper] = true, true, true
	}
	return names
}

// claims are the names that are generated into a package, beside the names that its files declare and give to imports.
type claims struct {
	declared, imported map[string]token.Pos
	claimed            map[string]claim
}

// handle claims the names of a task's handle.
func (all claims) handle(t *task) {
	all.claim(t.names.args, claim{t, "the type of its arguments"})
	all.claim(t.names.handle, claim{t, "its handle"})
}

func (t *task) registerName() string { return t.names.register(t.unit.inTestFile(t.annotated)) }

// claim is a name that will be generated for a task.
type claim struct {
	task *task
	what string
}

// registration is a claim that all tasks of one receiver share.
const registration = "the function that registers it"

func (all claims) claim(name string, c claim) {
	other, claimed := all.claimed[name]
	pos, exists := all.declared[name]
	if !exists {
		pos, exists = all.imported[name]
	}
	switch {
	case claimed && c.what == registration && other.what == registration && c.task.names.receiver == other.task.names.receiver:
		return
	case claimed && c.what == scheduleList && other.what == scheduleList:
		return
	case claimed:
		c.task.errorAt(c.task.pos(), fmt.Sprintf("%s would be called %s, which is generated for %s already",
			c.what, name, other.task.spoken()), "rename one of the two")
	case exists:
		c.task.errorAt(c.task.pos(), fmt.Sprintf("%s would be called %s, which is declared at %s",
			c.what, name, c.task.unit.place(pos)), "rename one of the two")
	}
	all.claimed[name] = c
}

// namesOfImports returns the names that the files give to imports. They are not names of the package, but the package must not
// declare them.
func (u *unit) namesOfImports() map[string]token.Pos {
	names := make(map[string]token.Pos)
	for _, tree := range u.trees() {
		collectImports(tree, names)
	}
	return names
}

// collectImports adds the names that a file gives to imports.
func collectImports(tree *ast.File, names map[string]token.Pos) {
	for _, spec := range tree.Imports {
		if spec.Name != nil && spec.Name.Name != "." {
			names[spec.Name.Name] = spec.Pos()
		}
	}
}

// namesOfPackage returns the names that the package declares, in the unit's own files and in files for other builds.
func (u *unit) namesOfPackage(own map[string]token.Pos) map[string]token.Pos {
	names := maps.Clone(own)
	others, err := readFiles(u.dir, u.otherFiles, false)
	if err != nil {
		return names // a file was removed since it was listed
	}
	for _, f := range others {
		// The file is not part of this build, so its errors are not reported.
		tree, _ := parser.ParseFile(u.program.fset, f.path, f.src, parser.SkipObjectResolution)
		if tree != nil && tree.Name != nil && tree.Name.Name == u.name {
			collectNames(tree, names)
		}
	}
	delete(names, "_")
	delete(names, "init")
	return names
}

var words = regexp.MustCompile(`[\pL_.][\pL\pN_.]*`)

// checkShadows reports predeclared names that generated code needs and that the package declares with another meaning.
func (t *task) checkShadows(declaredNames map[string]token.Pos) {
	text := signatureText(t.sig, func(p *types.Package) string { return p.Name() }) + " error nil"
	if t.step >= 0 {
		text += " string any"
	}
	for _, name := range words.FindAllString(text, -1) {
		pos, declared := declaredNames[name]
		if declared && types.Universe.Lookup(name) != nil {
			t.errorAt(t.pos(), fmt.Sprintf("generated code needs the predeclared %s, and %s declares another",
				name, t.unit.place(pos)), "rename the one of the package")
		}
	}
}

// locals chooses names for the variables of generated code: the wished ones, with underscores if the package or a parameter has
// the name.
func locals(scope map[string]bool, params []param, wished ...string) []string {
	taken := maps.Clone(scope)
	for _, p := range params {
		taken[p.name] = true
	}
	chosen := make([]string, len(wished))
	for i, name := range wished {
		chosen[i] = fresh(name, taken)
	}
	return chosen
}
