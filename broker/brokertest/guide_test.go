package brokertest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker/brokertest"
)

const guide = "../../docs/writing-a-broker.md"

// The Go code of docs/writing-a-broker.md compiles.
func TestGuideCompiles(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\n```go\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) != 2 {
		t.Fatalf("the guide has %d blocks of Go, want two: the skeleton and the test", len(blocks))
	}
	// An overlay gives the go tool the files of a package that does not exist on disk.
	here, dir := t.TempDir(), "skeleton"
	replace := map[string]string{}
	for i, name := range []string{"broker.go", "broker_test.go"} {
		at := filepath.Join(here, fmt.Sprint(i, ".go"))
		if err := os.WriteFile(at, blocks[i][1], 0o600); err != nil {
			t.Fatal(err)
		}
		abs, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		replace[abs] = at
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(here, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "test", "-overlay", file, "-vet=off", "-c", "-o", filepath.Join(here, "skeleton.test"), "./"+dir).CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

// The guide names every group of the suite, and no other group.
func TestGuideNamesTheGroups(t *testing.T) {
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## The order of work")
	table, _, _ = strings.Cut(table, "## Running the suite")
	named := map[string]bool{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) < 4 || !regexp.MustCompile(`^ \d+ $`).MatchString(cells[1]) {
			continue
		}
		for _, name := range regexp.MustCompile(`\b[A-Z][a-z]+\b`).FindAllString(cells[2], -1) {
			named[name] = true
		}
	}
	for _, group := range brokertest.Groups() {
		if !named[group] {
			t.Errorf("the order of work does not name %s", group)
		}
		delete(named, group)
	}
	for name := range named {
		t.Errorf("the order of work names %s, which is no group of the suite", name)
	}
}
