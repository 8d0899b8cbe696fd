package redis_test

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// scriptMost is the longest time that a script may take. The server does nothing else meanwhile.
const scriptMost = 20 * time.Millisecond

// commands returns how many commands a server has executed, including those of scripts.
func commands(t *testing.T, raw *goredis.Client) (n int) {
	t.Helper()
	text, err := raw.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if _, rest, ok := strings.Cut(line, ":calls="); ok {
			calls, _, _ := strings.Cut(rest, ",")
			one, err := strconv.Atoi(calls)
			if err != nil {
				t.Fatal(line, err)
			}
			n += one
		}
	}
	return n
}

// No script takes long, also with the largest batch of tasks and 200 minions in the queue. A
// cancel looks into the hash of each minion once for many tasks, and not once for each.
func TestNoLongScripts(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	redistest.ShortScripts(t, path, scriptMost, noLongScripts)
}

func noLongScripts(t *testing.T, server *redistest.Server) {
	const minions, n = 200, broker.MaxBatch
	b, raw, ctx := open(t, server.URL()), server.Client(), t.Context()
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 2 * n})
	base := "{" + redis.DefaultNamespace + ":q}:"
	until := float64(time.Now().Add(time.Hour).UnixMilli())
	var running []broker.ID
	pipe := raw.Pipeline()
	for i := range minions {
		id := broker.NewID(broker.KindParty, "", 0)
		pipe.ZAdd(ctx, base+"minions", goredis.Z{Score: until, Member: string(id[:])})
		for range n / minions {
			x := newTask("q")
			record := wire.AppendRecord(nil, x)
			pipe.HSet(ctx, base+"flight:"+hex.EncodeToString(id[:]), x.ID[:], record)
			pipe.HSet(ctx, base+"state", x.ID[:], record[25:45])
			running = append(running, x.ID)
		}
		if i%2 == 0 { // a task that is not looked up
			x := newTask("q")
			pipe.HSet(ctx, base+"flight:"+hex.EncodeToString(id[:]), x.ID[:], wire.AppendRecord(nil, x))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}

	found, err := b.Lookup(ctx, running)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range found {
		if st.State != broker.StateRunning {
			t.Fatalf("%+v", st)
		}
	}
	waiting := make([]*broker.Task, n)
	for i := range waiting {
		waiting[i] = newTask("q", func(x *broker.Task) {
			x.Unique.Key = fmt.Sprint("k", i)
			x.Delay = time.Duration(i%3) * time.Millisecond
			x.Meta = map[string]string{"a": "b"}
		})
	}
	enqueue(t, b, waiting...)
	// Each task replaces another one: half of them are pending, so it must be known that no minion has them.
	replacing := make([]*broker.Task, n)
	for i := range replacing {
		x := *waiting[i]
		x.ID = broker.NewTaskID("q", "")
		x.Unique.OnConflict, x.Unique.For = broker.ConflictReplace, time.Hour
		replacing[i] = &x
	}
	enqueue(t, b, replacing...)
	waiting = replacing
	cancel := make([]broker.ID, 0, n)
	want := make([]broker.CancelVerdict, 0, n)
	for i := range n / 2 {
		cancel = append(cancel, running[i], waiting[i].ID)
		want = append(want, broker.CancelRequested, broker.CancelPrevented)
	}
	before := commands(t, raw)
	verdicts, err := b.Cancel(ctx, cancel)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if verdicts[i] != want[i] {
			t.Fatalf("verdict %d: %v, want %v", i, verdicts[i], want[i])
		}
	}
	if asked := commands(t, raw) - before; asked > 40*n {
		t.Errorf("a cancel of %d tasks took %d commands with %d minions, want at most 40 for each task", n, asked, minions)
	}

	got := dequeue(t, c, n/2, 5*time.Second, "q")
	var batch []broker.Settlement
	for _, d := range got {
		s := succeed(d, "")
		s.Outcome.State, s.Outcome.Result, s.Outcome.Err = broker.StateFailed, nil, &broker.Failure{Message: "no", Stack: strings.Repeat("x", 500)}
		batch = append(batch, s)
	}
	settle(t, c, batch...)
	var dead []broker.ID
	for _, d := range got {
		dead = append(dead, d.ID)
	}
	errs, err := b.Requeue(ctx, dead)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Heartbeat(ctx, broker.Load{}); err != nil {
		t.Fatal(err)
	}
}

