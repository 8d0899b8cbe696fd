package docs

import (
	"strings"
	"testing"
)

// TestFolders holds the three parts of the folder internal: base does not import the other
// two, nor packages that know the life of a task; engine does not import arbiters, minions
// and brokers; and only packages for tests import testing.
func TestFolders(t *testing.T) {
	t.Parallel()
	all := packages(t)
	if _, ok := all["internal/base/msgp"]; !ok {
		t.Fatal("the packages of internal/base were not found")
	}
	forbidden := map[string][]string{
		"internal/base/":   {"internal/engine/", "task", "arbiter", "minion", "broker/memory", "broker/redis"},
		"internal/engine/": {"arbiter", "minion", "broker/memory", "broker/redis"},
	}
	for pkg, deps := range all {
		equipment := strings.HasPrefix(pkg, "internal/testing/") || pkg == "broker/brokertest" || pkg == "bench"
		for _, dep := range deps {
			if strings.HasPrefix(dep, "internal/testing/") && !equipment {
				t.Errorf("%s imports %s, which is for tests", pkg, dep)
			}
			for part, not := range forbidden {
				if !strings.HasPrefix(pkg, part) {
					continue
				}
				for _, f := range not {
					if dep == f || strings.HasSuffix(f, "/") && strings.HasPrefix(dep, f) {
						t.Errorf("%s imports %s", pkg, dep)
					}
				}
			}
		}
	}
}
