package redis_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

// passing is a server whose time a test lets pass, with retentions that fit.
type passing struct {
	url   string
	raw   *goredis.Client
	opts  []redis.Option
	lease time.Duration
	keep  time.Duration // retention of tasks that succeed, and how long ids are remembered at least
	dead  time.Duration // retention of dead letters
	pass  func(d time.Duration)

	registered, unused time.Duration // see redis.Unused

	// brief is true on a real server, where time really passes. Then a test can't wait an hour, which is
	// the retention of tasks that are cancelled while they wait, or until the server expires keys.
	brief bool
}

// onPassing runs a test on miniredis, where a week passes at once, and in the long form also on a
// real server with short retentions.
func onPassing(t *testing.T, body func(t *testing.T, p *passing)) {
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		s := miniredis.RunT(t)
		now := time.Now()
		s.SetTime(now)
		url := "redis://" + s.Addr()
		body(t, &passing{
			url: url, raw: rawClient(t, url), lease: redis.DefaultLease, keep: time.Hour, dead: 7 * 24 * time.Hour,
			registered: redis.RegisteredFor, unused: redis.UnusedFor,
			pass: func(d time.Duration) {
				now = now.Add(d)
				s.SetTime(now)
				s.FastForward(d)
			},
		})
	})
	if path := redistest.Path(t); path != "" && testform.Long() {
		t.Run("redis-server", func(t *testing.T) {
			t.Parallel()
			url := "redis://" + redistest.Start(t, path).Addr
			const brief = time.Second
			body(t, &passing{
				url: url, raw: rawClient(t, url), lease: brief, keep: brief, dead: 3 * brief, pass: time.Sleep, brief: true,
				registered: 2 * brief, unused: 3 * brief,
				opts: []redis.Option{redis.RememberFor(brief), redis.Unused(2*brief, 3*brief)},
			})
		})
	}
}

func (p *passing) open(t *testing.T, opts ...redis.Option) *redis.Broker {
	// The broker takes no turns by itself, so each call of Round gets one.
	return open(t, p.url, slices.Concat([]redis.Option{redis.Lease(p.lease), redis.RoundsEvery(time.Hour)}, p.opts, opts)...)
}

// task makes a task with the retentions of p.
func (p *passing) task(queue string, change ...func(*broker.Task)) *broker.Task {
	return newTask(queue, append([]func(*broker.Task){func(x *broker.Task) {
		x.Retention, x.DeadFor = p.keep, p.dead
	}}, change...)...)
}

// round visits all queues, as brokers do from time to time.
func (p *passing) round(t *testing.T, b *redis.Broker) {
	t.Helper()
	for first := true; ; first = false {
		// Without this field the next turn is due now.
		if err := p.raw.HDel(t.Context(), "{"+redis.DefaultNamespace+":queues}:turn", "at").Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		cursor, err := p.raw.HGet(t.Context(), "{"+redis.DefaultNamespace+":queues}:turn", "cursor").Result()
		if err != nil {
			t.Fatal(err)
		}
		if cursor == "0" && !first { // not at once: the first turn may have ended an earlier round
			return
		}
	}
}

// keys returns the names of all keys, without the namespace. If p.brief, keys that expire are left
// out, but for turn.
func (p *passing) keys(t *testing.T) []string {
	t.Helper()
	all, err := p.raw.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(k string) bool {
		return p.brief && p.raw.PTTL(t.Context(), k).Val() > 0 && !strings.HasSuffix(k, "}:turn")
	})
	for i, k := range all {
		all[i] = strings.Replace(k, redis.DefaultNamespace, "", 1)
	}
	slices.Sort(all)
	return all
}

