//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// sleepers are tasks whose names are paused. Each name is used for one pause only: a request to
// resume it can be late, and must not end a later pause.
var sleepers = func() []task.Task[workArgs, string] {
	list := make([]task.Task[workArgs, string], 40)
	for i := range list {
		list[i] = task.Define[workArgs, string](fmt.Sprint("sleeper", i), task.WithBackoff(task.Constant(50*time.Millisecond)), task.Retries(5))
	}
	return list
}()

// pauses makes names and fairness keys wait, sends tasks that are paused then, and resumes them, until
// over reports true. The tasks wait among the others of their queues.
func (s *submitter) pauses(ctx context.Context, rnd *rand.Rand, over func() bool) {
	host := int(s.Name[1] - '0')
	for round := 0; !over() && ctx.Err() == nil; round++ {
		queue, name := s.Queues[rnd.IntN(len(s.Queues))], host+4*round
		p, sleeper := broker.Pause{Key: s.otherKey("asleep")}, work
		if rnd.IntN(2) == 0 && s.Name[2:] == ".1" && name < len(sleepers) { // a process that starts again begins with the first name
			p, sleeper = broker.Pause{Task: sleepers[name].Name()}, sleepers[name]
		}
		pause := fmt.Sprintf("%s of queue %s", p.Task+p.Key, queue)
		if s.repeat(ctx, func() error { return changePause(ctx, s.arb, queue, p, true) }) {
			s.ledger.Note(Event{Kind: Paused, Pause: pause})
		}
		keys := make([]string, 1+rnd.IntN(5))
		calls := make([]task.Call[string], len(keys))
		notes := make([]Event, len(keys))
		for i := range keys {
			keys[i] = s.otherKey("asleep")
			notes[i] = Event{Kind: Send, Key: keys[i], Pause: pause}
			calls[i] = sleeper.With(task.Queue(queue)).Bind(workArgs{Key: keys[i], For: upTo(rnd, 20*time.Millisecond), Deaf: rnd.IntN(2) == 0})
			switch {
			case p.Key != "":
				calls[i] = calls[i].With(task.FairKey(p.Key), task.Priority(rnd.IntN(10)))
			case rnd.IntN(3) == 0:
				calls[i] = calls[i].With(task.FairKey("awake"), task.Priority(rnd.IntN(10)))
			}
			if rnd.IntN(4) == 0 {
				calls[i] = calls[i].With(task.Delay(upTo(rnd, 100*time.Millisecond)))
			}
		}
		futs := s.sendNoted(ctx, rnd, keys, calls, notes)
		time.Sleep(upTo(rnd, 300*time.Millisecond))
		s.ledger.Note(Event{Kind: Resuming, Pause: pause})
		s.repeat(ctx, func() error { return changePause(ctx, s.arb, queue, p, false) })
		for i, fut := range futs {
			s.result(ctx, keys[i], fut)
		}
	}
}

// repeat calls f until it succeeds, and reports whether it has.
func (s *submitter) repeat(ctx context.Context, f func() error) bool {
	for ctx.Err() == nil {
		if f() == nil {
			return true
		}
		time.Sleep(50 * time.Millisecond)
	}
	return false
}

// changePause begins or ends a pause of a name or a key.
func changePause(ctx context.Context, arb *arbiter.Arbiter, queue string, p broker.Pause, begins bool) error {
	switch {
	case begins && p.Task != "":
		return arb.PauseTask(ctx, queue, p.Task)
	case begins:
		return arb.PauseKey(ctx, queue, p.Key)
	case p.Task != "":
		return arb.ResumeTask(ctx, queue, p.Task)
	}
	return arb.ResumeKey(ctx, queue, p.Key)
}

// resumeAll resumes what processes have left paused that were killed.
func resumeAll(ctx context.Context, arb *arbiter.Arbiter, queues []string, ledger Noter) error {
	for _, queue := range queues {
		infos, err := arb.Pauses(ctx, queue)
		if err != nil {
			return err
		}
		for _, info := range infos {
			ledger.Note(Event{Kind: Resuming, Pause: fmt.Sprintf("%s of queue %s", info.Task+info.Key, queue)})
			if err := changePause(ctx, arb, queue, info.Pause, false); err != nil {
				return err
			}
		}
	}
	return nil
}
