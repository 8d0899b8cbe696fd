package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "update the golden files in the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"arbitergen": main})
}

// TestScripts runs the scripts in testdata/script. Each has a module m of its
// own, for which the one under test is replaced by its folder; nothing is
// downloaded. Build results go to the ordinary build cache: the next run finds
// them there.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	env := goEnv(t, "GOCACHE", "GOMODCACHE", "GOROOT")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, env...)
			e.Setenv("ROOT", root)
			e.Setenv("GOFLAGS", "-mod=mod")
			e.Setenv("GOPROXY", "off")
			e.Setenv("GOTOOLCHAIN", "local")
			e.Setenv("GONOSUMDB", "*")
			e.Setenv("GOWORK", "off")
			return writeModule(root, e.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"gen": cmdGen, "functions": cmdFunctions},
	})
}

// goEnv returns settings of the go command as lines for an environment.
func goEnv(t *testing.T, names ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	for i, name := range names {
		lines[i] = name + "=" + lines[i]
	}
	return lines
}

// writeModule makes dir the module m, unless the script has a go.mod.
func writeModule(root, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return nil
	}
	mod := "module m\n\ngo 1.26\n\nrequire github.com/go-arbiter/arbiter v0.0.0\n\n" +
		"replace github.com/go-arbiter/arbiter => " + root + "\n"
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o666)
}

// cmdGen generates code, compiles it, tests included, and generates it again:
// the second run must change nothing.
//
//	gen [packages]
func cmdGen(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! gen")
	}
	if len(args) == 0 {
		args = []string{"."}
	}
	ts.Check(ts.Exec("arbitergen", args...))
	ts.Check(ts.Exec("go", append([]string{"vet"}, args...)...))
	ts.Check(ts.Exec("arbitergen", append([]string{"-check"}, args...)...))
}

// cmdFunctions writes a package with many tasks.
//
//	functions FILE PACKAGE NUMBER
func cmdFunctions(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: functions FILE PACKAGE NUMBER")
	}
	var n int
	_, err := fmt.Sscan(args[2], &n)
	ts.Check(err)
	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n\nimport \"context\"\n", args[1])
	for i := range n {
		fmt.Fprintf(&b, "\n//arbiter:task\nfunc F%d(ctx context.Context, x, y int) (int, error) { return x + y, nil }\n", i)
	}
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o777))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o666))
}
