package brokertest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/plain"
)

// A broker that breaks a promise fails the test of that promise. A correct broker passes it.
func TestBreaches(t *testing.T) {
	t.Parallel()
	for _, breach := range []struct {
		name string
		body func(*rig)
		wrap func(*memory.Broker) broker.Broker
		says string // text in the failure; empty for a correct broker
	}{
		{"none", capabilitySubmit, func(b *memory.Broker) broker.Broker { return b }, ""},
		{"no capability", capabilitySubmit, func(b *memory.Broker) broker.Broker { return plain.Broker{Broker: b} }, ""},
		{"a submission is dropped", capabilitySubmit, func(b *memory.Broker) broker.Broker { return dropsSubmit{plain.Broker{Broker: b}} }, "want an *UnsupportedError about Flows"},
		{"a blocked task is taken", capabilityBlocked, func(b *memory.Broker) broker.Broker { return hides{b} }, "want a *BatchError"},
		{"a squad is taken", capabilitySquad, func(b *memory.Broker) broker.Broker { return hides{b} }, "want a *BatchError"},
		{"a lane is taken", capabilityLane, func(b *memory.Broker) broker.Broker { return hides{b} }, "want a *BatchError"},
		{"limits are ignored", laneMost, func(b *memory.Broker) broker.Broker { return ignoresLanes{b} }, "want none"},
		{"sequences are ignored", sequenceOrder, func(b *memory.Broker) broker.Broker { return ignoresLanes{b} }, "want none"},
		{"priorities are ignored", lanePriority, func(b *memory.Broker) broker.Broker { return ignoresLanes{b} }, "task 0 of 6 is"},
		{"tasks that are given back are turned round", settleGiveBackOrder, func(b *memory.Broker) broker.Broker { return turnsRound{b} }, "id 0 of 8 is"},
		{"Close leaves a Dequeue waiting", closeConsumerWaiting, func(b *memory.Broker) broker.Broker { return staysAsleep{b} }, "after the Close of its consumer"},
		{"a lease counts from the answer", leaseRenewal, func(b *memory.Broker) broker.Broker { return renewsLate{b} }, "OnRenewed said"},
		{"a lease that has ended is renewed", leaseNoRenewal, func(b *memory.Broker) broker.Broker { return renewsLate{b} }, "OnRenewed was called"},
		{"a living consumer is forgotten", leaseHeartbeatsKeep, func(b *memory.Broker) broker.Broker { return forgets{b} }, "Heartbeat: "},
		{"a survivor is forgotten", leaseTwoSurvivors, func(b *memory.Broker) broker.Broker { return forgets{b} }, "Heartbeat: "},
		{"versions are ignored", documentConflict, func(b *memory.Broker) broker.Broker { return &overwrites{b} }, "want a *ConflictError"},
		{"a repeated write is refused", documentAgain, func(b *memory.Broker) broker.Broker { return &forgetsWrites{Broker: b} }, "changed by somebody else"},
		{"Queues makes up a queue", inspectorQueuesKnown, func(b *memory.Broker) broker.Broker { return makesUp{b} }, "Queues lists"},
	} {
		t.Run(breach.name, func(t *testing.T) {
			t.Parallel()
			fault := faultOf(t, breach.body, func() broker.Broker { return breach.wrap(memory.New(memory.Lease(15 * time.Second))) })
			if breach.says == "" && fault != "" || !strings.Contains(fault, breach.says) {
				t.Errorf("the failure is %q, want one with %q", fault, breach.says)
			}
		})
	}
}

// faultOf runs a test of the suite, and returns its failure.
func faultOf(t *testing.T, body func(*rig), open func() broker.Broker) (fault string) {
	cfg := Config{Open: func(testing.TB) Harness {
		return Harness{Broker: open(), Lease: 15 * time.Second, CanJump: true, Slack: time.Millisecond, Prompt: time.Millisecond}
	}}
	synctest.Test(t, func(t *testing.T) {
		c := &catcher{TB: t}
		ctx, cancel := context.WithCancel(t.Context())
		defer c.cleanup()
		defer cancel()
		defer func() {
			switch p := recover().(type) {
			case nil:
			case fatal:
				fault = string(p)
			default:
				panic(p)
			}
		}()
		cfg.Bubble = synctest.Test
		body(rigOn(ctx, c, cfg))
	})
	return fault
}

// hides hides the capabilities of its broker, and refuses no request that needs one.
type hides struct{ broker.Broker }

