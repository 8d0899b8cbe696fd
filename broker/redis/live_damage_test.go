package redis_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/damage"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

var (
	damageSeeds = flag.Int("damage.seeds", 0, "how many seeds TestDamageInALiveSystem runs; 0 means 1, or 30 in the long form")
	damageSeed  = flag.Uint64("damage.seed", 0, "the only seed that TestDamageInALiveSystem runs; 0 means all")
)

// damagePatience is how long an undamaged unit may take to finish. It needs milliseconds.
const damagePatience = 40 * time.Second

type labor struct {
	Key     string `arbiter:"key"`
	Fail    int    `arbiter:"fail"` // how often it fails before it succeeds; -1: always
	Ballast string `arbiter:"ballast,optional"`
}

type labored struct {
	Key      string `arbiter:"key"`
	Upstream any    `arbiter:"upstream,optional"`
}

var (
	laborTask = task.Define[labor, string]("labor", task.WithBackoff(task.Constant(20*time.Millisecond)), task.Retries(10))
	lateTask  = task.Define[labor, string]("late")
	afterTask = task.Define[labored, string]("after")
)

// unit is a task, a group or a pipe that the test submits.
type unit struct {
	key    string // in the arguments of each of its tasks
	queue  string
	ids    []broker.ID
	fails  bool
	needs  string // the name of its task, if no minion knows that when it is sent
	result func(ctx context.Context) (string, error)
	want   string

	got  string
	err  error
	done chan struct{}
}

// struck is a live system, and the damage that follows from a seed.
type struck struct {
	*testing.T
	seed    uint64
	rnd     *rand.Rand
	url     string
	space   string
	raw     *goredis.Client
	log     lines
	b       *redis.Broker
	arb     *arbiter.Arbiter
	gate    chan struct{} // closed when handlers may return
	busy    chan string   // gets the key of each task that has started
	units   []*unit
	strikes []damage.Strike
	minions sync.WaitGroup
	ctx     context.Context // of the minions
}

// The test damages random bytes in the store of a live system: several minions and queues,
// an arbiter, groups and pipes, delayed, retried, parked, large and failed tasks. Undamaged
// units finish, and damage is reported. No process fails for good, spins, or logs the same
// line without end.
func TestDamageInALiveSystem(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	seeds := testform.Pick(1, 30)
	if *damageSeeds > 0 {
		seeds = *damageSeeds
	}
	first := uint64(1)
	if *damageSeed > 0 {
		first, seeds = *damageSeed, 1
	}
	var real string
	if path != "" {
		real = "redis://" + redistest.Start(t, path).Addr
	}
	limit := make(chan struct{}, 8) // at most 8 live systems at a time
	t.Run("seeds", func(t *testing.T) {
		for i := range seeds {
			seed := first + uint64(i)
			for _, on := range []string{"miniredis", "redis-server"} {
				if on == "redis-server" && real == "" {
					continue
				}
				t.Run(fmt.Sprintf("%s/%d", on, seed), func(t *testing.T) {
					t.Parallel()
					limit <- struct{}{}
					defer func() { <-limit }()
					if on == "miniredis" {
						server := miniredis.RunT(t)
						strikeLive(t, "redis://"+server.Addr(), seed, server.CommandCount)
					} else {
						strikeLive(t, real, seed, nil)
					}
				})
			}
		}
	})
}

