package arbiter_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/task"
)

// onBrokers runs f with an arbiter on each broker.
func onBrokers(t *testing.T, f func(t *testing.T, b broker.Broker, arb *arbiter.Arbiter)) {
	t.Helper()
	open := func(url string) func(t *testing.T) broker.Broker {
		return func(t *testing.T) broker.Broker {
			b, err := redis.Open(t.Context(), url, redis.Partitions(8), redis.Logger(silent))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	brokers := map[string]func(t *testing.T) broker.Broker{
		"memory":    func(*testing.T) broker.Broker { return memory.New() },
		"miniredis": open("redis://" + miniredis.RunT(t).Addr()),
	}
	if path := redistest.Path(t); path != "" {
		brokers["redis"] = open(redistest.Start(t, path).URL())
	}
	for name, newBroker := range brokers {
		t.Run(name, func(t *testing.T) {
			b := newBroker(t)
			defer func() { _ = b.Close() }()
			arb, err := arbiter.New(b, arbiter.Logger(silent))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = arb.Close() }()
			f(t, b, arb)
		})
	}
}

// Each task has unique keys of its own, and tasks that name one scope share theirs.
func TestUniqueScopes(t *testing.T) {
	onBrokers(t, func(t *testing.T, b broker.Broker, arb *arbiter.Arbiter) {
		one, two := task.Define[args, int]("one"), task.Define[args, int]("two")
		send := func(handle task.Task[args, int], opts ...task.Option) (task.ID, error) {
			fut, err := handle.With(opts...).Apply(t.Context(), arb, args{})
			if err != nil {
				return task.ID{}, err
			}
			return fut.ID(), nil
		}
		holder := func(handle task.Task[args, int], opts ...task.Option) task.ID {
			t.Helper()
			id, err := send(handle, opts...)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		refused := func(want task.ID, says string, handle task.Task[args, int], opts ...task.Option) {
			t.Helper()
			_, err := send(handle, opts...)
			var dup *task.DuplicateError
			if !errors.Is(err, task.ErrDuplicate) || !errors.As(err, &dup) || dup.Holder != want || !strings.Contains(err.Error(), says) {
				t.Errorf("error %v, want a duplicate of %s that says %s", err, want, says)
			}
		}

		ofOne := holder(one, task.Unique("k"))
		ofTwo := holder(two, task.Unique("k"))
		refused(ofOne, `unique key "k" of one`, one, task.Unique("k"))
		refused(ofTwo, `unique key "k" of two`, two, task.Unique("k"))
		refused(ofOne, `unique key "k" of one`, two, task.UniqueIn("one", "k"))

		shared := holder(one, task.UniqueIn("mail", "k"))
		refused(shared, `unique key "k" of mail`, two, task.UniqueIn("mail", "k"))
		refused(shared, `unique key "k" of mail`, task.Define[args, int]("mail"), task.Unique("k"))

		// The limit is for the key alone, without its scope, and a key may contain the character that ends a scope.
		long := strings.Repeat("k", broker.MaxUniqueKey)
		scope := strings.Repeat("s", broker.MaxName)
		refused(holder(one, task.UniqueIn(scope, long)), long, two, task.UniqueIn(scope, long))
		refused(holder(one, task.UniqueIn("a", "b/c")), `unique key "b/c" of a`, two, task.UniqueIn("a", "b/c"))

		// By name, in another codec, and as a member of a group.
		_, err := arb.Apply(t.Context(), "one", arbiter.Options(task.Unique("k")))
		if !errors.Is(err, task.ErrDuplicate) {
			t.Errorf("by name: %v", err)
		}
		inJSON, err := arbiter.New(b, arbiter.Logger(silent), arbiter.Codec(codec.JSON()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = inJSON.Close() }()
		if _, err := one.With(task.Unique("k")).Apply(t.Context(), inJSON, args{}); !errors.Is(err, task.ErrDuplicate) {
			t.Errorf("in JSON: %v", err)
		}
		if _, err := arb.Group(t.Context(), []task.Bound{one.With(task.Unique("k")).Bind(args{})}); !errors.Is(err, task.ErrDuplicate) {
			t.Errorf("as a member: %v", err)
		}

		// A key is free when its holder is done.
		if _, err := arb.Kill(t.Context(), ofOne); err != nil {
			t.Fatal(err)
		}
		holder(one, task.Unique("k"))
		refused(ofTwo, `of two`, two, task.Unique("k"))
	})
}

// A dead letter takes its key again in its own scope.
func TestUniqueScopeOfDeadLetter(t *testing.T) {
	onBrokers(t, func(t *testing.T, b broker.Broker, arb *arbiter.Arbiter) {
		consumer, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{task.DefaultQueue}, Slots: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = consumer.Close(t.Context()) }()
		one, two := task.Define[args, int]("one"), task.Define[args, int]("two")
		fut, err := one.With(task.Unique("k")).Apply(t.Context(), arb, args{})
		if err != nil {
			t.Fatal(err)
		}
		got := taken(t, consumer)
		if scope, key := broker.SplitKey(got.Unique.Key); scope != "one" || key != "k" {
			t.Errorf("the record has the key %q", got.Unique.Key)
		}
		settled := broker.Settlement{Delivery: got, Verb: broker.VerbFinish, Outcome: broker.Outcome{
			State: broker.StateFailed, Codec: got.Codec, Name: got.Name, Attempts: 1, Err: &broker.Failure{Message: "bad"},
		}}
		if errs, err := consumer.Settle(t.Context(), []broker.Settlement{settled}); err != nil || slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
			t.Fatal(errs, err)
		}
		if _, err := two.With(task.Unique("k")).Apply(t.Context(), arb, args{}); err != nil {
			t.Errorf("another task with the key: %v", err)
		}
		errs, err := b.(broker.Inspector).Requeue(t.Context(), []task.ID{fut.ID()})
		if err != nil || !slices.Equal(errs, []error{nil}) {
			t.Fatal(errs, err)
		}
		_, err = one.With(task.Unique("k")).Apply(t.Context(), arb, args{})
		var dup *task.DuplicateError
		if !errors.As(err, &dup) || dup.Holder != fut.ID() {
			t.Errorf("after the requeue: %v", err)
		}
	})
}

// taken returns the next delivery.
func taken(t *testing.T, c broker.Consumer) *broker.Delivery {
	t.Helper()
	ds, err := c.Dequeue(t.Context(), []string{task.DefaultQueue}, 1, 10*time.Second)
	if err != nil || len(ds) != 1 {
		t.Fatalf("%d deliveries, %v", len(ds), err)
	}
	return ds[0]
}
