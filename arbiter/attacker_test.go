package arbiter_test

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The rig of the tests of attacks. The attacker can read and write everything in the store, and lacks the key. Arbiter and
// minion have it. TestAttacks changes the store through the contract of brokers, so it runs on each of them: see victim.
// TestDoctoredFlows changes the records of Redis themselves: see redisStore.

// keyed returns a codec that signs and one that encrypts, with the same key.
func keyed(t testing.TB) []codec.Codec {
	t.Helper()
	key := []byte("0123456789abcdef0123456789abcdef")
	signed, err := codec.Sign(codec.JSON(), key)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := codec.Encrypt(codec.Msgpack(), key)
	if err != nil {
		t.Fatal(err)
	}
	return []codec.Codec{signed, encrypted}
}

// attacked is a broker that the attacker can change, with an arbiter that has the key.
type attacked struct {
	*testing.T
	b   broker.Broker
	c   codec.Codec
	arb *arbiter.Arbiter
}

// newAttacked returns an arbiter with the codec on a broker. Both are closed at the end of the test.
func newAttacked(t *testing.T, b broker.Broker, c codec.Codec) attacked {
	t.Helper()
	t.Cleanup(func() { _ = b.Close() })
	arb, err := arbiter.New(b, arbiter.Codec(c), arbiter.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arb.Close() })
	return attacked{T: t, b: b, c: c, arb: arb}
}

// serve starts a minion that has the key, with the handlers that register adds.
func (v *attacked) serve(slots int, register func(m *minion.Minion) error, queues ...string) {
	v.Helper()
	m := must(minion.New(v.b, minion.Codec(v.c), minion.Logger(silent), minion.DrainTimeout(0), minion.Queues(queues...)))
	if err := register(m); err != nil {
		v.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.Run(context.Background(), slots)
	}()
	v.Cleanup(func() {
		_ = m.Close()
		<-done
	})
}

// ctx returns a context with a limit that is far above the time that a request takes.
func (v *attacked) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	v.Cleanup(cancel)
	return ctx
}

// must fails the test if err is not nil.
func (v *attacked) must(err error) {
	v.Helper()
	if err != nil {
		v.Fatal(err)
	}
}

// victim is changed through the contract of brokers.
type victim struct {
	attacked
	flows broker.Flows

	mu  sync.Mutex
	ran []string // the handlers that were called
}

// run starts the minion. Only it serves its queue.
func (v *victim) run() {
	v.Helper()
	note := func(name string) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.ran = append(v.ran, name)
	}
	v.serve(2, func(m *minion.Minion) error {
		return errors.Join(
			task.Handle(m, work, func(_ context.Context, a args) (int, error) {
				note("work")
				if a.N == 0 {
					return 0, task.NoRetry(errBad)
				}
				return a.N, nil
			}),
			task.Handle(m, execTask, func(context.Context, args) (int, error) { note("exec"); return 0, nil }),
			task.Handle(m, echoTask, func(_ context.Context, a echoArgs) (map[string]int, error) {
				return map[string]int{"n": a.N}, nil
			}),
			task.Handle(m, plusTask, func(_ context.Context, a addArgs) (int, error) { note("add"); return a.Upstream + a.N, nil }),
			task.Handle(m, sumTask, func(_ context.Context, a sumArgs) (int, error) { note("sum"); return len(a.Upstream), nil }),
			task.Handle(m, countTask, func(_ context.Context, a countArgs) (int, error) {
				if len(a.Upstream) == 1 && a.Upstream[0] == nil {
					return -1, nil
				}
				return len(a.Upstream), nil
			}),
			task.Handle(m, noteTask, func(context.Context, args) (task.None, error) { note("note"); return task.None{}, nil }),
		)
	}, "safe")
}

