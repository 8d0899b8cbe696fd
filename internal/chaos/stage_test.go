//go:build unix

package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/internal/proc"
	"github.com/go-arbiter/arbiter/internal/redisproxy"
	"github.com/go-arbiter/arbiter/internal/redistest"
)

// stage is everything that runs.
type stage struct {
	*testing.T
	on       Topology
	nodes    []*redistest.Server // those of the plan, then the replica if there is one
	admins   []*goredis.Client   // of nodes
	guards   []*goredis.Client   // of sentinels
	server   sync.Mutex          // held while it is struck
	taken    atomic.Bool         // whether the replica has taken over
	watches  []*redistest.ScriptWatch
	meters   []*meter // of nodes, where a power failure is to come
	url      string
	child    build // of the processes whose clocks are wrong
	template config
	ledger   *Ledger // of the injector
	places   map[string]*place
}

// place is where one process runs after the other, behind proxies of its own.
type place struct {
	stage  *stage
	name   string
	role   string
	fronts []*redisproxy.Proxy // of the stage's nodes

	mu      sync.Mutex // held while a fault lasts
	number  int
	current *proc.Process
	closed  bool
}

// topologies are those that can be asked for.
var topologies = map[string]Topology{
	"single":   {Nodes: 1},
	"sentinel": {Nodes: 1, Replica: true},
	"cluster":  {Nodes: 3, Replica: true, Slots: true},
}

// sync is when its servers sync their files.
func (on Topology) sync() string {
	if on.Everysec {
		return "everysec"
	}
	return "always"
}

func newStage(t *testing.T, path, topology string, on Topology, c config) *stage {
	t.Helper()
	s := &stage{T: t, on: on, template: c, places: make(map[string]*place)}
	// A file that grows is what a power failure cuts; one that is written anew is
	// another matter, and the server's own.
	durable := []string{"--appendonly", "yes", "--appendfsync", on.sync(), "--auto-aof-rewrite-percentage", "0"}
	switch topology {
	case "sentinel":
		sentinel := redistest.StartSentinel(t, path, 3)
		s.nodes, s.url = sentinel.Nodes[:], sentinel.URL()
		s.template.Master = sentinel.Name
		for _, one := range sentinel.Sentinels {
			s.guards = append(s.guards, one.Client())
		}
	case "cluster":
		cluster := redistest.StartCluster(t, path, on.Nodes, durable...)
		s.nodes, s.url = append(cluster.Nodes, cluster.AddReplica(t, path, 0, durable...)), cluster.URL()
		s.template.Cluster = true
	default:
		s.nodes = []*redistest.Server{redistest.Start(t, path, durable...)}
		s.url = s.nodes[0].URL()
	}
	if err := redistest.Tells(); err != nil {
		t.Logf("nobody looks for long scripts: %v", err)
	}
	for _, node := range s.nodes {
		s.admins = append(s.admins, node.Client())
		if redistest.Tells() == nil {
			s.watches = append(s.watches, redistest.WatchScripts(t, node, scriptMost))
		}
		if on.Everysec {
			s.meters = append(s.meters, startMeter(t, node))
		}
	}
	var err error
	if s.ledger, err = OpenLedger(c.Dir, "injector", 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.ledger.Close() })
	return s
}

// scriptMost is how long a script may keep a server: everybody else waits meanwhile.
const scriptMost = 20 * time.Millisecond

// longScripts notes which scripts have kept a server for too long.
func (s *stage) longScripts() {
	for _, w := range s.watches {
		for _, l := range w.Stop() {
			s.ledger.Note(Event{Kind: Script, Target: Server, At: l.At.UnixNano(), Value: l.String()})
		}
	}
}

// node returns the place in nodes of what the plan calls node n: the first one
// may have been replaced.
func (s *stage) node(n int) int {
	if n == 0 && s.taken.Load() {
		return len(s.nodes) - 1
	}
	return n
}

// people starts n processes of a role, in places of their own.
func (s *stage) people(role, prefix string, n int) {
	for i := range n {
		p := &place{stage: s, name: fmt.Sprint(prefix, i), role: role}
		for _, node := range s.nodes {
			p.fronts = append(p.fronts, redisproxy.Start(s, node.Addr))
		}
		s.places[p.name] = p
		p.start()
		p.current.WaitFor(s, "ready\n")
	}
}

// start starts the next process of a place.
func (p *place) start() {
	s := p.stage
	p.number++
	c := s.template
	c.Name = fmt.Sprintf("%s.%d", p.name, p.number)
	c.URL, c.Via = s.url, make(map[string]string)
	for i, front := range p.fronts {
		c.Via[s.nodes[i].Addr] = front.Addr
	}
	if p.name == "m0" { // the others serve all
		c.Queues = c.Queues[:1]
	}
	for _, b := range []byte(c.Name) {
		c.Seed = c.Seed*31 + uint64(b)
	}
	if skew := skews[p.name]; skew != 0 && s.child.path != "" {
		c.Skew = skew
		p.current = proc.StartFrom(s, s.child.path, []string{skewEnv + "=" + skew.String()}, p.role, c)
	} else {
		p.current = proc.Start(s, p.role, c)
	}
	go p.replace(p.current)
}

const (
	// poisonStatus is the exit status of a process that a task has ended.
	poisonStatus = 77
	// restart is how long after that the next one takes its place.
	restart = 200 * time.Millisecond
)

// replace starts the next process of a place if a task has ended this one.
func (p *place) replace(one *proc.Process) {
	<-one.Exited()
	if one.Wait(p.stage) != poisonStatus {
		return
	}
	p.mu.Lock() // a fault may have struck it as well
	defer p.mu.Unlock()
	if p.closed || p.current != one {
		return
	}
	time.Sleep(restart)
	p.start()
}

// close ends the process of a place, for good.
func (p *place) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.current.Terminate(p.stage)
}

// process is the name of the current one.
func (p *place) process() string { return fmt.Sprintf("%s.%d", p.name, p.number) }

// all returns the places whose names begin with a prefix.
func (s *stage) all(prefix byte) []*place {
	var all []*place
	for name, p := range s.places {
		if name[0] == prefix {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *place) int { return int(a.name[1]) - int(b.name[1]) })
	return all
}

// watch notes when a server answers late, or has ended by itself, until ctx ends.
func (s *stage) watch(ctx context.Context, at int) {
	node, admin := s.nodes[at], s.admins[at]
	for ctx.Err() == nil {
		if node.Ended() {
			now := time.Now().UnixNano()
			s.ledger.Note(Event{Kind: Hit, Fault: ServerDied, Target: Server, At: now, Until: now})
			node.Revive() // so that the others can be judged
		}
		began := time.Now()
		_ = admin.Ping(ctx).Err()
		if now := time.Now(); now.Sub(began) > slow {
			s.ledger.Note(Event{Kind: Hit, Fault: SlowServer, Target: Server, At: began.UnixNano(), Until: now.UnixNano()})
		}
		time.Sleep(50 * time.Millisecond)
	}
}
