package redis_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

// onEach runs a test on miniredis and on a real server. The short form leaves out miniredis if there
// is a server.
func onEach(t *testing.T, body func(t *testing.T, url string)) {
	path := redistest.Path(t)
	if path == "" || testform.Long() {
		t.Run("miniredis", func(t *testing.T) {
			body(t, "redis://"+miniredis.RunT(t).Addr())
		})
	}
	if path != "" {
		t.Run("redis-server", func(t *testing.T) {
			body(t, "redis://"+redistest.Start(t, path).Addr)
		})
	}
}

// unhurried is a lease that outlasts every test, also on a slow machine. A consumer that a
// test calls by hand sends no heartbeats by itself.
var unhurried = redis.Lease(5 * time.Minute)

// open opens a broker, with that lease unless an option says otherwise. It is closed when the
// test ends.
func open(t *testing.T, url string, opts ...redis.Option) *redis.Broker {
	t.Helper()
	opts = append([]redis.Option{unhurried}, opts...)
	b, err := redis.Open(t.Context(), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// newTask returns a task with usual values, after the changes.
func newTask(queue string, change ...func(*broker.Task)) *broker.Task {
	task := &broker.Task{
		ID: broker.NewID(broker.KindTask, queue, 0), Name: "simple_add", Queue: queue, Codec: "msgpack",
		Payload: []byte{0x92, 1, 2}, Retries: broker.DefaultRetries,
		Retention: broker.DefaultRetention, DeadFor: broker.DefaultDeadRetention,
		Enqueued: time.UnixMilli(1_700_000_000_000).UTC(),
	}
	for _, c := range change {
		c(task)
	}
	return task
}

// consume opens a consumer, which is closed when the test ends.
func consume(t *testing.T, b broker.Broker, cfg broker.ConsumerConfig) broker.Consumer {
	t.Helper()
	if cfg.Slots == 0 {
		cfg.Slots = 10
	}
	c, err := b.Consume(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// dequeue returns want tasks. The wait is the time that an idle machine needs; dequeue waits
// ten times as long before it fails the test.
func dequeue(t *testing.T, c broker.Consumer, want int, wait time.Duration, queues ...string) []*broker.Delivery {
	t.Helper()
	var out []*broker.Delivery
	end := time.Now().Add(10 * wait)
	for len(out) < want && time.Now().Before(end) {
		got, err := c.Dequeue(t.Context(), queues, want-len(out), time.Until(end))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, got...)
	}
	if len(out) != want {
		t.Fatalf("dequeued %d tasks, want %d", len(out), want)
	}
	return out
}

// settle settles a batch and returns the error of each settlement.
func settle(t *testing.T, c broker.Consumer, batch ...broker.Settlement) []error {
	t.Helper()
	errs, err := c.Settle(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	return errs
}

// succeed returns a settlement with a result.
func succeed(d *broker.Delivery, result string) broker.Settlement {
	return broker.Settlement{Delivery: d, Outcome: broker.Outcome{
		State: broker.StateSucceeded, Codec: "msgpack", Result: []byte(result), Name: d.Name, Attempts: d.Attempt,
	}}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		box := broker.NewID(broker.KindParty, "", 0)
		in, err := b.Inbox(t.Context(), box)
		if err != nil {
			t.Fatal(err)
		}
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		task := newTask("q", func(x *broker.Task) { x.Inbox = box; x.Meta = map[string]string{"a": "b"} })
		for range 2 { // the second call changes nothing
			if err := b.Enqueue(t.Context(), []*broker.Task{task}); err != nil {
				t.Fatal(err)
			}
		}
		d := dequeue(t, c, 1, time.Second, "q")[0]
		if d.ID != task.ID || d.Attempt != 1 || d.Meta["a"] != "b" || d.Inbox != box || d.Left != broker.NoDeadline {
			t.Fatalf("got %+v", d)
		}
		st, err := b.Lookup(t.Context(), []broker.ID{task.ID, broker.NewID(broker.KindTask, "q", 0)})
		if err != nil || st[0].State != broker.StateRunning || st[0].Minion != c.ID() || st[1].State != broker.StateUnknown {
			t.Fatalf("look-up: %+v, %v", st, err)
		}
		for range 2 { // a repetition is accepted, since the first reply may have been lost
			if errs := settle(t, c, succeed(d, "3")); errs[0] != nil {
				t.Fatal(errs)
			}
		}
		mail, err := in.Receive(t.Context())
		if err != nil || len(mail.Notices) != 1 || mail.Notices[0].ID != task.ID {
			t.Fatalf("mail %+v, %v", mail, err)
		}
		if o, err := wire.ParseOutcome(mail.Notices[0].Record); err != nil || string(o.Result) != "3" {
			t.Fatalf("the notice has the outcome %+v, %v", o, err)
		}
		if st, err = b.Lookup(t.Context(), []broker.ID{task.ID}); err != nil || st[0].State != broker.StateSucceeded || string(st[0].Outcome.Result) != "3" {
			t.Fatalf("look-up: %+v, %v", st, err)
		}
		if err := b.Enqueue(t.Context(), []*broker.Task{task}); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Dequeue(t.Context(), []string{"q"}, 1, 0); err != nil || len(got) > 0 {
			t.Fatalf("a repeated Enqueue made a second task: %v, %v", got, err)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		var tasks []*broker.Task
		for range 5 {
			tasks = append(tasks, newTask("q"))
		}
		later := newTask("q", func(x *broker.Task) { x.Delay = time.Hour; x.Unique.Key = "k" })
		if err := b.Enqueue(t.Context(), append(tasks, later)); err != nil {
			t.Fatal(err)
		}
		told := make(chan broker.ID, 10)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, OnCancel: func(id broker.ID) { told <- id }})
		first := dequeue(t, c, 1, time.Second, "q")[0]
		verdicts, err := b.Cancel(t.Context(), []broker.ID{tasks[2].ID, first.ID, later.ID, broker.NewID(broker.KindTask, "q", 0)})
		want := []broker.CancelVerdict{broker.CancelPrevented, broker.CancelRequested, broker.CancelPrevented, broker.CancelUnknown}
		if err != nil || !slices.Equal(verdicts, want) {
			t.Fatalf("verdicts %v, %v", verdicts, err)
		}
		if id := <-told; id != first.ID {
			t.Fatalf("OnCancel was called with %v, want the running task", id)
		}
		if errs := settle(t, c, broker.Settlement{Delivery: first, Verb: broker.VerbRetry}); errs[0] != nil {
			t.Fatal(errs)
		}
		for _, d := range dequeue(t, c, 3, time.Second, "q") {
			if d.ID == tasks[2].ID || d.ID == first.ID {
				t.Fatalf("a task that was cancelled while it waited was handed out")
			}
		}
		again := newTask("q", func(x *broker.Task) { x.Unique.Key = "k" })
		if err := b.Enqueue(t.Context(), []*broker.Task{again}); err != nil {
			t.Fatal(err)
		}
		if d := dequeue(t, c, 1, time.Second, "q")[0]; d.ID != again.ID {
			t.Fatalf("got %v, want the task that was not cancelled", d.ID)
		}
		st, err := b.Lookup(t.Context(), []broker.ID{first.ID, tasks[2].ID, later.ID})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range st {
			if s.State != broker.StateCanceled {
				t.Errorf("%+v", s)
			}
		}
	})
}

func TestDeadMinion(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, lasting := open(t, url, redis.Lease(2*time.Second)), open(t, url)
		const n = 2500
		var tasks []*broker.Task
		for range n {
			tasks = append(tasks, newTask("q"))
		}
		if err := b.Enqueue(t.Context(), tasks); err != nil {
			t.Fatal(err)
		}
		dead := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		old := dequeue(t, dead, n, 5*time.Second, "q")
		alive := consume(t, lasting, broker.ConsumerConfig{Queues: []string{"q"}})
		seen := map[broker.ID]bool{}
		for end := time.Now().Add(time.Minute); len(seen) < n && time.Now().Before(end); {
			if err := alive.Heartbeat(t.Context(), broker.Load{}); err != nil {
				t.Fatal(err)
			}
			got, err := alive.Dequeue(t.Context(), []string{"q"}, 1000, 50*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range got {
				if seen[d.ID] || d.Attempt != 2 || d.Recoveries != 1 || d.Retried != 0 {
					t.Fatalf("delivery %+v", d)
				}
				seen[d.ID] = true
			}
		}
		if len(seen) != n {
			t.Fatalf("%d tasks came back, want %d", len(seen), n)
		}
		if errs := settle(t, dead, succeed(old[0], "late")); !errors.Is(errs[0], broker.ErrLeaseLost) {
			t.Fatalf("late settlement: %v", errs[0])
		}
		if err := dead.Heartbeat(t.Context(), broker.Load{}); !errors.Is(err, broker.ErrLeaseLost) {
			t.Fatalf("late heartbeat: %v", err)
		}
	})
}

