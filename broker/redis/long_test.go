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
	const minions, n = 200, broker.MaxBatch
	server := redistest.Start(t, path)
	b, raw, ctx := open(t, server.URL()), server.Client(), t.Context()
	watch := redistest.WatchScripts(t, server, scriptMost)
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
	long := watch.Stop()
	if err := redistest.Tells(); err != nil {
		t.Log(err)
		return
	}
	for _, l := range long {
		t.Error(l)
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
