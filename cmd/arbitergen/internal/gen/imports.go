package gen

import (
	"fmt"
	"go/types"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The packages that generated code always imports.
const (
	contextPath = "context"
	taskPath    = "github.com/go-arbiter/arbiter/task"
)

// importTable has the packages that a generated file imports, and their names in it. A package that is added earlier gets
// the better name.
type importTable struct {
	self    string              // path of the package that the file belongs to
	module  string              // path of the user's module
	names   map[string]string   // name in this file, by path
	aliases map[string][]string // names that the user's files give to imports, by path
	taken   map[string]bool     // names in the package and of other imports
}

// newImportTable returns the table of a file in the package self, which is generated for the unit.
func newImportTable(u *unit, self string, taken map[string]bool) *importTable {
	t := &importTable{self: self, module: u.module, names: make(map[string]string), aliases: make(map[string][]string), taken: taken}
	for _, tree := range u.trees() {
		for _, spec := range tree.Imports {
			if spec.Name != nil && spec.Name.Name != "." && spec.Name.Name != "_" {
				path := u.resolve(importPath(spec))
				t.aliases[path] = append(t.aliases[path], spec.Name.Name)
			}
		}
	}
	return t
}

// add imports a package and returns its name in this file. It is the package's own name if that is free, or else a name that
// the user gave it in another file, or else its own name with a number.
func (t *importTable) add(path, name string) string {
	if known, ok := t.names[path]; ok {
		return known
	}
	candidates := append([]string{name}, t.aliases[path]...)
	i := slices.IndexFunc(candidates, func(c string) bool { return !t.taken[c] })
	if i >= 0 {
		name = candidates[i]
	} else {
		n := 2
		for t.taken[name+strconv.Itoa(n)] {
			n++
		}
		name += strconv.Itoa(n)
	}
	t.names[path] = name
	t.taken[name] = true
	return name
}

// qualifier is a [types.Qualifier] that imports the packages it is called for.
func (t *importTable) qualifier(pkg *types.Package) string {
	if pkg.Path() == t.self {
		return ""
	}
	return t.add(pkg.Path(), pkg.Name())
}

// decl returns the import declaration: the standard library, then the rest.
func (t *importTable) decl() string {
	var std, rest []string
	for path, name := range t.names {
		line := strconv.Quote(path)
		if name != assumedName(path) {
			line = name + " " + line
		}
		if t.isStandard(path) {
			std = append(std, line)
		} else {
			rest = append(rest, line)
		}
	}
	for _, group := range [][]string{std, rest} {
		slices.SortFunc(group, func(a, b string) int {
			return strings.Compare(a[strings.Index(a, `"`):], b[strings.Index(b, `"`):])
		})
	}
	return fmt.Sprintf("import (\n%s\n\n%s\n)\n", strings.Join(std, "\n"), strings.Join(rest, "\n"))
}

// isStandard reports whether a package is in the standard library, judged by its path.
func (t *importTable) isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && path != t.module && !strings.HasPrefix(path, t.module+"/")
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// assumedName returns the name that readers expect for a package with that path. If the package has another name, its
// import states it.
func assumedName(importPath string) string {
	base := path.Base(importPath)
	if dir := path.Dir(importPath); majorVersion.MatchString(base) && dir != "." {
		return path.Base(dir)
	}
	return base
}
