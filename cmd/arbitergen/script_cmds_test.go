package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

// commands are the commands that scripts have beside the commands of testscript.
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"gen":       cmdGen,
	"functions": cmdFunctions,
	"crlf":      edit(func(src []byte) []byte { return bytes.ReplaceAll(src, []byte("\n"), []byte("\r\n")) }),
	"bom":       edit(func(src []byte) []byte { return append([]byte("\ufeff"), src...) }),
	"ls":        cmdLs,
	"readme":    cmdReadme,
	"register":  cmdRegister,
	"stamp":     cmdStamp,
	"unchanged": cmdUnchanged,
}

// cmdGen generates code and compiles it, with tests. In the long form it generates the code again: the second run must
// change nothing. The short form leaves that to the scripts about -check, since each run starts a process of the go
// command.
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
	if testform.Long() {
		ts.Check(ts.Exec("arbitergen", append([]string{"-check"}, args...)...))
	}
}

// registers is a test that registers the tasks. It fails if the library does not accept the handles, because of the types
// of their arguments, their names or their options.
const registers = `package PACKAGE

import (
	"testing"

	"github.com/go-arbiter/arbiter/task"
)

type registrar struct{ *testing.T }

func (r registrar) Register(handlers ...task.Registration) error {
	for _, h := range handlers {
		if h.Err != nil {
			r.Error(h.Err)
		}
	}
	return nil
}

func TestRegister(t *testing.T) { _ = RegisterTasks(registrar{t}) }
`

// cmdRegister registers the tasks of the package in the current folder. gen must have vetted the package.
//
//	register PACKAGE
func cmdRegister(ts *testscript.TestScript, _ bool, args []string) {
	src := strings.Replace(registers, "PACKAGE", args[0], 1)
	ts.Check(os.WriteFile(ts.MkAbs("register_test.go"), []byte(src), 0o666))
	ts.Check(ts.Exec("go", "test", "-vet=off", "."))
}

// cmdFunctions writes a package with many tasks.
//
//	functions FILE PACKAGE NUMBER
func cmdFunctions(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: functions FILE PACKAGE NUMBER")
	}
	var n int
	_, err := fmt.Sscan(args[2], &n)
	ts.Check(err)
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o777))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), functions(args[1], n), 0o666))
}

// functions returns a file with n tasks.
func functions(pkg string, n int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "package %s\n", pkg)
	for i := range n {
		fmt.Fprintf(&b, "\n//arbiter:task\nfunc F%d() {}\n", i)
	}
	return b.Bytes()
}

// edit is a command that changes a file.
//
//	NAME FILE
func edit(change func([]byte) []byte) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), change([]byte(ts.ReadFile(args[0]))), 0o666))
	}
}

// cmdLs checks that a folder has exactly these files.
//
//	ls DIR FILES
func cmdLs(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, args[1:]) {
		ts.Fatalf("%s has %s", args[0], strings.Join(names, " "))
	}
}

// cmdReadme writes the first code block in the README that begins with a line to a file.
//
//	readme LINE FILE
func cmdReadme(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(filepath.Join(ts.Getenv("ROOT"), "README.md"))
	_, code, found := strings.Cut(text, "```go\n"+args[0]+"\n")
	code, _, closed := strings.Cut(code, "```\n")
	if !found || !closed {
		ts.Fatalf("the README has no code that begins with %s", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(args[0]+"\n"+code), 0o666))
}

// stamped has the files that cmdStamp recorded, by path.
type stamped map[string]os.FileInfo

// cmdStamp records a file, for unchanged.
//
//	stamp FILE
func cmdStamp(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Value("stamped").(stamped)[args[0]] = info
}

// cmdUnchanged checks that a file is the recorded one and was not written since.
//
//	unchanged FILE
func cmdUnchanged(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	before := ts.Value("stamped").(stamped)[args[0]]
	if !os.SameFile(before, info) || !before.ModTime().Equal(info.ModTime()) {
		ts.Fatalf("%s was written again", args[0])
	}
}
