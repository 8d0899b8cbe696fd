//go:build unix

package chaos

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// signed is the codec of the arbiters on one host, and of all minions.
var signed = func() codec.Codec {
	c, err := codec.Sign(codec.Msgpack(), []byte("the key of the chaos suite, 32 B"))
	if err != nil {
		panic(err)
	}
	return c
}()

// seals reports whether a submitter seals the tasks that it sends. Such a submitter reads sealed
// results only. The other submitters have no key.
func seals(name string) bool { return name[:2] == "s1" }

// sealing returns the options of a submitter.
func sealing(name string, opts ...arbiter.Option) []arbiter.Option {
	if seals(name) {
		opts = append(opts, arbiter.Codec(signed))
	}
	return opts
}

// Minions and the audit read both codecs. Handlers seal the tasks that they send.
var (
	ofMinions = minion.Codecs(signed, codec.Msgpack())
	ofAudit   = []arbiter.Option{arbiter.Codec(codec.Msgpack()), arbiter.Codecs(signed)}
)

// spy reads stored tasks and has no key.
type spy struct{ copies chan *broker.Task }

func newSpy() *spy { return &spy{make(chan *broker.Task, 8)} }

// tapped is a broker to which a spy listens.
type tapped struct {
	*redis.Broker
	*spy
}

func (b *tapped) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	b.listen(tasks)
	return b.Broker.Enqueue(ctx, tasks)
}

// simTapped is a tapped broker of the simulation.
type simTapped struct {
	*faulty.Broker
	*spy
}

func (b *simTapped) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	b.listen(tasks)
	return b.Broker.Enqueue(ctx, tasks)
}

// replayed is the interval of replays: the spy stores one of this many single tasks again.
const replayed = 10

// listen copies some of the single tasks that start soon. A copy that replaces a task would end a task
// that nobody has killed, and one in the queue with a bound would take room that the checker does not know of.
func (s *spy) listen(tasks []*broker.Task) {
	for _, t := range tasks {
		if t.ID[len(t.ID)-1]%replayed != 0 || t.Flow.ID != (broker.ID{}) || t.Flow.Blocked || t.Delay > time.Second || t.Unique.OnConflict != broker.ConflictRefuse || t.Queue == boundedQueue {
			continue
		}
		again := *t
		again.Payload, again.Meta = slices.Clone(t.Payload), maps.Clone(t.Meta)
		select {
		case s.copies <- &again:
		default: // enough copies are waiting
		}
	}
}

// attack stores data that was sealed for one task as another task, until ctx ends.
func (s *spy) attack(ctx context.Context, rnd *rand.Rand, b broker.Broker, ledger Noter) {
	for {
		var t *broker.Task
		select {
		case <-ctx.Done():
			return
		case t = <-s.copies:
		}
		time.Sleep(upTo(rnd, 500*time.Millisecond))
		old := t.ID
		t.ID = broker.NewTaskID(t.Queue, t.Unique.Key)
		e := Event{Kind: Replayed, ID: t.ID.String(), Value: old.String()}
		ledger.Note(e) // the new task may start before Enqueue returns
		if err := b.Enqueue(ctx, []*broker.Task{t}); err != nil {
			continue
		}
		if err := forged(ctx, b, t.ID); err == nil {
			e.Outcome = Failed
			ledger.Note(e)
		}
	}
}

var errNotForged = errors.New("the task with the seal of another task has not failed")

// forged waits until a task has failed.
func forged(ctx context.Context, b broker.Broker, id task.ID) error {
	for range 20 {
		found, err := b.Lookup(ctx, []task.ID{id})
		if err == nil && found[0].State == broker.StateFailed {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errNotForged
}
