package redis_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
)

// states returns how many fields the state hash of a queue has.
func (p *passing) states(t *testing.T, queue string) int {
	t.Helper()
	n, err := p.raw.HLen(t.Context(), "{"+redis.DefaultNamespace+":"+queue+"}:state").Result()
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// settleAll executes n tasks of a queue in batches of 100. Their ids are of different blocks,
// so each has a field of its own in the state hash.
func (p *passing) settleAll(t *testing.T, b broker.Broker, c broker.Consumer, queue string, n int) {
	t.Helper()
	tasks := make([]*broker.Task, n)
	for i := range tasks {
		tasks[i] = p.task(queue)
	}
	enqueue(t, b, tasks...)
	for n > 0 {
		got := dequeue(t, c, min(n, 100), 5*time.Second, queue)
		batch := make([]broker.Settlement, len(got))
		for i, d := range got {
			batch[i] = succeed(d, "r")
		}
		for _, err := range settle(t, c, batch...) {
			if err != nil {
				t.Fatal(err)
			}
		}
		n -= len(got)
	}
}

// After one heartbeat all tasks are swept whose retention is over, however many they are. The
// heartbeat does not wait for that, and no further heartbeat is needed.
func TestSweepGoesOnWhileThereIsSomething(t *testing.T) {
	t.Parallel()
	onPassing(t, func(t *testing.T, p *passing) {
		b := p.open(t, redis.SweepStep(5), redis.Lease(time.Minute))
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 300})
		p.settleAll(t, b, c, "q", 300)
		p.pass(p.keep + 2*time.Second)
		if n := p.states(t, "q"); n != 300 {
			t.Fatalf("%d states, want 300", n)
		}
		consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}}) // opening a consumer sends a heartbeat
		for end := time.Now().Add(20 * time.Second); p.states(t, "q") > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d states are left", p.states(t, "q"))
			}
		}
	})
}

// While tasks are due to be swept, settlements sweep more of them than they settle, without
// any heartbeat.
func TestSweepBehindSettlements(t *testing.T) {
	t.Parallel()
	onPassing(t, func(t *testing.T, p *passing) {
		b := p.open(t, redis.SweepStep(1), redis.NoHousekeeping(), redis.Lease(time.Minute))
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 300})
		p.settleAll(t, b, c, "q", 600) // in 6 batches
		p.pass(p.keep + 2*time.Second)
		c = consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 300})
		if n := p.states(t, "q"); n != 400 {
			t.Fatalf("%d states after the two steps of a heartbeat, want 400", n)
		}
		p.settleAll(t, b, c, "q", 100)
		if n := p.states(t, "q"); n != 300 { // 100 have ended, and 200 were swept
			t.Errorf("%d states after a settlement of 100, want 300", n)
		}
		p.settleAll(t, b, c, "q", 500)
		if n := p.states(t, "q"); n != 600 {
			t.Errorf("%d states, want the 600 of tasks that are not due", n)
		}
	})
}

