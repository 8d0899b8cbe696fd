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
	// impatients is the number of goroutines of each submitter that soon give up what they send.
	impatients = 4
	// between is the time between two crowds.
	between = 15 * time.Second
	// conviction is how long it may take until a task that ends processes is given up.
	conviction = 10 * time.Second
	// childFor is how long the children of some tasks of a crowd run. The next one is sent when one
	// has ended, so their parents still wait when several minions have died.
	childFor = 1500 * time.Millisecond
	// execution is how long it may take until a task that was killed, and has ended its process, is
	// found to be canceled.
	execution = 6 * time.Second
)

// longLoad sends long tasks, which several outages and deaths can strike, and crowds, until the given
// time.
func (s *submitter) longLoad(ctx context.Context, rnd *rand.Rand, until int64) {
	var all sync.WaitGroup
	defer all.Wait()
	if s.Held != "" && s.Name == "s0.1" {
		all.Go(func() { s.held(ctx, rand.New(rand.NewPCG(s.Seed, 7))) })
		all.Go(func() { s.backlog(ctx) })
	}
	if s.Held != "" {
		for i := range impatients {
			all.Go(func() { s.impatient(ctx, rand.New(rand.NewPCG(s.Seed, uint64(100+i))), until) })
		}
	}
	if s.Poison && strings.HasPrefix(s.Name, "s1.") {
		all.Go(func() {
			s.condemned(ctx, rand.New(rand.NewPCG(s.Seed, 8)), func() bool { return s.ledger.Now()+int64(execution) > until })
		})
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

// backlogged is the number of tasks that wait in one queue. No script may take longer because of them.
const backlogged = 20_000

// backlog sends tasks that do not become due. The checker does not know of them.
func (s *submitter) backlog(ctx context.Context) {
	ctx, end := context.WithDeadline(ctx, s.Until)
	defer end()
	late := work.With(task.Queue(s.Queues[0]), task.Delay(24*time.Hour))
	for sent := 0; sent < backlogged && ctx.Err() == nil; {
		stored, _ := s.arb.SubmitSeq(ctx, func(yield func(task.Bound) bool) {
			for range backlogged - sent {
				if !yield(late.Bind(workArgs{Key: "backlog"})) {
					return
				}
			}
		})
		sent += stored
	}
}

// impatient sends tasks until the given time, and gives each send up soon if it is not stored. When
// the submitter is cut off, some of these sends have lost their replies.
func (s *submitter) impatient(ctx context.Context, rnd *rand.Rand, until int64) {
	for s.ledger.Now() < until && ctx.Err() == nil {
		keys := []string{s.otherKey("impatient"), s.otherKey("impatient")}
		calls := make([]task.Call[string], len(keys))
		notes := make([]Event, len(keys))
		for i, key := range keys {
			calls[i], notes[i] = work.With(s.queue(rnd)).Bind(workArgs{Key: key}), Event{Kind: Send, Key: key}
		}
		s.storeNoted(ctx, true, keys, calls, notes)
		time.Sleep(upTo(rnd, 40*time.Millisecond))
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
// it. So minions die with tasks that they have started, and with tasks that they only hold. Two
// tasks beside it wait for their children meanwhile.
func (s *submitter) crowd(ctx context.Context, rnd *rand.Rand) {
	keys := make([]string, 4*s.Slots)
	calls := make([]task.Call[string], len(keys))
	queue := s.queue(rnd)
	bad := rnd.IntN(len(keys))
	for i := range calls {
		a := workArgs{Key: s.otherKey("crowd"), For: upTo(rnd, 100*time.Millisecond)}
		switch i - bad { // no random number, so the load of existing seeds does not change
		case 0:
			a.Key, a.Poison = s.otherKey("poison"), true
		case -1, 1: // the same minions get them
			a.Children, a.ChildFor = 3, childFor
		}
		keys[i], calls[i] = a.Key, work.With(queue).Bind(a)
	}
	s.sendAndWait(ctx, rnd, keys, calls)
}

// condemned sends tasks that are killed while they run, and end the process that runs them later,
// until over reports true. Their minions die with what they know of the kills.
func (s *submitter) condemned(ctx context.Context, rnd *rand.Rand, over func() bool) {
	for !over() && ctx.Err() == nil {
		a := workArgs{Key: s.otherKey("condemned"), For: 800 * time.Millisecond, Deaf: true, Poison: true}
		calls := []task.Call[string]{work.With(s.queue(rnd)).Bind(a)}
		for _, fut := range s.sendAll(ctx, rnd, []string{a.Key}, calls) {
			if fut == nil {
				continue
			}
			time.Sleep(300*time.Millisecond + upTo(rnd, 200*time.Millisecond))
			s.kill(ctx, a.Key, fut.ID())
			s.result(ctx, a.Key, fut)
		}
		time.Sleep(execution / 2) // each costs the tasks of a minion
	}
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
