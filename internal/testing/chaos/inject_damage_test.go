//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/damage"
	"github.com/go-arbiter/arbiter/task"
)

// damageEvery is the average interval at which records are damaged.
const damageEvery = 300 * time.Millisecond

// damage sends tasks of its own for a while and damages their records. It also adds records that no
// program has written to the queues. The checker expects nothing of these tasks, and everything of
// the others. That the others share queues and scripts with them explains nothing.
func (s *stage) damage(duration time.Duration) {
	rnd := rand.New(rand.NewPCG(*seed, 3))
	ctx, cancel := context.WithTimeout(context.Background(), duration)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	b, err := redis.Open(ctx, s.url, redis.Logger(log))
	if err != nil {
		s.Errorf("damage: %v", err)
		return
	}
	defer func() { _ = b.Close() }()
	arb, err := arbiter.New(b, arbiter.Logger(log))
	if err != nil {
		s.Errorf("damage: %v", err)
		return
	}
	defer func() { _ = arb.Close() }()
	for n := 0; ctx.Err() == nil; n++ {
		s.victim(ctx, rnd, arb, n)
		queue := s.queueOf(rnd)
		name := []string{"ready", "later", "due", "dead", "outbox", "odd"}[rnd.IntN(6)]
		s.anywhere(ctx, func(admin *goredis.Client) error {
			kind := map[string]string{"ready": "list", "odd": "list", "due": "zset"}[name]
			if kind == "" {
				kind = "hash"
			}
			_, err := damage.Add(rnd, "{arbiter:"+queue+"}:"+name, kind).Apply(ctx, admin)
			return err
		})
		select {
		case <-time.After(damageEvery/2 + upTo(rnd, damageEvery)):
		case <-ctx.Done():
		}
	}
}

func (s *stage) queueOf(rnd *rand.Rand) string {
	return s.template.Queues[rnd.IntN(len(s.template.Queues))]
}

// anywhere calls do for the server that has the key, whichever that is. A server that is down is
// skipped.
func (s *stage) anywhere(ctx context.Context, do func(*goredis.Client) error) {
	for _, admin := range s.admins {
		err := do(admin.WithTimeout(time.Second))
		if err == nil || ctx.Err() != nil {
			return
		}
	}
}

// victim sends a task and damages its records, while it waits until it is due, or while it runs.
func (s *stage) victim(ctx context.Context, rnd *rand.Rand, arb *arbiter.Arbiter, n int) {
	queue := s.queueOf(rnd)
	base := "{arbiter:" + queue + "}:"
	key := fmt.Sprintf("victim-%d", n)
	delayed := rnd.IntN(3) > 0
	call := work.With(task.Queue(queue)).Bind(workArgs{Key: key, For: 200 * time.Millisecond})
	if delayed {
		call = call.With(task.Delay(200 * time.Millisecond))
	}
	within, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	// This is recorded before the task is sent, because afterwards a minion may run it and write to
	// its own ledger.
	s.ledger.Note(Event{Kind: Damaged, Key: key})
	fut, err := call.Send(within, arb)
	if err != nil {
		return
	}
	id := fut.ID()
	s.anywhere(ctx, func(admin *goredis.Client) error {
		names := []string{base + "later", base + "state"}
		if !delayed {
			time.Sleep(20 * time.Millisecond)
			flights, err := admin.Keys(ctx, base+"flight:*").Result()
			if err != nil {
				return err
			}
			names = append(flights, base+"state")
		}
		struck := 0
		for _, name := range names {
			old, err := admin.HGet(ctx, name, string(id[:])).Result()
			if errors.Is(err, goredis.Nil) || err == nil && struck > 0 && rnd.IntN(2) == 0 {
				continue
			} else if err != nil {
				return err
			}
			hit := damage.Spoil(rnd, name, string(id[:]), old)
			ok, err := hit.Apply(ctx, admin)
			if err != nil {
				return err
			}
			if ok {
				struck++
				s.ledger.Note(Event{Kind: Damaged, Key: key, ID: id.String(), Value: fmt.Sprintf("%.200s", hit)})
			}
		}
		if struck == 0 {
			return errors.New("the key is not on this server")
		}
		return nil
	})
}
