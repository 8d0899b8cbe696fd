//go:build unix

package chaos

import (
	"context"
	"flag"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/internal/engine/halting"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

var (
	duration = flag.Duration("duration", testform.Pick(short, 30*time.Second), "for how long TestChaos injects faults")
	topology = flag.String("topology", "single", "the servers of TestChaos: single, sentinel or cluster")
	fsync    = flag.String("fsync", "always", "when the servers of TestChaos sync their files: always or everysec; those of sentinel have no files")
	clocks   = flag.Bool("clocks", testform.Long(), "let the clocks of some processes be hours wrong; the default is true in the long form only")
	ledgers  = flag.String("ledgers", "", "an empty folder for the ledgers of TestChaos")
	patience = flag.Duration("patience", 15*time.Second, "how long a result may take after the last fault")
	outages  = flag.Bool("outages", false, "inject only outages of minions, none of which may count as a death")
	seed     = flag.Uint64("seed", 1, "the seed of the plan of faults")
)

func TestMain(m *testing.M) {
	goredis.SetLogger(mute{}) // the library logs every failed dial
	// Groups are small here. With these values most groups are halted when they are killed, as
	// large groups are, and the kill of a dead killer is continued soon.
	halting.Set(3, lease/2)
	proc.Main(map[string]proc.Role{"minion": minionRole, "submitter": submitterRole, "holder": holderRole})
	testform.Parallel(max(4, runtime.GOMAXPROCS(0))) // TestChaos and each topology of TestTopologies
	os.Exit(m.Run())
}

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

const (
	minions    = 4
	submitters = 2
	lease      = 2 * time.Second
	enough     = 20_000 // tasks a minute that a run must have at least
	short      = 4 * time.Second
	shortEach  = 4 * time.Second // for each topology of TestTopologies
	soonDone   = 8 * time.Second // patience after the short duration
)

// senders is the number of tasks that each submitter has in progress. A run of the short form has
// half as many: its faults are as dense, and most of its cost on the machine is for the tasks.
func senders(duration time.Duration) int {
	if duration <= short {
		return 8
	}
	return 24
}

// Faults of all kinds strike minions, arbiters, their connections and the server, while tasks,
// groups, squads and pipes are sent and killed. No task is lost, and nothing happens twice that no
// fault explains.
func TestChaos(t *testing.T) {
	beside(t)
	path := redistest.Path(t)
	if path == "" {
		return
	}
	on, ok := topologies[*topology]
	if !ok {
		t.Fatalf("there is no topology %q", *topology)
	}
	switch {
	case *fsync != "always" && *fsync != "everysec":
		t.Fatalf("-fsync is %q, want always or everysec", *fsync)
	case *fsync == "everysec" && *topology != "sentinel":
		on.Everysec = true
	}
	run(t, path, *topology, on, *duration, *patience, *clocks)
}

// Short runs on the configurations that the flags of TestChaos do not select: the other topologies,
// and servers that may lose a second.
func TestTopologies(t *testing.T) {
	beside(t)
	path := redistest.Path(t)
	if path == "" {
		return
	}
	everysec := topologies["single"]
	everysec.Everysec = true
	for _, one := range []struct {
		name, topology string
		on             Topology
		long           bool // left to the long form
	}{
		{"everysec", "single", everysec, true},
		{"sentinel", "sentinel", topologies["sentinel"], true},
		{"cluster", "cluster", topologies["cluster"], false},
	} {
		if one.long && !testform.Long() {
			continue
		}
		t.Run(one.name, func(t *testing.T) {
			beside(t)
			run(t, path, one.topology, one.on, testform.Pick(shortEach, 15*time.Second), soonDone, false)
		})
	}
}

// beside lets a test run in parallel with others in the short form, where most of the time is spent
// waiting for the effects of the last faults. In the long form each test has the machine to itself,
// and does more work.
func beside(t *testing.T) {
	if !testform.Long() {
		t.Parallel()
	}
}

// outage returns the kind of the outages of a plan.
func outage(fails bool) string {
	if fails {
		return Unreachable
	}
	return Freeze
}

func run(t *testing.T, path, topology string, on Topology, duration, patience time.Duration, clocks bool) {
	t.Helper()
	plan := Plan(*seed, duration, lease, minions, submitters, on)
	if *outages {
		plan = Outages(outage(*seed%2 == 0), duration, lease, minions)
	}
	t.Logf("%s, fsync %s, seed %d: %d faults in %v", topology, on.sync(), *seed, len(plan), duration)
	for _, f := range plan {
		t.Log(f)
	}
	dir := *ledgers
	if dir == "" {
		dir = t.TempDir()
	}
	s := newStage(t, path, topology, on, config{
		Dir: dir, Queues: []string{"a", "b", "c", "d"}, Lease: lease, Slots: 30, Seed: *seed, Senders: senders(duration), Patience: patience,
		Poison: duration >= longPlan && !*outages, Outages: *outages,
	})
	if clocks {
		s.child = buildSkewed(t)
	}
	var late *host
	if duration >= longPlan && !*outages {
		s.template.Held, late = heldQueue, s.newHost("minion", lateHost)
	}
	s.startHosts("minion", "m", minions)
	s.template.Until = time.Now().Add(duration)
	s.startHosts("submitter", "s", submitters)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for at := range s.admins {
		go s.watch(ctx, at)
	}
	var all sync.WaitGroup
	all.Go(func() { s.cut(Cuts(*seed, duration, minions, submitters)) })
	all.Go(func() { s.damage(duration) })
	if late != nil {
		all.Go(func() { s.killHolders(late, s.template.Until) })
	}
	s.carryOut(plan)
	all.Wait()
	for _, p := range s.all('s') {
		p.current.WaitFor(t, "done\n")
		if status := p.current.Terminate(t); status != 0 {
			t.Errorf("submitter %s ended with status %d", p.process(), status)
		}
	}
	left := s.audit(ctx, duration >= longPlan)
	s.longScripts()
	events := s.events()
	report := Check(events, lease)
	t.Logf("\n%v", report)
	if !report.Passed() {
		t.Errorf("guarantees are broken:\n%s", report.Evidence(events))
		for key := range report.broken {
			if said := left[key]; said != "" {
				t.Logf("task %s has no result: %s", key, said)
			}
		}
	}
	if duration >= longPlan && report.Damaged == 0 {
		t.Error("no record was damaged in the store")
	}
	if duration >= time.Minute && report.Tasks < enough {
		t.Errorf("only %d tasks were sent, which is too few for a verdict", report.Tasks)
	}
}
