package brokertest

import (
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A callback may call the broker and its consumer. So a broker must not hold a lock while a
// callback runs.
var callbackTests = []test{
	{"OnCancelMayCall", callbackOnCancel, 0},
	{"OnCancelMayCallWhileItWaits", callbackOnCancelWaiting, 0},
	{"OnArrivalsMayCall", callbackOnArrivals, needFlows},
	{"OnAssignMayCall", callbackOnAssign, needSquads},
	{"OnPostMayCall", callbackOnPost, needSquads},
}

// busy is a consumer whose callbacks call every method that they are allowed to call.
type busy struct {
	*minion
	begun atomic.Bool  // a callback is running; its calls can trigger further callbacks
	own   *broker.Task // the task that the callback cancels
	done  chan struct{}
}

// busy opens a consumer with the callbacks that config sets.
func (r *rig) busy(config func(b *busy, cfg *broker.ConsumerConfig)) *busy {
	r.Helper()
	b := &busy{own: r.task(onQueue("elsewhere")), done: make(chan struct{})}
	cfg := broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10}
	config(b, &cfg)
	r.enqueue(r.task(onQueue("other"))) // so the queue exists when the callback enqueues into it
	b.minion = &minion{r: r, queues: cfg.Queues, beaten: r.Now()}
	c, err := r.Broker.Consume(r.ctx, cfg)
	if err != nil {
		r.Fatalf("Consume: %v", err)
	}
	b.Consumer = c
	return b
}

// calls makes every call that is allowed in a callback, once. It settles first: the heartbeat
// reports a settled task no more.
func (b *busy) calls(settle ...broker.Settlement) {
	if b.begun.Swap(true) {
		return
	}
	defer close(b.done)
	r := b.r
	must := func(what string, err error) {
		if err != nil {
			r.Errorf("%s in a callback: %v", what, err)
		}
	}
	if len(settle) > 0 {
		errs, err := b.Settle(r.ctx, settle)
		must("Settle", lost(errs, err))
	}
	must("Heartbeat", b.Heartbeat(r.ctx, broker.Load{}))
	must("Enqueue", r.Broker.Enqueue(r.ctx, []*broker.Task{b.own}))
	_, err := r.Broker.Lookup(r.ctx, []broker.ID{b.own.ID})
	must("Lookup", err)
	_, err = r.Broker.Cancel(r.ctx, []broker.ID{b.own.ID})
	must("Cancel", err)
	_, err = r.Broker.Minions(r.ctx)
	must("Minions", err)
	must("Publish", r.Broker.Publish(r.ctx, []broker.Event{{Topic: "t"}}))
	r.Broker.Limits()
	b.Lease()
	b.ID()
	if _, ok := can[broker.Flows](r.Broker); ok {
		_, err = r.flows().Arrivals(r.ctx, "q", 10)
		must("Arrivals", err)
		_, err = r.flows().Blocked(r.ctx, []broker.ID{b.own.ID})
		must("Blocked", err)
	}
	if _, ok := can[broker.Squads](r.Broker); ok {
		must("Post", r.squads().Post(r.ctx, broker.NewID(broker.KindParty, "", 0), nil))
	}
	if _, ok := can[broker.Inspector](r.Broker); ok {
		_, err = r.inspector().Queues(r.ctx)
		must("Queues", err)
	}
}

// ends waits until the callback has returned.
func (b *busy) ends() {
	b.r.Helper()
	b.r.eventually("the callback returns from its calls", func() bool {
		select {
		case <-b.done:
			return true
		default:
			return b.r.Failed()
		}
	})
	b.r.in(broker.StateCanceled, b.own.ID)
}

// busyKiller returns a busy consumer that settles the cancelled task in OnCancel.
func busyKiller(r *rig) (*busy, *broker.Delivery) {
	r.Helper()
	var d *broker.Delivery
	b := r.busy(func(b *busy, cfg *broker.ConsumerConfig) {
		cfg.OnCancel = func(broker.ID) { b.calls(b.finish(d, broker.StateCanceled)) }
	})
	r.enqueue(r.task())
	d = b.take1()
	return b, d
}

func callbackOnCancel(r *rig) {
	b, d := busyKiller(r)
	r.canceled(d.ID, broker.CancelRequested)
	b.ends()
	r.in(broker.StateCanceled, d.ID)
}

func callbackOnCancelWaiting(r *rig) {
	b, d := busyKiller(r)
	done := b.waiting(r.ctx, 1, patience)
	r.canceled(d.ID, broker.CancelRequested)
	b.ends()
	next := r.task()
	start := time.Now()
	r.enqueue(next)
	r.same(takenOf(r.woken(done, start)), []broker.ID{next.ID})
}

func callbackOnArrivals(r *rig) {
	b := r.busy(func(b *busy, cfg *broker.ConsumerConfig) {
		cfg.Flows.OnArrivals = func(string) { b.calls() }
	})
	_, tasks := r.team(1)
	r.enqueue(tasks...)
	b.settle(b.succeed(b.take1()))
	r.eventually("OnArrivals is called", func() bool {
		beat(b.minion)
		select {
		case <-b.done:
			return true
		default:
			return false
		}
	})
	b.ends()
}

func callbackOnAssign(r *rig) {
	b := r.busy(func(b *busy, cfg *broker.ConsumerConfig) {
		cfg.Squads.OnAssign = func(ds []*broker.Delivery) { b.calls(b.succeed(ds[0])) }
	})
	task := r.task(inSquad)
	r.enqueue(task)
	r.assign(b.ID(), []broker.ID{task.ID})
	b.ends()
	r.in(broker.StateSucceeded, task.ID)
}

func callbackOnPost(r *rig) {
	b := r.busy(func(b *busy, cfg *broker.ConsumerConfig) {
		cfg.Squads.OnPost = func([]byte) { b.calls() }
	})
	r.eventually("OnPost is called", func() bool { // a post may be lost, so it is repeated
		if err := r.squads().Post(r.ctx, b.ID(), []byte("x")); err != nil {
			r.Fatalf("Post: %v", err)
		}
		select {
		case <-b.done:
			return true
		case <-time.After(20 * time.Millisecond):
			return false
		}
	})
	b.ends()
}
