package redis_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/engine/flow"
	"github.com/go-arbiter/arbiter/internal/engine/halting"
)

// haltRig is a namespace with a group of n tasks that wait in queue q.
type haltRig struct {
	*testing.T
	b     *redis.Broker
	raw   *goredis.Client
	space string
	group *broker.Flow
	tasks []*broker.Task
}

func newHaltRig(t *testing.T, url, space string, n int, opts ...redis.Option) *haltRig {
	t.Helper()
	h := &haltRig{T: t, raw: rawClient(t, url), space: space}
	h.b = open(t, url, append(opts, redis.Namespace(space))...)
	h.group = &broker.Flow{ID: broker.NewID(broker.KindGroup, "", 0), Size: n, Quorum: n, Retention: time.Hour}
	ids := make([]broker.ID, n)
	for i := range n {
		task := newTask("q", func(x *broker.Task) { x.Flow.ID, x.Flow.Step = h.group.ID, uint32(i) })
		h.tasks, ids[i] = append(h.tasks, task), task.ID
	}
	h.check(h.b.OpenFlow(t.Context(), h.group, 0, ids))
	enqueue(t, h.b, h.tasks...)
	return h
}

func (h *haltRig) check(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *haltRig) key(name string) string { return "{" + h.space + ":q}:" + name }

func (h *haltRig) halt() *broker.Halted {
	h.Helper()
	found, err := h.b.Halt(h.Context(), []broker.ID{h.group.ID})
	h.check(err)
	return found
}

func (h *haltRig) cancel() {
	h.Helper()
	ids := make([]broker.ID, len(h.tasks))
	for i, t := range h.tasks {
		ids[i] = t.ID
	}
	_, err := h.b.Cancel(h.Context(), ids)
	h.check(err)
}

// are checks which of the keys of a halt exist. A token alone in ready does not count: it may be there
// at any time, and costs a minion one request.
func (h *haltRig) are(when string, names ...string) {
	h.Helper()
	var there []string
	for _, name := range []string{"halt", "held", "ready", "gone"} {
		token := name == "ready" && slices.Equal(h.raw.LRange(h.Context(), h.key(name), 0, -1).Val(), []string{"!"})
		if h.raw.Exists(h.Context(), h.key(name)).Val() > 0 && !token {
			there = append(there, name)
		}
	}
	if got, want := strings.Join(there, " "), strings.Join(names, " "); got != want {
		h.Errorf("%s: the keys are %q, want %q", when, got, want)
	}
}

// asks calls Dequeue, which must not return a task that can start.
func (h *haltRig) asks(c broker.Consumer) {
	h.Helper()
	got, err := c.Dequeue(h.Context(), []string{"q"}, 10, 50*time.Millisecond)
	h.check(err)
	for _, d := range got {
		if d.Err == nil {
			h.Fatalf("task %s of a halted group was handed out", d.ID)
		}
	}
}

// overdue makes the record of the kill so old that a driver takes the kill over.
func (h *haltRig) overdue() {
	h.Helper()
	name := "k" + string(h.group.ID[:])
	h.check(h.raw.HSet(h.Context(), h.key("outbox"), name, make([]byte, 6)).Err())
}

// A halt leaves no keys, whether a minion has looked at all messages or not.
func TestHaltLeavesNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		h := newHaltRig(t, url, "haltkeys", 30)
		found := h.halt()
		h.are("when it is halted", "halt", "held")
		c := consume(t, h.b, broker.ConsumerConfig{Queues: []string{"q"}})
		h.asks(c)
		h.are("when all have been looked at", "halt", "held")
		if n := h.raw.LLen(t.Context(), h.key("held")).Val(); n != 1 {
			t.Errorf("held has %d elements, want 1, the token", n)
		}
		h.halt() // a repetition
		h.are("when it is halted again", "halt", "held")
		enqueue(t, h.b, newTask("q"), newTask("q"))
		dequeue(t, c, 2, time.Second, "q")
		h.are("when others have been taken", "halt", "held")
		h.cancel()
		h.check(h.b.Confirm(t.Context(), found.Kills))
		h.are("when it is confirmed")

		// If no minion has looked at the messages, those of cancelled tasks stay, with their ids in gone.
		h = newHaltRig(t, url, "haltkeys2", 30)
		found = h.halt()
		h.cancel()
		h.check(h.b.Confirm(t.Context(), found.Kills))
		h.are("when it is confirmed", "held", "gone")
		c = consume(t, h.b, broker.ConsumerConfig{Queues: []string{"q"}})
		h.asks(c)
		h.are("when a minion has looked at them")
	})
}

// The round cleans up a halted queue that no minion serves. The halt lasts until it is confirmed.
func TestHaltedQueueThatNobodyServes(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		h := newHaltRig(t, url, "haltunserved", 30, redis.NoHousekeeping(), redis.RoundsEvery(time.Millisecond))
		other := newTask("q")
		enqueue(t, h.b, other)
		found := h.halt()
		h.cancel()
		rounds := func(until func() bool) {
			t.Helper()
			for end := time.Now().Add(20 * time.Second); !until(); time.Sleep(10 * time.Millisecond) {
				if _, err := h.b.Round(t.Context()); time.Now().After(end) {
					t.Fatalf("the queue is not cleaned up: %v", err)
				}
			}
		}
		rounds(func() bool { return h.raw.Exists(t.Context(), h.key("gone")).Val() == 0 })
		h.are("when it is halted and cleaned up", "halt", "held")
		if n := h.raw.LLen(t.Context(), h.key("held")).Val(); n != 2 {
			t.Errorf("held has %d elements, want 2, a message and the token", n)
		}
		h.check(h.b.Confirm(t.Context(), found.Kills))
		c := consume(t, h.b, broker.ConsumerConfig{Queues: []string{"q"}})
		if got := dequeue(t, c, 1, time.Second, "q"); got[0].ID != other.ID {
			t.Errorf("task %s", got[0].ID)
		}
		h.check(c.Close(t.Context()))

		// The token is removed if the hash halt has expired.
		h = newHaltRig(t, url, "haltforgotten", 1, redis.NoHousekeeping(), redis.RoundsEvery(time.Millisecond))
		c = consume(t, h.b, broker.ConsumerConfig{Queues: []string{"q"}})
		h.halt()
		h.asks(c)
		h.check(c.Close(t.Context()))
		h.are("when it is halted", "halt", "held")
		h.check(h.raw.Del(t.Context(), h.key("halt")).Err())
		rounds(func() bool { return h.raw.Exists(t.Context(), h.key("held")).Val() == 0 })
	})
}