// dropsSubmit drops the tasks that are submitted with a settlement.
type dropsSubmit struct{ broker.Broker }

func (b dropsSubmit) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	c, err := b.Broker.Consume(ctx, cfg)
	return dropsConsumer{c}, err
}

type dropsConsumer struct{ broker.Consumer }

func (c dropsConsumer) Settle(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	for i := range batch {
		batch[i].Submit = nil
	}
	return c.Consumer.Settle(ctx, batch)
}

// ignoresLanes stores tasks with a lane as if they had none.
type ignoresLanes struct{ *memory.Broker }

func (b ignoresLanes) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	plain := make([]*broker.Task, len(tasks))
	for i, t := range tasks {
		one := *t
		one.Lane = nil
		plain[i] = &one
	}
	return b.Broker.Enqueue(ctx, plain)
}

// turnsRound settles a batch one by one, so the task that is given back last is handed out first.
type turnsRound struct{ *memory.Broker }

func (b turnsRound) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	c, err := b.Broker.Consume(ctx, cfg)
	return turnsConsumer{c}, err
}

type turnsConsumer struct{ broker.Consumer }

func (c turnsConsumer) Settle(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	errs := make([]error, len(batch))
	for i := range batch {
		one, err := c.Consumer.Settle(ctx, batch[i:i+1])
		if err != nil {
			return nil, err
		}
		errs[i] = one[0]
	}
	return errs, nil
}

// staysAsleep stays in Dequeue for the whole wait, even after Close.
type staysAsleep struct{ *memory.Broker }

func (b staysAsleep) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	c, err := b.Broker.Consume(ctx, cfg)
	return asleepConsumer{c}, err
}

type asleepConsumer struct{ broker.Consumer }

func (c asleepConsumer) Dequeue(ctx context.Context, queues []string, limit int, wait time.Duration) ([]*broker.Delivery, error) {
	time.Sleep(wait)
	return c.Consumer.Dequeue(ctx, queues, limit, 0)
}

// renewsLate calls OnRenewed after each heartbeat, whether or not it succeeded, with a time after
// the heartbeat.
type renewsLate struct{ *memory.Broker }

func (b renewsLate) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	c, err := b.Broker.Consume(ctx, cfg)
	return renewsConsumer{c, cfg.OnRenewed}, err
}

type renewsConsumer struct {
	broker.Consumer
	tell func(time.Time)
}

func (c renewsConsumer) Heartbeat(ctx context.Context, load broker.Load) error {
	err := c.Consumer.Heartbeat(ctx, load)
	c.tell(time.Now().Add(time.Second))
	return err
}

// makesUp lists a queue that was never used.
type makesUp struct{ *memory.Broker }

func (b makesUp) Queues(ctx context.Context) ([]broker.QueueInfo, error) {
	infos, err := b.Broker.Queues(ctx)
	return append(infos, broker.QueueInfo{Name: "zz"}), err
}

// locks holds a lock in Cancel, also while OnCancel runs, and takes the same lock in Lookup.
type locks struct {
	*memory.Broker
	mu *sync.Mutex
}

func (b locks) Cancel(ctx context.Context, ids []broker.ID) ([]broker.CancelVerdict, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Broker.Cancel(ctx, ids)
}

func (b locks) Lookup(ctx context.Context, ids []broker.ID) ([]broker.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Broker.Lookup(ctx, ids)
}

// overwrites stores a document whatever its version is.
type overwrites struct{ *memory.Broker }

func (b *overwrites) WriteDocument(ctx context.Context, collection string, d broker.Document) (uint64, error) {
	old, _, err := b.ReadDocument(ctx, collection, d.Name)
	if err != nil {
		return 0, err
	}
	d.Version = old.Version
	return b.Broker.WriteDocument(ctx, collection, d)
}

// forgetsWrites does not recognize a repeated write.
type forgetsWrites struct{ *memory.Broker }

func (b *forgetsWrites) WriteDocument(ctx context.Context, collection string, d broker.Document) (uint64, error) {
	old, _, err := b.ReadDocument(ctx, collection, d.Name)
	if err == nil && old.Version != d.Version {
		err = &broker.ConflictError{Collection: collection, Name: d.Name, Expected: d.Version, Version: old.Version}
	}
	if err != nil {
		return 0, err
	}
	return b.Broker.WriteDocument(ctx, collection, d)
}
