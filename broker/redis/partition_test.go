package redis_test

import (
	"errors"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
)

// A queue keeps its number of partitions, and each operation finds tasks in all of them.
func TestPartitions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url, redis.Partitions(3))
		var tasks []*broker.Task
		var ids []broker.ID
		for i := range 90 {
			task := newTask("q", func(task *broker.Task) { task.ID = broker.NewID(broker.KindTask, "q", uint8(i)) })
			tasks, ids = append(tasks, task), append(ids, task.ID)
		}
		if err := b.Enqueue(t.Context(), tasks); err != nil {
			t.Fatal(err)
		}
		if err := b.Enqueue(t.Context(), tasks); err != nil { // a repetition changes nothing
			t.Fatal(err)
		}
		other := open(t, url) // its option says one partition
		sts, err := other.Lookup(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range sts {
			if st.State != broker.StatePending || st.Queue != "q" {
				t.Fatalf("task %s is %v in %q", st.ID, st.State, st.Queue)
			}
		}
		verdicts, err := other.Cancel(t.Context(), ids[:30])
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range verdicts {
			if v != broker.CancelPrevented {
				t.Fatalf("Cancel of task %d: %v", i, v)
			}
		}
		c := consume(t, other, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 100})
		got := dequeue(t, c, 60, 5*time.Second, "q")
		if len(got) != 60 {
			t.Fatalf("got %d tasks, want 60", len(got))
		}
		batch := make([]broker.Settlement, len(got))
		for i, d := range got {
			batch[i] = broker.Settlement{Delivery: d, Outcome: broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "no"}}}
		}
		if errs, err := c.Settle(t.Context(), batch); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		letters := map[broker.ID]bool{}
		for after, pages := "", 0; ; pages++ {
			page, next, err := other.DeadLetters(t.Context(), "q", after, 7)
			if err != nil || pages > 100 {
				t.Fatal(pages, err)
			}
			for _, l := range page {
				letters[l.Task.ID] = true
			}
			if after = next; after == "" {
				break
			}
		}
		infos, err := b.Queues(t.Context())
		if err != nil || len(infos) != 1 || infos[0].Dead != 60 || len(letters) != 60 {
			t.Fatalf("%d dead letters; queues: %+v, %v", len(letters), infos, err)
		}
		if errs, err := b.Requeue(t.Context(), ids); err != nil || errs[89] != nil || errs[0] == nil {
			t.Fatal(errs, err)
		}
		if again := dequeue(t, c, 60, 5*time.Second, "q"); len(again) != 60 {
			t.Fatalf("%d tasks after Requeue, want 60", len(again))
		}
	})
}

// A unique key is unique in the whole queue. Enqueue refuses an id of another partition than
// the one that its unique key belongs to.
func TestPartitionsUnique(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url, redis.Partitions(8))
		with := func(id broker.ID) *broker.Task {
			return newTask("q", func(x *broker.Task) { x.ID, x.Unique.Key = id, "k" })
		}
		first := with(broker.NewTaskID("q", "k"))
		enqueue(t, b, first)
		for range 40 {
			var dup *broker.DuplicateError
			err := b.Enqueue(t.Context(), []*broker.Task{with(broker.NewTaskID("q", "k"))})
			if !errors.As(err, &dup) || dup.Holder != first.ID {
				t.Fatalf("a second task with the key: %v", err)
			}
		}
		other := with(broker.NewID(broker.KindTask, "q", broker.KeyPartition("k")+1))
		if err := b.Enqueue(t.Context(), []*broker.Task{other}); !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("an id of another partition than its key: %v", err)
		}
	})
}
