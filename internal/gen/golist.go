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

// listed is a package as go list describes it.
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
	Export         string // file of export data, if it was asked for
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

// local reports whether the package is of a main module: one to generate code
// for, and to check from source.
func (p *listed) local() bool { return p.Module != nil && p.Module.Main }

const (
	describeFields = "ImportPath,Name,Dir,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles," +
		"IgnoredGoFiles,InvalidGoFiles,ImportMap,DepOnly,Module,Error"
	exportFields = "ImportPath,Export,Error"
)

// describe lists the packages and all they depend on, dependencies first.
// Nothing is compiled.
func describe(ctx context.Context, dir string, patterns []string) ([]*listed, error) {
	return goList(ctx, dir, append([]string{"-deps", "-json=" + describeFields, "--"}, patterns...))
}

// export lists the packages with their export data, and compiles those that
// the build cache lacks.
func export(ctx context.Context, dir string, paths []string) ([]*listed, error) {
	return goList(ctx, dir, append([]string{"-export", "-json=" + exportFields, "--"}, paths...))
}

func goList(ctx context.Context, dir string, args []string) ([]*listed, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"list", "-e"}, args)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if _, exited := errors.AsType[*exec.ExitError](err); !exited {
			return nil, fmt.Errorf("go list: %w", err)
		}
		// With -e even an error may come with packages that say more.
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
