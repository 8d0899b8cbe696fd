package brokertest

import "testing"

// Groups chooses what runs, and by default all does.
func TestChosenGroups(t *testing.T) {
	chosen := Config{Groups: []string{"Lease", "Enqueue"}}.groups(t)
	if len(chosen) != 2 || chosen[0].name != "Lease" || chosen[1].name != "Enqueue" || len(chosen[1].tests) == 0 {
		t.Errorf("%v", chosen)
	}
	if all := (Config{}).groups(t); len(all) != len(groups()) {
		t.Errorf("%d groups of %d", len(all), len(groups()))
	}
}
