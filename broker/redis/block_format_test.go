package redis_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
)

// These tests check the fields of the state hash that have the states of blocks. They also have the
// helpers for all tests of blocks.

// siblings makes n tasks for queue q whose ids are in blocks.
func siblings(n int, change ...func(*broker.Task)) []*broker.Task {
	var block broker.Block
	tasks := make([]*broker.Task, n)
	for i := range tasks {
		id := block.NewTaskID("q", 0)
		tasks[i] = newTask("q", append([]func(*broker.Task){func(x *broker.Task) {
			x.ID, x.Payload = id, []byte{0x92, byte(i >> 7), byte(i & 127)}
		}}, change...)...)
	}
	return tasks
}

const stateKey = "{" + redis.DefaultNamespace + ":q}:state"

// fields returns the state hash. The names of its fields are bytes.
func fields(t *testing.T, raw *goredis.Client) map[string]string {
	t.Helper()
	all, err := raw.HGetAll(t.Context(), stateKey).Result()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantFields checks how many fields of each kind the state hash has: blocks, runs, and fields of a
// single task (own).
func wantFields(t *testing.T, raw *goredis.Client, blocks, runs, own int) {
	t.Helper()
	n := map[int]int{}
	for name := range fields(t, raw) {
		n[len(name)]++
	}
	if n[15] != blocks || n[17] != runs || n[16] != own {
		t.Fatalf("%d blocks, %d runs and %d fields of single tasks, want %d, %d and %d", n[15], n[17], n[16], blocks, runs, own)
	}
}

// wantStates checks the states of tasks, and returns their statuses.
func wantStates(t *testing.T, b broker.Broker, tasks []*broker.Task, want func(i int) broker.State) []broker.Status {
	t.Helper()
	ids := make([]broker.ID, len(tasks))
	for i, x := range tasks {
		ids[i] = x.ID
	}
	sts, err := b.Lookup(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, st := range sts {
		if st.ID != ids[i] || st.State != want(i) {
			t.Fatalf("task %d is %s, want %s", i, st.State, want(i))
		}
	}
	return sts
}

// all is for wantStates: every task has the state s.
func all(s broker.State) func(int) broker.State { return func(int) broker.State { return s } }

// wantPending checks how many messages are ready.
func wantPending(t *testing.T, raw *goredis.Client, want int) {
	t.Helper()
	n := 0
	for _, list := range []string{"ready", "held"} { // see push.lua
		msgs, err := raw.LRange(t.Context(), "{"+redis.DefaultNamespace+":q}:"+list, 0, -1).Result()
		if err != nil {
			t.Fatal(err)
		}
		n += len(slices.DeleteFunc(msgs, func(msg string) bool { return msg == "!" }))
	}
	if n != want {
		t.Fatalf("%d messages are ready, want %d", n, want)
	}
}

// A block and its runs have the bytes that docs/wire.md gives.
func TestBlockFields(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		inbox := broker.NewID(broker.KindParty, "", 0)
		tasks := siblings(100, func(x *broker.Task) { x.Inbox = inbox })
		alone := newTask("q")
		enqueue(t, b, append(tasks, alone)...)
		wantFields(t, raw, 2, 0, 1)
		wantPending(t, raw, 101)
		first := fields(t, raw)[string(tasks[0].ID[:broker.BlockPrefix])]
		want := append([]byte{1, 64}, make([]byte, 64)...)
		want = append(want, inbox[:]...)
		for _, x := range tasks[:64] {
			d := x.Digest()
			want = append(want, byte(d>>24), byte(d>>16), byte(d>>8), byte(d))
		}
		if first != string(want) {
			t.Errorf("the first block is\n%x, want\n%x", first, want)
		}
		wantStates(t, b, tasks, all(broker.StatePending))

		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 200})
		got := dequeue(t, c, 101, 5*time.Second, "q")
		wantStates(t, b, tasks, all(broker.StateRunning))
		var batch []broker.Settlement
		for i, d := range got {
			batch = append(batch, succeed(d, fmt.Sprint(i)))
		}
		slices.Reverse(batch)
		for len(batch) > 0 {
			n := min(len(batch), 30)
			for i, err := range settle(t, c, batch[:n]...) {
				if err != nil {
					t.Fatalf("settlement %d: %v", i, err)
				}
			}
			batch = batch[n:]
		}
		// The settlements of 30, 30, 30 and 11 tasks have 30, 6 and 24, 30, and 10 tasks of one block.
		wantFields(t, raw, 2, 5, 1)
		for i, st := range wantStates(t, b, tasks, all(broker.StateSucceeded)) {
			if o := st.Outcome; o == nil || string(o.Result) != fmt.Sprint(i) || o.Attempts != 1 {
				t.Fatalf("outcome %d is %+v", i, o)
			}
		}
		all := fields(t, raw)
		if s := all[string(tasks[0].ID[:broker.BlockPrefix])]; s != first {
			t.Errorf("the first block has changed to %x", s)
		}
		// The run of the last ten tasks has them in the order of the settlement, the tenth first.
		run := all[string(tasks[0].ID[:broker.BlockPrefix])+"r\x0b"]
		if len(run) < 28 || run[0] != 1 || run[1] != byte(broker.StateSucceeded) || run[8:12] != "\x00\x00\x00\x01" || run[12:28] != string(tasks[10].ID[:]) {
			t.Errorf("the last run has the bytes %x", run)
		}
		// Repeat a settlement, as after a lost reply; and settle an attempt that is not the current one.
		if errs := settle(t, c, succeed(got[5], "5"), succeed(got[100], "100")); errs[0] != nil || errs[1] != nil {
			t.Errorf("repeated settlements: %v", errs)
		}
		late := *got[6]
		late.Attempt = 2
		if errs := settle(t, c, succeed(&late, "6")); !errors.Is(errs[0], broker.ErrLeaseLost) {
			t.Errorf("a settlement of another attempt: %v, want ErrLeaseLost", errs)
		}
	})
}