// In a queue without a minion a round removes the messages of cancelled tasks. The other
// tasks stay, in their order, and a minion that comes later gets them.
func TestPurgeOfAnUnservedQueue(t *testing.T) {
	t.Parallel()
	onPassing(t, func(t *testing.T, p *passing) {
		b := p.open(t)
		const n = 500
		var tasks []*broker.Task
		var killed []broker.ID
		var kept, inOrder []broker.ID
		for i := range n {
			x := p.task("q")
			if i%7 == 0 {
				x.Unique.Key = fmt.Sprint("add/", i)
			}
			tasks = append(tasks, x)
			if i < 200 || i%2 == 0 {
				killed = append(killed, x.ID)
			} else {
				kept = append(kept, x.ID)
				if x.Unique.Key == "" { // tasks with a unique key are stored by another script, and have no order to these
					inOrder = append(inOrder, x.ID)
				}
			}
		}
		enqueue(t, b, tasks...)
		if _, err := b.Cancel(t.Context(), killed); err != nil {
			t.Fatal(err)
		}
		p.round(t, b)
		queue := "{" + redis.DefaultNamespace + ":q}:"
		if left, err := p.raw.LLen(t.Context(), queue+"ready").Result(); err != nil || int(left) != len(kept) {
			t.Errorf("%d messages, want the %d that were not cancelled, %v", left, len(kept), err)
		}
		if there, err := p.raw.Exists(t.Context(), queue+"held", queue+"gone").Result(); err != nil || there > 0 {
			t.Errorf("the keys held or gone still exist: %d, %v", there, err)
		}
		if keys, err := p.raw.HLen(t.Context(), queue+"unique").Result(); err != nil || int(keys) != n/7+1-len(killedUnique(tasks, killed)) {
			t.Errorf("%d unique keys, %v", keys, err)
		}
		if found, err := b.Queues(t.Context()); err != nil || found[0].Pending != len(kept) {
			t.Errorf("queues %+v, %v", found, err)
		}
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: n})
		var got []broker.ID
		for _, d := range dequeue(t, c, len(kept), 5*time.Second, "q") {
			if d.Unique.Key == "" {
				got = append(got, d.ID)
			}
		}
		if !slices.Equal(got, inOrder) {
			t.Error("the tasks that stayed come in another order")
		}
	})
}

// killedUnique returns the cancelled tasks that have a unique key.
func killedUnique(tasks []*broker.Task, killed []broker.ID) (out []broker.ID) {
	for _, x := range tasks {
		if x.Unique.Key != "" && slices.Contains(killed, x.ID) {
			out = append(out, x.ID)
		}
	}
	return out
}

// A round finds arrivals in a queue without a minion, and tells a minion of another queue.
func TestArrivalsInAnUnservedQueue(t *testing.T) {
	t.Parallel()
	onPassing(t, func(t *testing.T, p *passing) {
		b := p.open(t)
		var mu sync.Mutex
		var told []string
		consume(t, b, broker.ConsumerConfig{Queues: []string{"other"}, Flows: broker.FlowsConfig{OnArrivals: func(queue string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, queue)
		}}})
		member := p.task("q", func(x *broker.Task) { x.Flow.ID = broker.NewID(broker.KindGroup, "q", 0) })
		enqueue(t, b, member)
		if _, err := b.Cancel(t.Context(), []broker.ID{member.ID}); err != nil {
			t.Fatal(err)
		}
		p.round(t, b)
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(told, "q") {
			t.Errorf("OnArrivals was called with %v, want q", told)
		}
	})
}

// In each interval one broker of a namespace gets a turn. The next turn goes to the broker
// that asks first after that.
func TestTurns(t *testing.T) {
	t.Parallel()
	onPassing(t, func(t *testing.T, p *passing) {
		one, two := p.open(t), p.open(t, redis.NoHousekeeping())
		enqueue(t, one, p.task("q"))
		first, err := one.Round(t.Context())
		if err != nil || first != time.Hour {
			t.Errorf("the first broker is to ask again in %v, %v", first, err)
		}
		second, err := two.Round(t.Context())
		if err != nil || second <= 0 || second > time.Hour {
			t.Errorf("the second broker is to ask again in %v, %v", second, err)
		}
	})
}

// Two brokers that visit the same queues at once do no harm.
func TestRoundsAtOnce(t *testing.T) {
	t.Parallel()
	onPassing(t, func(t *testing.T, p *passing) {
		a, b := p.open(t), p.open(t)
		c := consume(t, a, broker.ConsumerConfig{Queues: []string{"q", "p"}, Slots: 100})
		p.settleAll(t, a, c, "q", 50)
		waits := p.task("p")
		killed := p.task("p")
		enqueue(t, a, waits, killed)
		if _, err := a.Cancel(t.Context(), []broker.ID{killed.ID}); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.pass(p.keep + 2*time.Second)
		var wg sync.WaitGroup
		for _, x := range []*redis.Broker{a, b, a, b} {
			wg.Go(func() { p.round(t, x) })
		}
		wg.Wait()
		if n := p.states(t, "q"); n > 0 {
			t.Errorf("%d states are left", n)
		}
		left := consume(t, b, broker.ConsumerConfig{Queues: []string{"p"}})
		if got := dequeue(t, left, 1, 5*time.Second, "p"); got[0].ID != waits.ID {
			t.Errorf("got %s, want %s", got[0].ID, waits.ID)
		}
	})
}

