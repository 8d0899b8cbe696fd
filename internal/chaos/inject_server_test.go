//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// strikeServer carries out a fault of a server, and adds to the hit what there is
// to say of it.
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
		err = s.failover(ctx, hit, f.Hangs)
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
		for range 10 { // it must not stay so
			if e := admin.ConfigSet(ctx, "maxmemory", "0").Err(); e == nil {
				break
			} else if err = e; true {
				time.Sleep(50 * time.Millisecond)
			}
		}
	default:
		err = fmt.Errorf("no fault is called %q", f.Name)
	}
	if err != nil {
		s.Errorf("%v: %v", f, err)
	}
}

// failover kills the first node for good, and waits until its replica serves. One that
// hangs is killed only then: till then its connections are open.
func (s *stage) failover(ctx context.Context, hit *Event, hangs bool) error {
	at := s.node(0)
	other := len(s.nodes) - 1 - at // of the master and its replica
	master, heir := s.nodes[at], s.admins[other]
	_, port, _ := net.SplitHostPort(heir.Options().Addr)
	// A replica that has lost its master for a while, as after a restart, may be
	// behind by more than what the checker allows.
	err := persist(func() error {
		if n, err := s.admins[at].Wait(ctx, 1, time.Second).Result(); err != nil || n < 1 {
			return fmt.Errorf("the replica is not in step: %d, %w", n, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	hit.At = time.Now().UnixNano()
	if hangs {
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
		for _, g := range s.guards { // they tell clients, which close what they have
			at := g.Do(ctx, "sentinel", "get-master-addr-by-name", s.template.Master).String()
			ready = ready && strings.Contains(at, port)
		}
		if ready {
			if hangs {
				time.Sleep(heard)
			}
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("the replica does not take over")
		}
	}
}

// heard is how long clients may take to hear of a new master.
const heard = 200 * time.Millisecond