// strikeLive runs one live system. If asked is not nil it returns how many commands the
// server has had, and no other test uses the server.
func strikeLive(t *testing.T, url string, seed uint64, asked func() int) {
	s := &struck{
		T: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), url: url, space: fmt.Sprintf("live%dx%d", seed, damagedSpaces.Add(1)),
		raw: rawClient(t, url), gate: make(chan struct{}), busy: make(chan string, 1000),
	}
	ctx, stop := context.WithCancel(context.Background())
	s.ctx = ctx
	defer func() {
		if t.Failed() {
			for _, hit := range s.strikes {
				t.Log("damage: ", hit)
			}
			t.Logf("log:\n%.20000s", s.log.String())
		}
	}()
	s.b = s.open()
	var err error
	if s.arb, err = arbiter.New(s.b, arbiter.Logger(s.logger())); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		s.minions.Wait()
		_ = s.arb.Close()
	}()
	s.minion(3, false, "a")
	s.minion(3, false, "a", "b", "c")
	s.minion(3, false, "c", "b")
	for _, queue := range []string{"a", "b", "c"} {
		s.send(queue)
	}
	for range 9 { // until all slots are busy
		select {
		case <-s.busy:
		case <-time.After(damagePatience):
			t.Fatal("the minions did not start tasks in all slots")
		}
	}
	s.strike(1 + s.rnd.IntN(12))
	s.minion(9, true, "a", "b", "c")
	close(s.gate)
	s.strike(s.rnd.IntN(4))
	s.finish()
	if !t.Failed() {
		s.inspect()
		s.quiet(asked)
	}
}

func (s *struck) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&s.log, nil)) }

func (s *struck) open() *redis.Broker {
	s.Helper()
	return open(s.T, s.url, redis.Namespace(s.space), redis.Lease(2*time.Second), redis.RoundsEvery(100*time.Millisecond),
		redis.LargeRecordFrom(2000), redis.Logger(s.logger()))
}

