package chaos

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

// A seed has one plan, which has faults of all kinds that its topology allows,
// and strikes nothing twice at a time.
func TestPlan(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second
	processes := []string{KillProcess, StopProcess, EndProcess}
	connections := []string{Freeze, CutOff, CutAll, HalfOpen, HalfOpenAfter}
	servers := []string{KillClients, FlushScripts, PauseClients, FillMemory}
	for name, c := range map[string]struct {
		on   Topology
		want []string
	}{
		"single":   {Topology{Nodes: 1, Proxied: true}, slices.Concat(processes, connections, servers, []string{KillServer})},
		"sentinel": {Topology{Nodes: 1, Replica: true}, slices.Concat(processes, servers, []string{Failover})},
		"cluster":  {Topology{Nodes: 3}, slices.Concat(processes, servers, []string{KillServer})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			of := func(seed uint64) []Fault { return Plan(seed, 10*time.Minute, lease, 4, 2, c.on) }
			plan := of(1)
			if !reflect.DeepEqual(plan, of(1)) || reflect.DeepEqual(plan, of(2)) {
				t.Error("the plan is not its seed's own")
			}
			var kinds, nodes []string
			over := map[string]time.Duration{}
			failovers := 0
			for _, f := range plan {
				if !slices.Contains(kinds, f.Name) {
					kinds = append(kinds, f.Name)
				}
				if f.At < over[f.Target] {
					t.Errorf("%v: the one before is not over", f)
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
			slices.Sort(c.want)
			if !slices.Equal(kinds, c.want) {
				t.Errorf("it has %v, want %v", kinds, c.want)
			}
			if failovers > 1 || len(nodes) > 0 {
				t.Errorf("%d failovers; of nodes that are not there: %v", failovers, nodes)
			}
		})
	}
	cuts := Cuts(1, time.Minute, 4, 2)
	if !reflect.DeepEqual(cuts, Cuts(1, time.Minute, 4, 2)) || len(cuts) < 1000 {
		t.Errorf("%d cuts", len(cuts))
	}
}
