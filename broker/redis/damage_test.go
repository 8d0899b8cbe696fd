package redis_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// damages returns bytes that a script may find where it expects a message, a state or an id.
func damages() []string {
	message := string(wire.AppendRecord(nil, newTask("q")))
	stub := "\x82" + message[1:wire.HeadSize]
	older := "\x01" + message[1:51] + message[wire.HeadSize:] // a message of version 1
	return []string{
		"", "\x01", "\x02", "\x01\x02", strings.Repeat("\x01", 16), strings.Repeat("\x01", 17),
		message[:18], message[:21], message[:24], message[:50], message[:wire.HeadSize-1], "\xff" + message[1:], "\x82" + message[1:], older,
		stub, stub + "\xff\xff\xff", strings.Repeat("\xff", 60), strings.Repeat("\x00", 300),
	}
}

// damaged is a queue q with a consumer, in a namespace of its own, whose keys a test damages.
type damaged struct {
	*testing.T
	b    *redis.Broker
	c    broker.Consumer
	raw  *goredis.Client
	base string // prefix of the queue's keys

	space string // the namespace
}

var damagedSpaces atomic.Int32

func newDamaged(t *testing.T, url string, opts ...redis.Option) *damaged {
	t.Helper()
	namespace := fmt.Sprintf("damaged%d", damagedSpaces.Add(1))
	opts = append(opts, redis.Namespace(namespace))
	d := &damaged{T: t, b: open(t, url, opts...), raw: rawClient(t, url), base: "{" + namespace + ":q}:", space: namespace}
	d.c = consume(t, d.b, broker.ConsumerConfig{Queues: []string{"q"}})
	return d
}

func (d *damaged) check(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *damaged) heartbeat() {
	d.Helper()
	d.check(d.c.Heartbeat(d.Context(), broker.Load{}))
}

// finish settles a task as succeeded and returns its id.
func (d *damaged) finish(del *broker.Delivery) broker.ID {
	d.Helper()
	if errs := settle(d.T, d.c, succeed(del, "r")); errs[0] != nil {
		d.Fatal(errs[0])
	}
	return del.ID
}

// fail makes a task a dead letter.
func (d *damaged) fail(del *broker.Delivery) {
	d.Helper()
	s := succeed(del, "")
	s.Outcome.State, s.Outcome.Result, s.Outcome.Err = broker.StateFailed, nil, &broker.Failure{Message: "no"}
	if errs := settle(d.T, d.c, s); errs[0] != nil {
		d.Fatal(errs[0])
	}
}

// states checks that tasks have the given states and no errors, and returns all statuses.
func (d *damaged) states(ids []broker.ID, want ...broker.State) []broker.Status {
	d.Helper()
	found, err := d.b.Lookup(d.Context(), ids)
	d.check(err)
	for i, w := range want {
		if found[i].State != w || found[i].Err != nil {
			d.Fatalf("task %d: %+v, want %v", i, found[i], w)
		}
	}
	return found
}

// Damaged messages are put aside, whether they are scheduled or in flight at a dead minion or at
// this one. All other tasks run.
func TestDamagedMessages(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		for i, damage := range damages() {
			d := newDamaged(t, url)
			ctx := t.Context()
			late, held, mine := newTask("q"), newTask("q"), newTask("q", func(x *broker.Task) { x.Delay = time.Millisecond })
			enqueue(t, d.b, mine)

			// A damaged message that is due before the others.
			odd := string(late.ID[:])
			d.check(d.raw.HSet(ctx, d.base+"later", odd, damage).Err())
			d.check(d.raw.ZAdd(ctx, d.base+"due", goredis.Z{Score: 1, Member: odd}, goredis.Z{Score: 2, Member: "no message"}).Err())

			// Damaged messages of a minion whose lease has ended.
			other := broker.NewID(broker.KindParty, "", 0)
			flight := d.base + "flight:" + hex.EncodeToString(other[:])
			d.check(d.raw.HSet(ctx, flight, string(held.ID[:]), string(wire.AppendRecord(nil, held)), odd, damage, damage, damage).Err())
			d.check(d.raw.RPush(ctx, d.base+"claim:"+hex.EncodeToString(other[:]), damage).Err())
			d.check(d.raw.ZAdd(ctx, d.base+"minions", goredis.Z{Score: 1, Member: string(other[:])}).Err())

			// A damaged message of this consumer.
			id := d.c.ID()
			d.check(d.raw.HSet(ctx, d.base+"flight:"+hex.EncodeToString(id[:]), odd, damage).Err())

			d.heartbeat()
			d.heartbeat()
			seen := map[broker.ID]bool{}
			for _, del := range dequeue(t, d.c, 2, 2*time.Second, "q") {
				seen[d.finish(del)] = true
			}
			if !seen[mine.ID] || !seen[held.ID] {
				t.Fatalf("damage %d: the tasks %v ran, want %s and %s", i, seen, mine.ID, held.ID)
			}
			if info, err := d.b.Queues(ctx); err != nil || info[0].Unreadable < 5 || info[0].Running != 0 || info[0].Scheduled != 0 {
				t.Fatalf("damage %d: %+v, %v", i, info, err)
			}
		}
	})
}

