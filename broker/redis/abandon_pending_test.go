package redis_test

import (
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// The last minion of a queue has made overdue parked tasks pending and holds some of them. When it
// leaves or dies these tasks end like those that were never made pending. The other pending tasks
// of the queue stay, in their order, and a cancelled one stays canceled.
func TestAbandonedAmongPending(t *testing.T) {
	t.Parallel()
	for _, ends := range []string{"leaves", "dies", "leaves after a cancel"} {
		t.Run(ends, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, url string) { abandonedAmongPending(t, url, ends) })
		})
	}
}

func abandonedAmongPending(t *testing.T, url, ends string) {
	b := open(t, url, redis.RoundsEvery(time.Hour), redis.AbandonedAfter(0), redis.NoHousekeeping())
	raw := rawClient(t, url)
	base := "{" + redis.DefaultNamespace + ":q}:"
	newTasks := func(n int) (all []*broker.Task) {
		for range n {
			all = append(all, newTask("q"))
		}
		return all
	}
	parked, before, behind := newTasks(250), newTasks(210), newTasks(210)

	// The minion parks tasks. When their time is over, others are pending already.
	enqueue(t, b, parked...)
	last := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 500})
	var batch []broker.Settlement
	for _, d := range dequeue(t, last, len(parked), 5*time.Second, "q") {
		batch = append(batch, broker.Settlement{Delivery: d, Verb: broker.VerbPark, Unstarted: true, Delay: time.Millisecond})
	}
	for _, err := range settle(t, last, batch...) {
		if err != nil {
			t.Fatal(err)
		}
	}
	enqueue(t, b, before...)
	over := func() bool {
		now, err := raw.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		n, err := raw.ZCount(t.Context(), base+"due", "-inf", strconv.FormatInt(now.UnixMilli(), 10)).Result()
		return err == nil && int(n) == len(parked)
	}
	for !over() {
		time.Sleep(time.Millisecond)
	}
	held := dequeue(t, last, len(before)+1, 5*time.Second, "q") // this makes all of them pending
	if !held[len(before)].Overdue || raw.Exists(t.Context(), base+"due").Val() > 0 {
		t.Fatalf("the minion holds %+v, want an overdue task, and no other one is left among the scheduled ones", held[len(before)])
	}
	enqueue(t, b, behind...)
	var killed broker.ID
	if ends == "leaves after a cancel" {
		if killed = parked[0].ID; killed == held[len(before)].ID {
			killed = parked[1].ID
		}
		if v, err := b.Cancel(t.Context(), []broker.ID{killed}); err != nil || v[0] != broker.CancelPrevented {
			t.Fatal(v, err)
		}
	}
	if ends == "dies" {
		id := last.ID()
		if err := raw.ZAdd(t.Context(), base+"minions", goredis.Z{Score: 1, Member: string(id[:])}).Err(); err != nil { // its lease is over
			t.Fatal(err)
		}
	} else if err := last.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	consume(t, b, broker.ConsumerConfig{Queues: []string{"elsewhere"}, OnAbandoned: func(d *broker.Delivery) broker.Outcome {
		return broker.Outcome{State: broker.StateFailed, Name: d.Name, Attempts: d.Start - 1, Err: &broker.Failure{Message: "nobody came"}}
	}})
	// One round gives the tasks of a dead minion back, one moves overdue tasks back to the parked
	// ones, and one ends them.
	for range 3 {
		if err := raw.Del(t.Context(), "{"+redis.DefaultNamespace+":queues}:turn").Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ids := make([]broker.ID, len(parked))
	for i, x := range parked {
		ids[i] = x.ID
	}
	found, err := b.Lookup(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range found {
		want := broker.StateFailed
		if st.ID == killed {
			want = broker.StateCanceled
		}
		if st.State != want {
			t.Fatalf("the overdue task %s is %s after three rounds, want %s", st.ID, st.State, want)
		}
	}
	if raw.Exists(t.Context(), base+"needs", base+"parked").Val() > 0 {
		t.Fatalf("the keys of parked tasks are left: %v, %v", raw.HGetAll(t.Context(), base+"needs").Val(), raw.ZRange(t.Context(), base+"parked", 0, -1).Val())
	}
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 500})
	got := dequeue(t, c, len(before)+len(behind), 5*time.Second, "q")
	first := make(map[broker.ID]bool) // these were given back, which keeps their order only roughly
	for _, x := range before {
		first[x.ID] = true
	}
	for i, d := range got {
		if i < len(before) && !first[d.ID] || i >= len(before) && d.ID != behind[i-len(before)].ID || d.Overdue {
			t.Fatalf("task %d that is handed out is %+v, want a task of the same place", i, d)
		}
		delete(first, d.ID)
	}
}

