package brokertest

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

// Run runs the suite: a subtest for each group, with a subtest for each promise in it. The group
// Model is a single subtest.
func Run(t *testing.T, cfg Config) {
	can := probe(t, cfg)
	if cfg.Bubble == nil {
		cfg.answers = askOn(t, cfg.Ping)
	}
	for _, g := range cfg.groups(t) {
		t.Run(g.name, func(t *testing.T) {
			if cfg.Parallel {
				t.Parallel()
			}
			var missing []string
			common := ^needs(0) // the needs that all left-out tests have in common
			for _, test := range g.tests {
				if lack := test.needs &^ can; lack != 0 {
					missing = append(missing, test.name+" (needs "+lack.String()+")")
					common &= lack
					continue
				}
				cfg := cfg.of(test)
				t.Run(test.name, func(t *testing.T) {
					if cfg.Parallel {
						t.Parallel()
					}
					cfg.run(t, test)
				})
			}
			switch {
			case len(missing) == len(g.tests) && common != 0:
				t.Logf("all tests of this group are left out, because they need %s", common)
			case len(missing) > 0:
				t.Logf("these tests are left out: %s", strings.Join(missing, ", "))
			}
		})
	}
	t.Run("Model", func(t *testing.T) {
		if cfg.Parallel {
			t.Parallel()
		}
		runModel(t, cfg)
	})
}

// groups returns the chosen groups.
func (c Config) groups(t *testing.T) []group {
	t.Helper()
	all := groups()
	if c.Groups == nil {
		return all
	}
	var chosen []group
	for _, name := range c.Groups {
		at := slices.IndexFunc(all, func(g group) bool { return g.name == name })
		if at < 0 {
			t.Fatalf("Config.Groups: the suite has no group %q", name)
		}
		chosen = append(chosen, all[at])
	}
	return chosen
}

// of returns the configuration for one test.
func (c Config) of(test test) Config {
	if c.Patient != nil && test.needs&needLapse == 0 {
		c.Open, c.patient = c.Patient, true
	}
	return c
}

type group struct {
	name  string
	tests []test
}

// test is the test of one promise. The body runs with a fresh broker, and in the bubble if there is
// one.
type test struct {
	name  string
	body  func(r *rig)
	needs needs
}

func groups() []group {
	return []group{
		{"Enqueue", enqueueTests},
		{"Repeat", repeatTests},
		{"Unique", slices.Concat(uniqueTests, uniqueRequeueTests, uniqueRuleTests())},
		{"Dequeue", dequeueTests},
		{"Wake", wakeTests},
		{"Delayed", delayedTests},
		{"Delivery", deliveryTests},
		{"Deadline", deadlineTests},
		{"Settle", settleTests},
		{"Starts", startTests},
		{"Blame", blameTests()},
		{"Owner", ownerTests},
		{"Lease", leaseTests},
		{"Capability", capabilityTests},
		{"Callback", callbackTests},
		{"Cancel", cancelTests},
		{"Kill", killTests},
		{"Lookup", lookupTests},
		{"Details", slices.Concat(metaTests, failureTests)},
		{"Retention", retentionTests},
		{"Inbox", inboxTests},
		{"Events", eventTests},
		{"Limits", limitTests},
		{"Malformed", malformedTests},
		{"Inspector", inspectorTests},
		{"Requeue", requeueTests},
		{"Flow", flowTests()},
		{"Squad", squadTests()},
		{"Follow", followTests()},
		{"Park", parkTests()},
		{"Halt", haltTests()},
		{"Lane", laneTests()},
		{"Document", documentTests()},
		{"Report", reportTests()},
		{"Pause", pauseTests()},
		{"Bound", boundTests()},
		{"Minions", minionTests},
		{"Close", closeTests},
		{"Context", contextTests},
		{"Stress", stressTests},
		{"Fault", faultTests},
		{"Linear", linearTests},
	}
}

// needs is a set of abilities of the broker or the harness. A test does not run without the
// abilities that it needs.
type needs uint32

const (
	needInspector needs = 1 << iota
	needMalform
	needJump
	needReopen
	needHeavy
	needFlows
	needSquads
	needLapse // the test lets leases end; see Config.Patient
	needFollower
	needParker
	needStarter
	needHalter
	needUniques
	needLanes
	needDocuments
	needPauser
	needBounder
	needReports
)

func (n needs) String() string {
	var words []string
	for i, word := range []string{
		"an Inspector", "Malform", "CanJump", "Reopen", "Light to be false", "Flows", "Squads", "leases that end", "Follower", "Parker", "Starter", "Halter", "Uniques", "Lanes", "Documents", "Pauser", "Bounder", "Reports",
	} {
		if n&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, " and ")
}

// probe opens a broker to find out the abilities of the broker and the harness.
func probe(t *testing.T, cfg Config) needs {
	t.Helper()
	can := needLapse
	cfg.guarded(t, func(t *testing.T, cfg Config) {
		h := cfg.open(t)
		t.Cleanup(func() { _ = h.Broker.Close() })
		for flag, has := range map[needs]bool{
			needMalform: h.Malform != nil,
			needJump:    h.CanJump,
			needReopen:  h.Reopen != nil,
			needHeavy:   !cfg.Light,
		} {
			if has {
				can |= flag
			}
		}
		if _, ok := h.Broker.(broker.Inspector); ok {
			can |= needInspector
		}
		if _, ok := h.Broker.(broker.Flows); ok {
			can |= needFlows
		}
		if _, ok := h.Broker.(broker.Squads); ok {
			can |= needSquads
		}
		if _, ok := h.Broker.(broker.Follower); ok {
			can |= needFollower
		}
		if _, ok := h.Broker.(broker.Parker); ok {
			can |= needParker
		}
		if _, ok := h.Broker.(broker.Starter); ok {
			can |= needStarter
		}
		if _, ok := h.Broker.(broker.Halter); ok {
			can |= needHalter
		}
		if _, ok := h.Broker.(broker.Uniques); ok {
			can |= needUniques
		}
		if _, ok := h.Broker.(broker.Lanes); ok {
			can |= needLanes
		}
		if _, ok := h.Broker.(broker.Documents); ok {
			can |= needDocuments
		}
		if _, ok := h.Broker.(broker.Pauser); ok {
			can |= needPauser
		}
		if _, ok := h.Broker.(broker.Bounder); ok {
			can |= needBounder
		}
		if _, ok := h.Broker.(broker.Reports); ok {
			can |= needReports
		}
	})
	return can
}