// The message of a running task may be cut short. The other tasks of the same settlement are settled
// all the same, with every verb.
func TestDamagedWhileItRuns(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		for _, size := range []int{0, 17, 21, 50, 51, 52, wire.HeadSize - 1} {
			d := newDamaged(t, url)
			id := d.c.ID()
			flight := d.base + "flight:" + hex.EncodeToString(id[:])
			for _, verb := range []broker.Verb{broker.VerbFinish, broker.VerbRetry, broker.VerbSnooze, broker.VerbGiveBack, broker.VerbPark} {
				bad, good := newTask("q"), newTask("q")
				enqueue(t, d.b, bad, good)
				var batch []broker.Settlement
				for len(batch) < 2 {
					for _, del := range dequeue(t, d.c, 2, 2*time.Second, "q") {
						s := succeed(del, "r")
						if s.Verb = verb; verb != broker.VerbFinish {
							s.Outcome, s.Delay = broker.Outcome{}, time.Hour
						}
						batch = append(batch, s)
					}
				}
				if batch[0].Delivery.ID != bad.ID {
					batch[0], batch[1] = batch[1], batch[0]
				}
				message := d.raw.HGet(t.Context(), flight, string(bad.ID[:])).Val()
				d.check(d.raw.HSet(t.Context(), flight, string(bad.ID[:]), message[:size]).Err())
				errs, err := d.c.Settle(t.Context(), batch)
				if err != nil || errs[0] == nil || errs[1] != nil {
					t.Fatalf("%d bytes, verb %v: %v, %v", size, verb, errs, err)
				}
				if st, err := d.b.Lookup(t.Context(), []broker.ID{good.ID}); err != nil || st[0].State == broker.StateRunning || st[0].State == broker.StateUnknown {
					t.Fatalf("%d bytes, verb %v: the other task is %s, %v", size, verb, st[0].State, err)
				}
				if verb == broker.VerbGiveBack { // it is pending again
					d.finish(dequeue(t, d.c, 1, 2*time.Second, "q")[0])
				}
			}
		}
	})
}

// A look-up of a task whose state is damaged returns an error for it. All other tasks can be sent,
// looked up, cancelled and settled.
func TestDamagedStates(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		for i, damage := range append(damages(), strings.Repeat("\x01", 27), strings.Repeat("\x06", 40)) {
			if len(damage) == 20 {
				continue // it has the length of a valid state
			}
			d := newDamaged(t, url)
			ctx := t.Context()
			tasks := append(siblings(4), newTask("q"), newTask("q", func(x *broker.Task) { x.Unique.Key = "k" }))
			tasks = append(tasks, siblings(3)...)
			enqueue(t, d.b, tasks...)
			var ids []broker.ID
			for _, x := range tasks {
				ids = append(ids, x.ID)
			}
			for _, field := range []string{string(ids[0][:]), string(ids[4][:]), string(ids[6][:broker.BlockPrefix]), string(ids[6][:broker.BlockPrefix]) + "r\x01"} {
				d.check(d.raw.HSet(ctx, d.base+"state", field, damage).Err())
			}
			d.check(d.raw.HSet(ctx, d.base+"unique", "simple_add/k2", damage).Err())

			d.states(ids[1:4], broker.StatePending, broker.StatePending, broker.StatePending)
			found := d.states(ids)
			// A damaged state of 31 bytes or more has a time until which it may be seen, and that may be
			// over. Then the task is unknown and there is no error.
			if bad := &found[4]; bad.State != broker.StateUnknown || len(damage) < 31 && !errors.Is(bad.Err, broker.ErrMalformed) {
				t.Fatalf("damage %d: %+v", i, found[4])
			}
			// Send all tasks again. Those whose states are intact are recognized, and none is stored twice.
			err := d.b.Enqueue(ctx, tasks)
			var batch *broker.BatchError
			if err != nil && !errors.As(err, &batch) {
				t.Fatal(err)
			}
			for _, at := range []int{1, 2, 3, 5} {
				if batch != nil && batch.Errs[at] != nil {
					t.Fatalf("damage %d: task %d is refused: %v", i, at, batch.Errs[at])
				}
			}
			if n := d.raw.LLen(ctx, d.base+"ready").Val(); n != int64(len(tasks)) {
				t.Fatalf("damage %d: %d messages are ready for %d tasks", i, n, len(tasks))
			}
			enqueue(t, d.b, newTask("q", func(x *broker.Task) { x.Unique.Key = "simple_add/k2" }))
			verdicts, err := d.b.Cancel(ctx, []broker.ID{ids[0], ids[4], ids[3], ids[7]})
			if err != nil || verdicts[2] != broker.CancelPrevented {
				t.Fatalf("damage %d: %v, %v", i, verdicts, err)
			}
			var letters []broker.Settlement
			for _, del := range dequeue(t, d.c, len(tasks), 2*time.Second, "q") {
				letters = append(letters, succeed(del, "r"))
			}
			for n, err := range settle(t, d.c, letters...) {
				if err != nil {
					t.Fatalf("damage %d: settlement %d: %v", i, n, err)
				}
			}
			d.states(ids[1:6], broker.StateSucceeded, broker.StateSucceeded, broker.StateCanceled, broker.StateSucceeded, broker.StateSucceeded)
		}
	})
}

