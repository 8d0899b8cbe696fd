package gen

import (
	"go/ast"
	"slices"
	"testing"
)

// TestGenerateLine reads the forms that //go:generate lines have.
func TestGenerateLine(t *testing.T) {
	for text, want := range map[string]generateLine{
		"go tool arbitergen":                                {},
		"go tool arbitergen -client ../c":                   {client: "../c"},
		"arbitergen --client=../c":                          {client: "../c"},
		"go run example.com/cmd/arbitergen@v1.2 -client c":  {client: "c"},
		"/bin/arbitergen -schema -client -client c .":       {client: "c", packages: []string{"."}},
		`"go" "tool" "arbitergen" "-client" "my c" ./a ./b`: {client: "my c", packages: []string{"./a", "./b"}},
		"go tool arbitergen -check -client":                 {},
		"go tool arbitergen -compat=x -client c":            {client: "c"},
		"stringer -client c":                                {pos: -1},
		"":                                                  {pos: -1},
		`go tool arbitergen "-client`:                       {pos: -1},
	} {
		d, ok := ast.ParseDirective(1, "//go:generate "+text)
		if !ok {
			t.Fatal(text)
		}
		u := new(unit)
		u.readGenerateLine(d)
		switch {
		case want.pos < 0:
			if len(u.lines) > 0 {
				t.Errorf("%s: %+v", text, u.lines)
			}
		case len(u.lines) != 1 || u.lines[0].client != want.client || !slices.Equal(u.lines[0].packages, want.packages):
			t.Errorf("%s: %+v, want %+v", text, u.lines, want)
		}
	}
}

func TestMayImport(t *testing.T) {
	for _, test := range []struct {
		from, to string
		want     bool
	}{
		{"m/client", "m/shared", true},
		{"m/client", "m/internal/shared", true},
		{"m/client", "m/client/internal", true},
		{"m/client", "m/worker/internal", false},
		{"m/worker2/client", "m/worker/internal/x", false},
		{"m/a/client", "m/a/internal/b/internal/c", false},
		{"m/a/internal/b/client", "m/a/internal/b/internal/c", true},
	} {
		if got := mayImport(test.from, test.to); got != test.want {
			t.Errorf("%s imports %s: %v, want %v", test.from, test.to, got, test.want)
		}
	}
}
