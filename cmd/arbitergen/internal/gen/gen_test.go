package gen

import (
	"bytes"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun generates code for several packages at once, so that the race detector can find races. A second run must change
// nothing.
func TestRun(t *testing.T) {
	dir := newModule(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		writeFile(t, filepath.Join(dir, name, name+".go"), "package "+name+"\n\n//arbiter:task\nfunc F(x int) error { return nil }\n")
	}
	run := func(check bool) (int, string) {
		var out bytes.Buffer
		code := Run(t.Context(), Config{Dir: dir, Patterns: []string{"./..."}, Check: check, Stdout: &out, Stderr: &out})
		return code, out.String()
	}
	if code, out := run(true); code != Different || !strings.Contains(out, "4 files are out of date") {
		t.Errorf("first check: exit code %d\n%s", code, out)
	}
	if code, out := run(false); code != OK || out != "" {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if code, out := run(true); code != OK || out != "" {
		t.Errorf("second check: exit code %d\n%s", code, out)
	}
}

// TestCannotWrite checks that the error for a file that can't be written names the file.
func TestCannotWrite(t *testing.T) {
	dir := newModule(t)
	writeFile(t, filepath.Join(dir, "a.go"), "package a\n\n//arbiter:task\nfunc F() {}\n")
	if err := os.Mkdir(filepath.Join(dir, genFile), 0o777); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	code := Run(t.Context(), Config{Dir: dir, Stdout: io.Discard, Stderr: &stderr})
	if want := genFile + ": is a directory\n"; code != Failed || !strings.HasSuffix(stderr.String(), want) {
		t.Errorf("exit code %d, %q; want %q", code, stderr.String(), want)
	}
}

// TestSizeOfOutput checks that the generated code has about 25 lines for each task.
func TestSizeOfOutput(t *testing.T) {
	lines := func(functions int) int {
		src := "package p\nimport \"context\"\n"
		for i := range functions {
			src += "//arbiter:task\nfunc F" + string(rune('A'+i)) + "(ctx context.Context, x, y int) (int, error)\n"
		}
		u, tasks := checkSource(src)
		code, err := u.render(tasks, "", u.checkNames(tasks))
		if err != nil || u.failed {
			t.Fatal(u.program.diags.list, err)
		}
		return bytes.Count(code, []byte("\n"))
	}
	if n := lines(2) - lines(1); n > 27 {
		t.Errorf("%d lines for a task of two parameters", n)
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"x": "X", "id": "ID", "userID": "UserID", "urlPath": "URLPath", "_x": "X", "x1": "X1", "_1": "Arg1", "": "Arg",
		"idle": "Idle", "ids": "Ids", "世界": "Arg世界",
	} {
		if got := fieldName(in); got != want {
			t.Errorf("fieldName(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"AddTask": "addTask", "HTTPGetTask": "httpGetTask", "addTask": "addTask", "A": "a", "ATask": "aTask", "ID": "id", "Über": "über",
	} {
		if got := uncapitalized(in); got != want {
			t.Errorf("uncapitalized(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[int64]string{0: "0", 999: "999", 1000: "1_000", 5_400_000_000_000: "5_400_000_000_000"} {
		if got := underscored(in); got != want {
			t.Errorf("underscored(%d) = %q, want %q", in, got, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	for word, want := range map[string]string{
		"nname": "name", "Name": "name", "retry": "", "retires": "retries", "ueue": "queue", "time": "timeout", "opt": "optional", "timeot": "timeout", "": "", "xyz": "",
	} {
		if want != "" {
			want = "; did you mean " + want + "?"
		}
		if got := suggest(word, keyNames()); got != want {
			t.Errorf("suggest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestConstraint(t *testing.T) {
	for _, test := range []struct{ name, line, want string }{
		{"a.go", "", ""},
		{"linux.go", "", ""},
		{"a_linux.go", "", "linux"},
		{"a_linux_test.go", "", "linux"},
		{"a_windows_arm64.go", "", "windows && arm64"},
		{"a_b_amd64.go", "//go:build cgo || x", "amd64 && (cgo || x)"},
		{"a.go", "//go:build cgo || x", "cgo || x"},
		{"a_linux.go", "//go:build !cgo && x", "linux && !cgo && x"},
		{"a.go", "// +build old", ""},
	} {
		tree, err := parser.ParseFile(token.NewFileSet(), test.name, test.line+"\n\npackage p\n", parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if got := constraintOf(&file{path: test.name, syntax: tree}); got != test.want {
			t.Errorf("%s %q: %q, want %q", test.name, test.line, got, test.want)
		}
	}
}
