package brokertest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
)

// The models find a broker that breaks one of the promises. In half of the rounds the clients take
// turns: the scheduler might run them one after the other, and some breaches show only between
// operations of several clients.
func TestLinearSeesBreaches(t *testing.T) {
	t.Parallel()
	for _, breach := range []struct {
		name  string
		work  func(*clients, int, *rand.Rand)
		model porcupine.Model
		wrap  func(*memory.Broker) broker.Broker
	}{
		{"none", linearTasks, taskModel, func(b *memory.Broker) broker.Broker { return b }},
		{"none, of keys", linearKeys, keyModel, func(b *memory.Broker) broker.Broker { return b }},
		{"a cancel has no effect", linearTasks, taskModel, func(b *memory.Broker) broker.Broker { return idleCancel{b} }},
		{"a task exists twice", linearTasks, taskModel, func(b *memory.Broker) broker.Broker { return &twins{Broker: b} }},
		{"keys are ignored", linearKeys, keyModel, func(b *memory.Broker) broker.Broker { return keyless{b} }},
		{"none, of documents", linearDocuments, documentModel, func(b *memory.Broker) broker.Broker { return b }},
		{"versions are ignored", linearDocuments, documentModel, func(b *memory.Broker) broker.Broker { return &overwrites{b} }},
		{"a key is never released", linearKeys, keyModel, func(b *memory.Broker) broker.Broker { return &lockers{Broker: b} }},
	} {
		t.Run(breach.name, func(t *testing.T) {
			t.Parallel()
			seen := false
			for round := range uint64(20) {
				b := breach.wrap(memory.New())
				r := &rig{TB: t, ctx: t.Context(), Harness: Harness{Broker: b, Lease: time.Minute, Now: time.Now}}
				var t *turns
				if round%2 == 0 {
					t = newTurns()
				}
				seen = seen || !porcupine.CheckOperations(breach.model, r.operateIn(t, breach.work, nil, round))
				_ = b.Close()
			}
			if want := breach.name[:4] != "none"; seen != want {
				t.Errorf("the breach was found: %v, want %v", seen, want)
			}
		})
	}
}

// idleCancel returns verdicts and cancels nothing.
type idleCancel struct{ *memory.Broker }

func (b idleCancel) Cancel(ctx context.Context, ids []broker.ID) ([]broker.CancelVerdict, error) {
	found, err := b.Lookup(ctx, ids)
	verdicts := make([]broker.CancelVerdict, len(found))
	for i, st := range found {
		if st.State == broker.StatePending {
			verdicts[i] = broker.CancelPrevented
		}
	}
	return verdicts, err
}

// twins hands a task that is enqueued again out a second time.
type twins struct {
	*memory.Broker
	mu    sync.Mutex
	known map[broker.ID]bool
	again []*broker.Delivery
}

func (b *twins) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	b.mu.Lock()
	for _, t := range tasks {
		if b.known == nil {
			b.known = make(map[broker.ID]bool)
		}
		if b.known[t.ID] {
			b.again = append(b.again, &broker.Delivery{Task: *t, Attempt: 1})
		}
		b.known[t.ID] = true
	}
	b.mu.Unlock()
	return b.Broker.Enqueue(ctx, tasks)
}

func (b *twins) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	c, err := b.Broker.Consume(ctx, cfg)
	return &twinConsumer{c, b}, err
}

type twinConsumer struct {
	broker.Consumer
	b *twins
}

func (c *twinConsumer) Dequeue(ctx context.Context, queues []string, limit int, wait time.Duration) ([]*broker.Delivery, error) {
	got, err := c.Consumer.Dequeue(ctx, queues, limit, wait)
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	got, c.b.again = append(got, c.b.again...), nil
	return got, err
}

func (c *twinConsumer) Settle(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	_, err := c.Consumer.Settle(ctx, batch)
	return make([]error, len(batch)), err
}

// keyless ignores unique keys.
type keyless struct{ *memory.Broker }

func (b keyless) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	free := *tasks[0]
	free.Unique.Key = ""
	return b.Broker.Enqueue(ctx, []*broker.Task{&free})
}

// lockers never releases a key: its first holder keeps it.
type lockers struct {
	*memory.Broker
	mu   sync.Mutex
	keys map[string]broker.ID
}

func (b *lockers) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	t := tasks[0]
	b.mu.Lock()
	if b.keys == nil {
		b.keys = make(map[string]broker.ID)
	}
	holder, held := b.keys[t.Unique.Key]
	if !held {
		b.keys[t.Unique.Key] = t.ID
	}
	b.mu.Unlock()
	if held && holder != t.ID {
		return broker.NewBatchError([]error{&broker.DuplicateError{ID: t.ID, Holder: holder, Key: t.Unique.Key}})
	}
	return b.Broker.Enqueue(ctx, tasks)
}
