//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// strikeServer carries out a fault of a server. It adds details to the hit.
func (s *stage) strikeServer(f Fault, hit *Event) {
	ctx := context.Background()
	at := s.node(f.Node)
	node, admin := s.nodes[at], s.admins[at]
	var err error
	switch f.Name {
	case KillServer:
		node.Kill()
		time.Sleep(f.For)
		node.Restart()
	case PowerFailure:
		node.Kill()
		killed := time.Now()
		var took int64
		if took, err = s.meters[at].cut(); err != nil {
			break
		}
		time.Sleep(f.For)
		node.Restart()
		var since time.Time
		if since, err = s.meters[at].since(ctx); err == nil {
			hit.At = since.UnixNano()
			hit.Value = fmt.Sprintf("%d bytes, of the last %v", took, killed.Sub(since).Round(time.Millisecond))
		}
	case Failover:
		err = s.failover(ctx, hit, f)
	case MoveSlots:
		hit.Value, err = s.moveSlot(ctx, f)
	case KillClients:
		for _, kind := range []string{"pubsub", "normal"} {
			if err == nil {
				err = admin.ClientKillByFilter(ctx, "type", kind, "skipme", "yes").Err()
			}
		}
	case FlushScripts:
		err = admin.ScriptFlush(ctx).Err()
	case PauseClients:
		err = admin.ClientPause(ctx, f.For).Err()
		time.Sleep(f.For)
	case PauseWrites:
		err = s.pauseWrites(ctx, f, admin)
	case NoReplicas:
		err = s.refuseWrites(ctx, f, admin)
	case LoseRegistrations:
		err = s.loseRegistrations(ctx, f)
	case Switchover:
		err = s.switchover(ctx)
	case FillMemory:
		err = admin.ConfigSet(ctx, "maxmemory", "1mb").Err()
		time.Sleep(f.For)
		for range 10 { // the setting must not stay
			if e := admin.ConfigSet(ctx, "maxmemory", "0").Err(); e == nil {
				break
			} else if err = e; true {
				time.Sleep(50 * time.Millisecond)
			}
		}
	default:
		err = fmt.Errorf("there is no fault %q", f.Name)
	}
	if err != nil {
		s.Errorf("%v: %v", f, err)
	}
}

// failover kills the first node for good, and waits until its replica serves. If the fault says so,
// the node first hangs for a while with open connections.
func (s *stage) failover(ctx context.Context, hit *Event, f Fault) error {
	at := s.node(0)
	other := len(s.nodes) - 1 - at // the replica, after the other nodes
	master, heir := s.nodes[at], s.admins[other]
	_, port, _ := net.SplitHostPort(heir.Options().Addr)
	// A replica that was disconnected from its master, for example by a restart, may be further
	// behind than the checker allows.
	err := persist(func() error {
		if n, err := s.admins[at].Wait(ctx, 1, time.Second).Result(); err != nil || n < 1 {
			return fmt.Errorf("the replica is not in sync: %d, %w", n, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	hit.At = time.Now().UnixNano()
	if f.Forced && len(s.sentinels) > 0 {
		if err := s.promote(ctx, heir); err != nil {
			return err
		}
	}
	if f.Hangs {
		master.Freeze(true)
		defer master.Kill()
	} else {
		master.Kill()
	}
	s.taken.Store(other != 0)
	for deadline := time.Now().Add(*patience); ; time.Sleep(50 * time.Millisecond) {
		ready := strings.Contains(heir.Info(ctx, "replication").Val(), "role:master")
		if s.template.Cluster {
			ready = ready && strings.Contains(heir.ClusterInfo(ctx).Val(), "cluster_state:ok")
		}
		for _, g := range s.sentinels { // sentinels notify clients, which close their connections
			at := g.Do(ctx, "sentinel", "get-master-addr-by-name", s.template.Master).String()
			ready = ready && strings.Contains(at, port)
		}
		if ready {
			if f.Hangs {
				time.Sleep(heard)
			}
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("the replica has not taken over in time")
		}
	}
}

// promote lets the sentinels promote the replica while the master works, and returns before the
// clients hear of that. A master that hangs from then on does not cost leases: the clients soon close
// their connections to it, and with them the requests that wait for it.
func (s *stage) promote(ctx context.Context, heir *redis.Client) error {
	if err := persist(func() error { return s.sentinels[0].Do(ctx, "sentinel", "failover", s.template.Master).Err() }); err != nil {
		return err
	}
	for deadline := time.Now().Add(*patience); !strings.Contains(heir.Info(ctx, "replication").Val(), "role:master"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New("the sentinels have not promoted the replica in time")
		}
	}
	return nil
}

// heard is how long clients may take to learn of a new master.
const heard = 200 * time.Millisecond
