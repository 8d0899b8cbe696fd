package memory

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// remains counts the things that a broker still has in memory.
func remains(b *Broker) map[string]int {
	out := map[string]int{}
	add := func(what string, n int) {
		if n > 0 {
			out[what] += n
		}
	}
	b.queues.Range(func(name, _ any) bool {
		out["queue "+name.(string)]++
		return true
	})
	for i := range b.index.shards {
		s := &b.index.shards[i]
		s.mu.Lock()
		add("tasks", s.records.Len())
		add("tombstones", s.graves.Len())
		add("minutes of outcomes", len(s.kept))
		add("flows", s.flows.Len())
		add("minutes", len(s.expiry.keys))
		s.mu.Unlock()
	}
	for _, one := range []struct {
		what string
		mu   *sync.Mutex
		n    func() int
	}{
		{"topics", &b.topics.mu, func() int { return len(b.topics.all) }},
		{"inboxes", &b.inboxes.mu, func() int { return len(b.inboxes.all) }},
		{"consumers", &b.members.mu, func() int { return len(b.members.all) }},
		{"followers", &b.followers.mu, func() int { return len(b.followers.all) }},
		{"minutes of queues", &b.unused.mu, func() int { return len(b.unused.expiry.keys) }},
	} {
		one.mu.Lock()
		add(one.what, one.n())
		one.mu.Unlock()
	}
	return out
}

// After all kinds of work in many queues, when consumers have left and retentions are over,
// the broker keeps nothing.
func TestNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New()
		defer func() { _ = b.Close() }()
		ctx := t.Context()
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		for n := range 50 {
			queue := fmt.Sprint("tenant", n)
			in, err := b.Inbox(ctx, broker.NewID(broker.KindParty, "", 0))
			check(err)
			c, err := b.Consume(ctx, broker.ConsumerConfig{Queues: []string{queue, "shared"}, Slots: 100})
			check(err)
			sub, err := b.Subscribe(ctx, queue, broker.CursorNow)
			check(err)
			if n%2 == 0 {
				check(b.Publish(ctx, []broker.Event{{Topic: queue, Payload: []byte("x")}}))
			}
			group := &broker.Flow{ID: broker.NewID(broker.KindGroup, queue, 0), Size: 1, Quorum: 1, Retention: time.Hour}
			var tasks []*broker.Task
			var ids []broker.ID
			for i := range 20 {
				x := &broker.Task{
					ID: broker.NewID(broker.KindTask, queue, 0), Name: "t", Queue: queue, Codec: "msgpack", Retries: 3,
					Retention: time.Hour, DeadFor: 24 * time.Hour, Meta: map[string]string{"k": "v"},
				}
				switch i % 5 {
				case 0:
					x.Unique.Key = fmt.Sprint("t/", i)
				case 1:
					x.Delay = 365 * 24 * time.Hour
				case 2:
					x.Flow.Blocked = true
				}
				if i == 4 {
					x.Flow.ID = group.ID
					check(b.OpenFlow(ctx, group, 0, []broker.ID{x.ID}))
				}
				tasks, ids = append(tasks, x), append(ids, x.ID)
			}
			check(b.Enqueue(ctx, tasks))
			got, err := c.Dequeue(ctx, []string{queue}, 8, 0)
			check(err)
			var batch []broker.Settlement
			for i, d := range got {
				s := broker.Settlement{Delivery: d, Outcome: broker.Outcome{State: broker.StateSucceeded}}
				switch i % 4 {
				case 1:
					s.Outcome.State, s.Outcome.Err = broker.StateFailed, &broker.Failure{Message: "no"}
				case 2:
					s = broker.Settlement{Delivery: d, Verb: broker.VerbRetry, Delay: 365 * 24 * time.Hour,
						Outcome: broker.Outcome{Err: &broker.Failure{Message: "no"}}}
				case 3:
					continue // its consumer dies while it holds the task
				}
				batch = append(batch, s)
			}
			_, err = c.Settle(ctx, batch)
			check(err)
			time.Sleep(b.lease + time.Second) // the consumer dies
			_, err = b.Cancel(ctx, ids)
			check(err)
			arrived, err := b.Arrivals(ctx, queue, 100)
			check(err)
			_, err = b.Arrive(ctx, group.ID, arrived)
			check(err)
			check(b.Confirm(ctx, arrived))
			check(b.EndFlow(ctx, group.ID, &broker.Outcome{State: broker.StateSucceeded}))
			check(sub.Close())
			check(in.Close())
			check(c.Close(ctx))
		}
		if len(remains(b)) == 0 {
			t.Fatal("the broker keeps nothing while there are tasks")
		}
		time.Sleep(30 * time.Hour) // dead letters are kept for a day
		synctest.Wait()
		if l := remains(b); len(l) > 0 {
			t.Errorf("the broker still keeps %v", l)
		}
	})
}

// The event numbers of a forgotten topic are not used again. So a reader with an old cursor
// gets the new events, and learns that it may have missed some.
func TestForgottenTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New()
		defer func() { _ = b.Close() }()
		publish := func(text string) {
			t.Helper()
			if err := b.Publish(t.Context(), []broker.Event{{Topic: "x", Payload: []byte(text)}}); err != nil {
				t.Fatal(err)
			}
		}
		read := func(after broker.Cursor) (broker.Event, bool) {
			t.Helper()
			s, err := b.Subscribe(t.Context(), "x", after)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			events, missed, err := s.Receive(t.Context())
			if err != nil || len(events) != 1 {
				t.Fatalf("%d events, %v", len(events), err)
			}
			return events[0], missed
		}
		publish("first")
		first, _ := read(broker.CursorStart)
		time.Sleep(2 * broker.DefaultRetention)
		synctest.Wait()
		if l := remains(b); l["topics"] > 0 {
			t.Fatal("the topic is not forgotten")
		}
		publish("second")
		if e, _ := read(first.Cursor); string(e.Payload) != "second" || e.Cursor == first.Cursor {
			t.Errorf("read %q at %s, the first one was at %s", e.Payload, e.Cursor, first.Cursor)
		}
	})
}

// Tasks that are enqueued while their queue is being forgotten are not lost.
func TestEnqueueWhileForgotten(t *testing.T) {
	b := New()
	defer func() { _ = b.Close() }()
	const n, senders = 200, 4
	stop := make(chan struct{})
	var sweeps sync.WaitGroup
	sweeps.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				b.forgetQueues(b.clock.now().plus(unusedFor+time.Hour), 10)
			}
		}
	})
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range n {
				x := &broker.Task{ID: broker.NewID(broker.KindTask, "q", 0), Name: "t", Queue: "q", Codec: "msgpack", Retention: time.Hour}
				if err := b.Enqueue(t.Context(), []*broker.Task{x}); err != nil {
					t.Error(err)
				}
				c, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
				if err != nil {
					t.Error(err)
					return
				}
				got, err := c.Dequeue(t.Context(), []string{"q"}, 1, time.Minute)
				if err != nil || len(got) != 1 {
					t.Errorf("%d tasks, %v", len(got), err)
					return
				}
				if _, err := c.Settle(t.Context(), []broker.Settlement{{Delivery: got[0], Outcome: broker.Outcome{State: broker.StateSucceeded}}}); err != nil {
					t.Error(err)
				}
				if err := c.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	sweeps.Wait()
}
