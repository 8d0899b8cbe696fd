package client_test

import (
	"context"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
)

// mirror is a broker whose tasks succeed as soon as they are stored.
type mirror struct {
	broker.Broker
	mail chan broker.Mail
}

func (*mirror) Limits() broker.Limits { return broker.Limits{} }
func (*mirror) Close() error          { return nil }

func (m *mirror) Enqueue(_ context.Context, tasks []*broker.Task) error {
	notices := make([]broker.Notice, len(tasks))
	for i, t := range tasks {
		notices[i] = broker.Notice{ID: t.ID, Record: wire.AppendOutcome(nil, &broker.Outcome{
			State: broker.StateSucceeded, Name: t.Name, Codec: t.Codec, Result: []byte{3},
		})}
	}
	m.mail <- broker.Mail{Notices: notices}
	return nil
}

func (m *mirror) Inbox(context.Context, broker.ID) (broker.Inbox, error) { return mirrorInbox{m}, nil }

type mirrorInbox struct{ m *mirror }

func (in mirrorInbox) Receive(ctx context.Context) (broker.Mail, error) {
	select {
	case mail := <-in.m.mail:
		return mail, nil
	case <-ctx.Done():
		return broker.Mail{}, ctx.Err()
	}
}

func (mirrorInbox) Close() error { return nil }

type pair struct {
	X int `arbiter:"x"`
	Y int `arbiter:"y"`
}

var addPair = task.Define[pair, int]("add")

// BenchmarkWakeUp measures a task from its call to its result without a real broker. It is
// mostly the time until the waiting goroutine wakes up.
func BenchmarkWakeUp(b *testing.B) {
	c := client.New(client.Config{Broker: &mirror{mail: make(chan broker.Mail, 64)}})
	defer func() { _ = c.Close() }()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if sum, err := addPair.Call(ctx, c, pair{1, 2}); err != nil || sum != 3 {
			b.Fatal(sum, err)
		}
	}
}

// BenchmarkBatch measures the same for batches of 500 tasks whose results are awaited in turn.
// One operation is one task.
func BenchmarkBatch(b *testing.B) {
	c := client.New(client.Config{Broker: &mirror{mail: make(chan broker.Mail, 64)}})
	defer func() { _ = c.Close() }()
	ctx := context.Background()
	const size = 500
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n++; n%size != 0 {
			continue
		}
		calls := make([]task.Call[int], size)
		for i := range calls {
			calls[i] = addPair.Bind(pair{1, 2})
		}
		futs, err := task.SendAll(ctx, c, calls...)
		if err != nil {
			b.Fatal(err)
		}
		for _, fut := range futs {
			if _, err := fut.Result(ctx); err != nil {
				b.Fatal(err)
			}
		}
	}
}
