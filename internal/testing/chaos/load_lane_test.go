//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-arbiter/arbiter/limit"
	"github.com/go-arbiter/arbiter/task"
)

// lanes sends tasks that share limits of one, and tasks in sequences, until over reports true. They
// run among the other tasks of their queues, on the same minions.
func (s *submitter) lanes(ctx context.Context, rnd *rand.Rand, over func() bool) {
	for _, q := range s.Queues { // the same definition from each submitter
		for ctx.Err() == nil && s.arb.SetLimit(ctx, q, limit.Concurrency("alone", 1)) != nil {
			time.Sleep(50 * time.Millisecond)
		}
	}
	for !over() && ctx.Err() == nil {
		queue := s.Queues[rnd.IntN(len(s.Queues))]
		shares, orders := fmt.Sprint("host ", rnd.IntN(3)), s.otherKey("line")
		keys := make([]string, 2+rnd.IntN(8))
		calls := make([]task.Call[string], len(keys))
		notes := make([]Event, len(keys))
		for i := range keys {
			keys[i] = s.otherKey("lane")
			notes[i] = Event{Kind: Send, Key: keys[i]}
			a := workArgs{Key: keys[i], For: upTo(rnd, 30*time.Millisecond), Deaf: rnd.IntN(2) == 0}
			if rnd.IntN(6) == 0 {
				a.Fail = 1 + rnd.IntN(2)
			}
			calls[i] = work.With(task.Queue(queue), task.Priority(rnd.IntN(10)), task.FairKey(fmt.Sprint("key ", rnd.IntN(4)))).Bind(a)
			switch rnd.IntN(3) {
			case 0:
				notes[i].Alone = queue + " " + shares
				calls[i] = calls[i].With(task.Limit("alone", task.KeyedBy(shares)))
			case 1: // tasks of one sequence have one priority and key, or they would not wait in one line
				notes[i].Line, notes[i].Place = orders, i+1
				calls[i] = calls[i].With(task.Priority(7), task.FairKey("sequences"), task.Sequence(orders))
			}
		}
		for i, fut := range s.sendNoted(ctx, rnd, keys, calls, notes) {
			s.result(ctx, keys[i], fut)
		}
	}
}
