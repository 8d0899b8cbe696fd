package redis_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
)

// numbers returns texts that a script may find where it expects a number.
func numbers() []string {
	return []string{"", "abc", "nan", "inf", "-inf", "1e308", "-1", "1.5", "99999999999999999999", "\xff"}
}

// An operation on a queue whose entry in the registry is damaged fails with an error that names the
// registry. The damage is logged once. All other queues are found and listed.
func TestDamagedRegistry(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		for i, damage := range numbers() {
			var log lines
			d := newDamaged(t, url, redis.Logger(slog.New(slog.NewTextHandler(&log, nil))))
			ctx := t.Context()
			d.check(d.raw.HSet(ctx, d.space+":queues", "bad", damage, "no name", "1").Err())
			task := newTask("q")
			other := open(t, url, redis.Namespace(d.space), redis.NoHousekeeping(), redis.Logger(slog.New(slog.NewTextHandler(&log, nil))))
			enqueue(t, other, task)
			for range 3 {
				if info, err := other.Queues(ctx); err != nil || len(info) != 1 || info[0].Name != "q" {
					t.Fatalf("damage %d: %+v, %v", i, info, err)
				}
				if st, err := other.Lookup(ctx, []broker.ID{task.ID}); err != nil || st[0].State != broker.StatePending {
					t.Fatalf("damage %d: %+v, %v", i, st, err)
				}
			}
			if _, _, err := other.DeadLetters(ctx, "bad", "", 1); !errors.Is(err, broker.ErrMalformed) || !strings.Contains(err.Error(), d.space+":queues") {
				t.Errorf("damage %d: %v", i, err)
			}
			if n := strings.Count(log.String(), "can't be used"); n != 2 { // once for each of the two damaged queues
				t.Errorf("damage %d: the damage of two queues was logged %d times: %s", i, n, log.String())
			}
		}
	})
}

// If the keys of the round, turn and since, are damaged, all queues are still visited.
func TestDamagedTurn(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		for i, damage := range append(numbers(), "of another type") {
			d := newDamaged(t, url, redis.NoHousekeeping(), redis.RoundsEvery(50*time.Millisecond))
			ctx := t.Context()
			prefix := "{" + d.space + ":queues}:"
			if damage == "of another type" {
				d.check(d.raw.Del(ctx, prefix+"turn", prefix+"since").Err())
				d.check(d.raw.Set(ctx, prefix+"since", "x", 0).Err())
				consume(t, d.b, broker.ConsumerConfig{Queues: []string{"q2"}})
				d.check(d.raw.Set(ctx, prefix+"turn", "x", 0).Err())
				d.check(d.raw.Set(ctx, prefix+"since", "x", 0).Err())
			} else {
				d.check(d.raw.HSet(ctx, prefix+"turn", "at", damage, "cursor", damage).Err())
				d.check(d.raw.HSet(ctx, prefix+"since", "q", damage).Err())
			}
			dead := broker.NewID(broker.KindParty, "", 0)
			d.check(d.c.Close(ctx)) // from here on no minion serves the queue
			d.check(d.raw.ZAdd(ctx, d.base+"minions", goredis.Z{Score: 1, Member: string(dead[:])}).Err())
			for end := time.Now().Add(20 * time.Second); d.raw.Exists(ctx, d.base+"minions").Val() > 0; {
				if _, err := d.b.Round(ctx); time.Now().After(end) { // a round may fail by its timeout
					t.Fatalf("damage %d: the queue is not visited: %v", i, err)
				}
			}
		}
	})
}