// drive makes an arbiter with the key handle the arrivals of queues that no minion serves, by killing another task.
func (v *victim) drive() {
	v.Helper()
	fut := send(v, task.All(work.With(task.Queue("unserved")).Bind(args{1})))
	if _, err := v.arb.KillGroup(v.ctx(), fut.ID()); err != nil {
		v.Fatal(err)
	}
	v.serve(1, func(m *minion.Minion) error {
		return task.Handle(m, execTask, func(context.Context, args) (int, error) { return 0, nil })
	}, "unserved")
}

// never checks that a handler was not called.
func (v *victim) never(name string) {
	v.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if slices.Contains(v.ran, name) {
		v.Errorf("the handler %s was called; called were %v", name, v.ran)
	}
}

// forged checks that an error wraps codec.ErrForged.
func (v *victim) forged(what string, err error) {
	v.Helper()
	if !errors.Is(err, codec.ErrForged) {
		v.Errorf("%s: error %v, want codec.ErrForged", what, err)
	}
}

// send sends a call with the arbiter, which has the key.
func send[R any](v *victim, call task.Call[R]) *task.Future[R] {
	v.Helper()
	fut, err := call.Send(v.ctx(), v.arb)
	if err != nil {
		v.Fatal(err)
	}
	return fut
}

// steal takes n tasks from the queue, as its minion would.
func (v *victim) steal(n int) (broker.Consumer, []*broker.Delivery) {
	v.Helper()
	return v.stealFrom("safe", n)
}

func (v *victim) stealFrom(queue string, n int) (broker.Consumer, []*broker.Delivery) {
	v.Helper()
	thief, err := v.b.Consume(v.ctx(), broker.ConsumerConfig{Queues: []string{queue}, Slots: 10})
	if err != nil {
		v.Fatal(err)
	}
	v.Cleanup(func() { _ = thief.Close(context.Background()) })
	var got []*broker.Delivery
	for len(got) < n {
		more, err := thief.Dequeue(v.ctx(), []string{queue}, n-len(got), time.Second)
		if err != nil {
			v.Fatal(err)
		}
		got = append(got, more...)
	}
	return thief, got
}

// end settles a stolen task.
func (v *victim) end(thief broker.Consumer, d *broker.Delivery, o broker.Outcome) {
	v.Helper()
	o.Name, o.Codec, o.Attempts = d.Name, d.Codec, d.Attempt
	errs, err := thief.Settle(v.ctx(), []broker.Settlement{{Delivery: d, Outcome: o}})
	v.must(errors.Join(append(errs, err)...))
}

// outcome waits for the end of a task or flow and returns its stored outcome.
func (v *victim) outcome(id task.ID) *broker.Outcome {
	v.Helper()
	for st, err := range v.arb.WaitForTasks(v.ctx(), id) {
		if err != nil {
			v.Fatal(err, st)
		}
	}
	found, err := v.b.Lookup(v.ctx(), []task.ID{id})
	if err != nil || found[0].Outcome == nil {
		v.Fatalf("Lookup of %s: %+v, error %v; want an outcome", id, found, err)
	}
	return found[0].Outcome
}

// stolen returns the stored outcome of a task that the minion has run.
func (v *victim) stolen(n int) *broker.Outcome {
	v.Helper()
	return v.outcome(send(v, work.With(safe).Bind(args{n})).ID())
}

// put stores a record as it is, under a new id.
func (v *victim) put(t broker.Task) task.ID {
	v.Helper()
	t.ID = broker.NewTaskID(t.Queue, t.Unique.Key)
	v.must(v.b.Enqueue(v.ctx(), []*broker.Task{&t}))
	return t.ID
}

// refused waits for the end of a task that the minion must refuse.
func (v *victim) refused(id task.ID, handler string) {
	v.Helper()
	_, err := task.NewFuture[int](v.arb, id).Result(v.ctx())
	if !errors.As(err, new(*task.RemoteError)) {
		v.Errorf("error %v, want the minion's refusal", err)
	}
	v.never(handler)
}

