package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

var update = flag.Bool("update", false, "update the golden files in the scripts")

// build builds the command, and returns the folder of the program. The test binary could be the command as well, but
// under the race detector it would be slow; the tests of package gen look for races. The go command caches the programs
// of tools, so that mostly nothing has to be linked.
func build(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "tool", "-n", "arbitergen").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program := strings.TrimSpace(string(out))
	if _, err := os.Stat(program); err != nil || filepath.Base(program) != "arbitergen" {
		t.Fatalf("go tool -n arbitergen printed %q, want the path of the program: %v", program, err)
	}
	return filepath.Dir(program)
}

// TestScripts runs the scripts in testdata/script. Each has a module m of its own, in which the module under test is
// replaced by its folder; nothing is downloaded. Build results go to the ordinary build cache, where the next run finds
// them.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := build(t)
	env := goEnv(t, "GOCACHE", "GOMODCACHE", "GOROOT")
	testscript.Run(t, testscript.Params{
		Files:               scripts(t),
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, env...)
			e.Setenv("ROOT", root)
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("GOFLAGS", "-trimpath") // so that the build results do not depend on the folder
			e.Setenv("GOPROXY", "off")
			e.Setenv("GOTOOLCHAIN", "local")
			e.Setenv("GONOSUMDB", "*")
			e.Setenv("GOWORK", "off")
			e.Setenv("MANY", testform.Pick("500", "5000"))
			e.Values["stamped"] = make(stamped)
			return writeModule(root, e.WorkDir)
		},
		Cmds: commands,
	})
}

// long are the scripts of the long form. Each starts many go commands, and the tests of package gen
// check the same rules in less time.
var long = []string{
	"bootstrap", "check", "client_folders", "client_fresh", "client_refused", "client_stale", "compat", "encoders", "functions", "import_clash",
	"imports", "main_package", "many", "methods", "options", "parameter_names", "parameters", "removed", "schema", "stale", "step", "tests", "types", "variadic",
}

// scripts returns the files of the scripts to be run.
func scripts(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(all) <= len(long) {
		t.Fatalf("%d scripts, %v", len(all), err)
	}
	return slices.DeleteFunc(all, func(file string) bool {
		return !testform.Long() && slices.Contains(long, strings.TrimSuffix(filepath.Base(file), ".txtar"))
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

// writeModule makes dir the module m, unless the script has a go.mod. The module requires the same modules as the one
// under test, so that nothing is looked up.
func writeModule(root, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return nil
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return err
	}
	const path = "github.com/go-arbiter/arbiter"
	text := strings.Replace(string(mod), "module "+path, "module m", 1)
	text = toolLine.ReplaceAllString(text, "") + "\nrequire " + path + " v0.0.0\n\nreplace " + path + " => " + root + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o666)
}

var toolLine = regexp.MustCompile(`(?m)^tool .*\n`)
