package docs

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// module is the path of the module under test, and tasks the package that
// stands in for the one that a reader of the README writes.
const (
	module = "github.com/go-arbiter/arbiter"
	tasks  = module + "/examples/tasks"
)

// prelude is what every snippet finds around it. A snippet that declares one of
// these names itself has its own.
const prelude = `
var (
	ctx context.Context
	err error
	b   *redis.Broker
	arb *arbiter.Arbiter
	m   *minion.Minion
	key []byte
)
`

// imports are the packages that snippets use without saying so.
var imports = []string{
	"context", "crypto/tls", "errors", "fmt", "log", "log/slog", "net/http", "os", "os/signal", "syscall", "testing", "testing/synctest", "time",
	module + "/arbiter", module + "/broker", module + "/broker/brokertest", module + "/broker/memory", module + "/broker/redis", module + "/codec",
	module + "/minion", module + "/task", tasks,
}

// TestSnippets compiles every Go block of the documents. A block is a file (it
// begins with a package clause), declarations, or statements; the last two get
// the imports and the names of the prelude. A snippet may leave a variable or an
// import unused, as a reader expects.
func TestSnippets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	overlay := make(map[string]string) // file of the build: file on the disk
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	var packages []string
	for _, file := range documents(t) {
		for _, s := range blocks(t, file) {
			if s.lang != "go" {
				continue
			}
			name := fmt.Sprintf("snippet%d", len(packages))
			source := filepath.Join(dir, name+".go")
			if err := os.WriteFile(source, []byte(program(s)), 0o600); err != nil {
				t.Fatal(err)
			}
			overlay[filepath.Join(here, "internal", "snippets", name, "snippet.go")] = source
			packages = append(packages, "./internal/snippets/"+name)
		}
	}
	if len(packages) < 20 {
		t.Errorf("only %d snippets were found", len(packages))
	}
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", append([]string{"build", "-overlay", list, "-gcflags=-e", "-o", os.DevNull}, packages...)...)
	cmd.Dir = here
	out, _ := cmd.CombinedOutput() // its status is an error also for what is merely unused
	wrong := 0
	for line := range strings.Lines(string(out)) {
		if unused.MatchString(line) || strings.HasPrefix(line, "# ") {
			continue
		}
		wrong++
		t.Error(strings.TrimSpace(line))
	}
	if wrong == 0 && !strings.Contains(string(out), "not used") {
		t.Errorf("the compiler was not heard: %s", out) // each snippet has unused imports
	}
}

var unused = regexp.MustCompile(`declared and not used|imported and not used|imported as \S+ and not used`)

// program makes a file of a snippet, in which errors have the place in the
// document.
func program(s block) string {
	place := fmt.Sprintf("\n//line %s:%d\n", s.file, s.line)
	if strings.HasPrefix(s.text, "package ") {
		return strings.ReplaceAll(place+s.text, "example.com/demo/tasks", tasks)
	}
	var b strings.Builder
	b.WriteString("package snippet\n\n")
	for _, path := range imports {
		fmt.Fprintf(&b, "import %q\n", path)
	}
	b.WriteString(prelude)
	whole := "package p\n" + s.text
	if _, err := parser.ParseFile(token.NewFileSet(), "", whole, 0); err == nil {
		return b.String() + place + s.text
	}
	return b.String() + "func _() {" + place + s.text + "\n}\n"
}
