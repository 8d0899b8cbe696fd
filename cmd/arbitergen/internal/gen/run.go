package gen

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// The exit codes of a run.
const (
	OK        = 0 // all generated code is as it should be
	Different = 1 // Check has found differences, or Compat changes that break queued tasks
	Failed    = 2 // the code or the command line has an error
)

// Config are the options of a run.
type Config struct {
	Dir      string   // the current folder; paths in messages are relative to it
	Patterns []string // packages, as for go build; the default is the package in Dir
	Check    bool     // write nothing, and print the changes
	Schema   string   // the file to write the manifest of all tasks to; empty for none
	Compat   string   // the manifest to compare the tasks with before anything is written
	Client   string   // the folder for the handles, if the command line has one; see client
	Stdout   io.Writer
	Stderr   io.Writer
}

// Run generates code for the packages and returns the exit code. If a package has errors, its generated code stays as it is;
// the other packages are not affected.
func Run(ctx context.Context, cfg Config) int {
	r := &run{Config: cfg}
	if len(r.Patterns) == 0 {
		r.Patterns = []string{"."}
	}
	outputs, compatible, err := r.outputs(ctx)
	if err == nil && compatible {
		err = r.finish(outputs)
	}
	if err != nil {
		r.diags.errorf("%v", err)
	}
	return r.report(compatible)
}

type run struct {
	Config
	diags     diagnostics
	different int // the number of files that Check found to be different
}

// outputs returns all files with their wanted contents, and whether the tasks are compatible with the earlier manifest.
func (r *run) outputs(ctx context.Context) (outputs []output, compatible bool, err error) {
	prog, err := load(ctx, r.Dir, r.Patterns, &r.diags)
	if err != nil {
		return nil, true, err
	}
	prog.findClients(r.Client)
	units := prog.annotatedUnits()
	order, err := prog.require(ctx, units)
	if err != nil {
		return nil, true, err
	}
	prog.check(order)

	byUnit := make(map[*unit][]*task)
	var all []*task
	for _, u := range units {
		if !u.tainted {
			byUnit[u] = u.tasks()
			all = append(all, byUnit[u]...)
		}
	}
	duplicates(all)
	for _, f := range prog.folders {
		files, err := f.outputs(byUnit)
		if err != nil {
			return nil, true, err
		}
		outputs = append(outputs, files...)
	}
	outputs = append(outputs, prog.orphans()...)
	if r.hasErrors() { // a manifest would lack the tasks with errors
		if r.Compat != "" {
			outputs = nil // the tasks could not be compared, so nothing is written
		}
		return outputs, true, nil
	}
	return r.schema(newManifest(all), outputs)
}

// schema compares the manifest with the earlier one, and adds it to the outputs.
func (r *run) schema(m *manifest, outputs []output) ([]output, bool, error) {
	compatible := true
	if r.Compat != "" {
		old, err := readManifest(r.path(r.Compat))
		if err != nil {
			r.diags.add(fileError(r.path(r.Compat), err))
			return nil, true, nil
		}
		for _, d := range compareManifests(old, m, r.path(r.Compat)) {
			compatible = compatible && d.Warning
			r.diags.add(d)
		}
	}
	if r.Schema != "" {
		content, err := m.encode()
		if err != nil {
			return nil, true, err
		}
		outputs = append(outputs, output{r.path(r.Schema), content})
	}
	return outputs, compatible, nil
}

func (r *run) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.Dir, name)
}

// finish writes the files, or prints the changes.
func (r *run) finish(outputs []output) error {
	for _, o := range outputs {
		if !r.Check {
			if err := o.write(); err != nil {
				r.diags.add(fileError(o.path, err))
			}
			continue
		}
		diff, err := o.diff(r.Dir)
		if err != nil {
			r.diags.add(fileError(o.path, err))
		}
		if len(diff) > 0 {
			r.different++
			if _, err := r.Stdout.Write(diff); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) hasErrors() bool {
	return slices.ContainsFunc(r.diags.list, func(d Diagnostic) bool { return !d.Warning })
}

// report prints the diagnostics and returns the exit code.
func (r *run) report(compatible bool) int {
	for _, d := range r.diags.sorted() {
		fmt.Fprint(r.Stderr, d.format(r.Dir))
	}
	switch {
	case !compatible:
		fmt.Fprintf(r.Stderr, "arbitergen: these changes break tasks that are queued; nothing was written\n")
		return Different
	case r.hasErrors():
		return Failed
	case r.different == 1:
		fmt.Fprintln(r.Stderr, "arbitergen: 1 file is out of date; run go generate")
		return Different
	case r.different > 1:
		fmt.Fprintf(r.Stderr, "arbitergen: %d files are out of date; run go generate ./...\n", r.different)
		return Different
	}
	return OK
}