func TestDelayAndWake(t *testing.T) {
	t.Parallel()
	busy := stall.Start(t)
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		for _, queues := range [][]string{{"one"}, {"two", "three"}} {
			c := consume(t, b, broker.ConsumerConfig{Queues: queues})
			for _, delay := range []time.Duration{0, 200 * time.Millisecond} {
				got := make(chan time.Time, 1)
				go func() {
					out, err := c.Dequeue(context.Background(), queues, 1, time.Minute)
					if err != nil || len(out) != 1 {
						t.Errorf("dequeue: %v, %v", out, err)
					}
					got <- time.Now()
				}()
				time.Sleep(50 * time.Millisecond) // so that it most likely waits
				start := time.Now()
				if err := b.Enqueue(t.Context(), []*broker.Task{newTask(queues[len(queues)-1], func(x *broker.Task) { x.Delay = delay })}); err != nil {
					t.Fatal(err)
				}
				took := (<-got).Sub(start)
				if took < delay-2*time.Millisecond || took > busy.Late(delay+3*time.Second) { // without a wake-up it would look after 5 s
					t.Errorf("queues %v: a delay of %v took %v", queues, delay, took)
				}
				t.Logf("queues %v: delay %v, came after %v", queues, delay, took)
			}
		}
	})
}

func TestUniqueAndContent(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		first := newTask("q", func(x *broker.Task) { x.Unique.Key = "k" })
		second := newTask("q", func(x *broker.Task) { x.Unique.Key = "k" })
		other := *first
		other.Payload = []byte("other")
		err := b.Enqueue(t.Context(), []*broker.Task{first, second, &other, first})
		var batch *broker.BatchError
		if !errors.As(err, &batch) || batch.Errs[0] != nil || batch.Errs[3] != nil {
			t.Fatal(err)
		}
		var dup *broker.DuplicateError
		if !errors.As(batch.Errs[1], &dup) || dup.Holder != first.ID || dup.Key != "k" {
			t.Fatal(batch.Errs[1])
		}
		if !errors.As(batch.Errs[2], &dup) || dup.Holder != first.ID || dup.Key != "" {
			t.Fatal(batch.Errs[2])
		}
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		settle(t, c, succeed(dequeue(t, c, 1, time.Second, "q")[0], ""))
		if err := b.Enqueue(t.Context(), []*broker.Task{second}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestForeignRecords(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url, redis.Namespace("ns"))
		opts, err := goredis.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		raw := goredis.NewClient(opts)
		defer func() { _ = raw.Close() }()
		good := newTask("q")
		if err := b.Enqueue(t.Context(), []*broker.Task{good}); err != nil {
			t.Fatal(err)
		}
		broken := wire.AppendRecord(nil, newTask("q"))
		broken = append(broken[:wire.HeadSize], 0xc1)
		newer := wire.AppendRecord(nil, newTask("q"))
		newer[0] = 99
		raw.LPush(t.Context(), "{ns:q}:ready", "rubbish", "", newer, broken)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		var ok, bad int
		for _, d := range dequeue(t, c, 2, time.Second, "q") {
			if d.Err == nil {
				ok++
				continue
			}
			bad++
			s := succeed(d, "")
			s.Outcome.State, s.Outcome.Err = broker.StateFailed, &broker.Failure{Message: d.Err.Error()}
			settle(t, c, s)
		}
		if ok != 1 || bad != 1 {
			t.Errorf("%d good and %d bad tasks", ok, bad)
		}
		info, err := b.Queues(t.Context())
		if err != nil || len(info) != 1 || info[0].Unreadable != 3 || info[0].Dead != 1 || info[0].Running != 1 || info[0].Pending != 0 {
			t.Errorf("%+v, %v", info, err)
		}
		dead, _, err := b.DeadLetters(t.Context(), "q", "", 10)
		if err != nil || len(dead) != 1 || !strings.Contains(dead[0].Outcome.Err.Message, "malformed") {
			t.Errorf("%+v, %v", dead, err)
		}
		if errs, err := b.Requeue(t.Context(), []broker.ID{dead[0].Task.ID, good.ID}); err != nil || errs[0] != nil || !errors.Is(errs[1], broker.ErrNotFound) {
			t.Errorf("requeue: %v, %v", errs, err)
		}
	})
}

