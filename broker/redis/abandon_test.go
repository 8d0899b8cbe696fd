package redis_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
)

// A parked task in a queue that no minion serves ends once its parking time is over, with the
// outcome that a minion of another queue returns. Other tasks that wait in the queue stay. As
// long as the queue has a minion, parked tasks stay, too.
func TestAbandoned(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		opts := []redis.Option{redis.RoundsEvery(20 * time.Millisecond), redis.AbandonedAfter(20 * time.Millisecond), redis.LargeRecordFrom(100)}
		b := open(t, url, opts...)
		// With an inbox this broker takes turns, too, but it has no minion to ask.
		in, err := b.Inbox(t.Context(), broker.NewID(broker.KindParty, "", 0))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = in.Close() })
		raw := rawClient(t, url)
		queue := "{" + redis.DefaultNamespace + ":q}:"
		flow := broker.Flow{ID: broker.NewID(broker.KindGroup, "", 0), Size: 1, Quorum: 1, Retention: time.Hour}
		tasks := make(map[string]*broker.Task)
		var all []*broker.Task
		add := func(name string, change ...func(*broker.Task)) {
			x := newTask("q", change...)
			tasks[name], all = x, append(all, x)
		}
		add("plain")
		add("large", func(x *broker.Task) { x.Payload = []byte(strings.Repeat("x", 500)) })
		add("large, no dead letter", func(x *broker.Task) { x.Payload, x.DeadFor = []byte(strings.Repeat("x", 500)), 0 })
		add("no dead letter", func(x *broker.Task) { x.DeadFor = 0 })
		add("forgotten at once", func(x *broker.Task) {
			x.DeadFor, x.Retention, x.Meta = 0, 0, map[string]string{"k": "v"}
		})
		add("unique", func(x *broker.Task) { x.Unique.Key = "simple_add/key" })
		add("member", func(x *broker.Task) { x.Flow.ID = flow.ID })
		add("limited", func(x *broker.Task) { x.Deadline = time.Hour })
		for i := range 250 {
			add(fmt.Sprint("many ", i))
		}
		if err := b.OpenFlow(t.Context(), &flow, 0, []broker.ID{tasks["member"].ID}); err != nil {
			t.Fatal(err)
		}
		stays := newTask("q")
		enqueue(t, b, append([]*broker.Task{stays}, all...)...)
		parker := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 500})
		var batch []broker.Settlement
		for _, d := range dequeue(t, parker, len(all)+1, 5*time.Second, "q") {
			delay := 50 * time.Millisecond
			if d.ID == stays.ID {
				delay = time.Hour
			}
			batch = append(batch, broker.Settlement{Delivery: d, Verb: broker.VerbPark, Unstarted: true, Delay: delay})
		}
		for _, err := range settle(t, parker, batch...) {
			if err != nil {
				t.Fatal(err)
			}
		}
		// Other tasks that wait for a minion. More than a page of them are due before the parked ones.
		var others []*broker.Task
		for range 120 {
			others = append(others, newTask("q", func(x *broker.Task) { x.Delay = time.Millisecond }), newTask("q"))
		}
		enqueue(t, b, others...)

		var mu sync.Mutex
		asked := make(map[broker.ID]*broker.Delivery)
		w := open(t, url, opts...)
		consume(t, w, broker.ConsumerConfig{Queues: []string{"elsewhere"}, OnAbandoned: func(d *broker.Delivery) broker.Outcome {
			mu.Lock()
			defer mu.Unlock()
			asked[d.ID] = d
			return broker.Outcome{State: broker.StateFailed, Name: d.Name, Attempts: d.Start - 1, Err: &broker.Failure{Message: "nobody came"}}
		}})
		// The queue's minion lives. Wait for a few rounds.
		turns := func() int64 {
			n, err := raw.HGet(t.Context(), "{"+redis.DefaultNamespace+":queues}:turn", "at").Int64()
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		for n, last := 0, turns(); n < 5; time.Sleep(time.Millisecond) {
			if at := turns(); at != last {
				n, last = n+1, at
			}
		}
		mu.Lock()
		if len(asked) > 0 {
			t.Errorf("a minion of another queue was asked, though the queue has a minion")
		}
		mu.Unlock()
		if err := parker.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The script that ends a task removes it from the parked ones. A look-up of all tasks would
		// keep the emulated server too busy on a slow machine.
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
			left, err := raw.ZCard(t.Context(), queue+"parked").Result()
			if err != nil {
				t.Fatal(err)
			}
			if left == 1 { // it stays
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%d tasks are parked, want only the one whose time is not over", left)
			}
		}
		ids := make([]broker.ID, len(all))
		for i, x := range all {
			ids[i] = x.ID
		}
		found, err := b.Lookup(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		for i, st := range found {
			if st.ID == tasks["forgotten at once"].ID {
				if st.State.Final() && st.Outcome != nil {
					t.Errorf("a task without retention has the status %+v", st)
				}
				continue
			}
			if st.State != broker.StateFailed || st.Outcome.Err == nil || st.Outcome.Err.Message != "nobody came" || st.Outcome.Attempts != 0 {
				t.Errorf("task %d: %+v", i, st)
			}
		}
		mu.Lock()
		if d := asked[tasks["large"].ID]; d == nil || d.Err != nil || len(d.Payload) != 500 || d.Queue != "q" || !d.Overdue {
			t.Errorf("the minion was asked about %+v", d)
		}
		if len(asked) != len(all) {
			t.Errorf("the minion was asked about %d tasks, want %d", len(asked), len(all))
		}
		mu.Unlock()

		// The keys of the tasks that have ended are removed; those of the others stay.
		for key, want := range map[string]int64{
			"parked": 1, "needs": 1, "later": 121, "due": 121, "unique": 0, "holders": 0, "about": 0, "deadlines": 0,
		} {
			n, err := raw.Eval(t.Context(), "local t = redis.call('TYPE', KEYS[1]).ok; return t == 'hash' and redis.call('HLEN', KEYS[1]) or t == 'zset' and redis.call('ZCARD', KEYS[1]) or 0",
				[]string{queue + key}).Int64()
			if err != nil || n != want {
				t.Errorf("%s has %d entries, want %d, %v", key, n, want, err)
			}
		}
		if records, err := raw.Keys(t.Context(), queue+"record:*").Result(); err != nil || len(records) != 1 || raw.PTTL(t.Context(), records[0]).Val() <= 0 {
			t.Errorf("records: %v, %v", records, err)
		}
		if a, err := b.Arrivals(t.Context(), "q", 10); err != nil || len(a) != 1 || a[0].Task != tasks["member"].ID || a[0].Outcome.State != broker.StateFailed {
			t.Errorf("arrivals: %+v, %v", a, err)
		}
		infos, err := b.Queues(t.Context())
		if err != nil || len(infos) != 2 || infos[1].Name != "q" || infos[1].Parked != 1 || infos[1].Dead != len(all)-3 || infos[1].Unreadable != 0 {
			t.Errorf("%+v, %v", infos, err)
		}
		// The dead letters can be requeued like any other.
		errs, err := b.Requeue(t.Context(), []broker.ID{tasks["large"].ID, tasks["unique"].ID})
		if err != nil || errs[0] != nil || errs[1] != nil {
			t.Fatal(errs, err)
		}
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 500})
		got := make(map[broker.ID]*broker.Delivery)
		for _, d := range dequeue(t, c, len(others)+2, 5*time.Second, "q") {
			got[d.ID] = d
		}
		for _, name := range []string{"large", "unique"} {
			if d := got[tasks[name].ID]; d == nil || d.Err != nil || d.Overdue || d.Start != 1 {
				t.Errorf("task %q was requeued as %+v", name, d)
			}
		}
		for _, x := range others {
			if got[x.ID] == nil {
				t.Errorf("task %s, which was not parked, is lost", x.ID)
			}
		}
	})
}

