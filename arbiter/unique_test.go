package arbiter_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/minion"
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

// Calls with equal arguments have one key, whatever codec they are sent with and however their
// arguments are given; with a codec that seals, they have another one.
func TestUniqueArguments(t *testing.T) {
	sealing, err := codec.Encrypt(codec.Msgpack(), bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	onBrokers(t, func(t *testing.T, b broker.Broker, arb *arbiter.Arbiter) {
		one := task.Define[args, int]("one", task.UniqueArgs())
		first, err := one.Apply(t.Context(), arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := one.Apply(t.Context(), arb, args{2}); err != nil {
			t.Errorf("other arguments: %v", err)
		}
		if _, err := task.Define[args, int]("two", task.UniqueArgs()).Apply(t.Context(), arb, args{1}); err != nil {
			t.Errorf("another task: %v", err)
		}
		other := func(c codec.Codec) *arbiter.Arbiter {
			t.Helper()
			arb, err := arbiter.New(b, arbiter.Logger(silent), arbiter.Codec(c))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = arb.Close() })
			return arb
		}
		refused := func(what string, want task.ID, send func() error) {
			t.Helper()
			if dup, ok := errors.AsType[*task.DuplicateError](send()); !ok || dup.Holder != want {
				t.Errorf("%s is not refused because of task %s", what, want)
			}
		}
		named := arbiter.KwArgs(map[string]any{"n": 1})
		refused("the same call", first.ID(), func() error { _, err := one.Apply(t.Context(), arb, args{1}); return err })
		refused("the same call in JSON", first.ID(), func() error { _, err := one.Apply(t.Context(), other(codec.JSON()), args{1}); return err })
		refused("a call by name", first.ID(), func() error {
			_, err := arb.Apply(t.Context(), "one", named, arbiter.Options(task.UniqueArgs()))
			return err
		})
		hidden, secret := other(sealing), other(sealing)
		sealed, err := one.Apply(t.Context(), hidden, args{1})
		if err != nil {
			t.Fatalf("a sealed call: %v", err)
		}
		refused("the same sealed call", sealed.ID(), func() error { _, err := one.Apply(t.Context(), secret, args{1}); return err })
	})
}

