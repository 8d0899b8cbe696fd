package flow_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/engine/flow"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// unreliable returns a world in which requests of the client fail, and not those of drivers.
func unreliable(t testing.TB, lethal int, after bool) *world {
	w := newWorld(t, lethal, after)
	_ = w.c.Close()
	w.c = client.New(client.Config{Broker: w.bad, Logger: silent})
	w.driver = &flow.Driver{Broker: w.b, Log: silent}
	return w
}

// If a request fails while a call is sent, the call is sent again and becomes complete. Members
// that have begun meanwhile do no harm.
func TestSendFailsAtEachCall(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			for _, after := range []bool{false, true} {
				for lethal := 1; ; lethal++ {
					died := false
					synctest.Test(t, func(t *testing.T) {
						w := unreliable(t, lethal, after)
						defer w.close()
						call := s.call()
						if err := w.c.Submit(t.Context(), call); err != nil {
							if !errors.Is(err, errDead) {
								t.Fatal(err)
							}
							died = true
							w.reborn()
							w.driver = &flow.Driver{Broker: w.b, Log: silent}
							w.drain()
							w.run()
							w.drain()
							if err := w.c.Submit(t.Context(), call); err != nil {
								t.Fatalf("again: %v", err)
							}
						}
						if got := text(w.outcome(call.Request().ID())); got != s.want {
							t.Errorf("call %d failed (after it: %v): outcome %s, want %s", lethal, after, got, s.want)
						}
						w.same(s.ran)
					})
					if t.Failed() || !died && lethal > 1 { // opening the inbox has no After
						t.Logf("%d failures", lethal-1)
						break
					}
				}
			}
		})
	}
}

// Another attempt of a task, at another minion, sends a flow that an earlier one has sent,
// perhaps in part. There is one flow, and both attempts can wait for it.
func TestAttemptsSendOneFlow(t *testing.T) {
	for name, result := range map[string]int{"flows in flows": 2702, "empty groups as members and callbacks": 0} {
		t.Run(name, func(t *testing.T) {
			for lethal := 1; ; lethal++ {
				died := false
				synctest.Test(t, func(t *testing.T) { died = sendTwice(t, scenario(name), result, lethal) })
				if t.Failed() || !died && lethal > 10 {
					t.Logf("%d failures", lethal-1)
					return
				}
			}
		})
	}
}

// sendTwice sends a scenario from two attempts. The request number lethal of the first one
// fails; died reports whether there were that many.
func sendTwice(t *testing.T, s script, result, lethal int) (died bool) {
	w := unreliable(t, lethal, lethal%2 == 0)
	defer w.close()
	parent := broker.NewID(broker.KindTask, "default", 0)
	first := client.Child{Client: w.c, Parent: parent, Attempt: 1}
	died = first.Submit(t.Context(), s.call()) != nil
	w.reborn()
	w.driver = &flow.Driver{Broker: w.b, Log: silent}

	c := client.New(client.Config{Broker: w.b, Logger: silent})
	defer func() { _ = c.Close() }()
	second := client.Child{Client: c, Parent: parent, Attempt: 2}
	call := s.call()
	if err := second.Submit(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if got := text(w.outcome(call.Request().ID())); got != s.want {
		t.Errorf("outcome %s, want %s", got, s.want)
	}
	w.same(s.ran)
	n := -1
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := second.Await(ctx, call.Request().ID(), &n); err != nil || n != result {
		t.Errorf("the second attempt gets %d, %v", n, err)
	}
	return died
}

// Tasks that a task submits with its settlement are enqueued. A task that can't be stored is
// dropped, and holds up no others.
func TestSubmitArrivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		w.send(num(1))
		got, err := w.worker.Dequeue(t.Context(), queues, 1, time.Second)
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		unique := work.With(task.Unique("k"), task.Delay(time.Hour))
		w.send(unique.Bind(numArgs{2}))
		child := client.Child{Client: w.c, Parent: got[0].ID, Attempt: 1}
		var submits []*broker.Task
		for _, call := range []task.Bound{unique.Bind(numArgs{3}), num(4), other.Bind(numArgs{5})} {
			rec, err := child.Prepare(call, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			submits = append(submits, rec)
		}
		settle := []broker.Settlement{{Delivery: got[0], Outcome: w.handle(got[0]), Submit: submits}}
		if errs, err := w.worker.Settle(t.Context(), settle); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		w.drain()
		w.drain()
		w.run()
		w.same(map[string]int{"work 1": 1, "work 4": 1, "work 5": 1})
		for _, q := range queues {
			if left, err := w.b.(broker.Flows).Arrivals(t.Context(), q, 10); err != nil || len(left) > 0 {
				t.Errorf("left in %s: %v, %v", q, left, err)
			}
		}
	})
}

// A member that was never stored does not keep a killed group from ending.
func TestKillOfWhatWasNeverStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		flows := w.b.(broker.Flows)
		f := broker.Flow{
			ID: broker.NewID(broker.KindGroup, "", 0), Size: 2, Quorum: 2, Retention: time.Hour,
			Callback: broker.NewID(broker.KindTask, "default", 0),
		}
		members := []broker.ID{broker.NewID(broker.KindTask, "default", 0), broker.NewID(broker.KindPipe, "", 0)}
		if err := flows.OpenFlow(t.Context(), &f, 0, members); err != nil {
			t.Fatal(err)
		}
		var told []broker.CancelVerdict
		err := w.driver.Kill(t.Context(), f.ID, func(_ broker.ID, v broker.CancelVerdict) { told = append(told, v) })
		if err != nil || len(told) != 2 || told[0] != broker.CancelUnknown {
			t.Errorf("%v, %v", told, err)
		}
		if p, err := flows.LookupFlow(t.Context(), f.ID); err != nil || p.Outcome != nil {
			t.Errorf("%+v, %v", p, err)
		}
		if err := w.driver.Bury(t.Context(), f.ID); err != nil {
			t.Error(err)
		}
		p, err := flows.LookupFlow(t.Context(), f.ID)
		if err != nil || p.Outcome == nil || p.Outcome.State != broker.StateCanceled || p.Callback != broker.StateCanceled {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

// An arrival with a position that its flow does not have is dropped, and keeps no member from
// being counted.
func TestBadArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		id := w.send(group(request.GroupSettings{Quorum: 1}, num(1)))
		stray := &broker.Task{
			ID: broker.NewID(broker.KindTask, "default", 0), Name: "work", Queue: "default", Codec: "msgpack",
			Payload: []byte("\x81\xa1n\x05"), Flow: broker.TaskFlow{ID: id, Step: 7},
		}
		if err := w.b.Enqueue(t.Context(), []*broker.Task{stray}); err != nil {
			t.Fatal(err)
		}
		if got := text(w.outcome(id)); !strings.HasPrefix(got, "succeeded [1]") {
			t.Errorf("outcome %s", got)
		}
		w.drain()
		if left, err := w.b.(broker.Flows).Arrivals(t.Context(), "default", 10); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	})
}