// No script takes long with the largest batches of tasks that have lanes.
func TestNoLongScriptsWithLanes(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	for _, c := range []struct {
		name string
		set  func(x *broker.Task, n int)
	}{
		{"many limits", func(*broker.Task, int) {}},
		{"limits and keys of their own", func(x *broker.Task, n int) {
			x.Lane.Key = fmt.Sprint(n)
			for i := range x.Lane.Limits {
				x.Lane.Limits[i].Key = x.Lane.Key
			}
		}},
		{"sequences of their own", func(x *broker.Task, n int) { x.Lane.Sequence = fmt.Sprint(n) }},
		{"delays", func(x *broker.Task, _ int) { x.Delay = time.Millisecond }},
		{"unique keys", func(x *broker.Task, n int) { x.Unique.Key = fmt.Sprint(n) }},
		{"other tasks between them", func(x *broker.Task, n int) {
			if n%2 == 0 {
				x.Lane = nil
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			redistest.ShortScripts(t, path, scriptMost, func(t *testing.T, server *redistest.Server) { laneScripts(t, server, c.set) })
		})
	}
}

func laneScripts(t *testing.T, server *redistest.Server, set func(x *broker.Task, n int)) {
	const n, batches = broker.MaxBatch, 3
	b, ctx := open(t, server.URL()), t.Context()
	for i := range broker.MaxCharges {
		if err := b.SetLimit(ctx, "q", broker.Limit{Name: fmt.Sprint("limit", i), Most: 1_000_000}); err != nil {
			t.Fatal(err)
		}
	}
	submit := func(first int) {
		batch := make([]*broker.Task, n)
		for i := range batch {
			batch[i] = newTask("q", func(x *broker.Task) {
				x.Lane = &broker.Lane{Priority: uint8(i % 10), Key: fmt.Sprint("tenant", i%50)}
				for l := range broker.MaxCharges {
					x.Lane.Limits = append(x.Lane.Limits, broker.Charge{Limit: fmt.Sprint("limit", l), Cost: 1})
				}
				set(x, first+i)
			})
		}
		enqueue(t, b, batch...)
	}
	for i := range batches {
		submit(i * n)
	}
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: batches * n})
	got := dequeue(t, c, batches*n, time.Minute, "q")

	// Some succeed; others are retried at once or later, or given back. The last ones are lost with the minion.
	part := len(got) / 5
	settlements := make([]broker.Settlement, 0, len(got))
	for i, d := range got[:4*part] {
		s := succeed(d, "")
		switch i / part {
		case 1:
			s.Verb, s.Outcome = broker.VerbRetry, broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "no"}, Name: d.Name, Attempts: d.Attempt}
		case 2:
			s.Verb, s.Outcome, s.Delay = broker.VerbSnooze, broker.Outcome{}, time.Millisecond
		case 3:
			s.Verb, s.Outcome, s.Unstarted = broker.VerbGiveBack, broker.Outcome{}, true
		}
		settlements = append(settlements, s)
	}
	settle(t, c, settlements...)
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}

	// What is left is handed out again, and fails. Its dead letters are requeued and then cancelled.
	c = consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: batches * n})
	got = dequeue(t, c, 4*part, time.Minute, "q")
	settlements, dead := settlements[:0], make([]broker.ID, 0, len(got))
	for _, d := range got {
		s := succeed(d, "")
		s.Outcome.State, s.Outcome.Result, s.Outcome.Err = broker.StateFailed, nil, &broker.Failure{Message: "no"}
		settlements, dead = append(settlements, s), append(dead, d.ID)
	}
	settle(t, c, settlements...)
	errs, err := b.Requeue(ctx, dead)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	verdicts, err := b.Cancel(ctx, dead)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range verdicts {
		if v != broker.CancelPrevented {
			t.Fatalf("a requeued task could not be cancelled: %v", v)
		}
	}
}

// A cancel of many tasks in a queue with many minions takes several scripts. All waiting
// tasks are canceled before a minion is told to stop a running one. Otherwise the slot that
// becomes free could start one of the waiting tasks.
func TestCancelTellsLast(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		const minions, n = 300, 200
		b, raw, ctx := open(t, url), rawClient(t, url), t.Context()
		base := "{" + redis.DefaultNamespace + ":q}:"
		until := float64(time.Now().Add(time.Hour).UnixMilli())
		pipe := raw.Pipeline()
		for range minions {
			id := broker.NewID(broker.KindParty, "", 0)
			pipe.ZAdd(ctx, base+"minions", goredis.Z{Score: until, Member: string(id[:])})
		}
		if _, err := pipe.Exec(ctx); err != nil {
			t.Fatal(err)
		}
		tasks := make([]*broker.Task, n)
		ids := make([]broker.ID, n)
		for i := range tasks {
			tasks[i] = newTask("q")
			ids[i] = tasks[i].ID
		}
		enqueue(t, b, tasks...)
		other := open(t, url)
		told := make(chan []broker.State, 1)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, OnCancel: func(broker.ID) {
			found, err := other.Lookup(ctx, ids[1:])
			if err != nil {
				t.Error(err)
			}
			states := make([]broker.State, len(found))
			for i := range found {
				states[i] = found[i].State
			}
			select {
			case told <- states:
			default:
			}
		}})
		if d := dequeue(t, c, 1, time.Second, "q")[0]; d.ID != ids[0] {
			t.Fatal("another task came first")
		}
		verdicts, err := b.Cancel(ctx, ids)
		if err != nil || verdicts[0] != broker.CancelRequested || verdicts[n-1] != broker.CancelPrevented {
			t.Fatalf("%v, %v", verdicts, err)
		}
		for i, s := range <-told {
			if s != broker.StateCanceled {
				t.Fatalf("task %d was %v when the minion was told", i+1, s)
			}
		}
	})
}