// The same with tasks in line: what waits for a limit or for a sequence ends, too, and the next task of
// the sequence goes on.
func TestAbandonedInLine(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, ctx := open(t, url, redis.RoundsEvery(time.Hour), redis.AbandonedAfter(0), redis.NoHousekeeping()), t.Context()
		raw := rawClient(t, url)
		base := "{" + redis.DefaultNamespace + ":q}:"
		var tasks []*broker.Task
		for i := range 250 {
			l := broker.Lane{Key: strconv.Itoa(i % 7), Limits: []broker.Charge{{Limit: "l", Cost: 1}}}
			if i == 0 {
				l = broker.Lane{Sequence: "s"}
			}
			tasks = append(tasks, laned("q", l))
		}
		next := laned("q", broker.Lane{Sequence: "s"})
		enqueue(t, b, tasks...)
		last := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 500})
		var batch []broker.Settlement
		for _, d := range dequeue(t, last, len(tasks), 5*time.Second, "q") {
			batch = append(batch, broker.Settlement{Delivery: d, Verb: broker.VerbPark, Unstarted: true, Delay: time.Millisecond})
		}
		for _, err := range settle(t, last, batch...) {
			if err != nil {
				t.Fatal(err)
			}
		}
		enqueue(t, b, next)
		if err := b.SetLimit(ctx, "q", broker.Limit{Name: "l", Paused: true}); err != nil {
			t.Fatal(err)
		}
		for raw.Exists(ctx, base+"due").Val() > 0 { // until all are pending
			if ds, err := last.Dequeue(ctx, []string{"q"}, 1, 10*time.Millisecond); err != nil || len(ds) > 0 && ds[0].ID != tasks[0].ID {
				t.Fatal(ds, err)
			}
		}
		if err := last.Close(ctx); err != nil {
			t.Fatal(err)
		}
		consume(t, b, broker.ConsumerConfig{Queues: []string{"elsewhere"}, OnAbandoned: func(d *broker.Delivery) broker.Outcome {
			return broker.Outcome{State: broker.StateFailed, Name: d.Name, Attempts: d.Start - 1, Err: &broker.Failure{Message: "nobody came"}}
		}})
		for range 2 { // one round moves them back to the parked ones, and one ends them
			if err := raw.Del(ctx, "{"+redis.DefaultNamespace+":queues}:turn").Err(); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Round(ctx); err != nil {
				t.Fatal(err)
			}
		}
		ids := make([]broker.ID, len(tasks))
		for i, x := range tasks {
			ids[i] = x.ID
		}
		found, err := b.Lookup(ctx, ids)
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range found {
			if st.State != broker.StateFailed {
				t.Fatalf("the overdue task %s is %s after two rounds, want failed", st.ID, st.State)
			}
		}
		if raw.Exists(ctx, base+"needs", base+"parked").Val() > 0 || raw.ZCard(ctx, base+"lined").Val() != 1 {
			t.Fatalf("keys of parked tasks are left, or %d tasks are in line, want 1", raw.ZCard(ctx, base+"lined").Val())
		}
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
		if got := dequeue(t, c, 1, 5*time.Second, "q"); got[0].ID != next.ID {
			t.Fatalf("task %s is handed out, want the next one of the sequence", got[0].ID)
		}
	})
}

// The search of a long list for overdue tasks takes many short scripts. A script that moves tasks
// from the end of the list searches the list once, and not once for each of them.
func TestAbandonedBehindMany(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	redistest.ShortScripts(t, path, scriptMost, abandonedBehindMany)
}

func abandonedBehindMany(t *testing.T, server *redistest.Server) {
	const before, overdue = 50_000, 200
	b, raw, ctx := open(t, server.URL(), redis.RoundsEvery(time.Hour), redis.NoHousekeeping()), server.Client(), t.Context()
	base := "{" + redis.DefaultNamespace + ":q}:"
	enqueue(t, b, newTask("q"))
	for n := 1; n < before; n += 1000 {
		many := make([]any, min(1000, before-n))
		for i := range many {
			many[i] = wire.AppendRecord(nil, newTask("q"))
		}
		if err := raw.RPush(ctx, base+"ready", many...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for range overdue {
		record := wire.AppendRecord(nil, newTask("q"))
		record[24] |= wire.FlagParked
		if err := raw.RPush(ctx, base+"ready", record).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := raw.HSet(ctx, base+"needs", "", 1).Err(); err != nil {
		t.Fatal(err)
	}
	consume(t, b, broker.ConsumerConfig{Queues: []string{"elsewhere"}, OnAbandoned: func(*broker.Delivery) broker.Outcome { return broker.Outcome{} }})
	if _, err := b.Round(ctx); err != nil {
		t.Fatal(err)
	}
	if left, moved := raw.LLen(ctx, base+"ready").Val(), raw.ZCard(ctx, base+"due").Val(); left != before || moved != overdue {
		t.Errorf("%d tasks are pending and %d due, want %d and %d", left, moved, before, overdue)
	}
}
