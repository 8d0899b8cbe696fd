package flow_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

// The scenarios on Redis.
func TestOnRedis(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	onRedis(t, redistest.Start(t, path).URL(), testform.Pick(7, 1))
}

// The scenarios on a Redis Cluster, where queues and flows are in different hash slots.
func TestOnCluster(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	onRedis(t, redistest.StartCluster(t, path, 3).URL(), testform.Pick(25, 3))
}

// onRedis runs all scenarios. A driver dies at every stride-th call.
func onRedis(t *testing.T, url string, stride int) {
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			for lethal := 0; ; lethal += stride {
				name := fmt.Sprintf("n%d-%d", i, lethal)
				died := outcomeOnRedis(t, url, name, lethal, s.call, s.want, s.ran)
				if t.Failed() || lethal > 0 && !died {
					break
				}
			}
		})
	}
}

// outcomeOnRedis runs one scenario in a namespace of its own. died reports whether the driver
// died.
func outcomeOnRedis(t *testing.T, url, namespace string, lethal int, call callFunc, want string, ran map[string]int) (died bool) {
	b, err := redis.Open(context.Background(), url, redis.Namespace(namespace), redis.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	w := worldOf(t, b, lethal, lethal%2 == 0)
	defer w.close()
	w.idle, w.patience = 10*time.Millisecond, 12_000
	if got := text(w.outcome(w.send(call()))); got != want {
		t.Errorf("death at call %d: outcome %s, want %s", lethal, got, want)
	}
	w.same(ran)
	return w.deaths > 0
}

// Another attempt, at another minion, sends the same flow again and gets its result.
func TestAttemptsOnRedis(t *testing.T) {
	path := redistest.Path(t)
	if path == "" {
		return
	}
	b, err := redis.Open(t.Context(), redistest.Start(t, path).URL(), redis.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	w := worldOf(t, b, 0, false)
	defer w.close()
	w.idle, w.patience = 10*time.Millisecond, 12_000
	s := scenario("flows in flows")
	parent := broker.NewID(broker.KindTask, "default", 0)
	first := client.Child{Client: w.c, Parent: parent, Attempt: 1}
	if err := first.Submit(t.Context(), s.call()); err != nil {
		t.Fatal(err)
	}
	c := client.New(client.Config{Broker: b, Logger: silent})
	defer func() { _ = c.Close() }()
	second := client.Child{Client: c, Parent: parent, Attempt: 2}
	call := s.call()
	if err := second.Submit(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if got := text(w.outcome(call.Request().ID())); got != s.want {
		t.Errorf("outcome %s, want %s", got, s.want)
	}
	w.same(s.ran)
	var n int
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := second.Await(ctx, call.Request().ID(), &n); err != nil || n != 2702 {
		t.Errorf("the second attempt gets %d, %v", n, err)
	}
}
