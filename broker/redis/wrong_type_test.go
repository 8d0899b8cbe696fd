package redis_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
)

// lines collects the output of a logger.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A key of the wrong type stops at most its own queue. The minion serves its other queues and
// settles their tasks, and the log names the queue and the key. When the key was deleted the
// queue is served again.
func TestKeyOfAnotherType(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		raw, ctx := rawClient(t, url), t.Context()
		for i, name := range []string{
			"ready", "held", "gone", "halt", "state", "due", "later", "unique", "holders", "dead", "about", "odd", "flows", "outbox", "stop",
			"minions", "watch", "keep", "keep:r60", "flight", "claim",
		} {
			var log lines
			namespace := fmt.Sprintf("spoiled%d", i)
			b := open(t, url, redis.Namespace(namespace), redis.Logger(slog.New(slog.NewTextHandler(&log, nil))))
			c := consume(t, b, broker.ConsumerConfig{Queues: []string{"bad", "good"}})
			enqueue(t, b, newTask("bad"), newTask("good"))
			held := dequeue(t, c, 2, time.Second, "bad", "good")
			if name == "flight" || name == "claim" {
				id := c.ID()
				name += fmt.Sprintf(":%x", id[:])
			}
			key := "{" + namespace + ":bad}:" + name
			if name == "minions" || name == "state" {
				raw.Rename(ctx, key, key+".saved")
			}
			if err := raw.Del(ctx, key).Err(); err != nil {
				t.Fatal(err)
			}
			if err := raw.SAdd(ctx, key, "x").Err(); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "gone") || strings.HasPrefix(name, "stop") { // sets; the key is made a string
				raw.Del(ctx, key)
				raw.Set(ctx, key, "x", 0)
			}
			for round := range 3 {
				if err := c.Heartbeat(ctx, broker.Load{}); err != nil {
					t.Fatalf("%s: heartbeat %d: %v", name, round, err)
				}
				_ = b.Enqueue(ctx, []*broker.Task{newTask("bad")})
				task := newTask("good")
				enqueue(t, b, task)
				for found := false; !found; {
					got, err := c.Dequeue(ctx, []string{"bad", "good"}, 10, time.Second)
					if err != nil {
						t.Fatalf("%s: dequeue: %v", name, err)
					}
					for _, d := range got {
						found = found || d.ID == task.ID
					}
					held = append(held, got...)
				}
				var batch []broker.Settlement
				for _, d := range held {
					batch = append(batch, succeed(d, "r"))
				}
				held = held[:0]
				for j, err := range settle(t, c, batch...) {
					if d := batch[j].Delivery; err != nil && d.Queue == "good" || err != nil && !errors.Is(err, broker.ErrDamaged) && !errors.Is(err, broker.ErrLeaseLost) {
						t.Fatalf("%s: settlement of queue %s: %v", name, d.Queue, err)
					} else if err != nil {
						held = append(held, d)
					}
				}
			}
			switch text := log.String(); {
			case name == "unique" || name == "holders" || name == "dead" || name == "about" || name == "flows" || name == "halt": // no script of this test reads these keys
			case strings.Contains(text, "good") && !strings.Contains(text, "queue=bad"):
				t.Errorf("%s: the log names another queue: %s", name, text)
			case name != "odd" && name != "outbox" && name != "held" && name != "gone" && name != "later" && name != "keep:r60" && !strings.Contains(text, key+" is a "):
				t.Errorf("%s: the log does not name the key: %s", name, text)
			}
			if err := raw.Del(ctx, key).Err(); err != nil {
				t.Fatal(err)
			}
			if name == "minions" || name == "state" {
				raw.Rename(ctx, key+".saved", key)
			}
			task := newTask("bad")
			enqueue(t, b, task)
			for end := time.Now().Add(time.Minute); ; {
				if err := c.Heartbeat(ctx, broker.Load{}); err != nil {
					t.Fatalf("%s: after the key was deleted: %v", name, err)
				}
				got, err := c.Dequeue(ctx, []string{"bad", "good"}, 10, 10*time.Millisecond)
				if err != nil {
					t.Fatalf("%s: after the key was deleted: %v", name, err)
				}
				found := false
				for _, d := range got {
					found = found || d.ID == task.ID
				}
				if found {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s: the queue is not served again: %s", name, log.String())
				}
			}
		}
	})
}

// Housekeeping that fails because a key is of the wrong type is logged once, and not each time that
// it is tried.
func TestKeyOfAnotherTypeIsLoggedOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		var log lines
		b := open(t, url, redis.Logger(slog.New(slog.NewTextHandler(&log, nil))), redis.RoundsEvery(10*time.Millisecond))
		if err := rawClient(t, url).Set(t.Context(), keyBase("q")+"flows", "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
		enqueue(t, b, newTask("q", func(x *broker.Task) { x.Delay, x.Deadline = time.Hour, time.Millisecond }))
		for end := time.Now().Add(time.Minute); !strings.Contains(log.String(), "can't end tasks"); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the failure is not logged: %s", log.String())
			}
		}
		time.Sleep(500 * time.Millisecond) // about 50 rounds
		text := log.String()
		if n := strings.Count(text, "can't end tasks"); n != 1 || !strings.Contains(text, "queue=q") || !strings.Contains(text, "flows is a string, not a hash") {
			t.Errorf("it is logged %d times, want once, with the queue and the key: %s", n, text)
		}
	})
}
