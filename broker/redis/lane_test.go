package redis_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
)

// laned returns a task with a lane.
func laned(queue string, l broker.Lane) *broker.Task {
	if l.Priority == 0 {
		l.Priority = broker.DefaultPriority
	}
	return newTask(queue, func(t *broker.Task) { t.Lane = &l })
}

func TestLanes(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		ctx := t.Context()
		if err := b.SetLimit(ctx, "q", broker.Limit{Name: "render", Most: 1}); err != nil {
			t.Fatal(err)
		}
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
		one := broker.Lane{Limits: []broker.Charge{{Limit: "render", Cost: 1}}}
		for range 3 {
			enqueue(t, b, laned("q", one))
		}
		enqueue(t, b, newTask("q"))
		got, err := c.Dequeue(ctx, []string{"q"}, 10, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		more, err := c.Dequeue(ctx, []string{"q"}, 10, 0)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, more...)
		if len(got) != 2 {
			t.Fatalf("%d tasks were handed out, want 2", len(got))
		}
		for n := 0; n < 4; {
			for _, d := range got {
				settle(t, c, succeed(d, "1"))
				n++
			}
			got, err = c.Dequeue(ctx, []string{"q"}, 10, 200*time.Millisecond)
			if err != nil || len(got) > 1 {
				t.Fatalf("%d tasks, %v", len(got), err)
			}
			if len(got) == 0 && n < 4 {
				t.Fatalf("only %d of 4 tasks were handed out", n)
			}
		}
		nothingOfLanes(ctx, t, b)

		// Keys take turns.
		for i := range 20 {
			enqueue(t, b, laned("q", broker.Lane{Key: "large"}))
			if i < 3 {
				enqueue(t, b, laned("q", broker.Lane{Key: "small"}))
			}
		}
		enqueue(t, b, laned("q", broker.Lane{Priority: 9}))
		got = dequeue(t, c, 24, time.Second, "q")
		var order []string
		for _, d := range got {
			order = append(order, fmt.Sprint(d.Lane.Priority, d.Lane.Key))
			settle(t, c, succeed(d, "1"))
		}
		t.Log(order)
		if len(got) != 24 {
			t.Fatalf("%d of 24", len(got))
		}
		nothingOfLanes(ctx, t, b)

		// Sequences. Their order does not depend on priorities and keys.
		for i := range 3 {
			enqueue(t, b, laned("q", broker.Lane{Sequence: "s", Priority: uint8(3 + i), Key: fmt.Sprint(i)}))
		}
		for i := range 3 {
			got, err = c.Dequeue(ctx, []string{"q"}, 10, time.Second)
			if err != nil || len(got) != 1 || got[0].Lane.Key != fmt.Sprint(i) {
				t.Fatalf("step %d: %d tasks, %v", i, len(got), err)
			}
			settle(t, c, broker.Settlement{Delivery: got[0], Verb: broker.VerbRetry, Delay: 10 * time.Millisecond})
			again, err := c.Dequeue(ctx, []string{"q"}, 10, time.Second)
			if err != nil || len(again) != 1 || again[0].ID != got[0].ID {
				t.Fatalf("step %d: the retried task does not come next: %d, %v", i, len(again), err)
			}
			settle(t, c, succeed(again[0], "1"))
		}
		nothingOfLanes(ctx, t, b)
	})
}

