//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/task"
)

// pipe sends a pipe of 2 to 5 steps. Some fail in the middle.
func (s *submitter) pipe(ctx context.Context, rnd *rand.Rand) {
	flow := &Flow{Pipe: true, Fails: rnd.IntN(8) == 0}
	key, n := s.key(), 2+rnd.IntN(4)
	bad := rnd.IntN(n)
	var call task.Call[string]
	for i := range n {
		one, fail := s.key(), rnd.IntN(8)/7
		if flow.Fails && i == bad {
			fail = -1
		}
		if i == 0 {
			call = s.work(rnd, workArgs{Key: one, Fail: fail})
		} else {
			call = task.Then(call, stepOf(one, fail).With(s.queue(rnd)))
		}
		flow.Members = append(flow.Members, one)
	}
	s.ledger.Note(Event{Kind: Send, Key: key, Flow: flow})
	var fut *task.Future[string]
	s.insist(ctx, rnd, []string{key}, func(ctx context.Context) ([]task.ID, error) {
		var err error
		if fut, err = call.Send(ctx, s.arb); err != nil {
			return nil, inPart(err)
		}
		return []task.ID{fut.ID()}, nil
	})
	if fut == nil {
		return
	}
	switch rnd.IntN(5) {
	case 0:
		s.killFlow(ctx, rnd, key, flow, fut.ID())
	case 1:
		s.killMember(ctx, flow, fut.ID(), n-1)
	}
	s.result(ctx, key, fut)
}

// group sends a group of up to 20 members, perhaps of none, with a callback and a finalizer. Some
// groups have a member that fails, and some of these collect failures.
func (s *submitter) group(ctx context.Context, rnd *rand.Rand) {
	key := s.key()
	calls := make([]task.Call[string], rnd.IntN(21))
	flow := &Flow{Callback: s.key(), Finalizer: s.key(), Fails: len(calls) > 0 && rnd.IntN(4) == 0}
	flow.Collect = flow.Fails && rnd.IntN(2) == 0
	bad := rnd.IntN(max(len(calls), 1))
	for i := range calls {
		a := workArgs{Key: s.key(), For: upTo(rnd, 60*time.Millisecond), Fail: rnd.IntN(8) / 7}
		if flow.Fails && i == bad {
			a.Fail = -1
		}
		calls[i] = s.work(rnd, a)
		flow.Members = append(flow.Members, a.Key)
	}
	opts := []arbiter.GroupOption{arbiter.Finalizer(s.work(rnd, workArgs{Key: flow.Finalizer}), 0)}
	if flow.Collect { // a callback with typed arguments can't take a missing result
		opts = append(opts, arbiter.Collect(), arbiter.Callback(s.work(rnd, workArgs{Key: flow.Callback})))
	}
	s.ledger.Note(Event{Kind: Send, Key: key, Flow: flow})
	var g *arbiter.GroupFuture[string]
	stored := s.insist(ctx, rnd, []string{key}, func(ctx context.Context) ([]task.ID, error) {
		var err error
		switch {
		case g != nil:
			err = g.Send(ctx)
		case flow.Collect:
			g, err = arbiter.GroupOf(ctx, s.arb, calls, opts...)
		default:
			g, _, err = arbiter.GroupThen(ctx, s.arb, calls, combineOf(flow.Callback).With(s.queue(rnd)), opts...)
		}
		if err != nil {
			return nil, inPart(err)
		}
		return []task.ID{g.ID()}, nil
	})
	if !stored {
		return
	}
	if rnd.IntN(5) == 0 {
		s.killFlow(ctx, rnd, key, flow, g.ID())
	}
	s.groupResult(ctx, key, g)
}

// groupResult waits for the result of a group and records it.
func (s *submitter) groupResult(ctx context.Context, key string, g *arbiter.GroupFuture[string]) {
	var v string
	err := g.Result(ctx, &v)
	if e, ok := outcome(v, err); ok {
		e.Key, e.ID = key, g.ID().String()
		s.ledger.Note(e)
	}
}

// killFlow kills a group or pipe that was sent, early or late. It records the verdict on each of
// its parts.
func (s *submitter) killFlow(ctx context.Context, rnd *rand.Rand, key string, flow *Flow, id task.ID) {
	time.Sleep(upTo(rnd, 100*time.Millisecond))
	s.ledger.Note(Event{Kind: Kill, Key: key})
	for try := 0; try < 20 && ctx.Err() == nil; try++ {
		killed, err := s.arb.KillGroup(ctx, id)
		if err != nil { // the flow may be killed in part
			time.Sleep(50 * time.Millisecond)
			continue
		}
		now := s.ledger.Now()
		notes := []Event{{Kind: Killed, Key: key, At: now, Outcome: string(arbiter.TooLate)}}
		keys := s.memberKeys(ctx, flow, id)
		for _, k := range killed {
			if k.Verdict == arbiter.NeverStarted {
				notes[0].Outcome = NeverStarted
			}
			if part := keys[k.ID]; part != "" {
				notes = append(notes, Event{Kind: Killed, Key: part, At: now, Outcome: string(k.Verdict)})
			}
		}
		s.ledger.Note(notes...)
		return
	}
}

// killMember kills one member of a flow that was sent.
func (s *submitter) killMember(ctx context.Context, flow *Flow, id task.ID, i int) {
	g, err := s.arb.FindGroup(ctx, id)
	if err != nil {
		return
	}
	ids, err := g.Members(ctx)
	if err != nil || len(ids) != len(flow.Members) {
		return
	}
	s.kill(ctx, flow.Members[i], ids[i])
}

// memberKeys returns the keys of the parts of a flow by their ids, as far as the ids are known.
func (s *submitter) memberKeys(ctx context.Context, flow *Flow, id task.ID) map[task.ID]string {
	keys := make(map[task.ID]string)
	g, err := s.arb.FindGroup(ctx, id)
	if err != nil {
		return keys
	}
	if flow.Callback != "" {
		keys[g.Callback()] = flow.Callback
	}
	ids, err := g.Members(ctx)
	if err != nil || len(ids) != len(flow.Members) {
		return keys
	}
	for i, id := range ids {
		keys[id] = flow.Members[i]
	}
	return keys
}

// inPart marks the error of a flow as indeterminate, because parts of the flow may be stored.
func inPart(err error) error { return fmt.Errorf("%w in part: %w", task.ErrIndeterminate, err) }
