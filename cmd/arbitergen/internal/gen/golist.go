package gen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// listed is a package in the output of go list.
type listed struct {
	ImportPath     string
	Name           string
	Dir            string
	GoFiles        []string
	CgoFiles       []string
	TestGoFiles    []string
	XTestGoFiles   []string
	IgnoredGoFiles []string
	InvalidGoFiles []string
	ImportMap      map[string]string
	DepOnly        bool
	Export         string // the file of export data, if it was asked for
	Module         *struct {
		Path      string
		Dir       string
		Main      bool
		GoVersion string
	}
	Error *struct {
		Pos string
		Err string
	}
}

// local reports whether the package is in a main module. Code is generated for such packages, and their types are checked
// from source.
func (p *listed) local() bool { return p.Module != nil && p.Module.Main }

const (
	describeFields = "ImportPath,Name,Dir,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles," +
		"IgnoredGoFiles,InvalidGoFiles,ImportMap,DepOnly,Module,Error"
	exportFields = "ImportPath,Export,Error"
)

// describe lists the packages and all their dependencies, dependencies first. It compiles nothing.
func describe(ctx context.Context, dir string, patterns []string) ([]*listed, error) {
	return goList(ctx, dir, append([]string{"-deps", "-json=" + describeFields, "--"}, patterns...))
}

// export lists the packages with their export data. It compiles the packages that are not in the build cache.
func export(ctx context.Context, dir string, paths []string) ([]*listed, error) {
	return goList(ctx, dir, append([]string{"-export", "-json=" + exportFields, "--"}, paths...))
}

func goList(ctx context.Context, dir string, args []string) ([]*listed, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"list", "-e"}, args)...) //nolint:gosec // the arguments are those of this program
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if _, exited := errors.AsType[*exec.ExitError](err); !exited {
			return nil, fmt.Errorf("go list: %w", err)
		}
		// With -e, the output may have packages with more specific errors even if the command failed.
		if stdout.Len() == 0 {
			return nil, fmt.Errorf("go list: %s", oneLine(stderr.String()))
		}
	}
	var pkgs []*listed
	for dec := json.NewDecoder(&stdout); ; {
		p := new(listed)
		switch err := dec.Decode(p); {
		case errors.Is(err, io.EOF):
			return pkgs, nil
		case err != nil:
			return nil, fmt.Errorf("go list: %w", err)
		}
		pkgs = append(pkgs, p)
	}
}

// oneLine joins the lines of a message of the go command.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\t' }), " ")
}
