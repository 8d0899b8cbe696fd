package redis_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/broker/wire"
)

const aboutKey = "{" + redis.DefaultNamespace + ":q}:about"

// about counts the fields of the hash about: those with metadata and those with last failures.
func about(t *testing.T, raw *goredis.Client) (metas, failures int) {
	t.Helper()
	names, err := raw.HKeys(t.Context(), aboutKey).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		switch {
		case len(name) == 16:
			metas++
		case len(name) == 17 && name[16] == 'f':
			failures++
		default:
			t.Fatalf("unexpected field %x in the hash about", name)
		}
	}
	return metas, failures
}

// failing returns a settlement that retries a task after a failure.
func failing(d *broker.Delivery, delay time.Duration) broker.Settlement {
	return broker.Settlement{Delivery: d, Verb: broker.VerbRetry, Delay: delay, Outcome: broker.Outcome{
		Err: &broker.Failure{Type: "*errors.errorString", Message: "bad"}, Finished: time.Now(),
	}}
}

// A task without metadata that never fails has no field in the hash about, however it is
// settled.
func TestAboutCostsNothing(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		tasks := append(siblings(40), newTask("q"), large(), newTask("q", func(x *broker.Task) { x.Meta = map[string]string{} }))
		enqueue(t, b, tasks...)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 100})
		var batch []broker.Settlement
		for i, d := range dequeue(t, c, len(tasks), 5*time.Second, "q") {
			switch i % 4 {
			case 0:
				batch = append(batch, succeed(d, "r"))
			case 1: // a retry without an error
				batch = append(batch, broker.Settlement{Delivery: d, Verb: broker.VerbRetry})
			case 2:
				batch = append(batch, broker.Settlement{Delivery: d, Verb: broker.VerbSnooze, Delay: time.Hour})
			}
		}
		for _, err := range settle(t, c, batch...) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if n, err := raw.Exists(t.Context(), aboutKey).Result(); n != 0 || err != nil {
			t.Errorf("the hash about exists: %d, %v", n, err)
		}
	})
}

// The last failure of a task is removed when the task ends, and its metadata when its state is
// swept. In the end the hash about does not exist.
func TestAboutIsForgotten(t *testing.T) {
	s := miniredis.RunT(t)
	now := time.Now()
	s.SetTime(now)
	url := "redis://" + s.Addr()
	b, raw := open(t, url), rawClient(t, url)
	meta := func(x *broker.Task) { x.Meta = map[string]string{"k": strings.Repeat("v", 100)} }
	tasks := append(siblings(20, meta), newTask("q", meta), large(meta), newTask("q", meta, func(x *broker.Task) { x.DeadFor = 3 * time.Hour }))
	brief := append(siblings(3, meta, func(x *broker.Task) { x.Retention, x.DeadFor = 0, 0 }),
		newTask("q", meta, func(x *broker.Task) { x.Retention, x.DeadFor = 0, 0 }))
	enqueue(t, b, append(tasks, brief...)...)
	want := func(when string, metas, failures int) {
		t.Helper()
		if m, f := about(t, raw); m != metas || f != failures {
			t.Fatalf("%s: %d metadata and %d failures, want %d and %d", when, m, f, metas, failures)
		}
	}
	n := len(tasks) + len(brief)
	want("stored", n, 0)
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 100})
	accept := func(batch ...broker.Settlement) {
		t.Helper()
		for i, err := range settle(t, c, batch...) {
			if err != nil {
				t.Fatalf("settlement %d: %v", i, err)
			}
		}
	}
	var batch []broker.Settlement
	for range 2 { // a second failure takes the place of the first one
		batch = nil
		for _, d := range dequeue(t, c, n, 5*time.Second, "q") {
			batch = append(batch, failing(d, 0))
		}
		accept(batch...)
		want("failed", n, n)
	}
	ids := []broker.ID{tasks[0].ID, tasks[5].ID, tasks[21].ID}
	if _, err := b.Cancel(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
	want("some are canceled", n, n-3)
	batch = nil
	for _, d := range dequeue(t, c, n-3, 5*time.Second, "q") {
		end := succeed(d, "r")
		if d.ID == tasks[22].ID { // a dead letter
			end.Outcome = broker.Outcome{State: broker.StateFailed, Codec: "json", Name: d.Name}
		}
		batch = append(batch, end)
	}
	accept(batch...)
	want("all have ended", len(tasks), 0)
	accept(batch...) // once more, as after a lost reply
	want("settled again", len(tasks), 0)
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
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
	sweep(2 * time.Hour)
	want("only the dead letter is left", 1, 0)
	sweep(4 * time.Hour)
	if n, err := raw.Exists(t.Context(), aboutKey).Result(); n != 0 || err != nil {
		t.Errorf("the hash about is left: %d, %v", n, err)
	}
}

