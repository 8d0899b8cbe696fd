package arbiter_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestMustNotCompile builds programs that must not compile. Each line with the comment ERROR must have an error with the text
// after it, and no other line may have one.
func TestMustNotCompile(t *testing.T) {
	dirs, err := filepath.Glob("testdata/nocompile/*")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no programs", err)
	}
	place := regexp.MustCompile(`main\.go:(\d+):\d+: (.*)`)
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(filepath.Join(dir, "main.go"))
			if err != nil {
				t.Fatal(err)
			}
			want := make(map[int]string)
			for i, line := range strings.Split(string(source), "\n") {
				if _, text, ok := strings.Cut(line, "// ERROR "); ok {
					want[i+1] = text
				}
			}
			// -e reports all errors, not only the first ten.
			out, err := exec.Command("go", "build", "-gcflags=-e", "-o", os.DevNull, "./"+dir).CombinedOutput()
			if err == nil {
				t.Fatal("it compiles")
			}
			got := make(map[int]string)
			last := 0
			for line := range strings.Lines(string(out)) {
				if m := place.FindStringSubmatch(line); m != nil {
					last, _ = strconv.Atoi(m[1])
					got[last] += m[2]
				} else {
					got[last] += strings.TrimSpace(line)
				}
			}
			delete(got, 0) // the line with the package's name
			for n, text := range want {
				if !strings.Contains(got[n], text) {
					t.Errorf("line %d: %q, want %q", n, got[n], text)
				}
				delete(got, n)
			}
			for n, text := range got {
				t.Errorf("line %d: %s", n, text)
			}
		})
	}
}
