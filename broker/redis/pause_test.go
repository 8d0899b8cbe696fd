package redis_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// keysOf returns the keys of queue q in a namespace, without those that every queue has.
func keysOf(t *testing.T, raw *goredis.Client, space string) []string {
	t.Helper()
	base := "{" + space + ":q}:"
	found, err := raw.Keys(t.Context(), base+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, key := range found {
		name := strings.TrimPrefix(key, base)
		token := name == "ready" && slices.Equal(raw.LRange(t.Context(), key, 0, -1).Val(), []string{"!"})
		usual := slices.Contains([]string{"meta", "minions", "state", "keep", "watch"}, name) || strings.HasPrefix(name, "keep:") || strings.HasPrefix(name, "flight:") ||
			strings.HasPrefix(name, "claim:")
		if !token && !usual {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// A pause leaves no keys when it is resumed and its tasks are done. Minions then take tasks with blocking
// moves again.
func TestPauseLeavesNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		const space = "pausekeys"
		b, raw := open(t, url, redis.Namespace(space)), rawClient(t, url)
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		are := func(when string, names ...string) {
			t.Helper()
			if got := keysOf(t, raw, space); !slices.Equal(got, names) {
				t.Errorf("%s: the keys are %q, want %q", when, got, names)
			}
		}
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		none := func() {
			t.Helper()
			if got, err := c.Dequeue(t.Context(), []string{"q"}, 10, 50*time.Millisecond); err != nil || len(got) > 0 {
				t.Fatalf("%d tasks were handed out, %v", len(got), err)
			}
		}
		done := func(n int) {
			t.Helper()
			for _, d := range dequeue(t, c, n, 5*time.Second, "q") {
				errs, err := c.Settle(t.Context(), []broker.Settlement{succeed(d, "")})
				check(err)
				check(errs[0])
			}
		}
		named := func(name string) func(*broker.Task) { return func(x *broker.Task) { x.Name = name } }
		whole, a, k := broker.Pause{}, broker.Pause{Task: "a"}, broker.Pause{Key: "k"}
		ofKey := func(x *broker.Task) { x.Lane = &broker.Lane{Priority: 5, Key: "k"} }

		check(b.Pause(t.Context(), "q", whole))
		are("paused", "held", "paused")
		enqueue(t, b, newTask("q"), newTask("q"))
		none()
		are("paused, with tasks", "held", "paused")
		check(b.Resume(t.Context(), "q", whole))
		are("resumed", "held")
		done(2)
		none()
		are("done")

		check(b.Pause(t.Context(), "q", a))
		check(b.Pause(t.Context(), "q", k))
		enqueue(t, b, newTask("q", named("a")), newTask("q"), newTask("q", named("a"), ofKey))
		done(1)
		none()
		are("a name and a key are paused", "aside", "held", "later", "paused")
		check(b.Resume(t.Context(), "q", k))
		none()
		are("the name is paused", "aside", "held", "later", "paused")
		check(b.Resume(t.Context(), "q", a))
		are("resumed", "back", "held", "later")
		done(2)
		none()
		are("done")

		// A queue that nobody serves is resumed, and is clean when the round has visited it.
		x := newTask("q", named("a"))
		check(b.Pause(t.Context(), "q", a))
		enqueue(t, b, x)
		none()
		if _, err := b.Cancel(t.Context(), []broker.ID{x.ID}); err != nil {
			t.Fatal(err)
		}
		are("all have ended", "held", "paused")
		check(b.Resume(t.Context(), "q", a))
		are("resumed")
	})
}

// A process may die when it has changed a part of the partitions. The next call does the rest, and
// a queue that is paused in a part is listed as paused.
func TestPauseOfAPart(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		const space, parts = "pauseparts", 4
		b, raw := open(t, url, redis.Namespace(space), redis.Partitions(parts)), rawClient(t, url)
		if err := b.Pause(t.Context(), "q", broker.Pause{}); err != nil {
			t.Fatal(err)
		}
		for range 40 {
			enqueue(t, b, newTask("q"))
		}
		for i := 1; i < parts; i++ { // as if the process had died after the first partition
			if err := raw.HDel(t.Context(), fmt.Sprintf("{%s:q:%d}:paused", space, i), "").Err(); err != nil {
				t.Fatal(err)
			}
		}
		infos, err := b.Pauses(t.Context(), "q")
		queues, bad := b.Queues(t.Context())
		if err != nil || bad != nil || len(infos) != 1 || len(queues) != 1 || !queues[0].Paused || queues[0].Pending != 40 {
			t.Errorf("pauses %+v, queues %+v, %v, %v", infos, queues, err, bad)
		}
		if err := b.Pause(t.Context(), "q", broker.Pause{}); err != nil {
			t.Fatal(err)
		}
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		if got, err := c.Dequeue(t.Context(), []string{"q"}, 40, 100*time.Millisecond); err != nil || len(got) > 0 {
			t.Errorf("%d tasks were handed out, %v", len(got), err)
		}
		for i := range parts / 2 { // the end of a pause stops halfway
			if err := raw.HDel(t.Context(), fmt.Sprintf("{%s:q:%d}:paused", space, i), "").Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Resume(t.Context(), "q", broker.Pause{}); err != nil {
			t.Fatal(err)
		}
		dequeue(t, c, 40, 5*time.Second, "q")
	})
}

// Scripts stay short, however many tasks are paused, and however large they are.
func TestPauseOfMany(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	redistest.ShortScripts(t, path, scriptMost, pauseOfMany)
}

func pauseOfMany(t *testing.T, server *redistest.Server) {
	const n = 20_000
	b := open(t, server.URL())
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: n})
	for range n / broker.MaxBatch {
		batch := make([]*broker.Task, broker.MaxBatch)
		for i := range batch {
			batch[i] = newTask("q", func(x *broker.Task) {
				x.Name = "a"
				switch i % 10 {
				case 0:
					x.Lane = &broker.Lane{Priority: 5, Key: fmt.Sprint(i % 50)}
				case 1:
					x.Payload = make([]byte, 10_000)
				}
			})
		}
		enqueue(t, b, batch...)
	}
	last := newTask("q")
	enqueue(t, b, last)
	if err := b.Pause(t.Context(), "q", broker.Pause{Task: "a"}); err != nil {
		t.Fatal(err)
	}
	if got := dequeue(t, c, 1, 30*time.Second, "q"); got[0].ID != last.ID {
		t.Errorf("a task named %s was handed out, want the last one", got[0].Name)
	}
	if err := b.Resume(t.Context(), "q", broker.Pause{Task: "a"}); err != nil {
		t.Fatal(err)
	}
	for left := n; left > 0; left -= broker.MaxBatch {
		dequeue(t, c, broker.MaxBatch, 30*time.Second, "q")
	}
}