// A minion of an older build does not remove the last failure when a task ends. It is removed
// when the state of the task is swept.
func TestAboutOfAnOlderMinion(t *testing.T) {
	s := miniredis.RunT(t)
	now := time.Now()
	s.SetTime(now)
	url := "redis://" + s.Addr()
	b, raw := open(t, url), rawClient(t, url)
	tasks := siblings(2)
	enqueue(t, b, tasks...)
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 2})
	for _, d := range dequeue(t, c, 2, 5*time.Second, "q") {
		if err := raw.HSet(t.Context(), aboutKey, string(d.ID[:])+"f", wire.AppendLastFailure(nil, d.Name, &broker.LastFailure{})).Err(); err != nil {
			t.Fatal(err)
		}
		if err := settle(t, c, succeed(d, "r"))[0]; err != nil {
			t.Fatal(err)
		}
	}
	if _, f := about(t, raw); f != 2 {
		t.Fatalf("%d failures", f)
	}
	s.SetTime(now.Add(2 * time.Hour))
	c = consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	if err := c.Heartbeat(t.Context(), broker.Load{}); err != nil {
		t.Fatal(err)
	}
	if n, err := raw.Exists(t.Context(), aboutKey).Result(); n != 0 || err != nil {
		t.Errorf("the hash about is left: %d, %v", n, err)
	}
}

// An earlier try may have left a large record in which the metadata is at another offset. A
// look-up still returns the metadata of the task that was stored.
func TestAboutOfOrphanedRecord(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		x := large(func(x *broker.Task) { x.Meta = map[string]string{"k": "v"} })
		enqueue(t, b, newTask("q")) // registers the queue
		before := *x
		before.Meta, before.Unique.Key = map[string]string{"longer": "than that"}, ""
		if err := raw.Set(t.Context(), recordKey(x), wire.AppendRecord(nil, &before), time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		enqueue(t, b, x)
		if st, err := b.Lookup(t.Context(), []broker.ID{x.ID}); err != nil || st[0].Meta["k"] != "v" {
			t.Errorf("%+v, %v", st, err)
		}
	})
}

// A field that can't be read is left out of a look-up, and logged. The look-up does not fail,
// since a caller that waits for a result depends on it.
func TestAboutMalformed(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		var logged strings.Builder
		b, raw := open(t, url, redis.Logger(slog.New(slog.NewTextHandler(&logged, nil)))), rawClient(t, url)
		x := newTask("q")
		enqueue(t, b, x)
		for _, field := range []string{string(x.ID[:]), string(x.ID[:]) + "f"} {
			if err := raw.HSet(t.Context(), aboutKey, field, "\x01nonsense").Err(); err != nil {
				t.Fatal(err)
			}
			logged.Reset()
			st, err := b.Lookup(t.Context(), []broker.ID{x.ID})
			if err != nil || st[0].State != broker.StatePending || st[0].Meta != nil || st[0].Failed != nil {
				t.Errorf("look-up: %+v, %v", st, err)
			}
			if !strings.Contains(logged.String(), x.ID.String()) {
				t.Errorf("logged: %s", logged.String())
			}
			if err := raw.HDel(t.Context(), aboutKey, field).Err(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
