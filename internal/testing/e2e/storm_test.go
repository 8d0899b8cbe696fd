//go:build unix

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/task"
)

var (
	stormSeed = flag.Uint64("storm.seed", 1, "seed of TestStorm's faults")
	stormFor  = flag.Duration("storm.for", testform.Pick(2*time.Second, 15*time.Second), "how long TestStorm lasts")
)

// Faults of all kinds strike commands of all kinds while tasks of several queues are sent, delayed,
// run and killed. No accepted task is lost, no attempt starts twice, no retry is used, and a task
// that was killed before it started never starts.
func TestStorm(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	for i := range uint64(2) {
		seed := *stormSeed + i
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			storm(t, redistest.Start(t, path, "--appendonly", "yes", "--appendfsync", "always"), rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func storm(t *testing.T, s *redistest.Server, rnd *rand.Rand) {
	p := redisproxy.Start(t, s.Addr)
	r := newRig(t, p.URL()+"?read_timeout=1s", redis.Namespace("storm"))
	queues := []string{"a", "b", "c"}
	var fronts []*redisproxy.Proxy // the proxies of minions
	for _, serves := range [][]string{queues[:1], queues[:1], queues, queues} {
		front := redisproxy.Start(t, s.Addr)
		fronts = append(fronts, front)
		r.minion(func(c *config) { c.Queues, c.URL = serves, front.URL()+"?read_timeout=1s" })
	}
	for _, q := range queues {
		r.results(r.send(2, args{}, task.Queue(q))) // the proxy sees the text of the scripts
	}
	matchers := []redisproxy.Matcher{redisproxy.Named("blmove"), redisproxy.Named("subscribe"), redisproxy.Named("hmget"), nil}
	for _, name := range []string{"enqueue", "dequeue", "settle", "beat", "adopt", "join", "leave", "cancel", "status", "locate"} {
		matchers = append(matchers, redisproxy.Script(name))
	}
	actions := []redisproxy.Action{redisproxy.CutBefore, redisproxy.CutAfter, redisproxy.CutAfter, redisproxy.HalfOpen, redisproxy.HalfOpenAfter, redisproxy.Stall, redisproxy.StallReply}
	ctx, cancel := context.WithTimeout(t.Context(), patience+*stormFor)
	defer cancel()
	var futs []*task.Future[answer]
	never := make(map[task.ID]bool)
	hits := 0
	last := time.Now()
	for end := time.Now().Add(*stormFor); time.Now().Before(end); {
		for last.Add(300 * time.Millisecond).Before(time.Now()) {
			last = time.Now()
			disaster(t, s, fronts[rnd.IntN(len(fronts))], rnd)
		}
		proxies := append(slices.Clone(fronts), p)
		in := proxies[rnd.IntN(len(proxies))].Inject(redisproxy.Fault{
			Match: matchers[rnd.IntN(len(matchers))], Do: actions[rnd.IntN(len(actions))],
			Skip: rnd.IntN(3), Times: 1 + rnd.IntN(3), Hold: time.Duration(rnd.IntN(1000)) * time.Millisecond,
		})
		for range 1 + rnd.IntN(10) {
			call := work.With(task.Queue(queues[rnd.IntN(3)])).Bind(args{N: len(futs), For: time.Duration(rnd.IntN(20)) * time.Millisecond, Deaf: rnd.IntN(2) == 0})
			if rnd.IntN(4) == 0 {
				call = call.With(task.Delay(time.Duration(rnd.IntN(300)) * time.Millisecond))
			}
			fut, err := r.insist(ctx, call)
			if err != nil {
				t.Fatalf("send: %v", err)
			}
			if rnd.IntN(8) == 0 {
				if v, err := r.arb.Kill(ctx, fut.ID()); err == nil && v == arbiter.NeverStarted {
					never[fut.ID()] = true
				}
			}
			futs = append(futs, fut)
		}
		time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
		hits += in.Hits()
		in.Remove()
	}
	canceled := 0
	for i, f := range futs {
		a, err := f.Result(ctx)
		switch {
		case errors.Is(err, task.ErrCanceled):
			canceled++
		case err != nil:
			st, e := r.arb.Status(context.Background(), f.ID())
			t.Errorf("task %d ended with %v; its status is %+v, %v", i, err, st, e)
		case never[f.ID()]:
			t.Errorf("task %d was killed before it started, but has succeeded", i)
		case a.N != i:
			t.Errorf("task %d returned %+v", i, a)
		}
		if ctx.Err() != nil {
			break
		}
	}
	again := 0
	for id, starts := range r.cfg.Ledger.check(t) {
		again += len(starts) - 1
		for n := range never {
			if n.String() == id {
				t.Errorf("task %s was killed before it started, but was started", id)
			}
		}
	}
	t.Logf("%d tasks, %d killed, %d of these before they started, %d run again, %d faults", len(futs), canceled, len(never), again, hits)
}

// disaster strikes the connections of a minion for up to two leases, or the server.
func disaster(t *testing.T, s *redistest.Server, front *redisproxy.Proxy, rnd *rand.Rand) {
	switch rnd.IntN(6) {
	case 0, 1:
		front.Freeze(true)
		time.AfterFunc(time.Duration(rnd.Int64N(int64(2*lease))), func() { front.Freeze(false) })
	case 2:
		front.Cut()
	case 3:
		s.Kill()
		time.Sleep(time.Duration(rnd.Int64N(int64(time.Second))))
		s.Restart()
	case 4:
		c := s.Client()
		if err := c.ScriptFlush(t.Context()).Err(); err != nil {
			t.Error(err)
		}
	case 5:
		c := s.Client()
		for _, kind := range []string{"normal", "pubsub"} {
			if err := c.ClientKillByFilter(t.Context(), "type", kind).Err(); err != nil {
				t.Error(err)
			}
		}
	}
}
