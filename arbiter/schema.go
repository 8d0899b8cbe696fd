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

// CheckSchema makes the arbiter check each call against the living minions of its queue before it is sent. A call is refused
// if none of them can decode it: its task is unknown to all of them, or has other parameters or another result at all of
// them. Its error in the [*task.SubmitError] is a [*SchemaError]. This helps while minions and arbiters are of different
// versions, as during a deployment.
//
// Generated handles have the hash of their schema. If the hash is not known, as for a task that is started by its name, only
// the name is checked. If the queue has no minions, nothing is refused, since minions that start later may know the task.
// The arbiter asks for the list of minions at most once a second, and again before it refuses a call. Pipes and groups are
// not checked. The default is no check. docs/deploying.md has more about deployments.
func CheckSchema() Option {
	return optionFunc(func(cfg *config) { cfg.checkSchema = true })
}

// SchemaError says that no living minion can decode a call; see [CheckSchema]. It wraps [task.ErrInvalid].
type SchemaError struct {
	Task    string
	Queue   string
	Schema  uint64 // the hash of the call; 0 if it is not known
	Minions int    // how many minions serve the queue
	Known   bool   // some of them run a task of this name, but with another schema
}

// Error says that no minion of the queue runs the task, or that those that run it have another schema.
func (e *SchemaError) Error() string {
	lack := "runs such a task"
	if e.Known {
		lack = fmt.Sprintf("runs it with the schema %#016x: arguments or result are different there", e.Schema)
	}
	return fmt.Sprintf("none of the %d minions of queue %s %s", e.Minions, e.Queue, lack)
}

// Unwrap returns [task.ErrInvalid].
func (e *SchemaError) Unwrap() error { return broker.ErrInvalid }

// minionListAge is how old a minion list may be to let calls pass.
const minionListAge = time.Second

// minionList is the last known list of living minions.
type minionList struct {
	mu      sync.Mutex
	minions []broker.MinionInfo
	at      time.Time // when the list was read
}

// get returns the list. It asks the broker if the list is older than age.
func (r *minionList) get(ctx context.Context, b broker.Broker, age time.Duration) ([]broker.MinionInfo, error) {
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

// submit sends the calls, except those that CheckSchema refuses.
func (a *Arbiter) submit(ctx context.Context, calls []task.Bound) error {
	if a.minions == nil {
		return a.client.Submit(ctx, calls...)
	}
	refused := a.refused(ctx, calls)
	if len(refused) == 0 {
		return a.client.Submit(ctx, calls...)
	}
	left := make([]task.Bound, 0, len(calls)-len(refused))
	index := make([]int, 0, cap(left))
	next := 0 // the next index in refused, which is in the order of calls
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

// refused returns the calls that no minion can decode, in order. If the minions can't be listed, it refuses none: sending the
// calls will report the error of the broker.
func (a *Arbiter) refused(ctx context.Context, calls []task.Bound) []task.FailedCall {
	for _, age := range []time.Duration{minionListAge, 0} { // the second time with a fresh list, since a new minion may have started
		minions, err := a.minions.get(ctx, a.b, age)
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
			continue // a zero call, or one that was sent before and may be stored
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

// mismatch returns the reason why no minion can decode a call, or nil if one can or may.
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
