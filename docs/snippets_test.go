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

// prelude declares the names that every snippet may use. A snippet may also declare one
// of these names itself.
const prelude = `
var (
	ctx context.Context
	err error
	b   *redis.Broker
	arb *arbiter.Arbiter
	m   *minion.Minion
	key []byte

	original []byte // an image
)
`

// elsewhere has the documents whose snippets are compiled in another module than that of the library, by the folder
// of the module. They may use the packages of outboxImports, and also the names of outboxPrelude.
var elsewhere = map[string]string{"docs/transactions.md": "outbox"}

const outboxPrelude = `
var (
	db  *sql.DB
	tx  *sql.Tx
	ob  *outbox.Outbox
	fut *task.Future[int]
)
`

// outboxImports are in the module outbox what imports are elsewhere. That module requires fewer other ones.
var outboxImports = []string{
	"context", "database/sql", "log", module + "/arbiter", module + "/broker/redis", module + "/codec", module + "/minion", module + "/outbox",
	module + "/task", tasks,
}

// imports lists the packages that snippets may use without an import.
var imports = []string{
	"context", "crypto/tls", "errors", "fmt", "log", "log/slog", "net/http", "os", "os/signal", "syscall", "testing", "testing/synctest", "time",
	module + "/arbiter", module + "/broker", module + "/broker/brokertest", module + "/broker/memory", module + "/broker/redis", module + "/codec",
	module + "/limit", module + "/minion", module + "/schedule", module + "/step", module + "/task", tasks, module + "/examples/thumbnails/client", module + "/examples/thumbnails/worker",
}

// TestSnippets compiles every Go block of the documents. A block is a file (it
// begins with a package clause), declarations, or statements. A file is a package
// of its own; the others are one package, with the imports and the names of the
// prelude. A snippet may leave a variable or an import unused, as a reader expects.
func TestSnippets(t *testing.T) {
	t.Parallel()
	n := 0
	for _, folder := range []string{"", "outbox"} {
		n += compileSnippets(t, folder)
	}
	if n < 20 {
		t.Errorf("only %d snippets were found", n)
	}
}

// compileSnippets compiles the snippets that belong to the module in a folder, and returns their number.
func compileSnippets(t *testing.T, folder string) (n int) {
	t.Helper()
	here, err := filepath.Abs(filepath.Join(root, folder))
	if err != nil {
		t.Fatal(err)
	}
	head, names := header(imports), prelude
	if folder != "" {
		head, names = header(outboxImports), prelude+outboxPrelude
	}
	o := overlay{dir: t.TempDir(), files: make(map[string]string)}
	inner := filepath.Join(here, "internal", "snippets")
	o.add(t, filepath.Join(inner, "prelude.go"), head+names)
	packages := []string{"./internal/snippets"}
	for _, file := range documents(t) {
		if elsewhere[file] != folder {
			continue
		}
		for _, s := range blocks(t, file) {
			if s.lang != "go" {
				continue
			}
			n++
			name := fmt.Sprintf("snippet%d", n)
			if strings.HasPrefix(s.text, "package ") {
				o.add(t, filepath.Join(inner, name, "file.go"), lineOf(s)+strings.ReplaceAll(s.text, "example.com/demo/tasks", tasks))
				packages = append(packages, "./internal/snippets/"+name)
				continue
			}
			o.add(t, filepath.Join(inner, name+".go"), head+body(s))
		}
	}
	cmd := exec.Command("go", append([]string{"build", "-overlay", o.list(t), "-gcflags=-e", "-o", os.DevNull}, packages...)...)
	cmd.Dir = here
	out, _ := cmd.CombinedOutput() // its status is an error even if the snippets are correct: names are unused
	wrong := 0
	for line := range strings.Lines(string(out)) {
		if unused.MatchString(line) || strings.HasPrefix(line, "# ") {
			continue
		}
		wrong++
		t.Error(strings.TrimSpace(line))
	}
	if wrong == 0 && !strings.Contains(string(out), "not used") {
		t.Errorf("the compiler reported no unused import, so it did not run: %s", out) // each snippet has unused imports
	}
	return n
}

// overlay is a set of files for the flag -overlay of the go command: the command sees
// them in folders of the module without their being there.
type overlay struct {
	dir   string
	files map[string]string // path that the go command sees: path on the disk
}

func (o *overlay) add(t *testing.T, path, text string) {
	t.Helper()
	file := filepath.Join(o.dir, fmt.Sprintf("%d.go", len(o.files)))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o.files[path] = file
}

// list writes the file for the flag -overlay and returns its name.
func (o *overlay) list(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"Replace": o.files})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(o.dir, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

var unused = regexp.MustCompile(`declared and not used|imported and not used|imported as \S+ and not used`)

// lineOf makes the compiler name the line of the document in its errors.
func lineOf(s block) string { return fmt.Sprintf("\n//line %s:%d\n", s.file, s.line) }

func header(paths []string) string {
	var b strings.Builder
	b.WriteString("package snippet\n\n")
	for _, path := range paths {
		fmt.Fprintf(&b, "import %q\n", path)
	}
	return b.String()
}

// body returns declarations as they are, and statements in a function.
func body(s block) string {
	if _, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+s.text, 0); err == nil {
		return lineOf(s) + s.text
	}
	return "func _() {" + lineOf(s) + s.text + "\n}\n"
}
