//go:build unix

package chaos

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/task"
)

// load sends a task or a flow, and waits for its result.
func (s *submitter) load(ctx context.Context, rnd *rand.Rand) {
	switch rnd.IntN(12) {
	case 0, 1, 2, 3, 4:
		s.tasks(ctx, rnd)
	case 5:
		s.family(ctx, rnd)
	case 6, 7:
		s.kills(ctx, rnd)
	case 8:
		s.pipe(ctx, rnd)
	case 9:
		s.squad(ctx, rnd)
	default:
		s.group(ctx, rnd)
	}
}

func upTo(rnd *rand.Rand, d time.Duration) time.Duration { return time.Duration(rnd.Int64N(int64(d))) }

// work binds a call to a random queue. One call in four is so large that the broker on Redis stores
// its payload in a separate record. Some of the other calls can be run only by minions of the newer
// build, some take half of the slots of a minion, and some have a name with a ceiling.
func (s *submitter) work(rnd *rand.Rand, a workArgs) task.Call[string] {
	switch a.Key[len(a.Key)-1] % 8 { // no random number, so the load of existing seeds does not change
	case 2:
		return narrow.With(s.queue(rnd)).Bind(a)
	case 6:
		a.Slots = s.Slots / 2
		return work.With(s.queue(rnd), task.Slots(a.Slots)).Bind(a)
	}
	return s.member(rnd, a)
}

// member is work for a member of a squad, which should find a slot at a minion.
func (s *submitter) member(rnd *rand.Rand, a workArgs) task.Call[string] {
	if a.Key[len(a.Key)-1]%4 == 0 {
		a.Ballast = strings.Repeat("x", 10_000)
	}
	if a.Key[len(a.Key)-1]%4 == 1 {
		return fresh.With(s.queue(rnd)).Bind(a)
	}
	return work.With(s.queue(rnd)).Bind(a)
}

func (s *submitter) queue(rnd *rand.Rand) task.Option {
	return task.Queue(s.Queues[rnd.IntN(len(s.Queues))])
}

// tasks sends up to 40 tasks at a time. Most are plain, and some fail, are delayed or expire.
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
			most := 500 * time.Millisecond
			if rnd.IntN(4) == 0 { // so that some become due during every outage
				most = 3 * time.Second
			}
			calls[i] = calls[i].With(task.Delay(upTo(rnd, most)))
		}
	}
	within := make([]time.Duration, len(calls)) // no random numbers, so the load of existing seeds does not change
	for i := range calls {
		switch i % 8 {
		case 5: // by then some are done, others wait for a slot or a retry, or run
			within[i] = time.Duration(10+20*i) * time.Millisecond
		case 7: // it is due only after its deadline
			within[i] = time.Duration(10+20*i) * time.Millisecond
			calls[i] = calls[i].With(task.Delay(time.Hour))
		}
	}
	futs := s.sendWithin(ctx, rnd, keys, calls, within)
	var all sync.WaitGroup
	defer all.Wait()
	for i, fut := range futs {
		if within[i] > 0 { // the time of its end is judged, even if the wait for the others fails
			all.Go(func() { s.result(ctx, keys[i], fut) })
		}
	}
	for i, fut := range futs {
		if within[i] == 0 {
			s.result(ctx, keys[i], fut)
		}
	}
}

// family sends a task that sends other tasks.
func (s *submitter) family(ctx context.Context, rnd *rand.Rand) {
	key := s.key()
	call := s.work(rnd, workArgs{Key: key, Children: rnd.IntN(4), Promises: 1 + rnd.IntN(2), Fail: rnd.IntN(2)})
	for _, fut := range s.sendAll(ctx, rnd, []string{key}, []task.Call[string]{call}) {
		s.result(ctx, key, fut)
	}
}

// brief is how long tasks run whose kill is meant to race with their return.
const brief = 30 * time.Millisecond

// kills sends tasks and kills them: early, late, or before they start. Some are killed when they
// are about to return an error, and before their minion has heard of the kill.
func (s *submitter) kills(ctx context.Context, rnd *rand.Rand) {
	narrow := rnd.IntN(2) == 0
	keys := make([]string, 1+rnd.IntN(5))
	calls := make([]task.Call[string], len(keys))
	for i := range calls {
		keys[i] = s.key()
		calls[i] = s.work(rnd, workArgs{Key: keys[i], For: upTo(rnd, 200*time.Millisecond), Deaf: rnd.IntN(4) == 0, Fail: rnd.IntN(2)})
		switch {
		case narrow:
			calls[i] = s.work(rnd, workArgs{Key: keys[i], For: brief, Deaf: true, Fail: 1})
		case rnd.IntN(2) == 0:
			calls[i] = calls[i].With(task.Delay(upTo(rnd, 200*time.Millisecond)))
		}
	}
	futs := s.sendAll(ctx, rnd, keys, calls)
	for i, fut := range futs {
		if fut == nil {
			continue
		}
		switch {
		case !narrow:
			time.Sleep(upTo(rnd, 50*time.Millisecond))
		case i == 0:
			time.Sleep(brief - 3*time.Millisecond + upTo(rnd, 6*time.Millisecond))
		}
		s.kill(ctx, keys[i], fut.ID())
	}
	for i, fut := range futs {
		s.result(ctx, keys[i], fut)
	}
}

// kill kills a task, and records the verdict.
func (s *submitter) kill(ctx context.Context, key string, id task.ID) {
	s.ledger.Note(Event{Kind: Kill, Key: key})
	if v, err := s.arb.Kill(ctx, id); err == nil {
		s.ledger.Note(Event{Kind: Killed, Key: key, Outcome: string(v)})
	}
}