// heard returns the first event of a topic, as the arbiter decodes it.
func (v *victim) heard(topic string) arbiter.Event {
	v.Helper()
	for ev, err := range v.arb.Listen(v.ctx(), topic, broker.CursorStart) {
		if err != nil {
			v.Fatal(err)
		}
		return ev
	}
	v.Fatal("no event")
	return arbiter.Event{}
}

// raw returns the stored bytes of the first event of a topic.
func (v *victim) raw(topic string) []byte {
	v.Helper()
	sub, err := v.b.Subscribe(v.ctx(), topic, broker.CursorStart)
	v.must(err)
	defer func() { _ = sub.Close() }()
	events, _, err := sub.Receive(v.ctx())
	if err != nil || len(events) == 0 {
		v.Fatalf("the topic %s has the events %v, error %v", topic, events, err)
	}
	return events[0].Payload
}

// redisStore reads and writes the records of one namespace in Redis.
type redisStore struct {
	*testing.T
	client    *goredis.Client
	namespace string
}

// redisClient returns a client of the server at url, which is closed at the end of the test.
func redisClient(t *testing.T, url string) *goredis.Client {
	t.Helper()
	opts, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// open returns a broker on the namespace of the store.
func (s *redisStore) open(url string) *redis.Broker {
	s.Helper()
	b, err := redis.Open(s.Context(), url, redis.Namespace(s.namespace), redis.Logger(silent))
	if err != nil {
		s.Fatal(err)
	}
	return b
}

// flowKey returns the name of a key of a flow.
func (s *redisStore) flowKey(id task.ID, name string) string {
	return "{" + s.namespace + ":flow:" + hex.EncodeToString(id[:]) + "}:" + name
}

// queueKey returns the name of a key of a queue.
func (s *redisStore) queueKey(queue, name string) string {
	return "{" + s.namespace + ":" + queue + "}:" + name
}

// check fails the test if a command has failed.
func (s *redisStore) check(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// members returns the stored list of a flow's members.
func (s *redisStore) members(id task.ID) (ids []broker.ID) {
	s.Helper()
	text, err := s.client.Get(s.Context(), s.flowKey(id, "members")).Bytes()
	s.check(err)
	for part := range slices.Chunk(text, 16) {
		ids = append(ids, broker.ID(part))
	}
	return ids
}

// setMembers changes the stored list of a flow's members.
func (s *redisStore) setMembers(id task.ID, ids []broker.ID) {
	s.Helper()
	var text []byte
	for _, member := range ids {
		text = append(text, member[:]...)
	}
	s.check(s.client.SetRange(s.Context(), s.flowKey(id, "members"), 0, string(text)).Err())
}

// flow returns the stored record of a flow.
func (s *redisStore) flow(id task.ID) broker.Flow {
	s.Helper()
	text, err := s.client.HGet(s.Context(), s.flowKey(id, "flow"), "flow").Bytes()
	s.check(err)
	f, err := wire.ParseFlow(text)
	s.check(err)
	return f
}

// setFlow changes the stored record of a flow.
func (s *redisStore) setFlow(id task.ID, f *broker.Flow) {
	s.Helper()
	s.check(s.client.HSet(s.Context(), s.flowKey(id, "flow"), "flow", wire.AppendFlow(nil, f)).Err())
}

// blocked returns the message of a blocked task.
func (s *redisStore) blocked(queue string, id task.ID) *broker.Delivery {
	s.Helper()
	text, err := s.client.HGet(s.Context(), s.queueKey(queue, "later"), string(id[:])).Bytes()
	s.check(err)
	d := &broker.Delivery{Task: broker.Task{Queue: queue}}
	s.check(wire.ParseRecord(d, text, 0))
	d.Flow.Blocked = true
	return d
}

// setBlocked changes the message of a blocked task.
func (s *redisStore) setBlocked(t *broker.Task) {
	s.Helper()
	s.check(s.client.HSet(s.Context(), s.queueKey(t.Queue, "later"), string(t.ID[:]), wire.AppendRecord(nil, t)).Err())
}
