//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/task"
)

// load sends something and waits for what comes of it.
func (s *submitter) load(ctx context.Context, rnd *rand.Rand) {
	switch rnd.IntN(12) {
	case 0, 1, 2, 3:
		s.tasks(ctx, rnd)
	case 4:
		s.family(ctx, rnd)
	case 5, 6:
		s.kills(ctx, rnd)
	case 7:
		s.pipe(ctx, rnd)
	case 8:
		s.squad(ctx, rnd)
	case 9:
		s.group(ctx, rnd, true)
	default:
		s.group(ctx, rnd, false)
	}
}

func upTo(rnd *rand.Rand, d time.Duration) time.Duration { return time.Duration(rnd.Int64N(int64(d))) }

// work binds a call to some queue.
func (s *submitter) work(rnd *rand.Rand, a workArgs) task.Call[string] {
	return work.With(s.queue(rnd)).Bind(a)
}

func (s *submitter) queue(rnd *rand.Rand) task.Option {
	return task.Queue(s.Queues[rnd.IntN(len(s.Queues))])
}

// tasks sends up to 40 at a time: most are plain, some fail or are delayed.
func (s *submitter) tasks(ctx context.Context, rnd *rand.Rand) {
	keys := make([]string, 1+rnd.IntN(40))
	calls := make([]task.Call[string], len(keys))
	for i := range calls {
		keys[i] = s.key()
		a := workArgs{Key: keys[i], For: upTo(rnd, 60*time.Millisecond), Deaf: rnd.IntN(2) == 0}
		switch rnd.IntN(20) {
		case 0, 1:
			a.Fail = 1 + rnd.IntN(3)
		case 2:
			a.Fail = -1
		case 3:
			a.For = upTo(rnd, time.Second)
		}
		calls[i] = s.work(rnd, a)
		if rnd.IntN(10) == 0 {
			calls[i] = calls[i].With(task.Delay(upTo(rnd, 500*time.Millisecond)))
		}
	}
	for i, fut := range s.sendAll(ctx, rnd, keys, calls) {
		s.result(ctx, keys[i], fut)
	}
}

// family sends a task that sends others.
func (s *submitter) family(ctx context.Context, rnd *rand.Rand) {
	key := s.key()
	call := s.work(rnd, workArgs{Key: key, Children: rnd.IntN(4), Promises: 1 + rnd.IntN(2), Fail: rnd.IntN(2)})
	for _, fut := range s.sendAll(ctx, rnd, []string{key}, []task.Call[string]{call}) {
		s.result(ctx, key, fut)
	}
}

// kills sends some, early, late, or never to start, and kills them.
func (s *submitter) kills(ctx context.Context, rnd *rand.Rand) {
	keys := make([]string, 1+rnd.IntN(5))
	calls := make([]task.Call[string], len(keys))
	for i := range calls {
		keys[i] = s.key()
		calls[i] = s.work(rnd, workArgs{Key: keys[i], For: upTo(rnd, 200*time.Millisecond), Deaf: rnd.IntN(4) == 0, Fail: rnd.IntN(2)})
		if rnd.IntN(2) == 0 {
			calls[i] = calls[i].With(task.Delay(upTo(rnd, 200*time.Millisecond)))
		}
	}
	futs := s.sendAll(ctx, rnd, keys, calls)
	for i, fut := range futs {
		if fut == nil {
			continue
		}
		time.Sleep(upTo(rnd, 50*time.Millisecond))
		s.killOne(ctx, keys[i], fut.ID())
	}
	for i, fut := range futs {
		s.result(ctx, keys[i], fut)
	}
}

func (s *submitter) killOne(ctx context.Context, key string, id task.ID) {
	s.ledger.Note(Event{Kind: Kill, Key: key})
	if v, err := s.arb.Kill(ctx, id); err == nil {
		s.ledger.Note(Event{Kind: Killed, Key: key, Outcome: string(v)})
	}
}

// pipe sends one of 2 to 5 steps; some fail in the middle.
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
	s.result(ctx, key, fut)
}

// group sends one of up to 20 members, with a callback and a finalizer; some have
// a member that fails, and some of these don't mind. It may be killed.
func (s *submitter) group(ctx context.Context, rnd *rand.Rand, kill bool) {
	key := s.key()
	flow := &Flow{Callback: s.key(), Finalizer: s.key(), Fails: rnd.IntN(4) == 0}
	flow.Collect = flow.Fails && rnd.IntN(2) == 0
	calls := make([]task.Call[string], 1+rnd.IntN(20))
	bad := rnd.IntN(len(calls))
	for i := range calls {
		a := workArgs{Key: s.key(), For: upTo(rnd, 60*time.Millisecond), Fail: rnd.IntN(8) / 7}
		if flow.Fails && i == bad {
			a.Fail = -1
		}
		calls[i] = s.work(rnd, a)
		flow.Members = append(flow.Members, a.Key)
	}
	opts := []arbiter.GroupOption{arbiter.Finalizer(s.work(rnd, workArgs{Key: flow.Finalizer}), 0)}
	if flow.Collect { // its callback can't take what isn't there
		opts = append(opts, arbiter.CollectAll(), arbiter.Callback(s.work(rnd, workArgs{Key: flow.Callback})))
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
			g, _, err = arbiter.GroupThen(ctx, s.arb, calls, joinOf(flow.Callback).With(s.queue(rnd)), opts...)
		}
		if err != nil {
			return nil, inPart(err)
		}
		return []task.ID{g.ID()}, nil
	})
	if !stored {
		return
	}
	if kill {
		time.Sleep(upTo(rnd, 100*time.Millisecond))
		s.killOne(ctx, key, g.ID())
	}
	s.groupResult(ctx, key, g)
}

func (s *submitter) groupResult(ctx context.Context, key string, g *arbiter.GroupFuture[string]) {
	var v string
	err := g.Result(ctx, &v)
	if e, ok := outcome(v, err); ok {
		e.Key, e.ID = key, g.ID().String()
		s.ledger.Note(e)
	}
}

// squad sends one of 2 to 5 members, if there is room for it.
func (s *submitter) squad(ctx context.Context, rnd *rand.Rand) {
	key := s.key()
	flow := &Flow{Callback: s.key(), Finalizer: s.key(), Squad: true}
	calls := make([]task.Call[string], 2+rnd.IntN(4))
	for i := range calls {
		a := workArgs{Key: s.key(), For: upTo(rnd, 60*time.Millisecond), Fail: rnd.IntN(8) / 7}
		calls[i] = s.work(rnd, a)
		flow.Members = append(flow.Members, a.Key)
	}
	s.ledger.Note(Event{Kind: Send, Key: key, Flow: flow})
	g, _, err := arbiter.SquadThen(ctx, s.arb, calls, joinOf(flow.Callback).With(s.queue(rnd)),
		arbiter.Finalizer(s.work(rnd, workArgs{Key: flow.Finalizer}), 0), arbiter.WaitForWorkers(upTo(rnd, time.Second)))
	switch {
	case err == nil:
		s.ledger.Note(Event{Kind: Accepted, Key: key, ID: g.ID().String()})
		s.groupResult(ctx, key, g)
	case errors.Is(err, task.ErrIndeterminate) || ctx.Err() != nil:
		s.ledger.Note(Event{Kind: Unknown, Key: key, Value: err.Error()})
	default:
		s.ledger.Note(Event{Kind: Refused, Key: key, Value: err.Error()})
	}
}

// inPart marks an error of a flow: parts of it may be stored.
func inPart(err error) error { return fmt.Errorf("%w in part: %w", task.ErrIndeterminate, err) }
