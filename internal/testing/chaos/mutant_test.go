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

// Each known mutant breaks a guarantee, and a rule that it names finds it. The test takes many
// minutes, so it runs only with -mutants. Otherwise it checks that each mutant can be built.
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
		if *mutants != "all" && (*mutants == "" || !strings.Contains(m.name, *mutants)) {
			continue
		}
		t.Run(m.name, func(t *testing.T) { m.check(t, root, string(source)) })
	}
}

// check fails the test if no rule that the mutant names finds it.
func (m mutant) check(t *testing.T, root, source string) {
	t.Helper()
	began := time.Now()
	overlay := m.overlay(t, root, source)
	seen, others := m.hunt(func(args []string) []string { return verdictsOf(t, root, overlay, args) })
	took := time.Since(began).Round(time.Second)
	switch {
	case len(seen) > 0:
		t.Logf("caught %s, in %v\n  %s", m.name, took, strings.Join(seen, "\n  "))
		if m.added != "" {
			t.Logf("  the suite did not find it at first; added since then: %s", m.added)
		}
	case len(others) > 0:
		t.Errorf("MISSED %s, in %v: the rules %q did not find it, only others:\n  %s", m.name, took, m.want, strings.Join(others, "\n  "))
	default:
		t.Errorf("MISSED %s, in %v", m.name, took)
	}
}

// Each mutant names the rules that must find it, and each rule has a mutant that it must find.
func TestMutantsNameRules(t *testing.T) {
	t.Parallel()
	wanted := make(map[Verdict]bool)
	for _, m := range known {
		if len(m.want) == 0 {
			t.Errorf("%s: no rule must find it", m.name)
		}
		for _, v := range m.want {
			if !slices.Contains(verdicts, v) {
				t.Errorf("%s: the checker has no rule %q", m.name, v)
			}
			wanted[v] = true
		}
	}
	for _, v := range verdicts {
		if !wanted[v] {
			t.Errorf("no mutant names the rule %q", v)
		}
	}
}

// A mutant that only other rules find than those that it names is missed.
func TestMutantOfAnotherRule(t *testing.T) {
	t.Parallel()
	m := mutant{want: []Verdict{Late, Lost}}
	found := [][]string{{}, {"too long: a", "lost and found: b"}, {"unexplained: c", "lost: d", "late: e"}, {"lost: f"}}
	runs := 0
	seen, others := m.hunt(func([]string) []string { runs++; return found[min(runs, len(found))-1] })
	if want := []string{"lost: d", "late: e"}; !slices.Equal(seen, want) || runs != 3 {
		t.Errorf("%d runs found %q, want %q in the third one", runs, seen, want)
	}
	if want := []string{"too long: a", "lost and found: b"}; !slices.Equal(others, want) {
		t.Errorf("other rules found %q before that, want %q", others, want)
	}
	seen, others = m.hunt(func([]string) []string { return found[1] })
	if len(seen) > 0 || len(others) == 0 {
		t.Errorf("a mutant that other rules find counts as found by %q", seen)
	}
}

// hunt calls run with the arguments of one run after the other, until a rule that the mutant names
// has found it. It returns what these rules have found, and what other rules found in earlier runs.
func (m mutant) hunt(run func(args []string) []string) (seen, others []string) {
	for _, args := range m.runs() {
		found := run(args)
		if seen = m.wanted(found); len(seen) > 0 {
			break
		}
		others = append(others, found...)
	}
	return seen, others
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
// that the checker reports as broken. It fails the test if the run failed in another way.
func verdictsOf(t *testing.T, root, overlay string, args []string) (found []string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{
		"test", "./internal/testing/chaos", "-overlay", overlay, "-vet=off", "-count=1", "-timeout", "10m", "-run", args[0], "-args",
	}, args[1:]...)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	seen := make(map[string]bool)
	for _, line := range broken.FindAllStringSubmatch(string(out), -1) {
		if v, _, _ := strings.Cut(line[1], ": "); !seen[v] {
			seen[v] = true
			found = append(found, line[1])
		}
	}
	if len(found) == 0 {
		t.Fatalf("the suite ended without a verdict, %v:\n%s", err, out)
	}
	t.Logf("%s found\n  %s", strings.Join(args, " "), strings.Join(found, "\n  "))
	return found
}