// Dead letters are listed and can be requeued, even if one of them is damaged.
func TestDamagedDeadLetters(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		for i, damage := range damages() {
			d := newDamaged(t, url)
			ctx := t.Context()
			tasks := append(siblings(2), newTask("q"))
			enqueue(t, d.b, tasks...)
			for _, del := range dequeue(t, d.c, 3, 2*time.Second, "q") {
				d.fail(del)
			}
			good, silent, bad := tasks[0].ID, tasks[1].ID, tasks[2].ID
			d.check(d.raw.HSet(ctx, d.base+"state", string(silent[:]), strings.Repeat("\x01", 27)).Err())
			d.check(d.raw.HSet(ctx, d.base+"dead", string(bad[:]), damage).Err())
			letters, next, err := d.b.DeadLetters(ctx, "q", "", 10)
			if err != nil || next != "" || len(letters) != 3 {
				t.Fatalf("damage %d: %d dead letters, %v, want 3: %+v", i, len(letters), err, letters)
			}
			errs, err := d.b.Requeue(ctx, []broker.ID{bad, good})
			if err != nil || errs[1] != nil || errs[0] == nil {
				t.Fatalf("damage %d: %v, %v", i, errs, err)
			}
			if del := dequeue(t, d.c, 1, 2*time.Second, "q")[0]; del.ID != good {
				t.Fatalf("damage %d: %v runs", i, del.ID)
			}
		}
	})
}

// A damaged element in the list of a class of retention does not keep the elements behind it from
// being swept.
func TestDamagedSweep(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		d := newDamaged(t, url)
		ctx := t.Context()
		over := strings.Repeat("\x00", 6)
		for i, damage := range append(damages(), over, over+"r", over+"short", over+"r"+strings.Repeat("\x01", 16), "\xff\xff\xff\xff\xff\xff"+strings.Repeat("\x01", 32), over+strings.Repeat("\x02", 16*9000)) {
			for _, class := range []string{"r60", "d60", "odd"} {
				id := newTask("q").ID
				d.check(d.raw.HSet(ctx, d.base+"state", string(id[:]), strings.Repeat("\x00", 31)).Err())
				d.raw.Del(ctx, d.base+"keep:"+class) // an element with a damaged time may be left from before
				d.check(d.raw.RPush(ctx, d.base+"keep:"+class, damage, over+string(id[:])).Err())
				d.check(d.raw.ZAdd(ctx, d.base+"keep", goredis.Z{Score: 1, Member: class}).Err())
				d.heartbeat()
				if d.raw.HExists(ctx, d.base+"state", string(id[:])).Val() {
					t.Fatalf("damage %d: class %s is not swept: %q", i, class, d.raw.LRange(ctx, d.base+"keep:"+class, 0, -1).Val())
				}
			}
		}
	})
}

