//go:build unix

package chaos

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	mutants = flag.String("mutants", "", "the mutants of TestMutants: those whose names contain this text, or all")
	tries   = flag.Uint64("mutants.seeds", 8, "the number of seeds that TestMutants tries before a mutant counts as missed")
)

// simSeeds is the number of seeds of a simulation with a mutant.
const simSeeds = 200

// Each known mutant breaks a guarantee, and the rule of the checker that it names finds it. The test
// takes many minutes, so it runs only with -mutants.
func TestMutants(t *testing.T) {
	if *mutants == "" {
		t.Logf("the %d mutants do not run; -args -mutants all runs them", len(known))
	}
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range known {
		source, err := os.ReadFile(filepath.Join(root, m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), m.old); n != 1 {
			t.Errorf("%s: the text to change is %d times in %s, want once", m.name, n, m.file)
			continue
		}
		if len(m.want) == 0 || slices.ContainsFunc(m.want, func(v Verdict) bool { return !slices.Contains(verdicts, v) }) {
			t.Errorf("%s: the rules that must find it are %q, want at least one, and only rules of the checker", m.name, m.want)
			continue
		}
		if *mutants != "all" && (*mutants == "" || !strings.Contains(m.name, *mutants)) {
			continue
		}
		began := time.Now()
		overlay := m.overlay(t, root, string(source))
		var seen, others []string
		for _, args := range m.runs() {
			var found []string
			ok := false
			if found, ok = verdictsOf(t, root, overlay, args); !ok {
				break
			}
			if len(found) == 0 {
				continue
			}
			t.Logf("%s: %s found\n  %s", m.name, strings.Join(args, " "), strings.Join(found, "\n  "))
			if seen = m.wanted(found); len(seen) > 0 {
				break
			}
			others = append(others, found...)
		}
		took := time.Since(began).Round(time.Second)
		switch {
		case len(seen) > 0:
			t.Logf("caught %s, in %v\n  %s", m.name, took, seen[0])
			if m.added != "" {
				t.Logf("  the suite did not find it at first; added since then: %s", m.added)
			}
		case len(others) > 0:
			t.Errorf("MISSED %s, in %v: the rules %q did not find it, only others:\n  %s", m.name, took, m.want, strings.Join(others, "\n  "))
		default:
			t.Errorf("MISSED %s, in %v", m.name, took)
		}
	}
}

// overlay writes the changed file, and a file for the flag -overlay of the go command, which then
// builds the module with the change. It returns the name of the latter.
func (m mutant) overlay(t *testing.T, root, source string) string {
	t.Helper()
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "changed"+filepath.Ext(m.file)), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(changed, []byte(strings.Replace(source, m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, m.file): changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// runs returns the arguments of the runs that are tried until one of them finds the mutant: first
// the run that is known to find it.
func (m mutant) runs() [][]string {
	var runs [][]string
	if m.simulated {
		return append(runs, []string{"^TestSimulation$", "-seeds", fmt.Sprint(simSeeds)})
	}
	chaos := func(duration string, seed uint64) {
		runs = append(runs, append([]string{"^TestChaos$", "-duration", duration, "-patience", "8s", "-clocks=false", "-seed", fmt.Sprint(seed)}, m.args...))
	}
	if !m.long {
		chaos("6s", 1)
	}
	first := max(m.seed, 1)
	chaos("15s", first)
	for s := uint64(1); s <= *tries; s++ {
		if s != first {
			chaos("15s", s)
		}
	}
	return runs
}

// wanted returns those of the verdicts that the mutant must get.
func (m mutant) wanted(found []string) []string {
	return slices.DeleteFunc(slices.Clone(found), func(line string) bool {
		return !slices.ContainsFunc(m.want, func(v Verdict) bool { return strings.HasPrefix(line, string(v)+": ") })
	})
}

var broken = regexp.MustCompile(`(?m)^ *((?:` + strings.Join(names(verdicts), "|") + `): .*)$`)

func names(all []Verdict) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return out
}

// verdictsOf runs a test of the suite with the changed file. It returns the first case of each rule
// that the checker reports as broken. ok is false if the run failed in another way.
func verdictsOf(t *testing.T, root, overlay string, args []string) (found []string, ok bool) {
	t.Helper()
	cmd := exec.Command("go", append([]string{
		"test", "./internal/testing/chaos", "-overlay", overlay, "-vet=off", "-count=1", "-timeout", "10m", "-run", args[0], "-args",
	}, args[1:]...)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil, true
	}
	seen := make(map[string]bool)
	for _, line := range broken.FindAllStringSubmatch(string(out), -1) {
		if v, _, _ := strings.Cut(line[1], ": "); !seen[v] {
			seen[v] = true
			found = append(found, line[1])
		}
	}
	if len(found) == 0 {
		t.Errorf("the suite ended without a verdict:\n%s", out)
	}
	return found, len(found) > 0
}
