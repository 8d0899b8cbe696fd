//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/limit"
	"github.com/go-arbiter/arbiter/task"
)

// keyed sends tasks that share a few unique keys with those of the other submitters, until over reports
// true. They are refused, join each other, replace each other and wait behind each other.
func (s *submitter) keyed(ctx context.Context, rnd *rand.Rand, over func() bool) {
	for _, q := range s.Queues { // the definition of lanes, for those that have a limit as well
		for ctx.Err() == nil && s.arb.SetLimit(ctx, q, limit.Concurrency("alone", 1)) != nil {
			time.Sleep(50 * time.Millisecond)
		}
	}
	var all sync.WaitGroup
	defer all.Wait()
	for !over() && ctx.Err() == nil {
		queue, n := s.Queues[rnd.IntN(len(s.Queues))], rnd.IntN(6)
		if rnd.IntN(10) == 0 {
			all.Go(func() { s.supersede(ctx, queue) })
		}
		name := fmt.Sprint("key ", n)
		note := Event{Kind: Send, Key: s.otherKey("unique"), Unique: &Unique{Key: queue + " " + name, Start: n%3 == 0, Window: n == 5}}
		opts := []task.Option{task.Queue(queue), task.Unique(name)}
		if note.Unique.Start {
			opts = append(opts, task.UniqueUntilStart())
		}
		if note.Unique.Window {
			opts = append(opts, task.UniqueFor(time.Millisecond+upTo(rnd, 100*time.Millisecond)))
		}
		conflict := []task.Conflict{task.ConflictRefuse, task.ConflictJoin, task.ConflictReplace, task.ConflictLatest, task.ConflictLatest, task.ConflictCancel}[rnd.IntN(6)]
		opts = append(opts, task.OnConflict(conflict))
		if conflict == task.ConflictReplace || conflict == task.ConflictLatest || conflict == task.ConflictCancel {
			note.Unique.Replaces, note.Unique.Cancels = true, conflict == task.ConflictCancel
			if rnd.IntN(2) == 0 && !note.Unique.Cancels {
				opts = append(opts, task.ConflictMaxAge(time.Millisecond+upTo(rnd, time.Second)))
			}
		}
		switch rnd.IntN(6) {
		case 0:
			opts = append(opts, task.Delay(upTo(rnd, 200*time.Millisecond)))
		case 1:
			host := fmt.Sprint("host ", rnd.IntN(3))
			note.Alone = queue + " " + host
			opts = append(opts, task.Limit("alone", task.KeyedBy(host)))
		}
		a := workArgs{Key: note.Key, For: upTo(rnd, 30*time.Millisecond), Deaf: rnd.IntN(2) == 0}
		if rnd.IntN(6) == 0 {
			a.Fail = 1 + rnd.IntN(2)
		}
		call := work.With(opts...).Bind(a)
		s.ledger.Note(note)
		fut, joined := s.insistKeyed(ctx, note.Key, call)
		all.Go(func() {
			if joined {
				s.joined(ctx, fut)
			} else {
				s.result(ctx, note.Key, fut)
			}
		})
		time.Sleep(upTo(rnd, 20*time.Millisecond))
	}
}

// supersede sends a task that runs for long, and soon after that one that cancels it.
func (s *submitter) supersede(ctx context.Context, queue string) {
	name := s.otherKey("newest")
	var all sync.WaitGroup
	defer all.Wait()
	for _, long := range []bool{true, false} {
		note := Event{Kind: Send, Key: s.otherKey("unique"), Unique: &Unique{Key: queue + " " + name, Replaces: !long, Cancels: !long, Long: long}}
		a := workArgs{Key: note.Key}
		if long {
			a.For = 4 * grace
		}
		s.ledger.Note(note)
		fut, _ := s.insistKeyed(ctx, note.Key, work.With(task.Queue(queue), task.Unique(name), task.OnConflict(task.ConflictCancel)).Bind(a))
		all.Go(func() { s.result(ctx, note.Key, fut) })
		time.Sleep(300 * time.Millisecond)
	}
}

// insistKeyed sends a call until it is known to be stored, or that another task has its key. The future
// may be that of this task. It is nil if the call is not stored.
func (s *submitter) insistKeyed(ctx context.Context, key string, call task.Call[string]) (fut *task.Future[string], joined bool) {
	for {
		fut, err := call.Send(ctx, s.arb)
		note := Event{Kind: Refused, Key: key}
		dup, taken := errors.AsType[*task.DuplicateError](err)
		switch {
		case err == nil && fut.ID() != call.Request().ID():
			joined = true
			note.Holder, note.Value = fut.ID().String(), "joined"
		case err == nil:
			note.Kind, note.ID = Accepted, fut.ID().String()
		case errors.Is(err, task.ErrIndeterminate):
			note.Kind, note.Value = Unknown, err.Error()
		case taken:
			note.Holder, note.Value = dup.Holder.String(), err.Error()
		default:
			note.Value = err.Error()
		}
		s.ledger.Note(note)
		if err == nil || taken && note.Kind == Refused || ctx.Err() != nil {
			return fut, joined
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// joined waits for the result of a task that another call has sent, and records it for that one. The
// value of a result begins with the key of its task.
func (s *submitter) joined(ctx context.Context, fut *task.Future[string]) {
	v, err := fut.Result(ctx)
	if e, ok := outcome(v, err); ok {
		if key, _, found := strings.Cut(e.Value, "#"); found {
			e.Key, e.ID = key, fut.ID().String()
			s.ledger.Note(e)
		}
	}
}
