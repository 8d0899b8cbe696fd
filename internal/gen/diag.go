package gen

import (
	"cmp"
	"errors"
	"fmt"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Diagnostic is something that is wrong in the user's code, or looks so.
type Diagnostic struct {
	Pos      token.Position // the file name is absolute; no position speaks of the run
	Msg      string         // one line
	Help     []string       // more lines: what to do
	Accepted []string       // further lines, which many have: they are printed once
	Warning  bool           // does not keep code from being generated
}

// compareDiagnostics orders diagnostics as a reader walks through the files.
func compareDiagnostics(a, b Diagnostic) int {
	return cmp.Or(
		cmp.Compare(a.Pos.Filename, b.Pos.Filename),
		cmp.Compare(a.Pos.Line, b.Pos.Line),
		cmp.Compare(a.Pos.Column, b.Pos.Column),
		cmp.Compare(a.Msg, b.Msg),
	)
}

// format renders the diagnostic as compilers do, its path relative to dir.
func (d Diagnostic) format(dir string) string {
	var b strings.Builder
	if d.Pos.Filename == "" {
		b.WriteString("arbitergen: ")
	} else {
		d.Pos.Filename = relative(dir, d.Pos.Filename)
		fmt.Fprintf(&b, "%s: ", d.Pos)
	}
	if d.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(d.Msg)
	b.WriteByte('\n')
	for _, line := range slices.Concat(d.Help, d.Accepted) {
		fmt.Fprintf(&b, "\t%s\n", line)
	}
	return b.String()
}

// fileError is the diagnostic for an error with a file.
func fileError(path string, err error) Diagnostic {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err // the path is said already
	}
	return Diagnostic{Pos: token.Position{Filename: path}, Msg: err.Error()}
}

// relative returns the shorter of a path's two forms, as the go command does.
func relative(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}

// diagnostics collects what the stages find. It may be used concurrently.
type diagnostics struct {
	mu   sync.Mutex
	list []Diagnostic
}

func (d *diagnostics) add(found Diagnostic) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, found)
}

// errorf adds an error that belongs to no place in a file.
func (d *diagnostics) errorf(format string, args ...any) {
	d.add(Diagnostic{Msg: fmt.Sprintf(format, args...)})
}

// sorted returns what was found, each only once: a type that is used in two
// places of one syntax tree is complained about twice.
func (d *diagnostics) sorted() []Diagnostic {
	list := slices.SortedFunc(slices.Values(d.list), compareDiagnostics)
	list = slices.CompactFunc(list, func(a, b Diagnostic) bool { return compareDiagnostics(a, b) == 0 })
	explained := make(map[string]bool)
	for i := range list {
		text := strings.Join(list[i].Accepted, "\n")
		if explained[text] {
			list[i].Accepted = nil
		}
		explained[text] = true
	}
	return list
}
