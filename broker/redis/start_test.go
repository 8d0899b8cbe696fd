package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
)

// The leases of two minions end though both live, as after an outage of the server. The first
// one that reaches the server again extends the lease of the other one, so that it can sign
// off. So neither is taken for dead.
func TestCutOffTogether(t *testing.T) {
	t.Parallel()
	const lease = time.Minute // the test ends the lease by a change of the score
	onEach(t, func(t *testing.T, url string) {
		p := redisproxy.Start(t, strings.TrimPrefix(url, "redis://"))
		raw := rawClient(t, url)
		for _, q := range []string{"heartbeat", "consumer"} {
			first := open(t, p.URL(), redis.Lease(lease))
			second, direct := open(t, url, redis.Lease(lease)), open(t, url, redis.Lease(lease))
			enqueue(t, direct, newTask(q), newTask(q))
			cfg := broker.ConsumerConfig{Queues: []string{q}, Slots: 10}
			a, b := consume(t, first, cfg), consume(t, second, cfg)
			dequeue(t, a, 1, time.Second, q)
			dequeue(t, b, 1, time.Second, q)
			id := b.ID()
			ends := func() float64 {
				score, err := raw.ZScore(t.Context(), keyBase(q)+"minions", string(id[:])).Result()
				if errors.Is(err, goredis.Nil) { // the other broker was faster: its round took the minion for dead
					return -1
				}
				if err != nil {
					t.Fatal(err)
				}
				return score
			}
			p.Freeze(true)
			for range 3 { // a request may still pass before the connection freezes
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				_ = a.Heartbeat(ctx, broker.Load{})
				cancel()
			}
			p.Cut() // drops the connections, so that no frozen request reaches the server later
			p.Freeze(false)
			for _, c := range []broker.Consumer{a, b} {
				id := c.ID()
				if err := raw.ZAddXX(t.Context(), keyBase(q)+"minions", goredis.Z{Score: 1, Member: string(id[:])}).Err(); err != nil {
					t.Fatal(err)
				}
			}
			before := ends()
			if q == "heartbeat" {
				for end := time.Now().Add(10 * time.Second); a.Heartbeat(t.Context(), broker.Load{}) != nil; {
					if time.Now().After(end) {
						t.Fatal("no heartbeat succeeds after the connection is back")
					}
				}
			} else {
				consume(t, first, cfg)
			}
			if after := ends(); after >= 0 && after <= before {
				t.Errorf("after %s the lease of the other minion ends at %.0f, as before", q, after)
			}
			for _, c := range []broker.Consumer{a, b} {
				if err := c.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for _, d := range dequeue(t, consume(t, direct, cfg), 2, 5*time.Second, q) {
				if recoveries, _, err := direct.RecordStart(t.Context(), d); err != nil || recoveries != 0 {
					t.Errorf("%d recoveries, %v", recoveries, err)
				}
			}
		}
	})
}
