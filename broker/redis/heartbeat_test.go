package redis_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
)

// A heartbeat returns soon, however many minions have died. Here the line is so slow that taking
// over all their tasks takes longer than the survivor's lease.
func TestHeartbeatIsNotDelayed(t *testing.T) {
	t.Parallel()
	const (
		lease = 4 * time.Second
		died  = 15
		delay = 40 * time.Millisecond
	)
	server := miniredis.RunT(t)
	b := open(t, "redis://"+server.Addr(), redis.Lease(time.Minute))
	queues := []string{"a", "b", "c", "d"}
	for range died {
		consume(t, b, broker.ConsumerConfig{Queues: queues})
	}
	line := redisproxy.Start(t, server.Addr())
	survivor := consume(t, open(t, line.URL(), redis.Lease(lease)), broker.ConsumerConfig{Queues: queues})
	heartbeat := func() int {
		before := line.Commands()
		if err := survivor.Heartbeat(t.Context(), broker.Load{}); err != nil {
			t.Fatal(err)
		}
		return line.Commands() - before
	}
	minions := func(queue string) string { return fmt.Sprintf("{%s:%s}:minions", redis.DefaultNamespace, queue) }
	left := func() int {
		n := 0
		for _, q := range queues {
			members, _ := server.ZMembers(minions(q))
			n += len(members) - 1
		}
		return n
	}
	line.Slow(delay, 0)
	alive := survivor.ID()
	for _, q := range queues { // the leases of the others end
		members, err := server.ZMembers(minions(q))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members {
			if m != string(alive[:]) {
				if _, err := server.ZAdd(minions(q), 1, m); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	before := left()
	if before == 0 {
		t.Fatal("the dead minions were removed before the test began")
	}
	for try := 0; left() > 0; try++ {
		// Each command takes at least the delay of the line. They are counted, because their time also
		// depends on what else the machine does.
		n := heartbeat()
		if time.Duration(n)*delay > lease/2 {
			t.Errorf("a heartbeat sent %d commands, which take %v of a lease of %v", n, time.Duration(n)*delay, lease)
		}
		if try > 50 {
			t.Fatalf("%d of %d dead minions are left", left(), before)
		}
	}
}

// A heartbeat whose reply is lost is sent again at once, a limited number of times.
func TestHeartbeatAsksAgain(t *testing.T) {
	t.Parallel()
	line := redisproxy.Start(t, miniredis.RunT(t).Addr())
	c := consume(t, open(t, line.URL()), broker.ConsumerConfig{Queues: []string{"a", "b"}})
	for _, do := range []redisproxy.Action{redisproxy.CutBefore, redisproxy.CutAfter} {
		in := line.Inject(redisproxy.Fault{Match: redisproxy.Script("beat"), Do: do, Times: 2})
		if err := c.Heartbeat(t.Context(), broker.Load{}); err != nil || in.Hits() != 2 {
			t.Errorf("Heartbeat: %v, after %d cuts", err, in.Hits())
		}
		in.Remove()
		in = line.Inject(redisproxy.Fault{Match: redisproxy.Script("beat"), Do: do, Times: -1})
		if err := c.Heartbeat(t.Context(), broker.Load{}); !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("Heartbeat with every reply lost: %v", err)
		}
		in.Remove()
	}
}
