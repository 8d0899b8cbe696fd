package arbiter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// A parked task in a queue that has no minion any more becomes a dead letter when its time is over: a minion of another queue
// settles it, and seals the outcome if it has a codec that seals.
func TestParkedWithoutAMinion(t *testing.T) {
	for _, c := range append(sealings(t), codec.Msgpack()) {
		t.Run(c.Name(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.arb = r.arbiter(arbiter.Codec(c))
				fresh := task.Define[args, int]("fresh")
				fut, err := fresh.Apply(t.Context(), r.arb, args{1})
				if err != nil {
					t.Fatal(err)
				}
				group, err := task.All(fresh.Bind(args{2})).Send(t.Context(), r.arb)
				if err != nil {
					t.Fatal(err)
				}
				old := r.crew(1, echo, minion.Codec(c))
				for {
					st, err := r.arb.Status(t.Context(), fut.ID())
					if err != nil {
						t.Fatal(err)
					}
					if st.State == broker.StateParked {
						break
					}
					time.Sleep(time.Millisecond)
				}
				began := time.Now()
				_ = old.Close()
				r.crew(1, echo, minion.Codec(c), minion.Queue("elsewhere"))
				_, err = fut.Result(t.Context())
				if !errors.Is(err, task.ErrUnknownTask) || !strings.Contains(err.Error(), "no minion of queue default has come in time") {
					t.Errorf("the result is %v", err)
				}
				r.near("the end", began, 24*time.Hour+broker.AbandonedAfter-time.Second, time.Minute)
				if _, err = group.Result(t.Context()); !errors.Is(err, task.ErrFlowFailed) || !errors.Is(err, task.ErrUnknownTask) {
					t.Errorf("the group's result is %v", err)
				}
				letters, _, err := r.b.Broker.(broker.Inspector).DeadLetters(t.Context(), "default", "", 10)
				if err != nil || len(letters) != 2 {
					t.Errorf("dead letters: %+v, %v", letters, err)
				}
				if st, err := r.arb.Status(t.Context(), fut.ID()); err != nil || st.State != broker.StateFailed || st.Attempts != 0 {
					t.Errorf("the status is %+v, %v", st, err)
				}
			})
		})
	}
}

// Tasks that end without their handler end as they are told, whichever process does it. An outcome that a broker makes alone,
// canceled or expired, has no seal.
func TestEndsWithoutAHandler(t *testing.T) {
	for _, c := range sealings(t) {
		t.Run(c.Name(), func(t *testing.T) {
			onEach(t, func(t *testing.T, b broker.Broker) {
				arb, err := arbiter.New(b, arbiter.Codec(c), arbiter.Logger(silent))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = arb.Close() })
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				t.Cleanup(cancel)
				for name, opts := range map[string][]task.Option{
					"pending": {task.Within(20 * time.Millisecond)}, "delayed": {task.Within(20 * time.Millisecond), task.Delay(time.Hour)},
				} {
					fut, err := work.With(opts...).Apply(ctx, arb, args{1})
					if err != nil {
						t.Fatal(err)
					}
					_, err = fut.Result(ctx)
					if !errors.Is(err, task.ErrExpired) || errors.Is(err, codec.ErrForged) {
						t.Errorf("%s, %s: %v", c.Name(), name, err)
					}
					if st, err := arb.Status(ctx, fut.ID()); err != nil || st.State != broker.StateExpired {
						t.Errorf("%s, %s: %+v, %v", c.Name(), name, st, err)
					}
				}
				fut, err := work.Apply(ctx, arb, args{1})
				if err != nil {
					t.Fatal(err)
				}
				group, err := task.All(work.With(task.Within(20*time.Millisecond)).Bind(args{1}), work.Bind(args{2})).Send(ctx, arb)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := arb.Kill(ctx, fut.ID()); err != nil {
					t.Fatal(err)
				}
				if _, err := fut.Result(ctx); !errors.Is(err, task.ErrCanceled) || errors.Is(err, codec.ErrForged) {
					t.Errorf("%s, killed: %v", c.Name(), err)
				}
				if _, err := group.Result(ctx); !errors.Is(err, task.ErrFlowFailed) || !errors.Is(err, task.ErrExpired) || errors.Is(err, codec.ErrForged) {
					t.Errorf("%s, group: %v", c.Name(), err)
				}
			})
		})
	}
}

// A task that has killed its minions too often is given up by a minion that has the key.
func TestSealedDeath(t *testing.T) {
	for _, c := range sealings(t) {
		t.Run(c.Name(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.arb = r.arbiter(arbiter.Codec(c))
				fut := r.send(1)
				for range 10 { // each consumer takes it and dies
					dying, err := r.b.Broker.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"default"}, Slots: 1})
					if err != nil {
						t.Fatal(err)
					}
					got, err := dying.Dequeue(t.Context(), []string{"default"}, 1, time.Second)
					if err != nil || len(got) != 1 {
						t.Fatal(got, err)
					}
					if s, ok := r.b.Broker.(broker.Starter); ok {
						if _, _, err := s.RecordStart(t.Context(), got[0]); err != nil {
							t.Fatal(err)
						}
					}
					lease, _ := dying.Lease()
					time.Sleep(2 * lease)
				}
				r.crew(1, echo, minion.Codec(c))
				_, err := fut.Result(t.Context())
				if !errors.Is(err, task.ErrMinionDied) || errors.Is(err, codec.ErrForged) {
					t.Errorf("the result is %v", err)
				}
			})
		})
	}
}