// If the record or a count of a flow is damaged, operations on that flow fail, and no others.
func TestDamagedFlow(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		d := newDamaged(t, url)
		ctx := t.Context()
		good := &broker.Flow{ID: broker.NewID(broker.KindGroup, "q", 0), Size: 1, Quorum: 1}
		d.check(d.b.OpenFlow(ctx, good, 0, []broker.ID{newTask("q").ID}))
		for _, field := range []string{"flow", "ok", "bad", "callback", "finalizer", "killed", "swept", "decided", "first", "outcome", "a key"} {
			for i, damage := range append(numbers(), "\x01\xc1") {
				if field == "first" && damage == "-1" || field == "outcome" && damage == "" || damage == "-1" && field != "flow" && field != "outcome" && field != "a key" {
					continue // these are valid values, or values that nobody can tell from valid ones
				}
				bad := &broker.Flow{ID: broker.NewID(broker.KindGroup, "q", 0), Size: 1, Quorum: 1}
				member := newTask("q").ID
				d.check(d.b.OpenFlow(ctx, bad, 0, []broker.ID{member}))
				base := fmt.Sprintf("{%s:flow:%x}:", d.space, bad.ID[:])
				if field == "a key" {
					d.check(d.raw.Del(ctx, base+"members").Err())
					d.check(d.raw.SAdd(ctx, base+"members", "x").Err())
				} else {
					d.check(d.raw.HSet(ctx, base+"flow", field, damage).Err())
				}
				if _, err := d.b.LookupFlow(ctx, bad.ID); !errors.Is(err, broker.ErrMalformed) && !errors.Is(err, broker.ErrVersion) {
					t.Fatalf("%s, damage %d: %v", field, i, err)
				}
				arrival := broker.Arrival{Task: member, Flow: bad.ID, Outcome: broker.Outcome{State: broker.StateSucceeded}}
				if _, err := d.b.Arrive(ctx, bad.ID, []broker.Arrival{arrival}); !errors.Is(err, broker.ErrMalformed) && !errors.Is(err, broker.ErrVersion) {
					t.Fatalf("%s, damage %d: arrive: %v", field, i, err)
				}
				st, err := d.b.Lookup(ctx, []broker.ID{bad.ID, good.ID})
				if err != nil || st[0].Err == nil || st[1].Err != nil || st[1].State != broker.StatePending {
					t.Fatalf("%s, damage %d: %+v, %v", field, i, st, err)
				}
			}
		}
	})
}

// The sorted sets due, parked and minions, and the hash needs, may have any numbers and texts. Other
// tasks do not wait for that, and a waiting Dequeue does not ask the server without a pause.
func TestDamagedScores(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		for i, score := range []string{"inf", "-inf", "1e308", "9007199254740993", "9223372036854775807", "4503599627370496", "1.5"} {
			d := newDamaged(t, url)
			ctx := t.Context()
			able := consume(t, d.b, broker.ConsumerConfig{Queues: []string{"q"}, Tasks: map[string]uint64{"simple_add": 0}})
			d.check(d.raw.Do(ctx, "zadd", d.base+"due", score, "nobody's").Err())
			d.check(d.raw.Do(ctx, "zadd", d.base+"parked", score, "nobody's").Err())
			d.check(d.raw.Do(ctx, "zadd", d.base+"minions", score, "nobody's").Err())
			for _, number := range numbers() {
				d.check(d.raw.HSet(ctx, d.base+"needs", number, "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x07msgpacksimple_add").Err())
			}
			d.check(able.Heartbeat(ctx, broker.Load{}))
			late := newTask("q", func(x *broker.Task) { x.Delay = 5 * time.Millisecond })
			enqueue(t, d.b, newTask("q"), late)
			for _, del := range dequeue(t, able, 2, time.Second, "q") {
				if errs := settle(t, able, succeed(del, "r")); errs[0] != nil {
					t.Fatalf("score %d: %v", i, errs[0])
				}
			}
			counts := strings.HasSuffix(t.Name(), "redis-server") // miniredis does not count commands
			before := 0
			if counts {
				before = commands(t, d.raw)
			}
			if _, err := able.Dequeue(ctx, []string{"q"}, 1, 50*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if !counts {
				continue
			}
			if n := commands(t, d.raw) - before; n > 100 {
				t.Errorf("score %s: %d commands while there was nothing to do, want at most 100", score, n)
			}
		}
	})
}
