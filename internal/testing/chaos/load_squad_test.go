//go:build unix

package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/task"
)

// squad asks for a squad of 2 to 8 members, of one queue or several. Some need more slots than
// there are and are refused, some are killed, and some have a member that fails. A refused squad is
// not sent again: a second try would be another squad.
func (s *submitter) squad(ctx context.Context, rnd *rand.Rand) {
	key := s.key()
	flow := &Flow{Squad: true, Callback: s.key(), Finalizer: s.key(), Fails: rnd.IntN(6) == 0}
	calls := make([]task.Call[string], 2+rnd.IntN(7))
	bad := rnd.IntN(len(calls))
	for i := range calls {
		a := workArgs{Key: s.key(), For: upTo(rnd, 60*time.Millisecond), Deaf: rnd.IntN(4) == 0, Fail: rnd.IntN(8) / 7}
		if flow.Fails && i == bad {
			a.Fail = -1
		}
		calls[i] = s.member(rnd, a)
		flow.Members = append(flow.Members, a.Key)
	}
	opts := []arbiter.SquadOption{arbiter.Finalizer(s.work(rnd, workArgs{Key: flow.Finalizer}), 0)}
	if rnd.IntN(2) == 0 {
		opts = append(opts, arbiter.WaitForWorkers(upTo(rnd, 3*time.Second)))
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if rnd.IntN(8) == 0 {
		limited, cancel = context.WithTimeout(ctx, hurry)
	}
	defer cancel()
	s.ledger.Note(Event{Kind: Send, Key: key, Flow: flow})
	g, _, err := arbiter.SquadThen(limited, s.arb, calls, combineOf(flow.Callback).With(s.queue(rnd)), opts...)
	switch {
	case err == nil:
		s.ledger.Note(Event{Kind: Accepted, Key: key, ID: g.ID().String()})
	case errors.Is(err, task.ErrIndeterminate):
		s.ledger.Note(Event{Kind: Unknown, Key: key, Value: err.Error()})
		return
	default:
		s.ledger.Note(Event{Kind: Refused, Key: key, Value: err.Error()})
		return
	}
	if rnd.IntN(5) == 0 {
		s.killFlow(ctx, rnd, key, flow, g.ID())
	}
	s.groupResult(ctx, key, g)
}
