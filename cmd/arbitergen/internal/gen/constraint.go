package gen

import (
	"cmp"
	"fmt"
	"go/build/constraint"
	"path/filepath"
	"slices"
	"strings"
)

// The systems and architectures that the name of a file can constrain it to, as in go/build.
var (
	knownOS = strings.Fields("aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd " +
		"openbsd plan9 solaris wasip1 windows zos")
	knownArch = strings.Fields("386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le " +
		"mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm")
)

// constraintOf returns the build constraint of a file, from its name and its //go:build line. It is empty if there is none.
func constraintOf(f *file) string {
	var all []string
	parts := strings.Split(strings.TrimSuffix(strings.TrimSuffix(filepath.Base(f.path), ".go"), "_test"), "_")
	if n := len(parts); n > 1 && slices.Contains(knownArch, parts[n-1]) {
		all = append(all, parts[n-1])
		parts = parts[:n-1]
	}
	if n := len(parts); n > 1 && slices.Contains(knownOS, parts[n-1]) {
		all = append(all, parts[n-1])
	}
	slices.Reverse(all) // the system comes first
	for _, group := range f.syntax.Comments {
		if group.Pos() > f.syntax.Package {
			break
		}
		for _, c := range group.List {
			if expr, err := constraint.Parse(c.Text); constraint.IsGoBuild(c.Text) && err == nil {
				all = append(all, operand(expr, len(all) > 0))
			}
		}
	}
	return strings.Join(all, " && ")
}

// operand writes an expression so that it can follow &&.
func operand(expr constraint.Expr, inAnd bool) string {
	if _, or := expr.(*constraint.OrExpr); or && inAnd {
		return "(" + expr.String() + ")"
	}
	return expr.String()
}

// commonConstraint returns the build constraint of the generated file, which all its tasks must share. It reports a task
// whose file has another constraint.
func commonConstraint(tasks []*task) string {
	first := tasks[0]
	common := constraintOf(first.file)
	for _, t := range tasks[1:] {
		if c := constraintOf(t.file); c != common {
			t.errorAt(t.pos(), fmt.Sprintf("tasks of one package need one build constraint: %s, but %s",
				builtFor(t.file, c), builtFor(first.file, common)),
				"annotate a function in a file without a constraint, and call this one there,", "or move it to a package of its own")
			break
		}
	}
	return common
}

func builtFor(f *file, constraint string) string {
	return fmt.Sprintf("%s is built for %s", filepath.Base(f.path), cmp.Or(constraint, "any platform"))
}
