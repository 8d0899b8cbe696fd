//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/task"
)

// hurry is the short time limit of some sends.
const hurry = 200 * time.Millisecond

// submitter is an arbiter with its load.
type submitter struct {
	config
	ledger Noter
	arb    *arbiter.Arbiter
	keys   atomic.Int64
	others atomic.Int64 // number of keys outside of the seeded load
}

func submitterRole(ctx context.Context, text json.RawMessage) error {
	s := &submitter{}
	if err := json.Unmarshal(text, &s.config); err != nil {
		return err
	}
	l, b, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	tap := &tapped{b, newSpy()}
	arb, err := arbiter.New(tap, sealing(s.Name, arbiter.Logger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		return err
	}
	defer func() { _ = arb.Close() }()
	if seals(s.Name) {
		attack, end := context.WithDeadline(ctx, s.Until)
		defer end()
		go tap.attack(attack, rand.New(rand.NewPCG(s.Seed, 6)), b, l)
	}
	s.ledger, s.arb = l, arb
	fmt.Println("ready")
	patient, cancel := context.WithDeadline(ctx, s.Until.Add(s.Patience))
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() {
		s.longLoad(patient, rand.New(rand.NewPCG(s.Seed, uint64(s.Senders))), s.Until.Add(-s.Skew).UnixNano())
	})
	all.Go(func() {
		s.lanes(patient, rand.New(rand.NewPCG(s.Seed, 1000)), func() bool { return !time.Now().Before(s.Until) })
	})
	all.Go(func() {
		s.pauses(patient, rand.New(rand.NewPCG(s.Seed, 1001)), func() bool { return !time.Now().Before(s.Until) })
	})
	all.Go(func() {
		s.bounds(patient, rand.New(rand.NewPCG(s.Seed, 1003)), func() bool { return !time.Now().Before(s.Until) })
	})
	for i := range 2 {
		all.Go(func() {
			s.keyed(patient, rand.New(rand.NewPCG(s.Seed, uint64(2000+i))), func() bool { return !time.Now().Before(s.Until) })
		})
	}
	sched := scheduler(s.Name, b)
	go func() { _ = sched.Run(ctx) }()
	all.Go(func() {
		s.ticks(patient, rand.New(rand.NewPCG(s.Seed, 1002)), sched, s.Until.Add(-s.Skew).UnixNano())
	})
	for i := range s.Senders {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(s.Seed, uint64(i)))
			for time.Now().Before(s.Until) && patient.Err() == nil {
				s.load(patient, rnd)
			}
		})
	}
	all.Wait()
	fmt.Println("done")
	<-ctx.Done() // a fault of the plan may still need this process
	return nil
}

// key returns a new key.
func (s *submitter) key() string { return fmt.Sprintf("%s-%d", s.Name, s.keys.Add(1)) }

// insist sends until everything is known to be stored, and reports whether it is. It records the
// outcome for each key. send returns an error for each task that failed. Some calls have little
// time, and give up after the first error.
func (s *submitter) insist(ctx context.Context, rnd *rand.Rand, keys []string, send func(context.Context) ([]task.ID, error)) bool {
	return s.store(ctx, rnd.IntN(8) == 0, keys, send)
}