// A call that joins another task gets its result, alone, in a batch, by name, and in a handler. It
// does not join a task of another name, and not in a group.
func TestConflictJoin(t *testing.T) {
	onBrokers(t, func(t *testing.T, b broker.Broker, arb *arbiter.Arbiter) {
		joins := []task.Option{task.UniqueArgs(), task.OnConflict(task.ConflictJoin)}
		one := task.Define[args, int]("one", joins...)
		first, err := one.Apply(t.Context(), arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		again, err := one.Apply(t.Context(), arb, args{1})
		if err != nil || again.ID() != first.ID() {
			t.Fatalf("the second call is task %v, %v; want %s", again, err, first.ID())
		}
		futs, err := task.SendAll(t.Context(), arb, one.Bind(args{1}), one.Bind(args{2}), one.Bind(args{1}), one.Bind(args{2}))
		if err != nil {
			t.Fatal(err)
		}
		if futs[0].ID() != first.ID() || futs[2].ID() != first.ID() || futs[1].ID() == first.ID() || futs[3].ID() != futs[1].ID() {
			t.Errorf("a batch of calls that join: %s %s %s %s", futs[0].ID(), futs[1].ID(), futs[2].ID(), futs[3].ID())
		}
		ids, err := arb.Apply(t.Context(), "one", arbiter.KwArgs(map[string]any{"n": 1}), arbiter.Options(joins...), arbiter.Count(2))
		if err != nil || len(ids) != 2 || ids[0] != first.ID() || ids[1] != first.ID() {
			t.Errorf("two copies by name: %v, %v", ids, err)
		}

		shared := task.UniqueIn("shared", "k")
		holder, err := task.Define[args, int]("one", shared).Apply(t.Context(), arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		_, err = task.Define[args, int]("two", shared, task.OnConflict(task.ConflictJoin)).Apply(t.Context(), arb, args{1})
		if dup, ok := errors.AsType[*task.DuplicateError](err); !ok || dup.Holder != holder.ID() || !strings.Contains(err.Error(), "its name is one and not two") {
			t.Errorf("a call of another name: %v", err)
		}
		if _, err := arb.Group(t.Context(), []task.Bound{one.Bind(args{1})}); !errors.Is(err, task.ErrInvalid) {
			t.Errorf("in a group: %v", err)
		}

		outer, err := task.Define[args, task.ID]("outer").Apply(t.Context(), arb, args{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := minion.New(b, minion.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		let := make(chan bool) // closed when the handler of outer has joined
		var runs atomic.Int32
		err = errors.Join(
			task.Handle(m, one, func(_ context.Context, a args) (int, error) {
				<-let
				runs.Add(1)
				return a.N, nil
			}),
			task.Handle(m, task.Define[args, task.ID]("outer"), func(ctx context.Context, _ args) (task.ID, error) {
				defer close(let)
				info, _ := task.FromContext(ctx)
				fut, err := one.Apply(ctx, info, args{1})
				if err != nil {
					return task.ID{}, err
				}
				return fut.ID(), nil
			}),
		)
		if err != nil {
			t.Fatal(err)
		}
		over := make(chan error, 1)
		go func() { over <- m.Run(context.Background(), 10) }()
		defer func() {
			_ = m.Close()
			if err := <-over; err != nil && !errors.Is(err, task.ErrClosed) {
				t.Error(err)
			}
		}()
		if id, err := outer.Result(t.Context()); id != first.ID() || err != nil {
			t.Errorf("a handler that joins: %s, %v; want %s", id, err, first.ID())
		}
		for i, want := range []int{1, 2, 1, 2} {
			if n, err := futs[i].Result(t.Context()); n != want || err != nil {
				t.Errorf("result %d is %d, %v; want %d", i, n, err, want)
			}
		}
		if n, err := again.Result(t.Context()); n != 1 || err != nil {
			t.Error(n, err)
		}
		if _, err := holder.Result(t.Context()); err != nil {
			t.Error(err)
		}
		if runs.Load() != 3 { // for 1, for 2, and the holder of the shared key
			t.Errorf("%d runs, want 3", runs.Load())
		}
	})
}

// Whoever waits for a task that is replaced learns which task has replaced it.
func TestConflictReplace(t *testing.T) {
	onBrokers(t, func(t *testing.T, _ broker.Broker, arb *arbiter.Arbiter) {
		one := task.Define[args, int]("one", task.Unique("k"), task.OnConflict(task.ConflictReplace))
		first, err := one.Apply(t.Context(), arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		second, err := one.Apply(t.Context(), arb, args{2})
		if err != nil {
			t.Fatal(err)
		}
		_, err = first.Result(t.Context())
		replaced, ok := errors.AsType[*task.ReplacedError](err)
		if !ok || !errors.Is(err, task.ErrCanceled) || replaced.ID != first.ID() || replaced.By != second.ID() {
			t.Errorf("the result of the replaced task is the error %v", err)
		}
		st, err := arb.Status(t.Context(), first.ID())
		if err != nil || st.State != broker.StateCanceled {
			t.Errorf("%+v, %v", st, err)
		}
		if replaced, ok := errors.AsType[*task.ReplacedError](st.Err()); !ok || replaced.By != second.ID() {
			t.Errorf("the error of its status is %v", st.Err())
		}
	})
}

// The holder of a key is looked up and its key freed by the call that would have the key. The call
// is not sent.
func TestKeyHolder(t *testing.T) {
	onBrokers(t, func(t *testing.T, b broker.Broker, arb *arbiter.Arbiter) {
		one := task.Define[args, int]("one", task.UniqueArgs(), task.UniqueFor(time.Hour))
		call := one.Bind(args{1})
		is := func(what string, st arbiter.KeyStatus, err error, holder, next task.ID) {
			t.Helper()
			if err != nil || st.Holder != holder || st.Next != next || st.Until.IsZero() != holder.IsZero() || st.Key == "" {
				t.Errorf("%s: %+v, %v; want the holder %s and next %s", what, st, err, holder, next)
			}
		}
		st, err := arb.KeyHolder(t.Context(), call)
		is("a free key", st, err, task.ID{}, task.ID{})
		if id := call.Request().ID(); !id.IsZero() {
			t.Errorf("the call has the id %s", id)
		}
		fut, err := call.Send(t.Context(), arb)
		if err != nil {
			t.Fatal(err)
		}
		st, err = arb.KeyHolder(t.Context(), one.Bind(args{1}))
		is("the key of a task", st, err, fut.ID(), task.ID{})
		if left := st.Until.Sub(st.Since); left != time.Hour {
			t.Errorf("the window lasts %v from the enqueue on, want an hour", left)
		}
		consumer, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{task.DefaultQueue}, Slots: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = consumer.Close(t.Context()) }()
		taken(t, consumer)
		next, err := one.With(task.OnConflict(task.ConflictLatest)).Apply(t.Context(), arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		st, err = arb.FreeKey(t.Context(), call)
		is("a key that is freed", st, err, fut.ID(), next.ID())
		st, err = arb.FreeKey(t.Context(), call)
		is("a key that was passed on", st, err, next.ID(), task.ID{})
		st, err = arb.FreeKey(t.Context(), call)
		is("a key that was freed twice", st, err, task.ID{}, task.ID{})

		for what, bad := range map[string]task.Bound{
			"no call": nil, "the zero call": task.Call[int]{}, "without a key": task.Define[args, int]("one").Bind(args{1}),
			"an invalid call": one.With(task.Queue("a b")).Bind(args{1}),
		} {
			for _, ask := range []func(context.Context, task.Bound) (arbiter.KeyStatus, error){arb.KeyHolder, arb.FreeKey} {
				if _, err := ask(t.Context(), bad); !errors.Is(err, task.ErrInvalid) {
					t.Errorf("%s: error %v, want ErrInvalid", what, err)
				}
			}
		}
		closed, err := arbiter.New(b, arbiter.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		_ = closed.Close()
		if _, err := closed.KeyHolder(t.Context(), call); !errors.Is(err, task.ErrClosed) {
			t.Errorf("a closed arbiter: error %v, want ErrClosed", err)
		}
	})
	lacking, err := arbiter.New(struct{ broker.Broker }{memory.New()}, arbiter.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lacking.Close() }()
	if _, err := lacking.KeyHolder(t.Context(), task.Define[args, int]("one", task.Unique("k")).Bind(args{1})); !errors.Is(err, task.ErrUnsupported) {
		t.Errorf("a broker without Uniques: error %v, want ErrUnsupported", err)
	}
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
