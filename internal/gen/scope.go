package gen

import (
	"fmt"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"regexp"
)

// checkNames reports names of generated code that are taken. It returns all
// names of the package, those that will be generated among them.
func (u *unit) checkNames(tasks []*task) map[string]bool {
	names := make(map[string]bool)
	for name := range u.declared {
		names[name] = true
	}
	claims := make(map[string]claim)
	for _, t := range tasks {
		u.claim(t.names.args, claim{t, "the type of its arguments"}, claims)
		u.claim(t.names.handle, claim{t, "its handle"}, claims)
		u.claim(t.registerName(), claim{t, registration}, claims)
		t.checkShadows()
		names[t.wrapper] = true
	}
	for name := range claims {
		names[name] = true
	}
	return names
}

func (t *task) registerName() string { return t.names.register(t.unit.inTestFile(t.annotated)) }

// claim is a name that is going to be generated for a task.
type claim struct {
	task *task
	what string
}

// registration is what the tasks of one receiver share.
const registration = "the function that registers it"

func (u *unit) claim(name string, c claim, claims map[string]claim) {
	other, claimed := claims[name]
	pos, exists := u.declared[name]
	if !exists {
		pos, exists = u.imported[name]
	}
	switch {
	case claimed && c.what == registration && other.what == registration && c.task.names.receiver == other.task.names.receiver:
		return
	case claimed:
		c.task.errorAt(c.task.pos(), fmt.Sprintf("%s would be called %s, which is generated for %s already",
			c.what, name, other.task.spoken()), "rename one of the two")
	case exists:
		c.task.errorAt(c.task.pos(), fmt.Sprintf("%s would be called %s, which is declared at %s",
			c.what, name, u.place(pos)), "rename one of the two")
	}
	claims[name] = c
}

// namesOfImports returns the names that the files give to imports. They are none
// of the package, but it must not declare them.
func (u *unit) namesOfImports() map[string]token.Pos {
	names := make(map[string]token.Pos)
	for _, tree := range u.trees() {
		for _, spec := range tree.Imports {
			if spec.Name != nil && spec.Name.Name != "." {
				names[spec.Name.Name] = spec.Pos()
			}
		}
	}
	return names
}

// namesOfPackage returns the names that the package declares: in the unit's own
// files, and in the others whatever they are built for.
func (u *unit) namesOfPackage(own map[string]token.Pos) map[string]token.Pos {
	names := maps.Clone(own)
	others, err := readFiles(u.dir, u.otherFiles, false)
	if err != nil {
		return names // gone since it was listed
	}
	for _, f := range others {
		// Errors are for others to report: the file is not part of this build.
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

// checkShadows reports predeclared names that the package gives another meaning,
// and that generated code needs.
func (t *task) checkShadows() {
	text := signatureText(t.sig, func(p *types.Package) string { return p.Name() }) + " error nil"
	if t.step >= 0 {
		text += " string any"
	}
	for _, name := range words.FindAllString(text, -1) {
		pos, declared := t.unit.declared[name]
		if declared && types.Universe.Lookup(name) != nil {
			t.errorAt(t.pos(), fmt.Sprintf("generated code needs the predeclared %s, and %s declares another",
				name, t.unit.place(pos)), "rename the one of the package")
		}
	}
}

// locals chooses names for the variables of generated code: those that are
// wished for, with underscores if the package or a parameter has the name.
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
