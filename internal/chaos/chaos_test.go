//go:build unix

package chaos

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/proc"
	"github.com/go-arbiter/arbiter/internal/redistest"
	"github.com/go-arbiter/arbiter/task"
)

var (
	duration = flag.Duration("duration", 6*time.Second, "how long TestChaos has faults")
	topology = flag.String("topology", "single", "what servers TestChaos has: single, sentinel or cluster")
	patience = flag.Duration("patience", 40*time.Second, "how long anything may take once the faults are over")
	seed     = flag.Uint64("seed", 1, "the seed of TestChaos' plan of faults")
)

func TestMain(m *testing.M) {
	goredis.SetLogger(mute{}) // it tells of every failed dial
	proc.Main(map[string]proc.Role{"minion": minionRole, "submitter": submitterRole})
	flag.Parse()
	os.Exit(m.Run())
}

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

const (
	minions    = 4
	submitters = 2
	lease      = 2 * time.Second
	enough     = 20_000 // tasks in a minute
)

// Minions, arbiters, their connections and the server are struck by all kinds of
// faults while tasks, groups and pipes are sent and killed. Nothing is lost, and
// nothing happens twice that no fault explains.
func TestChaos(t *testing.T) {
	path := redistest.Path(t)
	if path == "" {
		return
	}
	on, ok := topologies[*topology]
	if !ok {
		t.Fatalf("no topology is called %q", *topology)
	}
	plan := Plan(*seed, *duration, lease, minions, submitters, on)
	t.Logf("%s, seed %d: %d faults in %v", *topology, *seed, len(plan), *duration)
	for _, f := range plan {
		t.Log(f)
	}
	dir := t.TempDir()
	s := newStage(t, path, *topology, config{
		Dir: dir, Queues: []string{"a", "b", "c", "d"}, Lease: lease, Slots: 30, Seed: *seed, Senders: 24, Patience: *patience,
	})
	s.people("minion", "m", minions)
	s.template.Until = time.Now().Add(*duration)
	s.people("submitter", "s", submitters)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, admin := range s.admins {
		go s.watch(ctx, admin)
	}
	var all sync.WaitGroup
	if on.Proxied {
		all.Go(func() { s.cut(Cuts(*seed, *duration, minions, submitters)) })
	}
	s.carryOut(plan)
	all.Wait()
	for _, p := range s.all('s') {
		p.current.WaitFor(t, "done\n")
		if status := p.current.Terminate(t); status != 0 {
			t.Errorf("submitter %s ended with status %d", p.process(), status)
		}
	}
	s.audit()
	for _, p := range s.all('m') {
		p.current.Terminate(t)
	}
	events, err := ReadLedgers(dir)
	if err != nil {
		t.Fatal(err)
	}
	report := Check(events, lease)
	t.Logf("\n%v", report)
	if !report.Passed() {
		t.Error("guarantees are broken")
	}
	if *duration >= time.Minute && report.Tasks < enough {
		t.Errorf("%d tasks are too few to tell", report.Tasks)
	}
}

// audit asks for the results of all that was accepted or has started, as one who
// knows the ids alone, and notes them.
func (s *stage) audit() {
	events, err := ReadLedgers(s.template.Dir)
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.Context(), *patience)
	defer cancel()
	b, err := redis.Open(ctx, s.url, redis.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	for _, err := range audit(ctx, b, events, make(map[task.ID]string), s.ledger) {
		s.Errorf("audit: %v", err)
	}
}
