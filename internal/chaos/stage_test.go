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
	nodes    []*redistest.Server
	admins   []*goredis.Client // of nodes
	master   atomic.Int32      // of nodes, the one that serves, where only one does
	url      string
	template config
	ledger   *Ledger // of the injector
	places   map[string]*place
}

// place is where one process runs after the other, behind a proxy of its own.
type place struct {
	stage *stage
	name  string
	role  string
	front *redisproxy.Proxy // nil if there is none

	mu      sync.Mutex // held while a fault lasts
	number  int
	current *proc.Process
}

// topologies are those that can be asked for.
var topologies = map[string]Topology{
	"single":   {Nodes: 1, Proxied: true},
	"sentinel": {Nodes: 1, Replica: true},
	"cluster":  {Nodes: 3}, // a proxy can't stand between nodes that name each other
}

func newStage(t *testing.T, path, topology string, c config) *stage {
	t.Helper()
	s := &stage{T: t, template: c, places: make(map[string]*place)}
	durable := []string{"--appendonly", "yes", "--appendfsync", "always"}
	switch topology {
	case "sentinel":
		sentinel := redistest.StartSentinel(t, path, 3)
		s.nodes, s.url = sentinel.Nodes[:], sentinel.URL()
	case "cluster":
		cluster := redistest.StartCluster(t, path, topologies[topology].Nodes, durable...)
		s.nodes, s.url = cluster.Nodes, cluster.URL()
	default:
		s.nodes = []*redistest.Server{redistest.Start(t, path, durable...)}
		s.url = s.nodes[0].URL()
	}
	for _, node := range s.nodes {
		s.admins = append(s.admins, node.Client())
	}
	var err error
	if s.ledger, err = OpenLedger(c.Dir, "injector"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.ledger.Close() })
	return s
}

// people starts n processes of a role, in places of their own.
func (s *stage) people(role, prefix string, n int) {
	for i := range n {
		p := &place{stage: s, name: fmt.Sprint(prefix, i), role: role}
		if topologies[*topology].Proxied {
			p.front = redisproxy.Start(s, s.nodes[0].Addr)
		}
		s.places[p.name] = p
		p.start()
		p.current.WaitFor(s, "ready\n")
	}
}

// start starts the next process of a place.
func (p *place) start() {
	p.number++
	c := p.stage.template
	c.Name = fmt.Sprintf("%s.%d", p.name, p.number)
	c.URL = p.stage.url + "?read_timeout=1s"
	if p.front != nil {
		c.URL = p.front.URL() + "?read_timeout=1s"
	}
	if p.name == "m0" { // the others serve all
		c.Queues = c.Queues[:1]
	}
	for _, b := range []byte(c.Name) {
		c.Seed = c.Seed*31 + uint64(b)
	}
	p.current = proc.Start(p.stage, p.role, c)
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

// watch notes when a server answers late, until ctx ends.
func (s *stage) watch(ctx context.Context, admin *goredis.Client) {
	for ctx.Err() == nil {
		began := time.Now()
		_ = admin.Ping(ctx).Err()
		if now := time.Now(); now.Sub(began) > slow {
			s.ledger.Note(Event{Kind: Hit, Fault: SlowServer, Target: Server, At: began.UnixNano(), Until: now.UnixNano()})
		}
		time.Sleep(50 * time.Millisecond)
	}
}