// A settlement of a second attempt does not keep the others of its block from being stored as a run.
// A settlement that is refused, because the minion does not hold the task any more, does so, but only
// in its own block.
func TestBlockRunsWithOthers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		tasks := siblings(192)
		enqueue(t, b, tasks...)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 200})
		got := dequeue(t, c, 192, 5*time.Second, "q")
		again := succeed(got[70], "")
		again.Verb = broker.VerbRetry
		if err := settle(t, c, again)[0]; err != nil {
			t.Fatal(err)
		}
		second := dequeue(t, c, 1, 5*time.Second, "q")[0]
		back := succeed(got[130], "")
		back.Verb = broker.VerbGiveBack
		if err := settle(t, c, back)[0]; err != nil {
			t.Fatal(err)
		}
		late := *got[3]
		late.Attempt = 9
		var batch []broker.Settlement
		for _, d := range got {
			switch d.ID {
			case late.ID:
				d = &late
			case second.ID:
				d = second
			}
			batch = append(batch, succeed(d, "r"))
		}
		for i, err := range settle(t, c, batch...) {
			lost := i == 3 || i == 130
			if lost != errors.Is(err, broker.ErrLeaseLost) || !lost && err != nil {
				t.Fatalf("settlement %d: %v", i, err)
			}
		}
		wantFields(t, raw, 3, 3, 63) // the second block has a run for each attempt
		wantStates(t, b, tasks, func(i int) broker.State {
			switch i {
			case 3:
				return broker.StateRunning
			case 130:
				return broker.StatePending
			}
			return broker.StateSucceeded
		})
	})
}

// The tasks of a block of another version are neither unknown nor stored again, and the block is not
// overwritten.
func TestBlockOfAnotherVersion(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		tasks := siblings(3)
		enqueue(t, b, tasks...)
		name := string(tasks[0].ID[:broker.BlockPrefix])
		strange := "\x02" + fields(t, raw)[name][1:]
		if err := raw.HSet(t.Context(), stateKey, name, strange).Err(); err != nil {
			t.Fatal(err)
		}
		var batch *broker.BatchError
		if err := b.Enqueue(t.Context(), tasks); !errors.As(err, &batch) || !errors.Is(batch.Errs[0], broker.ErrVersion) || !strings.Contains(err.Error(), "version 2") {
			t.Errorf("the same tasks again: %v", err)
		}
		if st, err := b.Lookup(t.Context(), []broker.ID{tasks[1].ID}); err != nil || !errors.Is(st[0].Err, broker.ErrVersion) {
			t.Errorf("look-up: %v, %v", st, err)
		}
		if v, err := b.Cancel(t.Context(), []broker.ID{newTask("q").ID, tasks[1].ID}); err != nil || v[1] != broker.CancelUnknown {
			t.Errorf("cancel: %v, %v", v, err)
		}
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		for i, d := range dequeue(t, c, 3, 5*time.Second, "q") {
			if err := settle(t, c, succeed(d, fmt.Sprint(i)))[0]; err != nil {
				t.Error(err)
			}
		}
		if s := fields(t, raw)[name]; s != strange {
			t.Error("the block was overwritten")
		}
	})
}

// A run of another version is left as it is, and does not keep other runs from being swept.
func TestRunOfAnotherVersion(t *testing.T) {
	t.Parallel()
	s := miniredis.RunT(t)
	now := time.Now()
	s.SetTime(now)
	url := "redis://" + s.Addr()
	b, raw := open(t, url), rawClient(t, url)
	tasks := siblings(3)
	enqueue(t, b, tasks...)
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	for _, d := range dequeue(t, c, 3, 5*time.Second, "q") {
		if err := settle(t, c, succeed(d, "r"))[0]; err != nil {
			t.Fatal(err)
		}
	}
	wantFields(t, raw, 1, 3, 0)
	name := string(tasks[1].ID[:broker.BlockPrefix]) + "r\x02"
	if err := raw.HSet(t.Context(), stateKey, name, "\x03, as a later build may write it").Err(); err != nil {
		t.Fatal(err)
	}
	s.SetTime(now.Add(2 * time.Hour))
	c = consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	if err := c.Heartbeat(t.Context(), broker.Load{}); err != nil {
		t.Fatal(err)
	}
	wantFields(t, raw, 1, 1, 0)
	if got := fields(t, raw)[name]; got != "\x03, as a later build may write it" {
		t.Errorf("the run has changed to %x", got)
	}
}