// nothingOfLanes checks that no task waits or runs.
func nothingOfLanes(ctx context.Context, t *testing.T, b broker.Broker) {
	t.Helper()
	in, err := broker.InspectorOf(b, "x")
	if err != nil {
		t.Fatal(err)
	}
	all, err := in.Queues(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range all {
		if q.Pending+q.Running+q.Scheduled != 0 {
			t.Errorf("%+v", q)
		}
	}
}

// After all tasks have ended in all the ways there are, no key of a lane is left but definitions.
func TestLanesLeaveNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw, ctx := open(t, url, redis.Lease(time.Second)), rawClient(t, url), t.Context()
		steady := open(t, url, redis.Lease(time.Hour)) // for the minions whose leases must not end
		for _, l := range []broker.Limit{{Name: "few", Most: 3}, {Name: "fast", Rate: 100000, Per: time.Second, Burst: 10}} {
			if err := b.SetLimit(ctx, "q", l); err != nil {
				t.Fatal(err)
			}
		}
		lane := func(i int) broker.Lane {
			l := broker.Lane{Priority: uint8(1 + i%9), Key: fmt.Sprint("key ", i%7)}
			if i%3 > 0 {
				l.Limits = append(l.Limits, broker.Charge{Limit: "few", Cost: uint32(1 + i%4)}, broker.Charge{Limit: "fast", Key: fmt.Sprint(i % 5), Cost: 2})
			}
			if i%4 == 0 {
				l.Sequence = fmt.Sprint("sequence ", i%12)
				l.StopOnFailure = i%8 == 0
			}
			return l
		}
		const n = 400
		open := make(map[broker.ID]bool)
		var tasks []*broker.Task
		for i := range n {
			x := laned("q", lane(i))
			switch i % 20 {
			case 5:
				x.Delay = 50 * time.Millisecond
			case 6:
				x.Deadline = 5 * time.Millisecond // most expire while they wait
			case 7:
				x.Unique.Key = fmt.Sprint("scope/", i)
			}
			open[x.ID] = true
			tasks = append(tasks, x)
		}
		if err := b.Enqueue(ctx, tasks); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < n; i += 13 {
			if _, err := b.Cancel(ctx, []broker.ID{tasks[i].ID}); err != nil {
				t.Fatal(err)
			}
		}
		// Minions that close, and one whose lease ends; the last one settles.
		doomed := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
		if _, err := doomed.Dequeue(ctx, []string{"q"}, 50, 0); err != nil {
			t.Fatal(err)
		}
		c := consume(t, steady, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
		final := func() bool {
			ids := make([]broker.ID, 0, len(open))
			for id := range open {
				ids = append(ids, id)
			}
			states, err := b.Lookup(ctx, ids)
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range states {
				if st.State.Final() || st.State == broker.StateUnknown {
					delete(open, st.ID)
				}
			}
			return len(open) == 0
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for round := 0; !final(); round++ {
			if round > 2000 {
				t.Fatalf("%d tasks have not ended", len(open))
			}
			if err := c.Heartbeat(ctx, broker.Load{}); err != nil {
				t.Fatal(err)
			}
			ds, err := c.Dequeue(ctx, []string{"q"}, 10, 20*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if round == 30 { // gives back what it holds
				if err := c.Close(ctx); err != nil {
					t.Fatal(err)
				}
				c = consume(t, steady, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
				continue
			}
			for _, d := range ds {
				s := succeed(d, "1")
				switch rng.IntN(8) {
				case 0:
					s = broker.Settlement{Delivery: d, Verb: broker.VerbRetry, Delay: time.Millisecond}
				case 1:
					s = broker.Settlement{Delivery: d, Verb: broker.VerbSnooze}
				case 2:
					s = broker.Settlement{Delivery: d, Verb: broker.VerbGiveBack, Unstarted: true}
				case 3:
					s = broker.Settlement{Delivery: d, Verb: broker.VerbFinish, Outcome: broker.Outcome{State: broker.StateFailed}}
				}
				errs, err := c.Settle(ctx, []broker.Settlement{s})
				if err != nil || errs[0] != nil {
					t.Fatal(err, errs)
				}
			}
			if round%20 == 19 {
				for i := range 12 {
					err := b.ResumeSequence(ctx, "q", fmt.Sprint("sequence ", i))
					if err != nil && !errors.Is(err, broker.ErrNotFound) {
						t.Fatal(err)
					}
				}
			}
		}
		for i := range 12 {
			if err := b.ResumeSequence(ctx, "q", fmt.Sprint("sequence ", i)); err != nil && !errors.Is(err, broker.ErrNotFound) {
				t.Fatal(err)
			}
		}
		if _, err := c.Dequeue(ctx, []string{"q"}, 10, 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		base := "{" + redis.DefaultNamespace + ":q}:"
		for use, v := range raw.HGetAll(ctx, base+"charges").Val() { // a rate has a past, and nothing is in use
			if !strings.HasPrefix(use, "\x04fast") || !strings.HasPrefix(v, "0 ") {
				t.Errorf("%q is left in charges: %q", use, v)
			}
		}
		for _, name := range []string{"lanes", "lined", "lkeys", "open", "waits", "opening"} {
			if raw.Exists(ctx, base+name).Val() != 0 {
				t.Errorf("the key %s is left: %s", name, raw.Type(ctx, base+name).Val())
				t.Log(raw.HGetAll(ctx, base+name).Val(), raw.ZRangeWithScores(ctx, base+name, 0, -1).Val())
			}
		}
		nothingOfLanes(ctx, t, b)
	})
}

// If a limit is raised while many tasks wait for it, they are handed out at once.
func TestRaisedLimit(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, ctx := open(t, url+"/0?read_timeout=5m"), t.Context() // all tasks are stored in one round trip
		n := 300                                                 // the sorted sets of miniredis are slow
		if !strings.HasSuffix(t.Name(), "miniredis") {
			n = 10_000
		}
		if err := b.SetLimit(ctx, "q", broker.Limit{Name: "l", Most: 1}); err != nil {
			t.Fatal(err)
		}
		var tasks []*broker.Task
		for i := range n {
			tasks = append(tasks, laned("q", broker.Lane{Key: fmt.Sprint(i), Limits: []broker.Charge{{Limit: "l", Cost: 1}}}))
		}
		if err := b.Enqueue(ctx, tasks); err != nil {
			t.Fatal(err)
		}
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: n})
		var got []*broker.Delivery
		for empty := 0; empty < 3; {
			ds, err := c.Dequeue(ctx, []string{"q"}, 100, 20*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ds...)
			if len(ds) == 0 {
				empty++
			}
		}
		if len(got) != 1 {
			t.Fatalf("%d tasks were handed out, the limit is 1", len(got))
		}
		if err := b.SetLimit(ctx, "q", broker.Limit{Name: "l", Most: 100}); err != nil {
			t.Fatal(err)
		}
		for len(got) < 100 {
			ds, err := c.Dequeue(ctx, []string{"q"}, 200, 10*time.Second)
			if err != nil || len(ds) == 0 {
				t.Fatalf("%d of 100 tasks were handed out, %v", len(got), err)
			}
			got = append(got, ds...)
		}
		if ds, err := c.Dequeue(ctx, []string{"q"}, 200, 50*time.Millisecond); err != nil || len(ds) > 0 {
			t.Fatalf("%d tasks more than the limit, %v", len(ds), err)
		}
		if err := b.RemoveLimit(ctx, "q", "l", ""); err != nil {
			t.Fatal(err)
		}
		for len(got) < n {
			ds, err := c.Dequeue(ctx, []string{"q"}, 500, 10*time.Second)
			if err != nil || len(ds) == 0 {
				t.Fatalf("%d of %d tasks were handed out after the limit was removed, %v", len(got), n, err)
			}
			got = append(got, ds...)
		}
	})
}

// A rate is not exceeded in any span of time, and is used.
func TestRateIsKept(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, ctx := open(t, url), t.Context()
		const rate, burst, n = 200, 10, 300
		if err := b.SetLimit(ctx, "q", broker.Limit{Name: "l", Rate: rate, Per: time.Second, Burst: burst}); err != nil {
			t.Fatal(err)
		}
		var tasks []*broker.Task
		for i := range n {
			tasks = append(tasks, laned("q", broker.Lane{Key: fmt.Sprint(i % 50), Limits: []broker.Charge{{Limit: "l", Cost: 1}}}))
		}
		if err := b.Enqueue(ctx, tasks); err != nil {
			t.Fatal(err)
		}
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: n})
		began, got := time.Now(), 0
		for got < n {
			ds, err := c.Dequeue(ctx, []string{"q"}, 100, 10*time.Second)
			if err != nil || len(ds) == 0 {
				t.Fatalf("%d of %d tasks were handed out, %v", got, n, err)
			}
			got += len(ds)
			if most := burst + 1 + int(time.Since(began).Seconds()*rate); got > most {
				t.Fatalf("%d tasks after %v, at most %d are allowed", got, time.Since(began), most)
			}
		}
	})
}
