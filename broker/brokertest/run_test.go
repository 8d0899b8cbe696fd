package brokertest

import "testing"

// Config.Groups chooses the groups. By default all groups run.
func TestChosenGroups(t *testing.T) {
	chosen := Config{Groups: []string{"Lease", "Enqueue"}}.groups(t)
	if len(chosen) != 2 || chosen[0].name != "Lease" || chosen[1].name != "Enqueue" || len(chosen[1].tests) == 0 {
		t.Errorf("the chosen groups are %v, want Enqueue and Lease in the order of the choice", chosen)
	}
	if all := (Config{}).groups(t); len(all) != len(groups()) {
		t.Errorf("without a choice %d groups run, want all %d", len(all), len(groups()))
	}
}