// A process that uses a queue again while another process forgets it keeps the queue, at
// whatever point of the removal that is.
func TestQueueUsedWhileItIsForgotten(t *testing.T) {
	t.Parallel()
	s := "{" + redis.DefaultNamespace + ":queues}:since"
	t.Run("an old note of its registration has ended", func(t *testing.T) {
		onPassing(t, func(t *testing.T, p *passing) {
			b := p.open(t)
			enqueue(t, b, p.task("q"))
			p.pass(p.registered) // the queue still has keys, but no note that it is registered
			p.raw.Del(t.Context(), "{"+redis.DefaultNamespace+":q}:meta")
			enqueue(t, b, p.task("q"))
			if found, err := b.Queues(t.Context()); err != nil || found[0].Pending != 2 {
				t.Errorf("queues %+v, %v", found, err)
			}
		})
	})
	t.Run("it was registered again since the turn", func(t *testing.T) {
		onPassing(t, func(t *testing.T, p *passing) {
			if p.brief {
				return
			}
			b := p.open(t)
			c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.pass(p.unused)
			// As if a turn had come before this: the server counts the unused time from now on.
			if err := p.raw.HIncrBy(t.Context(), s, "q", redis.UnusedFor.Milliseconds()).Err(); err != nil {
				t.Fatal(err)
			}
			p.round(t, b)
			if found, err := b.Queues(t.Context()); err != nil || len(found) != 1 {
				t.Errorf("queues %+v, %v", found, err)
			}
		})
	})
	t.Run("another broker has it in mind", func(t *testing.T) {
		onPassing(t, func(t *testing.T, p *passing) {
			b, old := p.open(t, redis.Partitions(3)), p.open(t)
			c := consume(t, old, broker.ConsumerConfig{Queues: []string{"q"}})
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.pass(p.unused)
			p.round(t, b)
			if found, err := b.Queues(t.Context()); err != nil || len(found) > 0 {
				t.Errorf("queues %+v, %v", found, err)
			}
			// Now it has three partitions, and the old broker remembers one.
			x := p.task("q")
			enqueue(t, b, x)
			y := p.task("q")
			enqueue(t, old, y)
			last := consume(t, old, broker.ConsumerConfig{Queues: []string{"q"}})
			dequeue(t, last, 2, 5*time.Second, "q")
			if st, err := old.Lookup(t.Context(), []broker.ID{x.ID, y.ID}); err != nil || st[0].State != broker.StateRunning || st[1].State != broker.StateRunning {
				t.Errorf("states %+v, %v", st, err)
			}
		})
	})
}

// A minion that is gone leaves a fence only where a blocking move can still come.
func TestFenceWhereAMoveCanCome(t *testing.T) {
	t.Parallel()
	onPassing(t, func(t *testing.T, p *passing) {
		b := p.open(t)
		fences := func() []string {
			keys, err := p.raw.Keys(t.Context(), "*claim:*").Result()
			if err != nil {
				t.Fatal(err)
			}
			return keys
		}
		one := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		if _, err := one.Dequeue(t.Context(), []string{"q"}, 1, 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if err := one.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if found := fences(); len(found) > 0 {
			t.Errorf("a minion that has left, and whose moves have ended, leaves the keys %q", found)
		}
		dies := p.open(t)
		consume(t, dies, broker.ConsumerConfig{Queues: []string{"a", "b"}})
		consume(t, dies, broker.ConsumerConfig{Queues: []string{"q"}})
		if err := dies.Close(); err != nil {
			t.Fatal(err)
		}
		p.pass(p.lease + time.Second)
		p.round(t, b)
		if found := fences(); len(found) != 1 {
			t.Errorf("the fences are %q, want only that of the minion of one queue", found)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
