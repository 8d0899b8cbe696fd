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
	// longs is the number of long tasks that each submitter has in progress.
	longs = 6
	// longest is the longest time that such a task runs.
	longest = 6 * time.Second
	// between is the time between two crowds.
	between = 15 * time.Second
	// conviction is how long it may take until a task that ends processes is given up.
	conviction = 10 * time.Second
)

// longLoad sends long tasks, which several outages and deaths can strike, and crowds, until the given
// time.
func (s *submitter) longLoad(ctx context.Context, rnd *rand.Rand, until int64) {
	var all sync.WaitGroup
	defer all.Wait()
	if s.Held != "" && s.Name == "s0.1" {
		all.Go(func() { s.held(ctx, rand.New(rand.NewPCG(s.Seed, 7))) })
	}
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

// long sends tasks that run until the given time, and waits for them.
func (s *submitter) long(ctx context.Context, rnd *rand.Rand, till int64) {
	keys := make([]string, longs)
	calls := make([]task.Call[string], longs)
	for i := range calls {
		keys[i] = s.otherKey("long")
		calls[i] = work.With(s.queue(rnd)).Bind(workArgs{Key: keys[i], Till: till - int64(upTo(rnd, time.Second))})
	}
	s.sendAndWait(ctx, rnd, keys, calls)
}

// crowd sends more tasks to a queue than can run at a time. One of them ends the process that runs
// it. So minions die with tasks that they have started, and with tasks that they only hold.
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

// otherKey returns a new key. It does not advance the counter of [submitter.key], so the load of
// existing seeds does not change.
func (s *submitter) otherKey(kind string) string {
	return fmt.Sprintf("%s-%s%d", s.Name, kind, s.others.Add(1))
}
