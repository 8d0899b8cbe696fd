package redis_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
)

func keyed(key string, change ...func(*broker.Unique)) func(*broker.Task) {
	return func(x *broker.Task) {
		x.Unique.Key = key
		for _, c := range change {
			c(&x.Unique)
		}
	}
}

func replacing(u *broker.Unique)  { u.OnConflict = broker.ConflictReplace }
func latest(u *broker.Unique)     { u.OnConflict = broker.ConflictLatest }
func untilStart(u *broker.Unique) { u.UntilStart = true }

// uniqueKeys returns what the store has of unique keys, by the names of all keys of the server.
func uniqueKeys(t *testing.T, raw *goredis.Client) (left []string) {
	t.Helper()
	names, err := raw.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		_, part, _ := strings.Cut(name, "}:")
		switch {
		case strings.HasPrefix(part, "window:"):
			left = append(left, name)
		case part == "unique" || part == "holders":
			fields, err := raw.HGetAll(t.Context(), name).Result()
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, fmt.Sprintf("%s: %q", name, fields))
		}
	}
	return left
}

// A unique key never outlives its task, however the task ends. Nothing is left of keys in the
// store, at once after the end: not only when a minion comes to the message.
func TestNothingIsLeftOfKeys(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		ctx := t.Context()
		b := open(t, url, redis.RoundsEvery(20*time.Millisecond), redis.AbandonedAfter(20*time.Millisecond))
		raw := rawClient(t, url)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 100})
		n := 0
		key := func() string { n++; return fmt.Sprint("simple_add/k", n) }
		take := func() *broker.Delivery {
			t.Helper()
			return dequeue(t, c, 1, 5*time.Second, "q")[0]
		}
		send := func(change ...func(*broker.Task)) *broker.Task {
			t.Helper()
			x := newTask("q", change...)
			enqueue(t, b, x)
			return x
		}
		ends := func(d *broker.Delivery, state broker.State) {
			t.Helper()
			s := succeed(d, "")
			s.Outcome.State = state
			if errs := settle(t, c, s); errs[0] != nil {
				t.Fatal(errs[0])
			}
		}
		cancel := func(x *broker.Task, want broker.CancelVerdict) {
			t.Helper()
			if verdicts, err := b.Cancel(ctx, []broker.ID{x.ID}); err != nil || verdicts[0] != want {
				t.Fatalf("%v, %v", verdicts, err)
			}
		}
		again := func(d *broker.Delivery, verb broker.Verb, delay time.Duration) {
			t.Helper()
			if errs := settle(t, c, broker.Settlement{Delivery: d, Verb: verb, Delay: delay}); errs[0] != nil {
				t.Fatal(errs[0])
			}
		}
		for name, end := range map[string]func(){
			"each final state": func() {
				for _, state := range []broker.State{broker.StateSucceeded, broker.StateFailed, broker.StateCanceled, broker.StateExpired} {
					send(keyed(key()))
					ends(take(), state)
					send(keyed(key()), func(x *broker.Task) { x.Retention, x.DeadFor = 0, 0 })
					ends(take(), state)
				}
			},
			"a cancel while it waits": func() {
				cancel(send(keyed(key()), func(x *broker.Task) { x.Delay = time.Hour }), broker.CancelPrevented)
				x := send(keyed(key()))
				again(take(), broker.VerbRetry, time.Hour)
				cancel(x, broker.CancelPrevented)
				x = send(keyed(key()))
				again(take(), broker.VerbPark, time.Hour)
				cancel(x, broker.CancelPrevented)
				cancel(send(keyed(key()), func(x *broker.Task) { x.Flow.Blocked = true }), broker.CancelPrevented)
				cancel(send(keyed(key())), broker.CancelPrevented) // its message stays in the list
			},
			"a cancel while it runs": func() {
				for _, verb := range []broker.Verb{broker.VerbRetry, broker.VerbSnooze, broker.VerbGiveBack, broker.VerbPark} {
					x := send(keyed(key()))
					d := take()
					cancel(x, broker.CancelRequested)
					again(d, verb, time.Hour)
				}
			},
			"a deadline": func() {
				x := send(keyed(key()), func(x *broker.Task) { x.Deadline, x.Delay = time.Millisecond, time.Hour })
				await(t, b, x.ID, broker.StateExpired)
			},
			"the death of a minion": func() {
				x := send(keyed(key()))
				dying := consume(t, open(t, url, redis.Lease(time.Second)), broker.ConsumerConfig{Queues: []string{"q"}})
				dequeue(t, dying, 1, 5*time.Second, "q")
				for d := (*broker.Delivery)(nil); d == nil; {
					if err := c.Heartbeat(ctx, broker.Load{}); err != nil {
						t.Fatal(err)
					}
					got, err := c.Dequeue(ctx, []string{"q"}, 1, 50*time.Millisecond)
					if err != nil {
						t.Fatal(err)
					}
					if len(got) == 1 {
						d = got[0]
						ends(d, broker.StateSucceeded)
					}
				}
				await(t, b, x.ID, broker.StateSucceeded)
			},
			"a requeue": func() {
				x := send(keyed(key()))
				ends(take(), broker.StateFailed)
				if errs, err := b.Requeue(ctx, []broker.ID{x.ID}); err != nil || errs[0] != nil {
					t.Fatal(errs, err)
				}
				ends(take(), broker.StateSucceeded)
			},
			"a parked task that no minion takes": func() {
				e := consume(t, b, broker.ConsumerConfig{Queues: []string{"abandoned"}})
				x := newTask("abandoned", keyed(key()))
				enqueue(t, b, x)
				d := dequeue(t, e, 1, 5*time.Second, "abandoned")[0]
				if errs := settle(t, e, broker.Settlement{Delivery: d, Verb: broker.VerbPark, Delay: time.Millisecond}); errs[0] != nil {
					t.Fatal(errs[0])
				}
				if err := e.Close(ctx); err != nil {
					t.Fatal(err)
				}
				elsewhere := consume(t, open(t, url, redis.RoundsEvery(20*time.Millisecond), redis.AbandonedAfter(20*time.Millisecond)), broker.ConsumerConfig{
					Queues: []string{"elsewhere"},
					OnAbandoned: func(*broker.Delivery) broker.Outcome {
						return broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "nobody came"}}
					},
				})
				await(t, b, x.ID, broker.StateFailed)
				_ = elsewhere.Close(ctx)
			},
			"a start": func() {
				send(keyed(key(), untilStart))
				d := take()
				if err := b.StartKey(ctx, d); err != nil {
					t.Fatal(err)
				}
				again(d, broker.VerbRetry, 0)
				ends(take(), broker.StateSucceeded)
				send(keyed(key(), untilStart))
				ends(take(), broker.StateFailed) // without a start
			},
			"a replacement": func() {
				k := key()
				send(keyed(k))
				send(keyed(k, replacing), func(x *broker.Task) { x.Delay = time.Hour })
				send(keyed(k, replacing, untilStart))
				d := take()
				send(keyed(k, replacing))
				ends(take(), broker.StateSucceeded)
				ends(d, broker.StateCanceled)
			},
			"tasks that wait behind it": func() {
				k := key()
				send(keyed(k))
				d := take()
				for range 3 {
					send(keyed(k, latest))
				}
				x := send(keyed(k, latest))
				cancel(x, broker.CancelPrevented)
				send(keyed(k, latest))
				ends(d, broker.StateFailed)
				ends(take(), broker.StateSucceeded)
				send(keyed(k))
				d = take()
				x = send(keyed(k, latest))
				if verdicts, err := b.Cancel(ctx, []broker.ID{d.ID, x.ID}); err != nil || verdicts[1] != broker.CancelPrevented {
					t.Fatal(verdicts, err)
				}
				ends(d, broker.StateCanceled)
				// Both wait, and end in one call.
				old := send(keyed(k))
				again(take(), broker.VerbRetry, time.Hour)
				x = send(keyed(k, latest, func(u *broker.Unique) { u.MaxAge = time.Millisecond }))
				if st, err := b.Lookup(ctx, []broker.ID{x.ID}); err != nil || st[0].State == broker.StateBlocked {
					if verdicts, err := b.Cancel(ctx, []broker.ID{old.ID, x.ID}); err != nil || verdicts[0] != broker.CancelPrevented {
						t.Fatal(verdicts, err)
					}
				} else { // the holder was young enough to be replaced
					ends(take(), broker.StateSucceeded)
				}
			},
			"an operator": func() {
				k := key()
				send(keyed(k, func(u *broker.Unique) { u.For = time.Hour }))
				d := take()
				if _, err := b.FreeKeys(ctx, "q", []string{k}); err != nil {
					t.Fatal(err)
				}
				ends(d, broker.StateSucceeded)
			},
		} {
			end()
			if left := uniqueKeys(t, raw); len(left) > 0 {
				t.Errorf("%s: after the end of all tasks this is left: %q", name, left)
			}
		}

		// A window is left until it has ended. The server removes it.
		const window = 50 * time.Millisecond
		k := key()
		send(keyed(k, func(u *broker.Unique) { u.For = window }))
		ends(take(), broker.StateSucceeded)
		name := "{" + redis.DefaultNamespace + ":q}:window:" + k
		if left := uniqueKeys(t, raw); len(left) > 1 || len(left) == 1 && left[0] != name {
			t.Errorf("a window leaves %q, want only %s", left, name)
		}
		if ttl := raw.PTTL(ctx, name).Val(); ttl > window+2*time.Second || ttl == -1 {
			t.Errorf("the window expires in %v", ttl)
		}
	})
}

