// Package optionlist finds the options of a package in its source. With it a test of all
// options fails when an option is added without a test.
package optionlist

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// In returns the sorted names of the options of the package in dir: exported functions that
// return one value of a type whose name ends with Option.
func In(dir string) ([]string, error) {
	var names []string
	err := functions(dir, false, func(f *ast.FuncDecl) {
		if isOption(f) {
			names = append(names, f.Name.Name)
		}
	})
	slices.Sort(names)
	return names, err
}

// Check checks a table with, for each option of the package in dir, the test that shows its
// effect. The error says that an option is missing from the table, or is not in the package, or
// that a test does not exist.
func Check(dir string, table map[string]string) error {
	options, err := In(dir)
	if err != nil {
		return err
	}
	if listed := slices.Sorted(maps.Keys(table)); !slices.Equal(listed, options) {
		return fmt.Errorf("the table has the options %v, and the package has %v", listed, options)
	}
	tests := make(map[string]bool)
	if err := functions(dir, true, func(f *ast.FuncDecl) { tests[f.Name.Name] = true }); err != nil {
		return err
	}
	for option, test := range table {
		if !tests[test] {
			return fmt.Errorf("option %s: there is no test %s", option, test)
		}
	}
	return nil
}

// functions calls found with each function, but no method, of a package or of its tests.
func functions(dir string, ofTests bool, found func(*ast.FuncDecl)) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") != ofTests {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, entry.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				found(f)
			}
		}
	}
	return nil
}

// isOption reports whether a function is an option as [In] defines it.
func isOption(f *ast.FuncDecl) bool {
	if !f.Name.IsExported() || f.Type.Results == nil || len(f.Type.Results.List) != 1 {
		return false
	}
	result, ok := f.Type.Results.List[0].Type.(*ast.Ident)
	return ok && strings.HasSuffix(result.Name, "Option")
}