// confirm confirms all arrivals of queues, as a driver of flows does in the end.
func (p *passing) confirm(t *testing.T, b *redis.Broker, queues []string) {
	t.Helper()
	for _, queue := range queues {
		found, err := b.Arrivals(t.Context(), queue, 100)
		if err == nil {
			err = b.Confirm(t.Context(), found)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// wantKeys checks that there are exactly these keys.
func (p *passing) wantKeys(t *testing.T, when string, want ...string) {
	t.Helper()
	if got := p.keys(t); !slices.Equal(got, want) {
		t.Errorf("%s: the keys are\n  %s\nwant\n  %s", when, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// Work of all kinds in many queues has ended, its minions have died, and all retentions are over. A
// process that is still alive has removed everything. The only key that is left is turn, which says
// where the next round begins.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	onPassing(t, func(t *testing.T, p *passing) {
		sender := p.open(t)
		var queues []string
		for i := range 5 {
			queues = append(queues, fmt.Sprintf("tenant%d", i))
		}
		meta := func(x *broker.Task) { x.Meta = map[string]string{"k": "v"} }
		unique := func(x *broker.Task) { x.Unique.Key = "add/" + x.ID.String() }
		big := func(x *broker.Task) { x.Payload = append([]byte{0xc5, 0x20, 0}, make([]byte, 0x2000)...) }
		delayed := func(x *broker.Task) { x.Delay = 10 * 365 * 24 * time.Hour }
		blocked := func(x *broker.Task) { x.Flow.Blocked = true }
		kinds := [][]func(*broker.Task){{}, {meta}, {unique}, {big}, {meta, unique}, {delayed}, {delayed, unique, meta}, {blocked}}
		later := 10 * 365 * 24 * time.Hour
		if p.brief { // delayed and blocked tasks would be cancelled at the end, which takes an hour
			kinds, later = kinds[:5], 0
		}
		several := p.open(t)
		many := consume(t, several, broker.ConsumerConfig{Queues: queues, Slots: 100})
		for n, queue := range queues {
			var tasks []*broker.Task
			for range 4 {
				for _, kind := range kinds {
					tasks = append(tasks, p.task(queue, kind...))
				}
			}
			var b broker.Block
			for range 20 {
				tasks = append(tasks, p.task(queue, func(x *broker.Task) { x.ID = b.NewTaskID(queue, 0) }))
			}
			group := &broker.Flow{ID: broker.NewID(broker.KindGroup, queue, 0), Size: 2, Quorum: 2, Retention: p.keep}
			members := []*broker.Task{p.task(queue), p.task(queue)}
			members[1].Flow.Blocked = !p.brief
			for i, m := range members {
				m.Flow.ID, m.Flow.Step = group.ID, uint32(i)
			}
			if err := sender.OpenFlow(t.Context(), group, 0, []broker.ID{members[0].ID, members[1].ID}); err != nil {
				t.Fatal(err)
			}
			tasks = append(tasks, members...)
			enqueue(t, sender, tasks...)
			if err := sender.Publish(t.Context(), []broker.Event{{Topic: queue, Payload: []byte("x")}}); err != nil {
				t.Fatal(err)
			}

			c := many
			if n == 0 {
				c = consume(t, several, broker.ConsumerConfig{Queues: []string{queue}, Slots: 100})
			}
			var batch []broker.Settlement
			for i, d := range dequeue(t, c, 20, 5*time.Second, queue) {
				switch i % 5 {
				case 0: // dies with its minion
				case 1:
					batch = append(batch, failing(d, later))
				case 2:
					s := succeed(d, "")
					s.Outcome.State, s.Outcome.Err = broker.StateFailed, &broker.Failure{Message: "no"}
					batch = append(batch, s)
				default:
					batch = append(batch, succeed(d, "r"))
				}
			}
			for _, err := range settle(t, c, batch...) {
				if err != nil {
					t.Fatal(err)
				}
			}
			all := []broker.ID{group.ID}
			for _, x := range tasks {
				all = append(all, x.ID)
			}
			// All other tasks are cancelled. Some are pending, some scheduled, some blocked and some running.
			if p.brief {
				continue
			}
			halted, err := sender.Halt(t.Context(), []broker.ID{group.ID})
			if err != nil || len(halted.Kills) != 1 {
				t.Fatalf("halted: %+v, %v", halted, err)
			}
			if _, err := sender.Cancel(t.Context(), all[1:]); err != nil {
				t.Fatal(err)
			}
			if err := sender.Confirm(t.Context(), halted.Kills); err != nil {
				t.Fatal(err)
			}
			arrived, err := sender.Arrivals(t.Context(), queue, 100)
			if err != nil || len(arrived) == 0 {
				t.Fatalf("%d arrivals, %v", len(arrived), err)
			}
			if _, err := sender.Arrive(t.Context(), group.ID, arrived); err != nil {
				t.Fatal(err)
			}
			if err := sender.Confirm(t.Context(), arrived); err != nil {
				t.Fatal(err)
			}
			if err := sender.EndFlow(t.Context(), group.ID, &broker.Outcome{State: broker.StateCanceled}); err != nil {
				t.Fatal(err)
			}
		}
		if err := several.Close(); err != nil { // as if its process had died
			t.Fatal(err)
		}

		// Another process serves another queue; the sender serves none.
		here := p.open(t)
		other := consume(t, here, broker.ConsumerConfig{Queues: []string{"other"}})
		p.pass(p.lease + p.lease/10)
		if p.lease > time.Second { // with a short lease that of the other consumer has ended, too
			if err := other.Heartbeat(t.Context(), broker.Load{}); err != nil {
				t.Fatal(err)
			}
		}
		p.round(t, here) // brings back the tasks of the dead minions, of which some are cancelled
		for _, queue := range queues {
			for _, d := range dequeueAll(t, here, queue) {
				if !d.Canceled && !p.brief {
					t.Errorf("task %s was cancelled and came back without the mark", d.ID)
				}
			}
		}
		if err := other.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := here.Close(); err != nil {
			t.Fatal(err)
		}

		p.pass(p.keep + p.keep/50 + time.Second)
		p.round(t, sender)
		p.confirm(t, sender, queues)
		for _, k := range p.keys(t) {
			kind := k[strings.Index(k, "}:")+2:]
			switch {
			case k == ":queues", strings.HasPrefix(k, "{:queues}"):
			case slices.Contains([]string{"dead", "state", "about", "meta"}, kind): // of dead letters
			case strings.HasPrefix(kind, "keep"), strings.HasPrefix(kind, "record:"):
			case strings.HasPrefix(kind, "claim:") && strings.HasPrefix(k, "{:tenant0}"): // a fence
			default:
				t.Errorf("the key %s is left after the retention of outcomes", k)
			}
		}
		p.pass(p.dead + 2*time.Second)
		p.round(t, sender)
		p.wantKeys(t, "at the end", "{:queues}:turn")
		if found, err := sender.Queues(t.Context()); err != nil || len(found) > 0 {
			t.Errorf("queues %v, %v", found, err)
		}
		// A queue that was removed can be used again.
		enqueue(t, sender, p.task("tenant0"))
		if found, err := sender.Queues(t.Context()); err != nil || len(found) != 1 || found[0].Pending != 1 {
			t.Errorf("queues %v, %v", found, err)
		}
	})
}

// dequeueAll takes all ready tasks of a queue, settles them as canceled and returns them.
func dequeueAll(t *testing.T, b broker.Broker, queue string) (all []*broker.Delivery) {
	t.Helper()
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{queue}, Slots: 100})
	for {
		got, err := c.Dequeue(t.Context(), []string{queue}, 100, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			break
		}
		var batch []broker.Settlement
		for _, d := range got {
			s := succeed(d, "")
			s.Outcome.State = broker.StateCanceled
			batch = append(batch, s)
		}
		for _, err := range settle(t, c, batch...) {
			if err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, got...)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return all
}
