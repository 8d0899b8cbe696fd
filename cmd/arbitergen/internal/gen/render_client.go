package gen

import (
	"fmt"
	"regexp"
	"strings"
)

// render returns the code of a client package: the handles of the tasks, and the types of their arguments.
func (c *client) render(tasks []*task, scope map[string]bool) ([]byte, error) {
	r := newRenderer(c.worker, c.path, scope)
	r.docs = true
	for _, t := range tasks { // import all types, so that names of variables do not hide them
		for _, p := range t.params {
			r.typ(p.typ)
		}
		r.resultType(t)
	}
	for _, t := range tasks {
		r.handle(t)
	}
	return r.file(c.name, ownerComment(c), "")
}

// renderWorker returns the code of a package whose handles are in its client package.
func (u *unit) renderWorker(tasks []*task, constraint string, scope map[string]bool) ([]byte, error) {
	r := newRenderer(u, u.path, scope)
	r.handles = r.imports.add(u.client.path, u.client.name) + "."
	for _, t := range tasks {
		r.signature(t)
	}
	r.assertions(tasks)
	r.p("\n// A client whose line does not compile is of another version: run go generate.")
	r.p("var (")
	for _, t := range tasks {
		r.p("_ = %s.RunGoGenerateIfChanged[struct {", r.task)
		r.fields(t)
		r.p("}](%s%s{})", r.handles, t.names.args)
	}
	r.p(")")
	for _, group := range registerGroups(tasks) {
		r.register(group)
	}
	r.schedules(tasks)
	return r.file(u.name, "", constraint)
}

// doc writes the documentation of the function, if it has any, after a first line that was written already.
func (r *renderer) doc(t *task) {
	text := strings.TrimSpace(t.fn.Doc.Text())
	if !r.docs || text == "" {
		return
	}
	r.p("//")
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line[0] != '\t' {
			line = " " + line
		}
		r.p("//%s", line)
	}
}

// ownerComment returns the documentation of a client package. Other runs read the package with the functions from it.
func ownerComment(c *client) string {
	return fmt.Sprintf("// Package %s has the handles of the tasks of %s.", c.name, c.worker.path)
}

var ownerLine = regexp.MustCompile(`(?m)^// Package \S+ has the handles of the tasks of (\S+)\.\r?$`)

// ownerOf returns the package whose handles are in a generated file, or "" if it is not the file of a client.
func ownerOf(name string, src []byte) string {
	found := ownerLine.FindSubmatch(src)
	if found == nil || !strings.HasSuffix(name, genClientFile) {
		return ""
	}
	return string(found[1])
}
