package brokertest

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var closeTests = []test{
	{"Twice", closeTwice, 0},
	{"MethodsAfterwards", closeMethods, 0},
	{"EndsEveryWait", closeEndsWaits, 0},
	{"EndsConsumersInboxesAndSubscriptions", closeEndsParts, 0},
	{"ConsumersAreNotClosed", closeKeepsLeases, needReopen | needLapse},
	{"ConsumerWhileItWaits", closeConsumerWaiting, 0},
	{"ConsumerAfterwards", closeConsumerAfterwards, 0},
	{"Concurrently", closeConcurrently, 0},
}

func closeTwice(r *rig) {
	for range 2 {
		if err := r.Broker.Close(); err != nil {
			r.Fatalf("Close: %v", err)
		}
	}
}

func closeMethods(r *rig) {
	task := r.task()
	r.enqueue(task)
	ids := []broker.ID{task.ID}
	if err := r.Broker.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	b := r.Broker
	calls := map[string]func() error{
		"Enqueue": func() error { return b.Enqueue(r.ctx, r.batch(1)) },
		"Lookup":  func() error { _, err := b.Lookup(r.ctx, ids); return err },
		"Cancel":  func() error { _, err := b.Cancel(r.ctx, ids); return err },
		"Consume": func() error {
			_, err := b.Consume(r.ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
			return err
		},
		"Inbox":     func() error { _, err := b.Inbox(r.ctx, broker.NewID(broker.KindParty, "", 0)); return err },
		"Minions":   func() error { _, err := b.Minions(r.ctx); return err },
		"Publish":   func() error { return b.Publish(r.ctx, []broker.Event{{Topic: "t"}}) },
		"Subscribe": func() error { _, err := b.Subscribe(r.ctx, "t", broker.CursorNow); return err },
	}
	if _, ok := can[broker.Inspector](b); ok {
		i := r.inspector()
		calls["Queues"] = func() error { _, err := i.Queues(r.ctx); return err }
		calls["DeadLetters"] = func() error { _, _, err := i.DeadLetters(r.ctx, "q", "", 10); return err }
		calls["Requeue"] = func() error { _, err := i.Requeue(r.ctx, ids); return err }
	}
	if _, ok := can[broker.Flows](b); ok {
		f, flow := r.flows(), r.group(1)
		calls["OpenFlow"] = func() error { return f.OpenFlow(r.ctx, flow, 0, ids) }
		calls["LookupFlow"] = func() error { _, err := f.LookupFlow(r.ctx, flow.ID); return err }
		calls["Members"] = func() error { _, err := f.Members(r.ctx, flow.ID, 0, 1, true); return err }
		calls["Arrivals"] = func() error { _, err := f.Arrivals(r.ctx, "q", 1); return err }
		calls["Arrive"] = func() error { _, err := f.Arrive(r.ctx, flow.ID, nil); return err }
		calls["Confirm"] = func() error { return f.Confirm(r.ctx, []broker.Arrival{{Queue: "q", Task: task.ID}}) }
		calls["Blocked"] = func() error { _, err := f.Blocked(r.ctx, ids); return err }
		calls["Release"] = func() error { return f.Release(r.ctx, []*broker.Task{task}) }
		calls["MarkFlow"] = func() error { return f.MarkFlow(r.ctx, flow.ID, broker.MarkKilled) }
		calls["EndFlow"] = func() error { return f.EndFlow(r.ctx, flow.ID, &broker.Outcome{State: broker.StateFailed}) }
	}
	for name, call := range calls {
		if err := call(); !saysClosed(err) {
			r.Errorf("%s after Close returned %v; want an error that wraps ErrClosed and names the closed thing", name, err)
		}
	}
	b.Limits()
}

// saysClosed reports whether an error wraps ErrClosed and adds text to it. The text must name the
// closed thing.
func saysClosed(err error) bool {
	return errors.Is(err, broker.ErrClosed) && err.Error() != broker.ErrClosed.Error()
}

func closeEndsWaits(r *rig) {
	one, several := r.minion(), r.minion("a", "b")
	mail, sub := r.mail(), r.subscribe("t", broker.CursorNow)
	waits := map[string]chan error{}
	start := func(name string, wait func() error) {
		done := make(chan error, 1)
		waits[name] = done
		go func() {
			for {
				if err := wait(); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for name, m := range map[string]*minion{"Dequeue": one, "Dequeue of several": several} {
		start(name, func() error {
			_, err := m.Dequeue(r.ctx, m.queues, 1, patience)
			return err
		})
	}
	start("Receive of an inbox", func() error { _, err := mail.Receive(r.ctx); return err })
	start("Receive of a subscription", func() error { _, _, err := sub.Receive(r.ctx); return err })
	r.idle()
	at := time.Now()
	if err := r.Broker.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	for name, done := range waits {
		if err := <-done; !saysClosed(err) {
			r.Errorf("%s returned %v when the broker closed; want an error that wraps ErrClosed and names the closed thing", name, err)
		}
		if late := time.Since(at); late > r.prompt() {
			r.Errorf("%s returned %v after Close, which is too late", name, late)
		}
	}
}

func closeEndsParts(r *rig) {
	m, mail, sub := r.minion(), r.mail(), r.subscribe("t", broker.CursorNow)
	r.enqueue(r.task())
	d := m.take1()
	if err := r.Broker.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	_, err := m.Dequeue(r.ctx, m.queues, 1, 0)
	r.is(err, broker.ErrClosed)
	r.is(m.Heartbeat(r.ctx, broker.Load{}), broker.ErrClosed)
	r.is(lost(m.Settle(r.ctx, []broker.Settlement{m.succeed(d)})), broker.ErrClosed)
	_, err = mail.Receive(r.ctx)
	r.is(err, broker.ErrClosed)
	_, _, err = sub.Receive(r.ctx)
	r.is(err, broker.ErrClosed)
	for what, err := range map[string]error{
		"consumer": m.Close(r.ctx), "inbox": mail.Close(), "subscription": sub.Close(),
	} {
		if err != nil && !errors.Is(err, broker.ErrClosed) {
			r.Errorf("Close of the %s: %v", what, err)
		}
	}
}

// Tasks that the consumers of a closed broker hold are recovered when their leases end.
func closeKeepsLeases(r *rig) {
	other := r.Reopen(r.TB)
	m := r.minionAt(other)
	task := r.task()
	r.enqueue(task)
	m.take1()
	if err := other.Close(); err != nil {
		r.Fatalf("Close: %v", err)
	}
	heir := r.minion()
	heir.none()
	r.in(broker.StateRunning, task.ID)
	r.pass(r.Lease+r.Slack, heir)
	r.back([]broker.ID{task.ID}, heir)
	r.attempt(heir.take1(), 2, 0, 1)
}

func closeConsumerWaiting(r *rig) {
	for _, queues := range [][]string{{"q"}, {"q", "r"}} {
		m := r.minion(queues...)
		done := m.waiting(r.ctx, 1, patience)
		start := time.Now()
		m.close()
		got := <-done
		if len(got.tasks) > 0 || got.at.Sub(start) > r.prompt() {
			r.Fatalf("Dequeue returned %d tasks, %v after the Close of its consumer; want none, at once", len(got.tasks), got.at.Sub(start))
		}
		r.is(got.err, broker.ErrClosed)
		other := r.minion(queues...)
		task := r.task()
		r.enqueue(task) // a closed consumer must not take the task
		d := other.take1()
		r.same([]broker.ID{d.ID}, []broker.ID{task.ID})
		other.settle(other.succeed(d))
	}
}

func closeConsumerAfterwards(r *rig) {
	m := r.minion()
	m.close()
	m.close()
	task := r.task()
	r.enqueue(task)
	ds, err := m.Dequeue(r.ctx, m.queues, 1, 0)
	if len(ds) > 0 {
		r.Fatalf("a closed consumer was handed a task")
	}
	r.is(err, broker.ErrClosed)
	r.is(m.Heartbeat(r.ctx, broker.Load{}), broker.ErrClosed)
	r.is(lost(m.Settle(r.ctx, []broker.Settlement{m.succeed(m.made(task, 1))})), broker.ErrClosed)
	if n := len(r.registry(r.Broker)); n != 0 {
		r.Fatalf("%d minions are registered, want none", n)
	}
	r.same(takenOf(r.minion().take(1)), []broker.ID{task.ID})
}

// Close may be called at any moment.
func closeConcurrently(r *rig) {
	minions := []*minion{r.minion(), r.minion(), r.minion("a", "q")}
	mail := r.mail()
	fns := many(len(minions), func(i int) {
		m := minions[i]
		for {
			ds, err := m.Dequeue(r.ctx, m.queues, 2, r.Slack)
			if err == nil && len(ds) > 0 {
				_, err = m.Settle(r.ctx, []broker.Settlement{m.succeed(ds[0])})
			}
			if err == nil {
				err = m.Heartbeat(r.ctx, broker.Load{})
			}
			if err != nil {
				if !errors.Is(err, broker.ErrClosed) {
					r.Errorf("a call to a consumer returned %v, want ErrClosed", err)
				}
				return
			}
		}
	})
	tasks := r.batch(5000, inbox(mail.id))
	fns = append(fns, func() {
		for i := 0; ; i = (i + 1) % len(tasks) {
			if err := r.Broker.Enqueue(r.ctx, tasks[i:i+1]); err != nil {
				if !errors.Is(err, broker.ErrClosed) {
					r.Errorf("Enqueue returned %v, want ErrClosed", err)
				}
				return
			}
			if i%100 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}, func() {
		for {
			if _, err := mail.Receive(r.ctx); err != nil {
				if !errors.Is(err, broker.ErrClosed) {
					r.Errorf("Receive returned %v, want ErrClosed", err)
				}
				return
			}
		}
	}, func() {
		time.Sleep(20 * time.Millisecond)
		if err := r.Broker.Close(); err != nil {
			r.Errorf("Close: %v", err)
		}
	})
	together(fns...)
}
