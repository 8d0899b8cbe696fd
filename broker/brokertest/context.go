package brokertest

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// The context of a call has ended before the call. The call fails, or takes effect in full, and may
// be repeated in both cases.
var contextTests = []test{
	{"Enqueue", contextEnqueue, 0},
	{"Dequeue", contextDequeue, 0},
	{"Settle", contextSettle, 0},
	{"Cancel", contextCancel, 0},
	{"Receive", contextReceive, 0},
	{"TheOthers", contextOthers, 0},
	{"OfConsumeEnds", contextOfConsume, 0},
}

func expired(r *rig) context.Context {
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	return ctx
}

func contextEnqueue(r *rig) {
	m, task := r.minion(), r.task()
	if err := r.Broker.Enqueue(expired(r), []*broker.Task{task}); err == nil {
		r.in(broker.StatePending, task.ID)
	}
	r.enqueue(task)
	r.same(takenOf(m.take(1)), []broker.ID{task.ID})
	m.none()
}

func contextDequeue(r *rig) {
	m := r.minion()
	ds, err := m.Dequeue(expired(r), m.queues, 5, patience)
	r.is(err, context.Canceled)
	if len(ds) > 0 {
		r.Fatalf("Dequeue returned %d tasks from an empty queue", len(ds))
	}
	tasks := r.batch(3)
	r.enqueue(tasks...)
	ds, err = m.Dequeue(expired(r), m.queues, 5, patience)
	if err != nil {
		r.is(err, context.Canceled)
		if len(ds) > 0 {
			r.Fatalf("Dequeue returned %d tasks together with an error", len(ds))
		}
	}
	ds = append(ds, m.take(3-len(ds))...)
	r.same(takenOf(ds), idsOf(tasks))
	for _, d := range ds {
		r.attempt(d, 1, 0, 0)
		m.settle(m.succeed(d))
	}
}

func contextSettle(r *rig) {
	m, mail := r.minion(), r.mail()
	task := r.task(inbox(mail.id))
	r.enqueue(task)
	s := m.succeed(m.take1())
	if err := lost(m.Settle(expired(r), []broker.Settlement{s})); err == nil {
		r.in(broker.StateSucceeded, task.ID)
	}
	m.settle(s)
	r.equal(r.outcome(task.ID), s.Outcome)
	mail.take(1)
	mail.none()
	m.none()
}

func contextCancel(r *rig) {
	m, task := r.minion(), r.task()
	r.enqueue(task)
	if _, err := r.Broker.Cancel(expired(r), []broker.ID{task.ID}); err == nil {
		r.in(broker.StateCanceled, task.ID)
	}
	r.cancel(task.ID)
	r.in(broker.StateCanceled, task.ID)
	m.none()
}

func contextReceive(r *rig) {
	m, mail, sub := r.minion(), r.mail(), r.subscribe("t", broker.CursorNow)
	for range 2 { // the first call may report a gap
		if _, err := mail.Receive(expired(r)); err != nil {
			r.is(err, context.Canceled)
		}
	}
	_, _, err := sub.Receive(expired(r))
	r.is(err, context.Canceled)
	r.enqueue(r.task(inbox(mail.id)))
	m.settle(m.succeed(m.take1()))
	r.publish("t", "1")
	sub.gets("1")
	mail.take(1)
}

func contextOthers(r *rig) {
	m, task := r.minion(), r.task()
	r.enqueue(task)
	ctx := expired(r)
	if sts, err := r.Broker.Lookup(ctx, []broker.ID{task.ID}); err == nil && sts[0].State != broker.StatePending {
		r.Fatalf("Lookup: %+v", sts)
	}
	_, _ = r.Broker.Minions(ctx)
	_ = m.Heartbeat(ctx, broker.Load{})
	beat(m) // the consumer is still usable
	if err := m.Close(ctx); err != nil {
		m.close()
	}
	m = r.minion()
	r.same(takenOf(m.take(1)), []broker.ID{task.ID})
}

// The context of Consume and Inbox is for opening alone. The consumer or inbox lives on when it
// ends.
func contextOfConsume(r *rig) {
	ctx, cancel := context.WithCancel(r.ctx)
	c, err := r.Broker.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
	if err != nil {
		r.Fatalf("Consume: %v", err)
	}
	in, err := r.Broker.Inbox(ctx, broker.NewID(broker.KindParty, "", 0))
	if err != nil {
		r.Fatalf("Inbox: %v", err)
	}
	sub, err := r.Broker.Subscribe(ctx, "t", broker.CursorNow)
	if err != nil {
		r.Fatalf("Subscribe: %v", err)
	}
	cancel()
	r.idle()
	m := &minion{Consumer: c, r: r, queues: []string{"q"}, beaten: r.Now()}
	mail := &mailbox{Inbox: in, r: r}
	task := r.task()
	r.enqueue(task)
	beat(m)
	m.settle(m.succeed(m.take1()))
	mail.none()
	r.publish("t", "1")
	(&reader{Subscription: sub, r: r, topic: "t"}).gets("1")
}