// A blocked task whose message is damaged does not keep others from being released.
func TestDamagedBlocked(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		for i, damage := range damages() {
			d := newDamaged(t, url)
			ctx := context.Background()
			block := func(x *broker.Task) { x.Flow.Blocked = true }
			tasks := []*broker.Task{newTask("q", block), newTask("q", block)}
			enqueue(t, d.b, tasks...)
			bad, good := tasks[0], tasks[1]
			d.check(d.raw.HSet(ctx, d.base+"later", string(bad.ID[:]), damage).Err())
			if errs := d.b.Assign(ctx, d.c.ID(), []broker.ID{bad.ID}); errs == nil {
				t.Errorf("damage %d was assigned", i)
			}
			found, err := d.b.Blocked(ctx, []broker.ID{bad.ID, good.ID})
			var batch *broker.BatchError
			if !errors.As(err, &batch) || batch.Errs[0] == nil || batch.Errs[1] != nil || found[1] == nil {
				t.Fatalf("damage %d: %v, %v", i, found, err)
			}
			for _, x := range tasks {
				x.Flow.Blocked = false
			}
			_ = d.b.Release(ctx, tasks)
			if del := dequeue(t, d.c, 1, 2*time.Second, "q")[0]; del.ID != good.ID {
				t.Fatalf("damage %d: %v runs", i, del.ID)
			}
			if v, err := d.b.Cancel(ctx, []broker.ID{bad.ID}); err != nil || v[0] != broker.CancelPrevented {
				t.Fatalf("damage %d: %v, %v", i, v, err)
			}
		}
	})
}

// An arrival that can't be read is put aside and logged once, and the others are found. The next
// minion that registers tries it again. A member whose outcome is damaged counts as failed.
func TestDamagedArrivals(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		for i, damage := range damages() {
			var log lines
			namespace := fmt.Sprintf("arrived%d", i)
			b := open(t, url, redis.Namespace(namespace), redis.Logger(slog.New(slog.NewTextHandler(&log, nil))))
			raw, ctx := rawClient(t, url), t.Context()
			base := "{" + namespace + ":q}:"
			c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
			flow := &broker.Flow{ID: broker.NewID(broker.KindGroup, "q", 0), Size: 2, Quorum: 2}
			tasks := make([]*broker.Task, 2)
			for step := range tasks {
				tasks[step] = newTask("q", func(x *broker.Task) { x.Flow.ID, x.Flow.Step = flow.ID, uint32(step) })
			}
			if err := b.OpenFlow(ctx, flow, 0, []broker.ID{tasks[0].ID, tasks[1].ID}); err != nil {
				t.Fatal(err)
			}
			enqueue(t, b, tasks...)
			for _, d := range dequeue(t, c, 2, time.Second, "q") {
				settle(t, c, succeed(d, "r"))
			}
			name := "m" + string(tasks[0].ID[:])
			value := raw.HGet(ctx, base+"outbox", name).Val()
			if err := raw.HSet(ctx, base+"outbox", name, value[:wire.FlowRefSize]+"\x01\xc1", "m"+damage, damage, "s"+string(flow.ID[:]), damage).Err(); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				found, err := b.Arrivals(ctx, "q", 10)
				if err != nil || len(found) != 2 {
					t.Fatalf("damage %d: %d arrivals, %v", i, len(found), err)
				}
				for _, a := range found {
					if failed := a.Outcome.State == broker.StateFailed; failed != (a.Task == tasks[0].ID) {
						t.Errorf("damage %d: %+v", i, a)
					}
				}
			}
			if n := strings.Count(log.String(), "arrivals can't be read"); n != 1 {
				t.Errorf("damage %d: the arrivals that can't be read were logged %d times, want once: %s", i, n, log.String())
			}
			if info, err := b.Queues(ctx); err != nil || info[0].Unreadable != 2 {
				t.Errorf("damage %d: %+v, %v", i, info, err)
			}
			consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
			if n := raw.HLen(ctx, base+"outbox").Val(); n != 4 {
				t.Errorf("damage %d: the outbox has %d arrivals after a minion has registered, want 4", i, n)
			}
		}
	})
}

// However many records were put aside, each is tried again by some minion that registers.
func TestAsideInTurn(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		d := newDamaged(t, url)
		d.check(d.raw.RPush(d.Context(), d.base+"odd", slices.Repeat([]any{"rubbish"}, 1200)...).Err())
		task := newTask("q")
		d.check(d.raw.RPush(d.Context(), d.base+"odd", wire.AppendRecord(nil, task)).Err())
		for range 3 {
			consume(t, d.b, broker.ConsumerConfig{Queues: []string{"q"}})
		}
		if del := dequeue(t, d.c, 1, time.Second, "q")[0]; del.ID != task.ID {
			t.Fatal(del.ID)
		}
		if info, err := d.b.Queues(d.Context()); err != nil || info[0].Unreadable != 1200 {
			t.Fatalf("%+v, %v, want 1200 unreadable records", info, err)
		}
	})
}