// If the killer of a group has died, a driver finds the kill and finishes it, in all partitions.
func TestKillIsTakenOver(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		for _, partitions := range []int{1, 3} {
			h := newHaltRig(t, url, fmt.Sprintf("haltover%d", partitions), 60, redis.Partitions(partitions))
			c := consume(t, h.b, broker.ConsumerConfig{Queues: []string{"q"}})
			h.halt()
			other := newTask("q")
			enqueue(t, h.b, other)
			if got := dequeue(t, c, 1, time.Second, "q"); got[0].ID != other.ID {
				t.Fatalf("task %s", got[0].ID)
			}
			h.asks(c)
			d := &flow.Driver{Broker: h.b, Log: slog.New(slog.DiscardHandler)}
			h.check(d.Drain(t.Context(), "q"))
			if p, err := h.b.LookupFlow(t.Context(), h.group.ID); err != nil || p.Marks != 0 {
				t.Fatalf("%+v, %v", p, err)
			}
			h.check(keysEach(t.Context(), h.raw, "{"+h.space+":q*}:outbox", func(key string) error {
				return h.raw.HSet(t.Context(), key, "k"+string(h.group.ID[:]), make([]byte, 6)).Err()
			}))
			h.check(d.Drain(t.Context(), "q"))
			h.check(d.Drain(t.Context(), ""))
			p, err := h.b.LookupFlow(t.Context(), h.group.ID)
			if err != nil || p.Marks&broker.MarkKilled == 0 || p.Outcome == nil || p.Outcome.State != broker.StateCanceled {
				t.Errorf("%+v, %v", p, err)
			}
			for _, name := range []string{"halt", "outbox"} {
				h.check(keysEach(t.Context(), h.raw, "{"+h.space+":q*}:"+name, func(key string) error {
					return fmt.Errorf("%s is left", key)
				}))
			}
		}
	})
}

// keysEach calls f for each key that matches a pattern, until f returns an error.
func keysEach(ctx context.Context, raw *goredis.Client, pattern string, f func(key string) error) error {
	keys, err := raw.Keys(ctx, pattern).Result()
	for i := 0; i < len(keys) && err == nil; i++ {
		err = f(keys[i])
	}
	return err
}

// If the keys of a halt are damaged, other arrivals are still found, the kill is finished, and the
// group ends.
func TestDamagedHalt(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		d := &flow.Driver{Log: slog.New(slog.DiscardHandler)}
		for i, damage := range append(damages(), numbers()...) {
			h := newHaltRig(t, url, fmt.Sprintf("haltdamage%d", i), 3)
			h.halt()
			ctx := t.Context()
			h.check(h.raw.HSet(ctx, h.key("outbox"), "k"+string(h.group.ID[:]), damage, "k", damage, "kk", damage).Err())
			h.check(h.raw.HSet(ctx, h.key("halt"), string(h.group.ID[:]), damage, damage, damage).Err())
			h.check(h.raw.LPush(ctx, h.key("held"), "!", damage, "!").Err())
			c := consume(t, h.b, broker.ConsumerConfig{Queues: []string{"q"}})
			h.asks(c)
			if n := h.raw.LLen(ctx, h.key("held")).Val(); n != 1 {
				t.Errorf("damage %d: held has %d elements", i, n)
			}
			h.overdue()
			d.Broker = h.b
			h.check(d.Drain(ctx, "q"))
			h.check(d.Drain(ctx, ""))
			if p, err := h.b.LookupFlow(ctx, h.group.ID); err != nil || p.Outcome == nil {
				t.Errorf("damage %d: %+v, %v", i, p, err)
			}
			if n := h.raw.HLen(ctx, h.key("outbox")).Val(); n != 0 {
				t.Errorf("damage %d: %d arrivals are left", i, n)
			}
		}
	})
}

// If the key halt has the wrong type, a group is killed all the same, page by page without a halt.
func TestHaltKeyOfAnotherType(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		var log lines
		h := newHaltRig(t, url, "haltspoiled", 3, redis.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		h.check(h.raw.Set(t.Context(), h.key("halt"), "x", 0).Err())
		if found := h.halt(); len(found.Kills) != 0 {
			t.Errorf("Halt reports kills, though it could not halt anything: %+v", found)
		}
		if text := log.String(); !strings.Contains(text, h.key("halt")+" is a string") {
			t.Errorf("the log does not name the key: %s", text)
		}
		defer halting.Set(3, broker.HaltPatience)() // it is global, so this test must not run in parallel
		p, err := h.b.LookupFlow(t.Context(), h.group.ID)
		h.check(err)
		d := &flow.Driver{Broker: h.b, Log: slog.New(slog.DiscardHandler)}
		h.check(d.KillFlow(t.Context(), p, nil))
		if p, err := h.b.LookupFlow(t.Context(), h.group.ID); err != nil || p.Outcome == nil {
			t.Errorf("%+v, %v", p, err)
		}
	})
}
