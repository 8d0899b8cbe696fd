//go:build unix

package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
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
	server   *redistest.Server
	admin    *goredis.Client
	template config
	ledger   *Ledger // of the injector
	places   map[string]*place
}

// place is where one process runs after the other, behind a proxy of its own.
type place struct {
	stage *stage
	name  string
	role  string
	front *redisproxy.Proxy

	mu      sync.Mutex // held while a fault lasts
	number  int
	current *proc.Process
}

func newStage(t *testing.T, path string, c config) *stage {
	t.Helper()
	s := &stage{T: t, template: c, places: make(map[string]*place)}
	s.server = redistest.Start(t, path, "--appendonly", "yes", "--appendfsync", "always")
	s.admin = s.server.Client()
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
		p := &place{stage: s, name: fmt.Sprint(prefix, i), role: role, front: redisproxy.Start(s, s.server.Addr)}
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
	c.URL = p.front.URL() + "?read_timeout=1s"
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

// watch notes when the server answers late, until ctx ends.
func (s *stage) watch(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		_ = s.admin.Ping(ctx).Err()
		if now := time.Now(); now.Sub(began) > slow {
			s.ledger.Note(Event{Kind: Hit, Fault: SlowServer, Target: Server, At: began.UnixNano(), Until: now.UnixNano()})
		}
		time.Sleep(50 * time.Millisecond)
	}
}