// await waits until a task has a state.
func await(t *testing.T, b broker.Broker, id broker.ID, want broker.State) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		found, err := b.Lookup(t.Context(), []broker.ID{id})
		if err != nil {
			t.Fatal(err)
		}
		if found[0].State == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the task is %s, want %s", found[0].State, want)
		}
	}
}

// A replacement must know which minions there are. It is repeated while minions register, and it
// looks into the keys of all of them.
func TestReplaceAmongManyMinions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		const minions = 300
		b, raw, ctx := open(t, url), rawClient(t, url), t.Context()
		base := "{" + redis.DefaultNamespace + ":q}:"
		until := float64(time.Now().Add(time.Hour).UnixMilli())
		pipe := raw.Pipeline()
		var ids []broker.ID
		for range minions {
			id := broker.NewID(broker.KindParty, "", 0)
			pipe.ZAdd(ctx, base+"minions", goredis.Z{Score: until, Member: string(id[:])})
			ids = append(ids, id)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			t.Fatal(err)
		}
		var old, by []*broker.Task
		for i := range 40 {
			old = append(old, newTask("q", keyed(fmt.Sprint("k", i))))
			by = append(by, newTask("q", keyed(fmt.Sprint("k", i), replacing)))
		}
		enqueue(t, b, old...)
		// A minion has two of the tasks: one in its hash, one in its claim list.
		name := hex.EncodeToString(ids[minions-1][:])
		msgs := raw.LRange(ctx, base+"ready", 0, 1).Val()
		pipe = raw.Pipeline()
		pipe.HSet(ctx, base+"flight:"+name, old[0].ID[:], msgs[0])
		pipe.RPush(ctx, base+"claim:"+name, msgs[1])
		pipe.LTrim(ctx, base+"ready", 2, -1)
		if _, err := pipe.Exec(ctx); err != nil {
			t.Fatal(err)
		}
		var batch *broker.BatchError
		if err := b.Enqueue(ctx, by); !errors.As(err, &batch) {
			t.Fatal(err)
		}
		for i, err := range batch.Errs {
			var dup *broker.DuplicateError
			switch {
			case i < 2 && (!errors.As(err, &dup) || dup.Holder != old[i].ID):
				t.Errorf("task %d, whose holder runs: %v", i, err)
			case i >= 2 && err != nil:
				t.Errorf("task %d: %v", i, err)
			}
		}
		found, err := b.Lookup(ctx, []broker.ID{old[0].ID, old[1].ID, old[2].ID, old[39].ID})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []broker.State{broker.StateRunning, broker.StateRunning, broker.StateCanceled, broker.StateCanceled} {
			if found[i].State != want {
				t.Errorf("task %d is %s, want %s", i, found[i].State, want)
			}
		}

		// Minions register all the time.
		stop, over := context.WithCancel(ctx)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for stop.Err() == nil {
					id := broker.NewID(broker.KindParty, "", 0)
					_ = raw.ZAdd(stop, base+"minions", goredis.Z{Score: until, Member: string(id[:])}).Err()
					time.Sleep(time.Millisecond)
				}
			})
		}
		third := newTask("q", keyed("k2", replacing))
		err = b.Enqueue(ctx, []*broker.Task{third})
		over()
		wg.Wait()
		if err != nil && !errors.Is(err, broker.ErrUnavailable) {
			t.Error(err)
		}
		enqueue(t, b, third)
		await(t, b, by[2].ID, broker.StateCanceled)
	})
}

