//go:build unix

package chaos

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	mutants = flag.String("mutants", "", "the mutants of TestMutants: those whose names contain this text, or all")
	tries   = flag.Uint64("mutants.seeds", 8, "the number of seeds that TestMutants tries before a mutant counts as missed")
)

// Each known mutant breaks a guarantee, and the checker finds it. The test takes several minutes,
// so it runs only with -mutants.
func TestMutants(t *testing.T) {
	if *mutants == "" {
		t.Logf("the %d mutants do not run; -args -mutants all runs them", len(known))
	}
	for _, m := range known {
		source, err := os.ReadFile(filepath.Join("..", "..", "..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), m.old); n != 1 {
			t.Errorf("%s: the text to change is %d times in %s, want once", m.name, n, m.file)
			continue
		}
		if *mutants != "all" && (*mutants == "" || !strings.Contains(m.name, *mutants)) {
			continue
		}
		began := time.Now()
		dir := t.TempDir()
		scratch(t, dir)
		changed := strings.Replace(string(source), m.old, m.new, 1)
		if err := os.WriteFile(filepath.Join(dir, m.file), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		seen := ""
		for s := uint64(1); s <= *tries && seen == ""; s++ {
			seen = caught(t, dir, s, elsewhere[m.name])
		}
		if seen == "" {
			t.Errorf("MISSED %s", m.name)
			continue
		}
		t.Logf("caught %s, in %v\n  %s", m.name, time.Since(began).Round(time.Second), seen)
		if m.added != "" {
			t.Logf("  the suite did not find it at first; added since then: %s", m.added)
		}
	}
}

// scratch copies the parts of the module that a run needs.
func scratch(t *testing.T, dir string) {
	t.Helper()
	for _, part := range []string{"arbiter", "broker", "codec", "internal", "limit", "minion", "task"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join("..", "..", "..", part))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "..", file))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

var broken = regexp.MustCompile(`(?m)^ *(` + strings.Join(names(verdicts), "|") + `): .*$`)

func names(all []Verdict) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return out
}

// caught runs the suite in a copy of the module, and returns the first broken rule that the checker
// reports.
func caught(t *testing.T, dir string, seed uint64, more []string) string {
	t.Helper()
	args := []string{"test", "./internal/testing/chaos", "-count=1", "-run", "^TestChaos$", "-args",
		"-duration", "15s", "-patience", "8s", "-clocks=false", "-seed", fmt.Sprint(seed)}
	cmd := exec.Command("go", append(args, more...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	found := broken.FindString(string(out))
	if found == "" {
		t.Fatalf("the suite ended without a verdict:\n%s", out)
	}
	return strings.TrimSpace(found)
}
