package gen

import (
	"bytes"
	"fmt"
	"go/format"
	"go/types"
	"slices"
	"strings"
)

// renderer writes one generated file.
type renderer struct {
	bytes.Buffer
	unit    *unit
	imports *importTable
	context string          // the names of the imported packages in this file
	task    string          //
	handles string          // the name of the package with the handles and a dot; empty if it is this package
	docs    bool            // write the documentation of the functions to the handles
	scope   map[string]bool // the names of the package and of its imports
}

// newRenderer returns the renderer of a file in the package self, which is generated for the unit. Scope has the names of the
// package self.
func newRenderer(u *unit, self string, scope map[string]bool) *renderer {
	r := &renderer{unit: u, scope: scope, imports: newImportTable(u, self, scope)}
	r.context = r.imports.add(contextPath, "context")
	r.task = r.imports.add(taskPath, "task")
	return r
}

// render returns the code of one file with the tasks. Scope has the names of the package.
func (u *unit) render(tasks []*task, constraint string, scope map[string]bool) ([]byte, error) {
	r := newRenderer(u, u.path, scope)
	// Import the types of all signatures, so that names of variables do not hide them.
	for _, t := range tasks {
		r.signature(t)
	}
	r.assertions(tasks) // first, so that the compiler reports them first
	for _, t := range tasks {
		r.handle(t)
	}
	for _, group := range registerGroups(tasks) {
		r.register(group)
	}
	r.schedules(tasks)
	return r.file(u.name, "", constraint)
}

// file returns the whole file: the header, the imports and the code that was written to r.
func (r *renderer) file(pkg, doc, constraint string) ([]byte, error) {
	var file bytes.Buffer
	fmt.Fprintf(&file, "%s\n\n", header)
	if constraint != "" {
		fmt.Fprintf(&file, "//go:build %s\n\n", constraint)
	}
	if doc != "" {
		fmt.Fprintln(&file, doc)
	}
	fmt.Fprintf(&file, "package %s\n\n%s\n", pkg, r.imports.decl())
	fmt.Fprintf(&file, "const _ = %s.GeneratedV1 // undefined: run go generate with the arbitergen of your go.mod\n", r.task)
	file.Write(r.Bytes())
	code, err := format.Source(file.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%s: the generated code is wrong, which is a bug of arbitergen: %w", r.unit.path, err)
	}
	return code, nil
}

// p writes one line or several.
func (r *renderer) p(format string, args ...any) {
	fmt.Fprintf(r, format+"\n", args...)
}

// typ returns a type in Go syntax, and imports the packages that it mentions.
func (r *renderer) typ(t types.Type) string { return types.TypeString(t, r.imports.qualifier) }

// resultType returns the second type argument of the task.
func (r *renderer) resultType(t *task) string {
	if t.result == nil {
		return r.task + ".None"
	}
	return r.typ(t.result)
}

// signature returns the type of the function. For a method, the receiver is the first parameter.
func (r *renderer) signature(t *task) string {
	text := signatureText(t.sig, r.imports.qualifier)
	if t.names.receiver == "" {
		return text
	}
	recv := r.typ(t.recv())
	if t.sig.Params().Len() > 0 {
		recv += ", "
	}
	return "func(" + recv + strings.TrimPrefix(text, "func(")
}

// parameters returns the parameters of a generated method: some of its own, and the parameters of the task.
func (r *renderer) parameters(own []string, params []param, variadic bool) string {
	type group struct {
		names []string
		typ   string
	}
	var groups []group
	for i, p := range params {
		typ := r.typ(p.typ)
		if variadic && i == len(params)-1 {
			typ = "..." + r.typ(p.typ.(*types.Slice).Elem())
		}
		if n := len(groups); n > 0 && groups[n-1].typ == typ {
			groups[n-1].names = append(groups[n-1].names, p.name)
		} else {
			groups = append(groups, group{[]string{p.name}, typ})
		}
	}
	list := slices.Clone(own)
	for _, g := range groups {
		list = append(list, strings.Join(g.names, ", ")+" "+g.typ)
	}
	return strings.Join(list, ", ")
}

// assertions writes code that no longer compiles when a function has changed.
func (r *renderer) assertions(tasks []*task) {
	r.p("\n// A function whose line does not compile has changed: run go generate.")
	r.p("var (")
	for _, t := range tasks {
		fn := t.fn.Name.Name
		if t.names.receiver != "" {
			recv := r.typ(t.recv())
			if strings.HasPrefix(recv, "*") {
				recv = "(" + recv + ")"
			}
			fn = recv + "." + fn
		}
		r.p("_ = %s.RunGoGenerateIfChanged[%s](%s)", r.task, r.signature(t), fn)
	}
	r.p(")")
}
