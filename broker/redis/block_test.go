package redis_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// These tests follow the tasks of blocks through a queue: they are enqueued, settled, cancelled and
// swept. block_format_test.go tests the fields of the state hash.

// A repeated enqueue recognizes its tasks, whatever other tasks they are sent with each time.
func TestBlockRepeats(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		tasks := siblings(64)
		enqueue(t, b, tasks[10:20]...)
		wantFields(t, raw, 1, 0, 0)
		enqueue(t, b, tasks[12:15]...)
		wantPending(t, raw, 10)
		enqueue(t, b, tasks[5:25]...) // ten of them are new
		wantPending(t, raw, 20)
		wantFields(t, raw, 1, 0, 10)
		enqueue(t, b, tasks[40]) // alone, and beyond the highest position of the block
		wantFields(t, raw, 1, 0, 11)
		reversed := slices.Clone(tasks)
		slices.Reverse(reversed)
		enqueue(t, b, reversed...)
		wantPending(t, raw, 64)
		enqueue(t, b, tasks...)
		wantPending(t, raw, 64)
		wantStates(t, b, tasks, all(broker.StatePending))

		other := *tasks[12]
		other.Payload = []byte{0x92, 0, 1}
		lone := *tasks[41]
		lone.Payload = []byte{0x92, 0, 1}
		err := b.Enqueue(t.Context(), []*broker.Task{tasks[11], &other, &lone})
		var refused *broker.BatchError
		if !errors.As(err, &refused) || refused.Errs[0] != nil ||
			!errors.Is(refused.Errs[1], broker.ErrDuplicate) || !errors.Is(refused.Errs[2], broker.ErrDuplicate) {
			t.Errorf("tasks with known ids and other content: %v", err)
		}

		// One batch has two parts of a block that are not adjacent, and the first of them twice.
		halves := siblings(60)
		mixed := slices.Concat(halves[:20], []*broker.Task{newTask("q")}, halves[20:40], halves[:20])
		enqueue(t, b, mixed...)
		wantPending(t, raw, 64+41)
		wantStates(t, b, halves, func(i int) broker.State {
			if i < 40 {
				return broker.StatePending
			}
			return broker.StateUnknown
		})
	})
}

// When several senders store overlapping parts of a block at once, each task is stored once. When
// several settlements of it come at once, each task ends once.
func TestBlockAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		tasks := siblings(64)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if err := b.Enqueue(t.Context(), tasks[6*i:24+5*i]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		enqueue(t, b, tasks...)
		wantPending(t, raw, 64)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 100})
		var batch []broker.Settlement
		for _, d := range dequeue(t, c, 64, 5*time.Second, "q") {
			batch = append(batch, succeed(d, d.ID.String()))
		}
		for i := range 6 {
			wg.Go(func() {
				errs, err := c.Settle(t.Context(), batch[5*i:34+6*i])
				if err != nil || slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
					t.Error(err, errs)
				}
			})
		}
		wg.Wait()
		for i, st := range wantStates(t, b, tasks, all(broker.StateSucceeded)) {
			if string(st.Outcome.Result) != tasks[i].ID.String() {
				t.Errorf("the result of task %s is %q", tasks[i].ID, st.Outcome.Result)
			}
		}
	})
}