// Damage to what the store has of a key harms only that key, and a damaged key is free or can be
// freed.
func TestDamagedKeys(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		for i, damage := range append(damages(), strings.Repeat("\xff", 60), "="+strings.Repeat("\xff", 60), "<"+strings.Repeat("\x01", 60)) {
			for _, place := range []string{"unique", "holders of the holder", "holders of the next", "window"} {
				d := newDamaged(t, url)
				ctx := t.Context()
				holder := newTask("q", keyed("k", func(u *broker.Unique) { u.For = time.Hour }))
				good := newTask("q", keyed("good"))
				enqueue(t, d.b, holder, good)
				held := dequeue(t, d.c, 2, 2*time.Second, "q")
				next := newTask("q", keyed("k", latest))
				enqueue(t, d.b, next, newTask("q", keyed("good", latest)))
				switch place {
				case "unique":
					d.check(d.raw.HSet(ctx, d.base+"unique", "k", damage).Err())
				case "holders of the holder":
					d.check(d.raw.HSet(ctx, d.base+"holders", string(holder.ID[:]), damage).Err())
				case "holders of the next":
					d.check(d.raw.HSet(ctx, d.base+"holders", string(next.ID[:]), damage).Err())
				default:
					d.check(d.raw.Set(ctx, d.base+"window:k", damage, 0).Err())
				}
				for n, err := range settle(t, d.c, succeed(held[0], ""), succeed(held[1], "")) {
					if err != nil {
						t.Fatalf("damage %d of %s: settlement %d: %v", i, place, n, err)
					}
				}
				if st, err := d.b.LookupKeys(ctx, "q", []string{"good", "k"}); err != nil || st[0].Holder.IsZero() || st[0].Holder == good.ID {
					t.Fatalf("damage %d of %s: the other key: %+v, %v", i, place, st, err)
				}
				for _, change := range []func(*broker.Unique){replacing, latest, untilStart} {
					var dup *broker.DuplicateError
					err := d.b.Enqueue(ctx, []*broker.Task{newTask("q", keyed("k", change))})
					if err != nil && !errors.As(err, &dup) {
						t.Fatalf("damage %d of %s: %v", i, place, err)
					}
				}
				if _, err := d.b.FreeKeys(ctx, "q", []string{"k"}); err != nil {
					t.Fatal(err)
				}
				if _, err := d.b.FreeKeys(ctx, "q", []string{"k"}); err != nil { // of the task that waited behind the holder
					t.Fatal(err)
				}
				enqueue(t, d.b, newTask("q", keyed("k")))
				if _, err := d.b.Cancel(ctx, []broker.ID{next.ID}); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// The rules of unique keys hold in a queue with partitions. A key is found wherever its holder is.
func TestPartitionsOfKeys(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, ctx := open(t, url, redis.Partitions(8)), t.Context()
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 100})
		var first, second []*broker.Task
		var keys []string
		for i := range 40 {
			k := fmt.Sprint("k", i)
			keys = append(keys, k)
			with := func(x *broker.Task) {
				if i%3 == 0 { // then it is in another partition
					x.Lane = &broker.Lane{Priority: 7}
				}
				x.ID = x.NewID()
			}
			first = append(first, newTask("q", keyed(k, func(u *broker.Unique) { u.For = time.Hour }), with))
			second = append(second, newTask("q", keyed(k, latest), with))
		}
		enqueue(t, b, first...)
		held := dequeue(t, c, len(first), 5*time.Second, "q")
		enqueue(t, b, second...)
		sts, err := b.LookupKeys(ctx, "q", keys)
		if err != nil {
			t.Fatal(err)
		}
		for i, st := range sts {
			if st.Key != keys[i] || st.Holder != first[i].ID || st.Next != second[i].ID || st.Until.IsZero() {
				t.Errorf("key %d: %+v", i, st)
			}
		}
		if _, err := b.FreeKeys(ctx, "q", keys); err != nil {
			t.Fatal(err)
		}
		got := dequeue(t, c, len(second), 5*time.Second, "q")
		if len(got) != len(second) {
			t.Errorf("%d tasks took over a key, want %d", len(got), len(second))
		}
		var batch []broker.Settlement
		for _, d := range append(held, got...) {
			batch = append(batch, succeed(d, ""))
		}
		for _, err := range settle(t, c, batch...) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if left := uniqueKeys(t, rawClient(t, url)); len(left) > 0 {
			t.Errorf("after the end of all tasks this is left: %q", left)
		}
	})
}
