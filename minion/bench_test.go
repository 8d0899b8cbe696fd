package minion_test

import (
	"cmp"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// feed is a broker that hands out a given number of tasks and accepts every settlement.
type feed struct {
	broker.Broker
	left    int // only Dequeue uses it
	grant   chan int
	payload []byte
	settled chan int
	name    string // the name of the tasks; empty is "work"
}

func (*feed) Limits() broker.Limits { return broker.Limits{} }

func (f *feed) Consume(context.Context, broker.ConsumerConfig) (broker.Consumer, error) {
	return f, nil
}

func (*feed) ID() broker.ID                                { return broker.NewID(broker.KindParty, "", 0) }
func (*feed) Lease() (time.Duration, time.Duration)        { return time.Hour, time.Hour }
func (*feed) Heartbeat(context.Context, broker.Load) error { return nil }
func (*feed) Close(context.Context) error                  { return nil }

func (f *feed) Dequeue(ctx context.Context, _ []string, most int, _ time.Duration) ([]*broker.Delivery, error) {
	if f.left == 0 {
		select {
		case f.left = <-f.grant:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	n := min(most, f.left)
	f.left -= n
	out := make([]*broker.Delivery, n)
	for i := range out {
		out[i] = &broker.Delivery{Attempt: 1, Left: broker.NoDeadline, Task: broker.Task{
			ID: broker.NewID(broker.KindTask, "default", 0), Name: cmp.Or(f.name, "work"), Queue: "default", Codec: "msgpack", Payload: f.payload,
		}}
	}
	return out, nil
}

func (f *feed) Settle(_ context.Context, batch []broker.Settlement) ([]error, error) {
	f.settled <- len(batch)
	return make([]error, len(batch)), nil
}

// run hands out tasks in batches until the benchmark ends, and waits for their settlements.
func (f *feed) run(b *testing.B, batch int) {
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		if n++; n%batch != 0 {
			continue
		}
		f.grant <- batch
		for left := batch; left > 0; {
			left -= <-f.settled
		}
	}
}

// BenchmarkDispatch measures the cost that a minion adds to a task, from its dequeue to
// its settlement, without a real broker.
func BenchmarkDispatch(b *testing.B) {
	for _, slots := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(slots), func(b *testing.B) {
			payload, err := codec.Msgpack().AppendArgs(nil, args{1})
			if err != nil {
				b.Fatal(err)
			}
			f := &feed{payload: payload, grant: make(chan int, 1), settled: make(chan int, 1024)}
			m := must(minion.New(feedBroker{f}))
			if err := task.Handle(m, work, func(_ context.Context, a args) (int, error) { return a.N, nil }); err != nil {
				b.Fatal(err)
			}
			go func() { _ = m.Run(context.Background(), slots) }()
			defer func() { _ = m.Close() }()
			f.run(b, 1000)
		})
	}
}

// feedBroker makes a broker of a feed. A type of its own is needed because both have Close.
type feedBroker struct{ *feed }

func (feedBroker) Close() error { return nil }

// BenchmarkIsolated is BenchmarkDispatch with handlers in child processes: reused, and new
// for every task.
func BenchmarkIsolated(b *testing.B) {
	for _, tt := range []struct {
		name         string
		slots, tasks int
	}{{"1", 1, 0}, {"4", 4, 0}, {"fresh", 1, 1}} {
		b.Run(tt.name, func(b *testing.B) {
			payload, err := codec.Msgpack().AppendArgs(nil, args{1})
			if err != nil {
				b.Fatal(err)
			}
			f := &feed{payload: payload, grant: make(chan int, 1), settled: make(chan int, 1024), name: "plain"}
			m := must(minion.New(feedBroker{f}, minion.Isolated("plain"), minion.ChildTasks(tt.tasks)))
			if err := registerIsolated(m); err != nil {
				b.Fatal(err)
			}
			go func() { _ = m.Run(context.Background(), tt.slots) }()
			defer func() { _ = m.Close() }()
			f.run(b, 10)
		})
	}
}