// minion runs a minion with a broker of its own until the test ends. A late minion also
// knows the task that was parked until then.
func (s *struck) minion(slots int, late bool, queues ...string) {
	s.Helper()
	m, err := minion.New(s.open(), minion.Queues(queues...), minion.Logger(s.logger()), minion.MaxRecoveries(200), minion.DrainTimeout(time.Second))
	if err != nil {
		s.Fatal(err)
	}
	work := func(ctx context.Context, a labor) (string, error) {
		s.busy <- a.Key
		select {
		case <-s.gate:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		info, _ := task.FromContext(ctx)
		switch {
		case a.Fail < 0:
			return "", task.NoRetry(errors.New("meant"))
		case info.Retried < a.Fail:
			return "", errors.New("again")
		}
		return a.Key, nil
	}
	errs := []error{
		task.Handle(m, laborTask, work),
		task.Handle(m, afterTask, func(_ context.Context, a labored) (string, error) { return a.Key, nil }),
	}
	if late {
		errs = append(errs, task.Handle(m, lateTask, work))
	}
	if err := errors.Join(errs...); err != nil {
		s.Fatal(err)
	}
	s.minions.Go(func() {
		for s.ctx.Err() == nil {
			// Run can fail because of the damage. It is repeated, as a supervisor would do.
			if err := m.Run(s.ctx, slots); err == nil || errors.Is(err, task.ErrClosed) {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
}

// send sends one unit of each kind to a queue.
func (s *struck) send(queue string) {
	s.Helper()
	at := task.Queue(queue)
	q := func(n int) string { return fmt.Sprintf("<%s-%d>", queue, n) }
	var calls []task.Call[string]
	var units []*unit
	add := func(u *unit, call task.Call[string]) {
		units, calls = append(units, u), append(calls, call.With(at))
	}
	plain := func(a labor, opts ...task.Option) {
		a.Key = q(len(units))
		add(&unit{key: a.Key, want: a.Key, fails: a.Fail < 0}, laborTask.Bind(a).With(opts...))
	}
	for range 6 {
		plain(labor{})
	}
	plain(labor{Fail: 1})
	plain(labor{Fail: -1})
	plain(labor{Ballast: strings.Repeat("x", 3000)})
	plain(labor{}, task.Unique("u"), task.Meta("k", "v"))
	plain(labor{}, task.Delay(20*time.Millisecond))
	plain(labor{}, task.Delay(time.Duration(20+s.rnd.IntN(200))*time.Millisecond), task.Within(time.Hour))
	key := q(len(units))
	add(&unit{key: key, want: key, needs: "late"}, lateTask.Bind(labor{Key: key}))
	futures, err := task.SendAll(s.ctx, s.arb, calls...)
	if err != nil {
		s.Fatal(err)
	}
	for i, u := range units {
		u.ids, u.result = []broker.ID{futures[i].ID()}, futures[i].Result
	}

	key = q(len(units))
	var members []task.Bound
	for range 3 {
		members = append(members, laborTask.Bind(labor{Key: key}).With(at))
	}
	g, err := s.arb.Group(s.ctx, members, arbiter.Callback(laborTask.Bind(labor{Key: key}).With(at)), arbiter.Finalizer(laborTask.Bind(labor{Key: key}).With(at), 0))
	if err != nil {
		s.Fatal(err)
	}
	ids, _ := g.Members(s.ctx)
	units = append(units, &unit{key: key, want: key, ids: append(ids, g.ID(), g.Callback(), g.Finalizer()), result: func(ctx context.Context) (out string, err error) {
		return out, g.Result(ctx, &out)
	}})

	key = q(len(units))
	p, err := s.arb.Pipe(s.ctx, []task.Bound{laborTask.Bind(labor{Key: key}).With(at),
		afterOf(key, at), afterOf(key, at)})
	if err != nil {
		s.Fatal(err)
	}
	ids, _ = p.Members(s.ctx)
	units = append(units, &unit{key: key, want: key, ids: append(ids, p.ID()), result: func(ctx context.Context) (out string, err error) {
		return out, p.Result(ctx, &out)
	}})

	for _, u := range units {
		u.queue, u.done = queue, make(chan struct{})
		go func() {
			defer close(u.done)
			u.got, u.err = u.result(s.ctx)
		}()
	}
	s.units = append(s.units, units...)
}

// afterOf returns a later step of a pipe, which gets the result of the step before.
func afterOf(key string, at task.Option) task.Bound {
	return task.Named("after", task.KwArgs(map[string]any{"key": key}), at)
}

// kinds has the names of a queue's keys and their types.
var kinds = map[string]string{
	"ready": "list", "held": "list", "odd": "list", "gone": "set", "stop": "set", "state": "hash", "later": "hash", "unique": "hash", "holders": "hash",
	"dead": "hash", "about": "hash", "flows": "hash", "outbox": "hash", "due": "zset", "minions": "zset", "watch": "zset", "keep": "zset",
	"parked": "zset", "needs": "hash", "halt": "hash",
}

// strike damages n elements of the store.
func (s *struck) strike(n int) {
	s.Helper()
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	for range n {
		keys, err := damage.Keys(s.ctx, s.raw, s.space)
		if err != nil {
			s.Fatal(err)
		}
		// Without the registry no queue can be found. TestDamagedRegistry is about that.
		keys = slices.DeleteFunc(keys, func(key string) bool { return key == s.space+":queues" })
		var hit damage.Strike
		ok := true
		switch s.rnd.IntN(10) {
		case 0: // a new element with random content
			name := names[s.rnd.IntN(len(names))]
			hit = damage.Add(s.rnd, fmt.Sprintf("{%s:%c}:%s", s.space, "abc"[s.rnd.IntN(3)], name), kinds[name])
		case 1:
			if s.rnd.IntN(3) > 0 || s.seed < 10 { // rarely: requests about a key of the wrong type take seconds until they fail
				continue
			}
			key := keys[s.rnd.IntN(len(keys))]
			hit = damage.Retype(key, s.raw.Type(s.ctx, key).Val())
		default:
			if hit, ok, err = damage.Choose(s.ctx, s.raw, s.rnd, keys); err != nil {
				s.Fatal(err)
			}
		}
		if !ok {
			continue
		}
		if ok, err = hit.Apply(s.ctx, s.raw); err != nil {
			s.Fatalf("%v: %v", hit, err)
		}
		if ok {
			s.strikes = append(s.strikes, hit)
		}
		time.Sleep(time.Duration(s.rnd.IntN(5)) * time.Millisecond)
	}
}
