package chaos

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A seed has one plan. The plan has faults of all kinds that its topology allows, and strikes each
// target once at a time.
func TestPlan(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second
	processes := []string{KillProcess, StopProcess, EndProcess}
	connections := []string{Freeze, CutOff, CutAll, HalfOpen, HalfOpenAfter, SlowLine}
	servers := []string{KillClients, FlushScripts, PauseClients, PauseWrites, NoReplicas, FillMemory, LoseRegistrations}
	for name, c := range map[string]struct {
		on   Topology
		want []string
	}{
		"single":   {Topology{Nodes: 1}, []string{KillServer}},
		"everysec": {Topology{Nodes: 1, Everysec: true}, []string{PowerFailure}},
		"sentinel": {Topology{Nodes: 1, Replica: true}, []string{Failover}},
		"cluster":  {Topology{Nodes: 3, Replica: true, Slots: true}, []string{KillServer, MoveSlots, Switchover, Failover}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			of := func(seed uint64) []Fault { return Plan(seed, 10*time.Minute, lease, 4, 2, c.on) }
			plan := of(1)
			if !reflect.DeepEqual(plan, of(1)) || reflect.DeepEqual(plan, of(2)) {
				t.Error("the plan does not depend on the seed alone")
			}
			want := slices.Concat(processes, connections, servers, c.want)
			var kinds, nodes []string
			struck := map[string][]string{} // by the first letter of the target
			over := map[string]time.Duration{}
			failovers := 0
			for _, f := range plan {
				if !slices.Contains(kinds, f.Name) {
					kinds = append(kinds, f.Name)
				}
				role := f.Target[:1]
				if !slices.Contains(struck[role], f.Name) {
					struck[role] = append(struck[role], f.Name)
				}
				if f.At < over[f.Target] {
					t.Errorf("%v: the previous fault of the target is not over", f)
				}
				over[f.Target] = f.At + f.For
				if f.Name == Failover {
					failovers++
				}
				if f.Node >= c.on.Nodes {
					nodes = append(nodes, f.String())
				}
			}
			slices.Sort(kinds)
			slices.Sort(want)
			if !slices.Equal(kinds, want) {
				t.Errorf("the plan has the kinds %v, want %v", kinds, want)
			}
			for _, f := range slices.Concat(processes, connections) {
				if !slices.Contains(struck["m"], f) || !slices.Contains(struck["s"], f) {
					t.Errorf("%s does not strike both minions and arbiters: %v", f, struck)
				}
			}
			for _, long := range []bool{false, true} {
				lasts := map[bool]time.Duration{false: 6 * time.Second, true: 30 * time.Second}[long]
				for _, f := range c.on.special(long) {
					if !slices.ContainsFunc(Plan(3, lasts, lease, 4, 2, c.on), func(o Fault) bool { return o.Name == f }) {
						t.Errorf("a plan of %v has no %s", lasts, f)
					}
				}
			}
			if failovers > 1 || len(nodes) > 0 {
				t.Errorf("the plan has %d failovers, and faults of nodes that do not exist: %v", failovers, nodes)
			}
		})
	}
	cuts := Cuts(1, time.Minute, 4, 2)
	if !reflect.DeepEqual(cuts, Cuts(1, time.Minute, 4, 2)) || len(cuts) < 1000 {
		t.Errorf("%d cuts", len(cuts))
	}
}

// Each script that a plan strikes exists, and no other script is taken for it: a fault of a script
// without a match strikes nothing, and no rule of the checker would notice.
func TestStruckScriptsExist(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "broker", "redis", "lua", "*.lua"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(slices.Clone(ofMinion), ofSubmitter...) {
		if name == "blmove" { // a command
			continue
		}
		mark, found := regexp.MustCompile(`(?m)^-- `+name+`[ _]`), false
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !mark.Match(text) {
				continue
			}
			found = true
			if of := filepath.Base(file); of != name+".lua" && !strings.HasPrefix(of, name+"_") {
				t.Errorf("a comment in %s begins with %q, so faults at that script would strike this one, too", of, name)
			}
		}
		if !found {
			t.Errorf("no script has a comment that begins with %q", name)
		}
	}
}
