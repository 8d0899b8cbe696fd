package arbiter_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// Once a large group is marked as killed, no member of it is handed out. The members that minions already hold are told at
// once, so a few of these may still begin. Other tasks in the queue go on.
func TestKillLargeGroup(t *testing.T) {
	n := testform.Pick(2_000, 100_000)
	t.Run("memory", func(t *testing.T) {
		b := memory.New()
		t.Cleanup(func() { _ = b.Close() })
		killLarge(t, n, func() broker.Broker { return b })
	})
	t.Run("redis", func(t *testing.T) {
		path := redistest.Path(t)
		if path == "" {
			return
		}
		s := redistest.Start(t, path)
		raw := s.Client()
		for name, value := range map[string]string{"slowlog-log-slower-than": "1000", "slowlog-max-len": "100000"} {
			if err := raw.ConfigSet(t.Context(), name, value).Err(); err != nil {
				t.Fatal(err)
			}
		}
		killLarge(t, n, func() broker.Broker {
			b, err := redis.Open(t.Context(), s.URL(), redis.Logger(silent))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Close() })
			return b
		})
		log, err := raw.SlowLogGet(t.Context(), -1).Result()
		if err != nil {
			t.Fatal(err)
		}
		var longest goredis.SlowLog
		for _, entry := range log {
			if entry.Duration > longest.Duration {
				longest = entry
			}
			if entry.Duration > 20*time.Millisecond { // more on a busy machine
				t.Logf("%v %.60q", entry.Duration, entry.Args[:min(len(entry.Args), 3)])
			}
		}
		t.Logf("%d commands of more than 1 ms, the longest one took %v", len(log), longest.Duration)
	})
}

// haltSpy records which members consumers hold at a halt.
type haltSpy struct {
	*faulty.Broker

	mu   sync.Mutex
	held map[broker.ID]bool
}

func (s *haltSpy) Halt(ctx context.Context, flows []broker.ID) (*broker.Halted, error) {
	found, err := s.Broker.Halt(ctx, flows)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, id := range found.Running {
			s.held[id] = true
		}
	}
	return found, err
}

func killLarge(t *testing.T, n int, open func() broker.Broker) {
	const minions, slots = 4, 8
	var began, others atomic.Int64
	var marked atomic.Bool
	var mu sync.Mutex
	var late []broker.ID // members that began after the mark
	for range minions {
		m := must(minion.New(open(), minion.Logger(silent)))
		err := task.Handle(m, work, func(ctx context.Context, a args) (int, error) {
			if a.N < 0 {
				others.Add(1)
				return 0, nil
			}
			if marked.Load() {
				info, _ := task.FromContext(ctx)
				mu.Lock()
				late = append(late, info.ID)
				mu.Unlock()
			}
			began.Add(1)
			time.Sleep(time.Millisecond)
			return a.N, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = m.Run(context.Background(), slots) }()
		t.Cleanup(func() { _ = m.Stop(context.Background()) })
	}
	killer := &haltSpy{Broker: faulty.New(open()), held: make(map[broker.ID]bool)}
	killer.Set(faulty.Hooks{After: func(op faulty.Op, _ int) error {
		if op == faulty.MarkFlow {
			marked.Store(true)
		}
		return nil
	}})
	arb, err := arbiter.New(killer, arbiter.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	calls := make([]task.Bound, n)
	for i := range calls {
		calls[i] = work.Bind(args{i})
	}
	g, err := arb.Group(t.Context(), calls)
	if err != nil {
		t.Fatal(err)
	}
	for began.Load() < 100 {
		time.Sleep(time.Millisecond)
	}
	var after []task.Bound
	for range 100 {
		after = append(after, work.Bind(args{-1}))
	}
	if err := arb.Submit(t.Context(), after...); err != nil {
		t.Fatal(err)
	}
	before, start := began.Load(), time.Now()
	killed, err := arb.KillGroup(t.Context(), g.ID(), arbiter.Wait())
	if err != nil {
		t.Fatal(err)
	}
	counts := map[arbiter.Verdict]int{}
	for _, k := range killed {
		counts[k.Verdict]++
	}
	took := time.Since(start).Round(time.Millisecond)
	if err := g.Result(t.Context(), nil); err == nil {
		t.Error("the group has a result")
	}
	for others.Load() < 100 {
		time.Sleep(time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	t.Log(strconv.Itoa(n), "members:", before, "had begun,", len(killer.held), "were held by minions,", len(late),
		"of these began after the mark; killed after", took, counts)
	for _, id := range late {
		if !killer.held[id] {
			t.Errorf("member %s was handed out after the group was marked", id)
		}
	}
}
