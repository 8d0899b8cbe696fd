package arbiter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// CheckSchema lets the arbiter compare what it sends with what the living
// minions of the queue say they run. A call that none of them can decode, because
// its task is unknown to all or has other parameters or another result
// everywhere, is not sent, and its error in the [*task.SubmitError] is a
// [*SchemaError]. It is meant for a moment such as a deployment, in which
// minions and arbiters are of different versions.
//
// Generated handles carry the hash of their schema. Where it is not known, as
// for a task that is started by its name, only the name counts. A queue without
// minions refuses nothing: the ones to come may be right. The minions are asked
// for at most once a second, and again before a call is refused. Pipes and groups
// are not checked. The default is not to check. docs/deploying.md says what else a
// deployment can do.
func CheckSchema() Option {
	return optionFunc(func(cfg *config) { cfg.checkSchema = true })
}

// SchemaError says that no living minion can decode a call; see [CheckSchema]. It
// wraps [task.ErrInvalid].
type SchemaError struct {
	Task    string
	Queue   string
	Schema  uint64 // of the call; 0 if it is not known
	Minions int    // how many serve the queue
	Known   bool   // some of them run a task of this name, but with another schema
}

// Error says what the minions lack.
func (e *SchemaError) Error() string {
	lack := "runs such a task"
	if e.Known {
		lack = fmt.Sprintf("runs it with the schema %#016x: arguments or result are different there", e.Schema)
	}
	return fmt.Sprintf("none of the %d minions of queue %s %s", e.Minions, e.Queue, lack)
}

// Unwrap returns [task.ErrInvalid].
func (e *SchemaError) Unwrap() error { return broker.ErrInvalid }

// rosterAge is how old a roster may be to let calls pass.
const rosterAge = time.Second

// roster is what was last known of the minions.
type roster struct {
	mu      sync.Mutex
	minions []broker.MinionInfo
	at      time.Time
}

func (r *roster) get(ctx context.Context, b broker.Broker, age time.Duration) ([]broker.MinionInfo, error) {
	r.mu.Lock()
	minions, at := r.minions, r.at
	r.mu.Unlock()
	if !at.IsZero() && time.Since(at) < age {
		return minions, nil
	}
	minions, err := b.Minions(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.minions, r.at = minions, time.Now()
	r.mu.Unlock()
	return minions, nil
}

// submit sends the calls that are not refused for their schemas.
func (a *Arbiter) submit(ctx context.Context, calls []task.Bound) error {
	if a.roster == nil {
		return a.client.Submit(ctx, calls...)
	}
	refused := a.refused(ctx, calls)
	if len(refused) == 0 {
		return a.client.Submit(ctx, calls...)
	}
	left := make([]task.Bound, 0, len(calls)-len(refused))
	index := make([]int, 0, cap(left))
	next := 0 // of refused, which is in order
	for i, call := range calls {
		if next < len(refused) && refused[next].Index == i {
			next++
			continue
		}
		left, index = append(left, call), append(index, i)
	}
	var sub *task.SubmitError
	if err := a.client.Submit(ctx, left...); errors.As(err, &sub) {
		for _, f := range sub.Failed {
			f.Index = index[f.Index]
			refused = append(refused, f)
		}
	}
	slices.SortFunc(refused, func(x, y task.FailedCall) int { return x.Index - y.Index })
	return &task.SubmitError{Failed: refused, Total: len(calls)}
}

// refused returns the calls that no minion can decode, in order. If the minions cannot be
// asked there are none: sending them will say what is wrong.
func (a *Arbiter) refused(ctx context.Context, calls []task.Bound) []task.FailedCall {
	for _, age := range []time.Duration{rosterAge, 0} { // a new minion may be there now
		minions, err := a.roster.get(ctx, a.b, age)
		if err != nil {
			return nil
		}
		refused := mismatches(minions, calls)
		if len(refused) == 0 || age == 0 {
			return refused
		}
	}
	return nil
}

func mismatches(minions []broker.MinionInfo, calls []task.Bound) (refused []task.FailedCall) {
	type kind struct {
		name, queue string
		schema      uint64
	}
	verdicts := make(map[kind]*SchemaError)
	for i, call := range calls {
		if call == nil || call.Request() == nil || !call.Request().ID().IsZero() {
			continue // no call, or one that was sent before and may be stored
		}
		req := call.Request()
		if req.Flow() != nil {
			continue
		}
		k := kind{req.Name(), req.Settings().Queue, req.Settings().Schema}
		verdict, ok := verdicts[k]
		if !ok {
			verdict = mismatch(minions, k.name, k.queue, k.schema)
			verdicts[k] = verdict
		}
		if verdict != nil {
			refused = append(refused, task.FailedCall{Index: i, Name: k.name, Err: verdict})
		}
	}
	return refused
}

// mismatch returns why no minion can decode a call, or nil if one can, or may.
func mismatch(minions []broker.MinionInfo, name, queue string, schema uint64) *SchemaError {
	e := &SchemaError{Task: name, Queue: queue, Schema: schema}
	for _, m := range minions {
		if !slices.Contains(m.Queues, queue) {
			continue
		}
		hash, runs := m.Tasks[name]
		if m.Tasks == nil || runs && (hash == schema || hash == 0 || schema == 0) {
			return nil
		}
		e.Minions++
		e.Known = e.Known || runs
	}
	if e.Minions == 0 {
		return nil
	}
	return e
}