func TestEvents(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		now, err := b.Subscribe(t.Context(), "t", broker.CursorNow)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = now.Close() }()
		if err := b.Publish(t.Context(), []broker.Event{{Topic: "t", Payload: []byte("1")}, {Topic: "t", Payload: []byte("2")}}); err != nil {
			t.Fatal(err)
		}
		got, missed, err := now.Receive(t.Context())
		if err != nil || missed || len(got) != 2 || string(got[1].Payload) != "2" {
			t.Fatalf("%v %v %v", got, missed, err)
		}
		resumed, err := b.Subscribe(t.Context(), "t", got[0].Cursor)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resumed.Close() }()
		if got, missed, err = resumed.Receive(t.Context()); err != nil || missed || len(got) != 1 || string(got[0].Payload) != "2" {
			t.Fatalf("%v %v %v", got, missed, err)
		}
	})
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]error{
		"redis://127.0.0.1:1/0":                 broker.ErrUnavailable,
		"http://127.0.0.1":                      broker.ErrInvalid,
		"redis+sentinel://a,b":                  broker.ErrInvalid,
		"redis+cluster://a,,b":                  broker.ErrInvalid,
		"redis+sentinel://127.0.0.1:1/master/0": broker.ErrUnavailable,
	} {
		_, err := redis.Open(t.Context(), url)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", url, err, want)
		} else {
			t.Log(err)
		}
	}
	if _, err := redis.Open(t.Context(), "redis://127.0.0.1:1", redis.Namespace("a b")); !errors.Is(err, broker.ErrInvalid) {
		t.Error(err)
	}
}
