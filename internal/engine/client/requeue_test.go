package client_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
)

// requeues is a broker whose Requeue can fail.
type requeues struct {
	*memory.Broker
	calls  atomic.Int32
	before func() error
	after  func() error
}

func (r *requeues) Requeue(ctx context.Context, ids []broker.ID) ([]error, error) {
	r.calls.Add(1)
	if r.before != nil {
		if err := r.before(); err != nil {
			return nil, err
		}
	}
	errs, err := r.Broker.Requeue(ctx, ids)
	if r.after != nil {
		err = errors.Join(err, r.after())
	}
	return errs, err
}

// An attempt that follows a failure requeues a child that is a dead letter, even if requests
// fail or lose their replies.
func TestFailedChildIsRequeued(t *testing.T) {
	type none struct {
		N int `arbiter:"n"`
	}
	child := task.Define[none, int]("child")
	for name, test := range map[string]func(t *testing.T, b *requeues, sends func() error, state func() broker.State){
		"once": func(t *testing.T, b *requeues, sends func() error, state func() broker.State) {
			if err := sends(); err != nil || state() != broker.StatePending || b.calls.Load() != 1 {
				t.Errorf("%v, %s after %d requeues", err, state(), b.calls.Load())
			}
		},
		"no reply": func(t *testing.T, b *requeues, sends func() error, state func() broker.State) {
			b.after = func() error {
				b.after = nil
				return broker.ErrIndeterminate
			}
			if err := sends(); err != nil || state() != broker.StatePending || b.calls.Load() != 2 {
				t.Errorf("%v, %s after %d requeues", err, state(), b.calls.Load())
			}
		},
		"out of reach": func(t *testing.T, b *requeues, sends func() error, state func() broker.State) {
			b.before = func() error { return broker.ErrUnavailable }
			if err := sends(); !errors.Is(err, broker.ErrUnavailable) || state() != broker.StateFailed {
				t.Errorf("%v, %s", err, state())
			}
			b.before = nil
			if err := sends(); err != nil || state() != broker.StatePending {
				t.Errorf("sent again: %v, %s", err, state())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &requeues{Broker: memory.New()}
				defer func() { _ = b.Close() }()
				c := client.New(client.Config{Broker: b})
				defer func() { _ = c.Close() }()
				parent := broker.NewID(broker.KindTask, "default", 0)
				first := &client.Child{Client: c, Parent: parent, Attempt: 1}
				call := child.Bind(none{1})
				if err := first.Submit(t.Context(), call); err != nil {
					t.Fatal(err)
				}
				fail(t, b)
				state := func() broker.State {
					st, err := b.Lookup(t.Context(), []broker.ID{call.Request().ID()})
					if err != nil {
						t.Fatal(err)
					}
					return st[0].State
				}
				again := &client.Child{Client: c, Parent: parent, Attempt: 2}
				if err := again.Submit(t.Context(), child.Bind(none{1})); err != nil || state() != broker.StateFailed || b.calls.Load() > 0 {
					t.Fatalf("%v, %s, %d requeues by an attempt that follows no failure", err, state(), b.calls.Load())
				}
				afresh := &client.Child{Client: c, Parent: parent, Attempt: 2, Afresh: true}
				second := child.Bind(none{1})
				sends := func() error { return afresh.Submit(t.Context(), second) }
				test(t, b, sends, state)

				// It fails again, and the same attempt does not requeue it again.
				fail(t, b)
				calls := b.calls.Load()
				if err := sends(); err != nil || state() != broker.StateFailed || b.calls.Load() != calls {
					t.Errorf("the same call again: %v, %s", err, state())
				}
				afresh.Reset()
				if err := afresh.Submit(t.Context(), child.Bind(none{1})); err != nil || state() != broker.StateFailed {
					t.Errorf("another run of the handler: %v, %s", err, state())
				}
				if _, err := task.NewFuture[int](c, second.Request().ID()).Result(t.Context()); err == nil {
					t.Error("a child that failed has a result")
				}

				// If two later attempts requeue it at the same time, it is queued once.
				var wg sync.WaitGroup
				for range 2 {
					wg.Go(func() {
						s := &client.Child{Client: c, Parent: parent, Attempt: 3, Afresh: true}
						if err := s.Submit(t.Context(), child.Bind(none{1})); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				infos, err := b.Queues(t.Context())
				if err != nil || len(infos) != 1 || infos[0].Pending != 1 || infos[0].Dead != 0 {
					t.Errorf("%+v, %v", infos, err)
				}
			})
		})
	}
}

// fail takes the one waiting task and settles it as failed for good.
func fail(t *testing.T, b broker.Broker) {
	t.Helper()
	c, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"default"}, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	got, err := c.Dequeue(t.Context(), []string{"default"}, 2, time.Second)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d tasks wait, %v; want 1", len(got), err)
	}
	errs, err := c.Settle(t.Context(), []broker.Settlement{{
		Delivery: got[0], Verb: broker.VerbFinish,
		Outcome: broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "bad"}},
	}})
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
}
