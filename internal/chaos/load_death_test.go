//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/task"
)

const (
	// longs are how many tasks run for long at a time, for each submitter.
	longs = 6
	// longest is how long such a task runs at most.
	longest = 6 * time.Second
	// between is how long after one crowd the next one comes.
	between = 15 * time.Second
	// conviction is how long it may take until a task is given up that ends processes.
	conviction = 10 * time.Second
)

// vigil sends tasks until a time that several outages and deaths can strike, and crowds.
func (s *submitter) vigil(ctx context.Context, rnd *rand.Rand, until int64) {
	var all sync.WaitGroup
	defer all.Wait()
	next := s.ledger.Now()
	for now := next; now < until && ctx.Err() == nil; now = s.ledger.Now() {
		if s.Poison && strings.HasPrefix(s.Name, "s0.") && now >= next && now+int64(conviction) < until {
			next = now + int64(between)
			all.Go(func() { s.crowd(ctx, rand.New(rand.NewPCG(s.Seed, uint64(now)))) })
		}
		till := min(until, now+int64(upTo(rnd, longest)))
		if s.Outages {
			till = until
		}
		s.long(ctx, rnd, till)
	}
}

// long sends tasks that run until a time, and waits for them.
func (s *submitter) long(ctx context.Context, rnd *rand.Rand, till int64) {
	keys := make([]string, longs)
	calls := make([]task.Call[string], longs)
	for i := range calls {
		keys[i] = s.otherKey("long")
		calls[i] = work.With(s.queue(rnd)).Bind(workArgs{Key: keys[i], Till: till - int64(upTo(rnd, time.Second))})
	}
	s.sendAndWait(ctx, rnd, keys, calls)
}

// crowd sends more tasks to a queue than run at a time, and among them one that ends the
// process that runs it. So minions die with tasks that they have started, and others that
// they hold.
func (s *submitter) crowd(ctx context.Context, rnd *rand.Rand) {
	keys := make([]string, 4*s.Slots)
	calls := make([]task.Call[string], len(keys))
	queue := s.queue(rnd)
	bad := rnd.IntN(len(keys))
	for i := range calls {
		a := workArgs{Key: s.otherKey("crowd"), For: upTo(rnd, 100*time.Millisecond)}
		if i == bad {
			a.Key, a.Poison = s.otherKey("poison"), true
		}
		keys[i], calls[i] = a.Key, work.With(queue).Bind(a)
	}
	s.sendAndWait(ctx, rnd, keys, calls)
}

func (s *submitter) sendAndWait(ctx context.Context, rnd *rand.Rand, keys []string, calls []task.Call[string]) {
	for i, fut := range s.sendAll(ctx, rnd, keys, calls) {
		s.result(ctx, keys[i], fut)
	}
}

// otherKey returns a new key that those of [submitter.key] do not depend on, so that seeds
// mean what they did.
func (s *submitter) otherKey(kind string) string {
	return fmt.Sprintf("%s-%s%d", s.Name, kind, s.others.Add(1))
}