// A task whose state does not fit into a block or a run gets a field of its own. The other tasks of
// the block stay in it.
func TestBlockLeavers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		tasks := siblings(30)
		tasks[29].Retention = 0
		enqueue(t, b, tasks...)
		if v, err := b.Cancel(t.Context(), []broker.ID{tasks[3].ID}); err != nil || v[0] != broker.CancelPrevented {
			t.Fatal(v, err)
		}
		wantFields(t, raw, 1, 0, 1)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 200})
		got := dequeue(t, c, 29, 5*time.Second, "q")
		if v, err := b.Cancel(t.Context(), []broker.ID{tasks[4].ID}); err != nil || v[0] != broker.CancelRequested {
			t.Fatal(v, err)
		}
		big := string(bytes.Repeat([]byte("x"), 1000))
		var batch []broker.Settlement
		for _, d := range got {
			s := succeed(d, "r")
			switch d.ID {
			case tasks[4].ID:
				s.Outcome.State = broker.StateCanceled
			case tasks[5].ID:
				s.Outcome.State, s.Outcome.Err = broker.StateFailed, &broker.Failure{Message: "no"}
			case tasks[6].ID:
				s.Verb = broker.VerbRetry
			case tasks[7].ID:
				s.Verb = broker.VerbGiveBack
			case tasks[8].ID:
				s.Outcome.Result = []byte(big)
			}
			batch = append(batch, s)
		}
		for i, err := range settle(t, c, batch...) {
			if err != nil {
				t.Fatalf("settlement %d: %v", i, err)
			}
		}
		want := func(i int) broker.State {
			switch i {
			case 3, 4:
				return broker.StateCanceled
			case 5:
				return broker.StateFailed
			case 6, 7:
				return broker.StatePending
			case 29:
				return broker.StateUnknown
			}
			return broker.StateSucceeded
		}
		sts := wantStates(t, b, tasks, want)
		if string(sts[8].Outcome.Result) != big || string(sts[9].Outcome.Result) != "r" {
			t.Errorf("the results of tasks 8 and 9 are %q and %q", sts[8].Outcome.Result, sts[9].Outcome.Result)
		}
		// Tasks 3, 5 and 8 have fields of their own. There is a run for task 4, one for task 29,
		// and one for the others that have succeeded.
		wantFields(t, raw, 1, 3, 3)
		if errs, err := b.Requeue(t.Context(), []broker.ID{tasks[5].ID, tasks[9].ID}); err != nil || errs[0] != nil || errs[1] == nil {
			t.Errorf("requeue of a dead letter and of a task that succeeded: %v, %v", errs, err)
		}
		again := dequeue(t, c, 3, 5*time.Second, "q")
		for _, d := range again {
			if err := settle(t, c, succeed(d, "again"))[0]; err != nil {
				t.Error(err)
			}
		}
		wantStates(t, b, tasks, func(i int) broker.State {
			if i == 5 || i == 6 || i == 7 {
				return broker.StateSucceeded
			}
			return want(i)
		})
	})
}

// A large submission is stored in blocks, even with a task among them that is not in a block.
func TestBlocksOfMany(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		tasks := siblings(2500)
		odd := newTask("q", func(x *broker.Task) { x.Delay = time.Hour })
		enqueue(t, b, slices.Concat(tasks[:100], []*broker.Task{odd}, tasks[100:])...)
		wantFields(t, raw, 40, 0, 1)
		wantPending(t, raw, 2500)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 3000})
		got := dequeue(t, c, 2500, 10*time.Second, "q")
		var batch []broker.Settlement
		for i, d := range got {
			if d.ID != tasks[i].ID {
				t.Fatalf("delivery %d is of %s, want %s", i, d.ID, tasks[i].ID)
			}
			if i%64 != 7 { // one task of each block keeps running
				batch = append(batch, succeed(d, fmt.Sprint(i)))
			}
		}
		for i, err := range settle(t, c, batch...) {
			if err != nil {
				t.Fatalf("settlement %d: %v", i, err)
			}
		}
		for i, st := range wantStates(t, b, tasks, func(i int) broker.State {
			if i%64 == 7 {
				return broker.StateRunning
			}
			return broker.StateSucceeded
		}) {
			if i%64 != 7 && string(st.Outcome.Result) != fmt.Sprint(i) {
				t.Fatalf("the result of task %d is %q", i, st.Outcome.Result)
			}
		}
	})
}

