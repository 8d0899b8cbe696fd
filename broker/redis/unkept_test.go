package redis_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

// unkept makes a task one whose outcome is not kept.
func unkept(x *broker.Task) { x.Retention, x.DeadFor = 0, 0 }

// A task whose outcome is not kept leaves one byte in a run of its block, whatever the outcome
// was. Its id is known by that for as long as the id of any other task.
func TestBlockUnkept(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		tasks := siblings(20, unkept)
		enqueue(t, b, tasks...)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 200})
		got := dequeue(t, c, 20, 5*time.Second, "q")
		var batch []broker.Settlement
		for i, d := range got {
			s := succeed(d, "r")
			switch i {
			case 3:
				s.Outcome.Result = bytes.Repeat([]byte("x"), 1000)
			case 5:
				s.Outcome.State, s.Outcome.Err = broker.StateFailed, &broker.Failure{Message: "no"}
			}
			batch = append(batch, s)
		}
		for range 2 { // the second time is a repetition after a lost reply
			for i, err := range settle(t, c, batch...) {
				if err != nil {
					t.Fatalf("settlement %d: %v", i, err)
				}
			}
		}
		wantFields(t, raw, 1, 2, 0) // a run of those that succeeded, and one of the failed task
		run := fields(t, raw)[string(tasks[0].ID[:broker.BlockPrefix])+"r\x01"]
		positions := []byte{1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
		if len(run) < 12 || run[0] != 2 || run[1] != byte(broker.StateSucceeded) || run[8:] != "\x00\x00\x00\x01"+string(positions) {
			t.Errorf("the run is %x", run)
		}
		late := *got[6]
		late.Attempt = 2
		if errs := settle(t, c, succeed(&late, "6")); !errors.Is(errs[0], broker.ErrLeaseLost) {
			t.Errorf("a settlement of another attempt: %v", errs)
		}
		wantStates(t, b, tasks, all(broker.StateUnknown))
		enqueue(t, b, tasks...)
		wantPending(t, raw, 0)
		other := *tasks[12]
		other.Payload = []byte{0x92, 0, 1}
		if err := b.Enqueue(t.Context(), []*broker.Task{&other}); !errors.Is(err, broker.ErrDuplicate) {
			t.Errorf("the id with other content: %v", err)
		}
	})
}

// The ids of such tasks are known for [broker.MinTombstone], and then forgotten.
func TestBlockUnkeptForgotten(t *testing.T) {
	s := miniredis.RunT(t)
	now := time.Now()
	s.SetTime(now)
	url := "redis://" + s.Addr()
	b, raw := open(t, url), rawClient(t, url)
	tasks := siblings(10, unkept)
	enqueue(t, b, tasks...)
	beat := func(after time.Duration) broker.Consumer {
		t.Helper()
		s.SetTime(now.Add(after))
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		if err := c.Heartbeat(t.Context(), broker.Load{}); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := beat(0)
	var batch []broker.Settlement
	for _, d := range dequeue(t, c, 10, 5*time.Second, "q") {
		batch = append(batch, succeed(d, "r"))
	}
	for _, err := range slices.Concat(settle(t, c, batch[:6]...), settle(t, c, batch[6:]...)) {
		if err != nil {
			t.Fatal(err)
		}
	}
	wantFields(t, raw, 1, 2, 0)
	beat(broker.MinTombstone - time.Second)
	enqueue(t, b, tasks...)
	wantPending(t, raw, 0)
	wantFields(t, raw, 1, 2, 0)
	beat(broker.MinTombstone + time.Second)
	wantFields(t, raw, 0, 0, 0)
	enqueue(t, b, tasks...)
	wantPending(t, raw, 10)
}

// used returns how many bytes of memory the keys of a namespace take.
func used(t *testing.T, raw *goredis.Client, namespace string) (n int64) {
	t.Helper()
	keys := raw.Scan(t.Context(), 0, "*"+namespace+"*", 1000).Iterator()
	for keys.Next(t.Context()) {
		size, err := raw.MemoryUsage(t.Context(), keys.Val(), 0).Result()
		if err != nil {
			t.Fatal(err)
		}
		n += size
	}
	if err := keys.Err(); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	return n
}

// A task whose outcome is not kept takes less memory than one whose outcome is kept for the
// usual hour, in whatever batches the tasks were sent and settled.
func TestUnkeptTakesLess(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	n := testform.Pick(400, 1500)
	url := "redis://" + redistest.Start(t, path).Addr
	raw := rawClient(t, url)
	take := func(t *testing.T, namespace string, retention time.Duration, together bool, at int) int64 {
		b := open(t, url, redis.Namespace(namespace))
		keep := func(x *broker.Task) { x.Retention, x.DeadFor = retention, 0 }
		tasks := siblings(n, keep)
		if !together {
			for i := range tasks {
				tasks[i] = newTask("q", keep)
			}
		}
		enqueue(t, b, tasks...)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: n})
		for left := n; left > 0; {
			got := dequeue(t, c, min(at, left), 10*time.Second, "q")
			batch := make([]broker.Settlement, len(got))
			for i, d := range got {
				batch[i] = succeed(d, "r")
			}
			for _, err := range settle(t, c, batch...) {
				if err != nil {
					t.Fatal(err)
				}
			}
			left -= len(got)
		}
		return used(t, raw, namespace)
	}
	for _, together := range []bool{true, false} {
		for _, at := range []int{500, 10, 1} {
			t.Run(fmt.Sprintf("sent together %v, settled %d at once", together, at), func(t *testing.T) {
				name := fmt.Sprintf("%v-%d", together, at)
				zero, hour := take(t, "zero-"+name, 0, together, at), take(t, "hour-"+name, time.Hour, together, at)
				t.Logf("%d bytes per task, %d if the outcome is kept for an hour", zero/int64(n), hour/int64(n))
				most := hour
				if together {
					most = hour * 3 / 4
				}
				if zero > most {
					t.Errorf("%d tasks whose outcomes are not kept take %d bytes, want at most %d; kept for an hour they take %d", n, zero, most, hour)
				}
			})
		}
	}
}
