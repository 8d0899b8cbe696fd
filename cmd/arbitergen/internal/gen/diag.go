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

// Diagnostic is an error or a warning about the user's code.
type Diagnostic struct {
	Pos      token.Position // the file name is absolute; a zero position is for errors of the run as a whole
	Msg      string         // one line
	Help     []string       // further lines: the remedy
	Accepted []string       // further lines that many diagnostics share: printed only once
	Warning  bool           // code is generated nevertheless
}

// compareDiagnostics orders diagnostics by file and position.
func compareDiagnostics(a, b Diagnostic) int {
	return cmp.Or(
		cmp.Compare(a.Pos.Filename, b.Pos.Filename),
		cmp.Compare(a.Pos.Line, b.Pos.Line),
		cmp.Compare(a.Pos.Column, b.Pos.Column),
		cmp.Compare(a.Msg, b.Msg),
	)
}

// format renders the diagnostic as compilers do, with a path relative to dir.
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

// fileError returns the diagnostic for an error about a file.
func fileError(path string, err error) Diagnostic {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err // the position has the path already
	}
	return Diagnostic{Pos: token.Position{Filename: path}, Msg: err.Error()}
}

// relative returns the path relative to dir if that is shorter, as the go command does.
func relative(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}

// diagnostics collects the diagnostics of all stages. It may be used concurrently.
type diagnostics struct {
	mu   sync.Mutex
	list []Diagnostic
}

func (d *diagnostics) add(found Diagnostic) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, found)
}

// errorf adds an error without a position.
func (d *diagnostics) errorf(format string, args ...any) {
	d.add(Diagnostic{Msg: fmt.Sprintf(format, args...)})
}

// sorted returns the diagnostics without duplicates. A type that is used at two positions of a syntax tree is reported
// twice.
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