// A server that is out of memory still sweeps runs, even if other tasks of their block stay.
func TestBlockForgottenWhenFull(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return // Path has said why
	}
	url := "redis://" + redistest.Start(t, path).Addr
	b, raw := open(t, url), rawClient(t, url)
	tasks := siblings(10)
	enqueue(t, b, tasks...)
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	for _, d := range dequeue(t, c, 4, 5*time.Second, "q") {
		if err := settle(t, c, succeed(d, "r"))[0]; err != nil {
			t.Fatal(err)
		}
	}
	wantFields(t, raw, 1, 4, 0)
	list := "{" + redis.DefaultNamespace + ":q}:keep:r60"
	all, err := raw.LRange(t.Context(), list, 0, -1).Result()
	if err != nil || len(all) != 4 {
		t.Fatalf("the list of the class has %d elements, %v, want 4", len(all), err)
	}
	for i, s := range all { // let all retentions be over
		if err := raw.LSet(t.Context(), list, int64(i), strings.Repeat("\x00", 6)+s[6:]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := raw.ZAdd(t.Context(), "{"+redis.DefaultNamespace+":q}:keep", goredis.Z{Member: "r60"}).Err(); err != nil {
		t.Fatal(err)
	}
	if err := raw.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := raw.Set(t.Context(), "x", 1, 0).Err(); err == nil {
		t.Fatal("the server is not out of memory")
	}
	if err := c.Heartbeat(t.Context(), broker.Load{}); err != nil {
		t.Fatal(err)
	}
	wantFields(t, raw, 1, 0, 0)
	wantStates(t, b, tasks, func(i int) broker.State {
		if i < 4 {
			return broker.StateUnknown
		}
		return broker.StatePending
	})
}

// Each task of a block is swept at its own time, and the block with the last of them.
func TestBlockForgotten(t *testing.T) {
	t.Parallel()
	s := miniredis.RunT(t)
	now := time.Now()
	s.SetTime(now)
	url := "redis://" + s.Addr()
	b, raw := open(t, url), rawClient(t, url)
	tasks := siblings(10)
	for i := range tasks {
		tasks[i].Retention = []time.Duration{time.Minute, time.Hour}[i%2]
	}
	enqueue(t, b, tasks...)
	if _, err := b.Cancel(t.Context(), []broker.ID{tasks[9].ID}); err != nil { // kept for an hour
		t.Fatal(err)
	}
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 200})
	got := dequeue(t, c, 9, 5*time.Second, "q")
	for i, err := range settle(t, c, succeed(got[0], "r"), succeed(got[1], "r"), succeed(got[2], "r"), succeed(got[3], "r")) {
		if err != nil {
			t.Fatalf("settlement %d: %v", i, err)
		}
	}
	states := func(kept, short, open broker.State) {
		t.Helper()
		wantStates(t, b, tasks, func(i int) broker.State {
			switch {
			case i == 9 && kept == broker.StateSucceeded:
				return broker.StateCanceled
			case i < 4 && i%2 == 0:
				return short
			case i < 4 || i == 9:
				return kept
			}
			return open
		})
	}
	sweep := func(after time.Duration) {
		t.Helper()
		s.SetTime(now.Add(after))
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		if err := c.Heartbeat(t.Context(), broker.Load{}); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	states(broker.StateSucceeded, broker.StateSucceeded, broker.StateRunning)
	s.SetTime(now.Add(2 * time.Minute))
	states(broker.StateSucceeded, broker.StateUnknown, broker.StateRunning)
	wantFields(t, raw, 1, 2, 1)
	enqueue(t, b, tasks...) // all are known
	wantPending(t, raw, 1)  // the message of the cancelled task, which no minion has removed yet
	sweep(11 * time.Minute)
	states(broker.StateSucceeded, broker.StateUnknown, broker.StatePending)
	wantFields(t, raw, 1, 1, 1)
	wantPending(t, raw, 6) // they came back, since the lease of their minion has ended
	enqueue(t, b, tasks...)
	wantPending(t, raw, 8) // tasks 0 and 2 were swept, so they count as new
	sweep(2 * time.Hour)
	c = consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 200})
	for _, d := range dequeue(t, c, 7, 5*time.Second, "q") {
		if err := settle(t, c, succeed(d, "late"))[0]; err != nil {
			t.Fatal(err)
		}
	}
	wantStates(t, b, tasks, func(i int) broker.State {
		if i == 1 || i == 3 || i == 9 {
			return broker.StateUnknown
		}
		return broker.StateSucceeded
	})
	sweep(4 * time.Hour)
	wantFields(t, raw, 0, 0, 0)
	if n, err := raw.Exists(t.Context(), stateKey).Result(); n != 0 || err != nil {
		t.Errorf("the state hash is left: %d, %v", n, err)
	}
}
