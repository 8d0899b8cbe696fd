package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

// TestFromAnEmptyFolder follows the section "From an empty folder" of the README: it runs
// the commands in a shell and writes the files as they are printed. Beside the new folder
// is a link to this checkout, named arbiter.
func TestFromAnEmptyFolder(t *testing.T) {
	t.Parallel()
	if !testform.Long() {
		t.Log("left to the long form, since it builds programs")
		return
	}
	dir := t.TempDir()
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(here, filepath.Join(dir, "arbiter")); err != nil {
		t.Fatal(err)
	}
	files := []string{"tasks/tasks.go", "main.go"}
	var out []byte
	for _, s := range blocks(t, "README.md") {
		if s.head != "From an empty folder" {
			continue
		}
		switch s.lang {
		case "sh":
			// Each block runs in the folder in which the block before it has ended.
			script := s.text
			if _, err := os.Stat(filepath.Join(dir, "demo")); err == nil {
				script = "cd demo\n" + script
			}
			cmd := exec.Command("sh", "-ec", script)
			cmd.Dir = dir
			// With -trimpath a build does not depend on the folder, so the next run finds it in
			// the cache.
			cmd.Env = append(os.Environ(), "GOFLAGS=-trimpath", "GOWORK=off")
			out, err = cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("README.md:%d: %v\n%s", s.line, err, out)
			}
		case "go":
			if err := os.WriteFile(filepath.Join(dir, "demo", files[0]), []byte(s.text), 0o600); err != nil {
				t.Fatalf("README.md:%d: %v", s.line, err)
			}
			files = files[1:]
		}
	}
	lines := strings.Fields(string(out))
	if len(files) > 0 || len(lines) == 0 || lines[len(lines)-1] != "3" {
		t.Errorf("the program printed %q, want 3 at the end; %d files are missing in the README", out, len(files))
	}
}
