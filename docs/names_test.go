package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNamesExist checks the names in code spans that begin with a package of the library,
// such as broker.Transitions: the package declares them.
func TestNamesExist(t *testing.T) {
	t.Parallel()
	declared := make(map[string]map[string]bool) // package: names
	for pkg, folder := range map[string]string{
		"arbiter": "arbiter", "minion": "minion", "task": "task", "limit": "limit", "schedule": "schedule", "request": "task/request", "codec": "codec", "broker": "broker",
		"redis": "broker/redis", "memory": "broker/memory", "wire": "broker/wire", "brokertest": "broker/brokertest", "outbox": "outbox",
	} {
		declared[pkg] = declarations(t, folder)
	}
	qualified := regexp.MustCompile(`\b([a-z]+)\.([A-Z][A-Za-z0-9]*)`)
	n := 0
	for _, file := range documents(t) {
		for _, s := range span.FindAllStringSubmatch(read(t, file), -1) {
			for _, name := range qualified.FindAllStringSubmatch(s[1], -1) {
				names, ours := declared[name[1]]
				if !ours {
					continue
				}
				n++
				if !names[name[2]] {
					t.Errorf("%s: `%s`: package %s does not declare %s", file, s[1], name[1], name[2])
				}
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d names were found", n)
	}
}

// declarations returns the names that the files of a package declare at the top level.
func declarations(t *testing.T, folder string) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	files, err := os.ReadDir(filepath.Join(root, folder))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, folder, f.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil {
					names[decl.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						names[spec.Name.Name] = true
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							names[name.Name] = true
						}
					}
				}
			}
		}
	}
	return names
}
