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

	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// stage is everything that a run of TestChaos starts.
type stage struct {
	*testing.T
	on        Topology
	nodes     []*redistest.Server // the nodes of the plan, then the replica if there is one
	admins    []*goredis.Client   // clients of the nodes
	sentinels []*goredis.Client   // clients of the sentinels
	server    sync.Mutex          // held while a fault strikes the server
	taken     atomic.Bool         // the replica has taken over
	watches   []*redistest.ScriptWatch
	meters    []*meter // meters of the nodes, if the plan has a power failure
	url       string
	child     build // binary of the processes with a wrong clock
	template  config
	ledger    *Ledger // ledger of the injector
	hosts     map[string]*host
}

// host is a machine on which one process runs after the other, behind its own proxies.
type host struct {
	stage  *stage
	name   string
	role   string
	fronts []*redisproxy.Proxy // proxies in front of the nodes of the stage

	mu      sync.Mutex // held while a fault of the host lasts
	number  int
	current *proc.Process
	closed  bool
}

// topologies are the values of the flag -topology.
var topologies = map[string]Topology{
	"single":   {Nodes: 1},
	"sentinel": {Nodes: 1, Replica: true},
	"cluster":  {Nodes: 3, Replica: true, Slots: true},
}

// sync returns when the servers sync their files.
func (on Topology) sync() string {
	if on.Everysec {
		return "everysec"
	}
	return "always"
}

func newStage(t *testing.T, path, topology string, on Topology, c config) *stage {
	t.Helper()
	s := &stage{T: t, on: on, template: c, hosts: make(map[string]*host)}
	// A power failure cuts off the end of a file that grows. A rewrite of the file is out of scope,
	// because it concerns the server alone.
	durable := []string{"--appendonly", "yes", "--appendfsync", on.sync(), "--auto-aof-rewrite-percentage", "0"}
	switch topology {
	case "sentinel":
		sentinel := redistest.StartSentinel(t, path, 3)
		s.nodes, s.url = sentinel.Nodes[:], sentinel.URL()
		s.template.Master = sentinel.Name
		for _, one := range sentinel.Sentinels {
			s.sentinels = append(s.sentinels, one.Client())
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
		t.Logf("long scripts are not searched for: %v", err)
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

// scriptMost is how long a script may keep a server busy. All other clients wait in the meantime.
const scriptMost = 20 * time.Millisecond

// longScripts records the scripts that have kept a server busy for too long, three times or more, so
// that a stall of the machine is not taken for a long script.
func (s *stage) longScripts() {
	for _, w := range s.watches {
		for _, l := range redistest.Repeated(w.Stop(), 3) {
			s.ledger.Note(Event{Kind: Script, Target: Server, At: l.At.UnixNano(), Value: l.String()})
		}
	}
}

// node returns the index in nodes of node n of the plan. The first node may have been replaced by
// its replica.
func (s *stage) node(n int) int {
	if n == 0 && s.taken.Load() {
		return len(s.nodes) - 1
	}
	return n
}

// startHosts starts n processes of a role, each on its own host.
func (s *stage) startHosts(role, prefix string, n int) {
	for i := range n {
		p := s.newHost(role, fmt.Sprint(prefix, i))
		p.start()
		p.current.WaitFor(s, "ready\n")
	}
}

// newHost returns a new host, on which no process runs yet.
func (s *stage) newHost(role, name string) *host {
	p := &host{stage: s, name: name, role: role}
	for _, node := range s.nodes {
		p.fronts = append(p.fronts, redisproxy.Start(s, node.Addr))
	}
	s.hosts[p.name] = p
	return p
}

// start starts the next process on a host.
func (p *host) start() {
	s := p.stage
	p.number++
	c := s.template
	c.Name = fmt.Sprintf("%s.%d", p.name, p.number)
	c.URL, c.Via = s.url, make(map[string]string)
	for i, front := range p.fronts {
		c.Via[s.nodes[i].Addr] = front.Addr
	}
	switch p.name {
	case "m0": // the others serve all queues
		c.Queues = c.Queues[:1]
	case lateHost:
		c.Queues = []string{c.Held}
	}
	if p.role == "minion" && p.name != lateHost {
		c.Queues = withBounded(c.Queues)
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
	go p.replace(p.current, c.Name)
}

const (
	// poisonStatus is the exit status of a process that a task has ended.
	poisonStatus = 77
	// restart is how long after that the next process starts.
	restart = 200 * time.Millisecond
)

// replace waits for the end of a process, and starts the next one if a task has ended it. It records
// if the process has ended by itself, and then starts the next one so that the others can go on.
func (p *host) replace(one *proc.Process, name string) {
	<-one.Exited()
	if one.Told() {
		return
	}
	if status := one.Wait(p.stage); status != poisonStatus {
		now := time.Now().UnixNano()
		p.stage.ledger.Note(Event{Kind: Hit, Fault: ProcessDied, Target: name, At: now, Until: now,
			Value: fmt.Sprintf("its status was %d, and it printed %q", status, one.Output())})
	}
	p.mu.Lock() // waits if a fault strikes the host at the same time
	defer p.mu.Unlock()
	if p.closed || p.current != one {
		return
	}
	time.Sleep(restart)
	p.start()
}

// close ends the process on a host for good.
func (p *host) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.current.Terminate(p.stage)
}

// process returns the name of the current process.
func (p *host) process() string { return fmt.Sprintf("%s.%d", p.name, p.number) }

// all returns the hosts whose names begin with a prefix.
func (s *stage) all(prefix byte) []*host {
	var all []*host
	for name, p := range s.hosts {
		if name[0] == prefix {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *host) int { return int(a.name[1]) - int(b.name[1]) })
	return all
}

// watch records when a server answers late or has ended by itself, until ctx ends.
func (s *stage) watch(ctx context.Context, at int) {
	node, admin := s.nodes[at], s.admins[at]
	for ctx.Err() == nil {
		if node.Ended() {
			now := time.Now().UnixNano()
			s.ledger.Note(Event{Kind: Hit, Fault: ServerDied, Target: Server, At: now, Until: now})
			node.Revive() // so that the other processes can go on
		}
		began := time.Now()
		_ = admin.Ping(ctx).Err()
		if now := time.Now(); now.Sub(began) > slow {
			s.ledger.Note(Event{Kind: Hit, Fault: SlowServer, Target: Server, At: began.UnixNano(), Until: now.UnixNano()})
		}
		time.Sleep(50 * time.Millisecond)
	}
}
