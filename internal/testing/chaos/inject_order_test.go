//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// pauseWrites lets the server hold all writes for a while, as a failover does. Meanwhile a minion
// is told to end, while the server has postponed its blocking move.
func (s *stage) pauseWrites(ctx context.Context, f Fault, admin *goredis.Client) error {
	if err := admin.Do(ctx, "client", "pause", f.For.Milliseconds(), "write").Err(); err != nil {
		return err
	}
	over := time.Now().Add(f.For)
	time.Sleep(f.For - moveLasts/4)
	s.beside(f, func(p *host) {
		hit := Event{Kind: Hit, Fault: EndProcess, Target: p.process(), At: time.Now().UnixNano()}
		p.current.Terminate(s)
		p.start()
		s.over(hit)
	})
	time.Sleep(time.Until(over))
	return nil
}

// beside strikes the minion that a fault of the server names, unless another fault strikes it
// already.
func (s *stage) beside(f Fault, strike func(*host)) {
	p := s.hosts[f.Victim]
	if p == nil || !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	strike(p)
}

// refuseWrites makes a server refuse all writes for a while, like a server whose replicas are lost.
func (s *stage) refuseWrites(ctx context.Context, f Fault, admin *goredis.Client) error {
	if err := admin.ConfigSet(ctx, "min-replicas-to-write", "2").Err(); err != nil {
		return err
	}
	time.Sleep(f.For)
	return persist(func() error { return admin.ConfigSet(ctx, "min-replicas-to-write", "0").Err() })
}

// loseRegistrations removes the registrations of the minions of a queue. One of these minions is
// killed just before, so only other minions can find its tasks.
func (s *stage) loseRegistrations(ctx context.Context, f Fault) error {
	key := "{arbiter:" + s.template.Queues[f.Queue%len(s.template.Queues)] + "}:minions"
	lose := func() error { // on whichever server it is
		var errs []error
		for _, admin := range s.admins {
			err := admin.Del(ctx, key).Err()
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	lost := false
	var err error
	s.beside(f, func(p *host) {
		hit := Event{Kind: Hit, Fault: KillProcess, Target: p.process(), At: time.Now().UnixNano()}
		p.current.Kill()
		lost, err = true, persist(lose)
		time.Sleep(f.For)
		p.start()
		s.over(hit)
	})
	if !lost {
		err = persist(lose)
	}
	return err
}

// switchover lets the master and its replica exchange their roles, as an operator does before a
// shutdown of one machine. The master pauses writes until the replica has all of them.
func (s *stage) switchover(ctx context.Context) error {
	at := s.node(0)
	other := len(s.nodes) - 1 - at
	heir := s.admins[other]
	err := persist(func() error { return heir.Do(ctx, "cluster", "failover").Err() })
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(*patience); ; time.Sleep(20 * time.Millisecond) {
		old := s.admins[at].Info(ctx, "replication").Val()
		if strings.Contains(heir.Info(ctx, "replication").Val(), "role:master") && strings.Contains(old, "master_link_status:up") {
			s.taken.Store(other != 0)
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the master and its replica have not exchanged their roles: %s", old)
		}
	}
}
