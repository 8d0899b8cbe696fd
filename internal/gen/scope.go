package gen

import (
	"fmt"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
)

// checkNames reports names of generated code that are taken, and chooses those
// of the handles' types. It returns all names of the package, those that will
// be generated among them.
func (u *unit) checkNames(tasks []*task) map[string]bool {
	declared := u.namesOfPackage()
	generated := make(map[string]string) // what each name is: the handle of Add
	for _, t := range tasks {
		u.claim(t, t.args, "the arguments of "+t.spoken(), declared, generated)
		u.claim(t, t.handle, "the handle of "+t.spoken(), declared, generated)
		u.claim(t, t.registerName(), t.group(), declared, generated)
		t.checkShadows(declared)
	}
	names := make(map[string]bool)
	for name := range declared {
		names[name] = true
	}
	for name := range generated {
		names[name] = true
	}
	for _, t := range tasks {
		attempt := 0
		for names[t.names.wrapper(attempt)] {
			attempt++
		}
		t.wrapper = t.names.wrapper(attempt)
		names[t.wrapper] = true
	}
	return names
}

// group describes the tasks that are registered together with this one.
func (t *task) group() string {
	what := "the function that registers tasks"
	if t.receiver != "" {
		what = "the function that registers the tasks of " + t.receiver
	}
	if t.unit.inTestFile(t.annotated) {
		what += " in test files"
	}
	return what
}

func (t *task) registerName() string { return t.names.register(t.unit.inTestFile(t.annotated)) }

// claim notes a name that is going to be generated.
func (u *unit) claim(t *task, name, what string, declared map[string]token.Pos, generated map[string]string) {
	other, claimed := generated[name]
	switch pos, exists := declared[name]; {
	case claimed && other == what: // as the function that registers both
	case claimed:
		t.errorAt(t.pos(), fmt.Sprintf("%s would be called %s, as %s would", what, name, other), "rename one of the two")
	case exists:
		at := u.position(pos)
		t.errorAt(t.pos(), fmt.Sprintf("%s would be called %s, which is declared at %s:%d",
			what, name, relative(u.dir, at.Filename), at.Line), "rename one of the two")
	}
	generated[name] = what
}

// namesOfPackage returns the names that generated code must not declare: those
// of the package, in all files whatever they are built for, and of imports.
func (u *unit) namesOfPackage() map[string]token.Pos {
	names := maps.Clone(u.declared)
	for _, f := range u.files {
		for _, spec := range f.syntax.Imports {
			if spec.Name != nil {
				names[spec.Name.Name] = spec.Pos()
			}
		}
	}
	others, err := readFiles(u.dir, u.otherFiles, false)
	if err != nil {
		return names // gone since it was listed
	}
	for _, f := range others {
		// Errors are for others to report: the file is not part of this build.
		tree, _ := parser.ParseFile(u.fset, f.path, f.src, parser.SkipObjectResolution)
		if tree != nil && tree.Name != nil && tree.Name.Name == u.name {
			collectNames(tree, names)
		}
	}
	delete(names, "_")
	delete(names, ".")
	delete(names, "init")
	return names
}

// checkShadows reports predeclared types that the package gives another
// meaning, and that the signature needs.
func (t *task) checkShadows(declared map[string]token.Pos) {
	text := signatureText(t.sig, func(p *types.Package) string { return p.Name() }) + " error"
	words := regexp.MustCompile(`[\pL_.][\pL\pN_.]*`).FindAllString(text, -1)
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		if types.Universe.Lookup(name) != nil && slices.Contains(words, name) {
			t.errorAt(t.pos(), fmt.Sprintf("generated code needs the predeclared %s, and %s:%d declares another",
				name, filepath.Base(t.unit.position(declared[name]).Filename), t.unit.position(declared[name]).Line),
				"rename the one of the package")
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