// store is insist for a call of which is known whether it has little time.
func (s *submitter) store(ctx context.Context, giveUp bool, keys []string, send func(context.Context) ([]task.ID, error)) bool {
	if giveUp {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, hurry)
		defer cancel()
	}
	for {
		ids, err := send(ctx)
		failed := make(map[int]error)
		var se *task.SubmitError
		if errors.As(err, &se) && len(keys) > 1 {
			for _, f := range se.Failed {
				failed[f.Index] = f.Err
			}
		} else if err != nil {
			for i := range keys {
				failed[i] = err
			}
		}
		notes := make([]Event, len(keys))
		for i, key := range keys {
			notes[i] = Event{Kind: Accepted, Key: key}
			switch e, no := failed[i], errors.Is(failed[i], task.ErrIndeterminate); {
			case e == nil:
				notes[i].ID = ids[i].String()
			case no || se == nil:
				notes[i].Kind, notes[i].Value = Unknown, e.Error()
			default:
				notes[i].Kind, notes[i].Value, notes[i].Full = Refused, e.Error(), errors.Is(e, task.ErrFull)
			}
		}
		s.ledger.Note(notes...)
		if err == nil {
			return true
		}
		if giveUp || ctx.Err() != nil {
			return false
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// sendAll sends calls, one for each key.
func (s *submitter) sendAll(ctx context.Context, rnd *rand.Rand, keys []string, calls []task.Call[string]) []*task.Future[string] {
	return s.sendWithin(ctx, rnd, keys, calls, make([]time.Duration, len(keys)))
}

// sendWithin is sendAll with deadlines. A deadline of 0 means none.
func (s *submitter) sendWithin(ctx context.Context, rnd *rand.Rand, keys []string, calls []task.Call[string], within []time.Duration) []*task.Future[string] {
	notes := make([]Event, len(keys))
	for i, key := range keys {
		notes[i] = Event{Kind: Send, Key: key, Within: int64(within[i])}
		if within[i] > 0 {
			calls[i] = calls[i].With(task.Within(within[i]))
		}
	}
	return s.sendNoted(ctx, rnd, keys, calls, notes)
}

// sendNoted sends calls after it has recorded an event of each.
func (s *submitter) sendNoted(ctx context.Context, rnd *rand.Rand, keys []string, calls []task.Call[string], notes []Event) []*task.Future[string] {
	return s.storeNoted(ctx, rnd.IntN(8) == 0, keys, calls, notes)
}

// storeNoted is sendNoted for calls of which is known whether they have little time. An even number of calls is sent as a sequence.
func (s *submitter) storeNoted(ctx context.Context, giveUp bool, keys []string, calls []task.Call[string], notes []Event) []*task.Future[string] {
	s.ledger.Note(notes...)
	var futs []*task.Future[string]
	s.store(ctx, giveUp, keys, func(ctx context.Context) ([]task.ID, error) {
		var err error
		if len(calls)%2 == 0 {
			futs, err = s.sendSeq(ctx, calls)
		} else {
			futs, err = task.SendAll(ctx, s.arb, calls...)
		}
		ids := make([]task.ID, len(futs))
		for i, f := range futs {
			if f != nil {
				ids[i] = f.ID()
			}
		}
		return ids, err
	})
	return futs
}

// sendSeq is task.SendAll with SubmitSeq. A call that was not taken from the sequence counts as refused.
func (s *submitter) sendSeq(ctx context.Context, calls []task.Call[string]) ([]*task.Future[string], error) {
	_, err := s.arb.SubmitSeq(ctx, bound(calls))
	futs := make([]*task.Future[string], len(calls))
	for i, call := range calls {
		futs[i] = task.NewFuture[string](s.arb, call.Request().ID())
	}
	sub, ok := errors.AsType[*task.SubmitError](err)
	if !ok {
		return futs, err
	}
	all := &task.SubmitError{Failed: slices.Clone(sub.Failed), Total: len(calls)}
	for i := sub.Total; i < len(calls); i++ {
		all.Failed = append(all.Failed, task.FailedCall{Index: i, Name: "call", Err: errNotTaken})
	}
	for _, f := range all.Failed {
		futs[f.Index] = nil
	}
	return futs, all
}

var errNotTaken = errors.New("an earlier call of the sequence was refused")

// bound returns the sequence of some calls.
func bound(calls []task.Call[string]) iter.Seq[task.Bound] {
	return func(yield func(task.Bound) bool) {
		for _, call := range calls {
			if !yield(call) {
				return
			}
		}
	}
}

// result waits for a result and records it. A flow that fails has none.
func (s *submitter) result(ctx context.Context, key string, fut *task.Future[string]) {
	if fut == nil {
		return
	}
	v, err := fut.Result(ctx)
	if e, ok := outcome(v, err); ok {
		e.Key, e.ID = key, fut.ID().String()
		s.ledger.Note(e)
	}
}

// blamed returns the number of the member that the error of a flow names, or "".
func blamed(message string) string {
	var n int
	if _, err := fmt.Sscanf(message, "member %d", &n); err != nil {
		return ""
	}
	return strconv.Itoa(n)
}

// outcome returns the event of a result. It returns false if the wait failed.
func outcome(value string, err error) (Event, bool) {
	e := Event{Kind: Got, Outcome: Succeeded, Value: value}
	var remote *task.RemoteError
	switch {
	case err == nil:
	case errors.Is(err, task.ErrFlowFailed):
		e.Outcome, e.Value = Failed, ""
		if errors.As(err, &remote) {
			e.Value = blamed(remote.Message)
		}
	case errors.Is(err, task.ErrCanceled):
		e.Outcome, e.Value = Canceled, ""
		if replaced, ok := errors.AsType[*task.ReplacedError](err); ok {
			e.By = replaced.By.String()
		}
	case errors.Is(err, task.ErrMinionDied):
		e.Outcome, e.Value = GivenUp, ""
	case errors.Is(err, task.ErrExpired):
		e.Outcome, e.Value = Expired, ""
	case errors.As(err, &remote):
		e.Outcome, e.Value = Failed, remote.Message
	default:
		return Event{}, false
	}
	return e, true
}
