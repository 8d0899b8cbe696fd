package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// earlier is an option for a broker that plays an earlier build: the messages of this build
// are of a version that it does not read.
func earlier() redis.Option { return redis.Reads(wire.PlainVersion - 1) }

// A minion of an earlier build parks the messages that this build has sent, also large ones
// and those with a unique key. A minion of this build that is waiting takes them at once.
func TestNewerMessages(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		old := open(t, url, earlier(), redis.LargeRecordFrom(100))
		b := open(t, url, redis.LargeRecordFrom(100))
		before := consume(t, old, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10, Tasks: map[string]uint64{"test.task": 1}})
		tasks := []*broker.Task{
			newTask("q"),
			newTask("q", func(x *broker.Task) { x.Payload = []byte(strings.Repeat("x", 500)) }),
			newTask("q", func(x *broker.Task) { x.Unique.Key = "test.task/key" }),
			newTask("q", func(x *broker.Task) { x.Meta = map[string]string{"k": "v"} }),
		}
		enqueue(t, b, tasks...)
		var batch []broker.Settlement
		for _, d := range dequeue(t, before, len(tasks), time.Second, "q") {
			if !errors.Is(d.Err, broker.ErrVersion) || d.Version != wire.PlainVersion {
				t.Fatalf("the earlier build was handed %+v", d)
			}
			batch = append(batch, broker.Settlement{Delivery: d, Verb: broker.VerbPark, Unstarted: true, Delay: time.Hour})
		}
		if len(batch) != len(tasks) {
			t.Fatalf("the earlier build was handed %d tasks", len(batch))
		}
		for _, err := range settle(t, before, batch...) {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, from := range []*redis.Broker{old, b} {
			st, err := from.Lookup(t.Context(), []broker.ID{tasks[0].ID, tasks[1].ID})
			if err != nil || st[0].State != broker.StateParked || st[1].State != broker.StateParked {
				t.Fatalf("%+v, %v", st, err)
			}
			parked, err := from.Parked(t.Context(), "q")
			if err != nil || len(parked) != 1 || parked[0] != (broker.Parked{Need: broker.Need{Version: wire.PlainVersion}, Tasks: len(tasks)}) {
				t.Fatalf("parked: %+v, %v", parked, err)
			}
		}
		infos, err := b.Queues(t.Context())
		if err != nil || infos[0].Parked != len(tasks) || infos[0].Unreadable != 0 {
			t.Fatalf("%+v, %v", infos, err)
		}
		if got, err := before.Dequeue(t.Context(), []string{"q"}, 10, 0); err != nil || len(got) > 0 {
			t.Fatalf("the earlier build was handed parked tasks: %v, %v", got, err)
		}
		verdicts, err := old.Cancel(t.Context(), []broker.ID{tasks[3].ID})
		if err != nil || verdicts[0] != broker.CancelPrevented {
			t.Fatalf("cancel by the earlier build: %v, %v", verdicts, err)
		}
		after := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10, Tasks: map[string]uint64{"test.task": 1}})
		got := dequeue(t, after, 3, time.Second, "q")
		byID := make(map[broker.ID]*broker.Delivery)
		for _, d := range got {
			byID[d.ID] = d
		}
		for i, x := range tasks[:3] {
			d := byID[x.ID]
			if d == nil || d.Err != nil || d.Attempt != 2 || d.Start != 1 || string(d.Payload) != string(x.Payload) || d.Unique.Key != x.Unique.Key {
				t.Errorf("task %d: %+v", i, d)
			}
		}
		for _, d := range got {
			for _, err := range settle(t, after, succeed(d, "1")) {
				if err != nil {
					t.Error(err)
				}
			}
		}
		enqueue(t, b, newTask("q", func(x *broker.Task) { x.Unique.Key = "test.task/key" })) // the unique key is free again
	})
}

// Minions of two builds serve one queue, the older one first. All messages of the newer build
// succeed, and none becomes a dead letter, though the older minion runs all the time.
func TestTwoBuildsOfMessages(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		work := task.Define[struct{}, int]("work", task.Queue("q"))
		start := func(b *redis.Broker) <-chan error {
			m, err := minion.New(b, minion.Queues("q"))
			if err != nil {
				t.Fatal(err)
			}
			if err := task.Handle(m, work, func(context.Context, struct{}) (int, error) { return 7, nil }); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- m.Run(ctx, 4) }()
			return done
		}
		b := open(t, url)
		old := start(open(t, url, earlier()))
		arb, err := arbiter.New(b)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		futures := make([]*task.Future[int], 50)
		for i := range futures {
			if futures[i], err = work.Bind(struct{}{}).Send(ctx, arb); err != nil {
				t.Fatal(err)
			}
		}
		for { // until the older minion has given back all of them
			infos, err := b.Queues(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if len(infos) == 1 && infos[0].Parked == len(futures) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		now := start(b)
		for _, f := range futures {
			if n, err := f.Result(ctx); n != 7 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
		}
		infos, err := b.Queues(ctx)
		if err != nil || infos[0].Parked+infos[0].Unreadable+infos[0].Dead > 0 {
			t.Errorf("%+v, %v", infos, err)
		}
		cancel()
		for _, done := range []<-chan error{old, now} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}
