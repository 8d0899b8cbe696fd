package redis_test

import (
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
)

const deadlinesKey = "{" + redis.DefaultNamespace + ":q}:deadlines"

// deadlines returns how many deadlines of queue q are watched.
func deadlines(t *testing.T, raw *goredis.Client) int64 {
	t.Helper()
	n, err := raw.ZCard(t.Context(), deadlinesKey).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// within sets a deadline.
func within(d time.Duration) func(*broker.Task) { return func(t *broker.Task) { t.Deadline = d } }

// A deadline is watched until its task ends or runs, however it ends. A task without a deadline is
// not in the set.
func TestDeadlinesOfWhatHasEnded(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
		enqueue(t, b, newTask("q"), newTask("q", func(x *broker.Task) { x.Delay = time.Hour }))
		for _, err := range settle(t, c, succeed(dequeue(t, c, 1, 5*time.Second, "q")[0], "r")) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if n, err := raw.Exists(t.Context(), deadlinesKey).Result(); n != 0 || err != nil {
			t.Fatalf("the set of deadlines exists, though no task has one: %d, %v", n, err)
		}
		waits := newTask("q", within(time.Hour), func(x *broker.Task) { x.Delay = time.Hour })
		enqueue(t, b, newTask("q", within(time.Hour)), newTask("q", within(time.Hour)), newTask("q", within(time.Hour)), waits)
		ds := dequeue(t, c, 3, 5*time.Second, "q")
		dead := broker.Settlement{Delivery: ds[1], Verb: broker.VerbFinish, Outcome: broker.Outcome{State: broker.StateFailed}}
		for _, err := range settle(t, c, succeed(ds[0], "r"), dead, failing(ds[2], time.Hour)) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := deadlines(t, raw); n != 2 {
			t.Errorf("%d deadlines are watched, want 2, of the tasks that wait", n)
		}
		if _, err := b.Cancel(t.Context(), []broker.ID{waits.ID, ds[2].ID}); err != nil {
			t.Fatal(err)
		}
		if n := deadlines(t, raw); n != 0 {
			t.Errorf("%d deadlines are watched of tasks that have ended", n)
		}
	})
}

// Members of the set of deadlines that are no ids, or ids of unknown or final tasks, are removed when
// they are due. No task ends by them.
func TestStrangeDeadlines(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		done := newTask("q")
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
		enqueue(t, b, done)
		for _, err := range settle(t, c, succeed(dequeue(t, c, 1, 5*time.Second, "q")[0], "r")) {
			if err != nil {
				t.Fatal(err)
			}
		}
		unknown := broker.NewID(broker.KindTask, "q", 0)
		for _, member := range []string{"", "short", string(done.ID[:]), string(unknown[:]), "longer than the id of any task"} {
			if err := raw.ZAdd(t.Context(), deadlinesKey, goredis.Z{Score: 1, Member: member}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		last := newTask("q", within(20*time.Millisecond), func(x *broker.Task) { x.Delay = time.Hour })
		enqueue(t, b, last)
		for {
			found, err := b.Lookup(t.Context(), []broker.ID{last.ID, done.ID})
			if err != nil {
				t.Fatal(err)
			}
			if found[1].State != broker.StateSucceeded {
				t.Fatalf("the task that had succeeded is %s", found[1].State)
			}
			if found[0].State == broker.StateExpired {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if n := deadlines(t, raw); n != 0 {
			t.Errorf("%d deadlines are left", n)
		}
	})
}

// A process that was about to end an expired task dies. Another one ends the task.
func TestExpiryByTwo(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		first, second := open(t, url), open(t, url)
		task := newTask("q", within(20*time.Millisecond), func(x *broker.Task) { x.Delay = time.Hour })
		enqueue(t, first, task)
		if err := first.Close(); err != nil { // before its timer
			t.Fatal(err)
		}
		for {
			found, err := second.Lookup(t.Context(), []broker.ID{task.ID})
			if err != nil {
				t.Fatal(err)
			}
			if found[0].State == broker.StateExpired {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// The sender of a task has ended, no minion serves its queue, and nobody asks for the task. The round
// of a process with a minion of another queue ends the task when its deadline has passed.
func TestDeadlineFoundByARound(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		sender, err := redis.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		waits := newTask("q", within(100*time.Millisecond))
		delayed := newTask("q", within(100*time.Millisecond), func(x *broker.Task) { x.Delay = time.Hour })
		enqueue(t, sender, waits, delayed)
		if err := sender.Close(); err != nil {
			t.Fatal(err)
		}
		raw := rawClient(t, url)
		b := open(t, url, redis.RoundsEvery(20*time.Millisecond))
		consume(t, b, broker.ConsumerConfig{Queues: []string{"elsewhere"}})
		for end := time.Now().Add(20 * time.Second); deadlines(t, raw) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the deadlines are still watched")
			}
		}
		found, err := b.Lookup(t.Context(), []broker.ID{waits.ID, delayed.ID})
		if err != nil || found[0].State != broker.StateExpired || found[1].State != broker.StateExpired {
			t.Errorf("%+v, %v", found, err)
		}
	})
}
