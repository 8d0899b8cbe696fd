//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

const (
	// boundedQueue is a queue with a bound. All minions serve it in addition to their own queues.
	boundedQueue = "bounded"
	mostWaiting  = 6
)

// setBound gives the queue its bound.
func (s *submitter) setBound(ctx context.Context) {
	s.repeat(ctx, func() error { return s.arb.SetMaxWaiting(ctx, boundedQueue, mostWaiting) })
}

// bounds sends tasks to the queue with a bound, often more than it has room for, until over reports true. In most rounds
// they are paused until all are sent, so that it is known how many wait. Some of them wait for room, which
// there is when they are resumed.
func (s *submitter) bounds(ctx context.Context, rnd *rand.Rand, over func() bool) {
	s.setBound(ctx)
	for !over() && ctx.Err() == nil {
		key, pause := s.otherKey("full"), ""
		p := broker.Pause{Key: key}
		if rnd.IntN(4) > 0 {
			pause = fmt.Sprintf("%s of queue %s", key, boundedQueue)
			if s.repeat(ctx, func() error { return changePause(ctx, s.arb, boundedQueue, p, true) }) {
				s.ledger.Note(Event{Kind: Paused, Pause: pause})
			}
		}
		var all sync.WaitGroup
		for range 3 { // at the same time
			waits := rnd.IntN(2) == 0
			keys := make([]string, 1+rnd.IntN(mostWaiting))
			calls := make([]task.Call[string], len(keys))
			notes := make([]Event, len(keys))
			for i := range keys {
				keys[i] = s.otherKey("bounded")
				notes[i] = Event{Kind: Send, Key: keys[i], Pause: pause, Bound: &Bound{Queue: boundedQueue, Most: mostWaiting, Waits: waits}}
				a := workArgs{Key: keys[i], For: upTo(rnd, 20*time.Millisecond), Deaf: rnd.IntN(2) == 0}
				if rnd.IntN(6) == 0 {
					a.Fail = 1
				}
				calls[i] = work.With(task.Queue(boundedQueue)).Bind(a)
				if pause != "" {
					calls[i] = calls[i].With(task.FairKey(key))
				}
				if waits {
					calls[i] = calls[i].With(task.WaitForRoom())
				}
				if rnd.IntN(5) == 0 {
					calls[i] = calls[i].With(task.Delay(upTo(rnd, 50*time.Millisecond)))
				}
			}
			all.Go(func() {
				futs := s.storeNoted(ctx, !waits, keys, calls, notes)
				for i, fut := range futs {
					s.result(ctx, keys[i], fut)
				}
			})
		}
		time.Sleep(upTo(rnd, 300*time.Millisecond))
		if pause != "" {
			s.ledger.Note(Event{Kind: Resuming, Pause: pause})
			s.repeat(ctx, func() error { return changePause(ctx, s.arb, boundedQueue, p, false) })
		}
		all.Wait()
	}
}

// withBounded returns queues with the queue with a bound.
func withBounded(queues []string) []string { return append(slices.Clone(queues), boundedQueue) }