// If a key has the wrong type, the tasks stay as they are, and the next round tries again.
func TestAbandonedWithAKeyOfAnotherType(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url, redis.RoundsEvery(time.Hour), redis.AbandonedAfter(0), redis.NoHousekeeping())
		raw := rawClient(t, url)
		queue := "{" + redis.DefaultNamespace + ":q}:"
		x := newTask("q")
		enqueue(t, b, x)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		settle(t, c, broker.Settlement{Delivery: dequeue(t, c, 1, time.Second, "q")[0], Verb: broker.VerbPark, Unstarted: true, Delay: time.Millisecond})
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		consume(t, b, broker.ConsumerConfig{Queues: []string{"elsewhere"}, OnAbandoned: func(d *broker.Delivery) broker.Outcome {
			return broker.Outcome{State: broker.StateFailed, Name: d.Name, Err: &broker.Failure{Message: "nobody came"}}
		}})
		round := func() {
			t.Helper()
			if err := raw.Del(t.Context(), "{"+redis.DefaultNamespace+":queues}:turn").Err(); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range []string{"dead", "unique", "holders", "about", "flows", "outbox", "needs", "keep", "deadlines"} {
			spoiled := queue + key
			kept := spoiled + ":kept"
			there := raw.Exists(t.Context(), spoiled).Val() == 1
			if there {
				raw.Rename(t.Context(), spoiled, kept)
			}
			raw.Set(t.Context(), spoiled, "x", 0)
			round()
			if n, err := raw.HLen(t.Context(), queue+"later").Result(); n != 1 || err != nil {
				t.Errorf("with a wrong key %s: %d tasks are parked, want 1, %v", key, n, err)
			}
			if raw.Exists(t.Context(), queue+"dead").Val() == 1 && key != "dead" {
				t.Errorf("with a wrong key %s: a dead letter was written", key)
			}
			raw.Del(t.Context(), spoiled)
			if there {
				raw.Rename(t.Context(), kept, spoiled)
			}
		}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			round()
			if st, err := b.Lookup(t.Context(), []broker.ID{x.ID}); err != nil {
				t.Fatal(err)
			} else if st[0].State == broker.StateFailed {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the task has not ended")
			}
		}
	})
}
