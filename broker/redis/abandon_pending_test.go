package redis_test

import (
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
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
	b := open(t, url, redis.RoundsEvery(20*time.Millisecond), redis.AbandonedAfter(20*time.Millisecond), redis.Lease(time.Minute))
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
	ids := make([]broker.ID, len(parked))
	for i, x := range parked {
		ids[i] = x.ID
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		found, err := b.Lookup(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for i, st := range found {
			want := broker.StateFailed
			if ids[i] == killed {
				want = broker.StateCanceled
			}
			if st.State != want {
				left++
			}
		}
		if left == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d overdue tasks have not ended as they should", left, len(ids))
		}
	}
	// The look at the pending tasks ends, and leaves no key of parked tasks.
	for end := time.Now().Add(30 * time.Second); raw.Exists(t.Context(), base+"needs", base+"parked").Val() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the keys of parked tasks are left: %v, %v", raw.HGetAll(t.Context(), base+"needs").Val(), raw.ZRange(t.Context(), base+"parked", 0, -1).Val())
		}
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
