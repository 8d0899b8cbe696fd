package brokertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// minion is a consumer in a test.
type minion struct {
	broker.Consumer
	r      *rig
	queues []string
	beaten time.Time // when the request was sent that last renewed the lease, by the broker's clock

	onKill func(broker.ID) // called by OnCancel, if not nil; to be set before the cancel

	mu     sync.Mutex
	killed map[broker.ID]int  // how often OnCancel was called for each task
	heard  map[string]bool    // the queues for which OnArrivals was called
	given  []*broker.Delivery // the tasks that OnAssign delivered
	posts  []string           // the posts that OnPost delivered

	renewals []renewal // the calls of OnRenewed
}

// minion opens a consumer of the queues, or of "q" if none is given.
func (r *rig) minion(queues ...string) *minion {
	r.Helper()
	return r.minionAt(r.Broker, queues...)
}

func (r *rig) minionAt(b broker.Broker, queues ...string) *minion {
	r.Helper()
	return r.consumer(b, func(*broker.ConsumerConfig) {}, queues...)
}

// consumer opens a consumer. with changes its configuration.
func (r *rig) consumer(b broker.Broker, with func(*broker.ConsumerConfig), queues ...string) *minion {
	r.Helper()
	if len(queues) == 0 {
		queues = []string{"q"}
	}
	m := &minion{r: r, queues: queues, beaten: r.Now(), killed: map[broker.ID]int{}, heard: map[string]bool{}}
	cfg := broker.ConsumerConfig{
		Queues: queues, Slots: 10, Host: "host", PID: 1, OnCancel: m.onCancel, OnRenewed: m.onRenewed,
		Flows:  broker.FlowsConfig{OnArrivals: m.onArrivals},
		Squads: broker.SquadsConfig{OnAssign: m.onAssign, OnPost: m.onPost},
	}
	with(&cfg)
	c, err := b.Consume(r.ctx, cfg)
	if err != nil {
		r.Fatalf("Consume: %v", err)
	}
	m.Consumer = c
	r.crew = append(r.crew, m)
	return m
}

// renewal is a call of OnRenewed.
type renewal struct{ asked, reported time.Time }

func (m *minion) onRenewed(asked time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.renewals = append(m.renewals, renewal{asked, time.Now()})
}

// renewed returns the calls of OnRenewed since the last call of renewed.
func (m *minion) renewed() []renewal {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.renewals
	m.renewals = nil
	return out
}

func (m *minion) onCancel(id broker.ID) {
	if m.onKill != nil {
		m.onKill(id)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.killed[id]++
}

func (m *minion) onArrivals(queue string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard[queue] = true
}

// hears reports whether OnArrivals was called for the queue since the last call of hears.
func (m *minion) hears(queue string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	yes := m.heard[queue]
	delete(m.heard, queue)
	return yes
}

// notified reports whether OnCancel was called for the task.
func (m *minion) notified(id broker.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.killed[id] > 0
}

// beat sends a heartbeat of each minion.
func beat(minions ...*minion) {
	for _, m := range minions {
		m.r.Helper()
		if err := m.beat(); err != nil {
			m.r.Fatalf("Heartbeat: %v", err)
		}
	}
}

// beat sends a heartbeat, and returns its error.
func (m *minion) beat() error {
	asked := m.r.Now()
	err := m.Heartbeat(m.r.ctx, broker.Load{})
	if m.lives(err); err == nil {
		m.beaten = asked
	}
	return err
}

// lives is told the error of a request of a minion that should have its lease. If the lease is lost,
// it records for how long the suite had not renewed it. If that is shorter than the lease, the
// broker has forgotten a living minion. Otherwise the suite was too slow.
func (m *minion) lives(err error) {
	if errors.Is(err, broker.ErrLeaseLost) {
		m.r.unrenewed.note(m.r.Now().Sub(m.beaten))
	}
}

// keep sends a heartbeat if one is due, and returns the interval of heartbeats.
func (m *minion) keep() time.Duration {
	m.r.Helper()
	_, every := m.Lease()
	if m.r.Now().Sub(m.beaten) >= every {
		beat(m)
	}
	return every
}

// take dequeues until it has n tasks. It fails the test if that takes too long.
func (m *minion) take(n int) []*broker.Delivery {
	m.r.Helper()
	return m.takeFrom(m.queues, n)
}

// take1 dequeues one task. It fails the test if that takes too long.
func (m *minion) take1() *broker.Delivery {
	m.r.Helper()
	return m.take(1)[0]
}

func (m *minion) takeFrom(queues []string, n int) []*broker.Delivery {
	m.r.Helper()
	var got []*broker.Delivery
	for start := time.Now(); len(got) < n; {
		if time.Since(start) > patience {
			m.r.Fatalf("Dequeue returned %d tasks in %v, want %d", len(got), patience, n)
		}
		ds, err := m.Dequeue(m.r.ctx, queues, n-len(got), m.keep())
		if m.lives(err); err != nil {
			m.r.Fatalf("Dequeue: %v", err)
		}
		m.check(ds, queues, n-len(got))
		got = append(got, ds...)
	}
	return got
}

// check checks what must hold for all deliveries.
func (m *minion) check(ds []*broker.Delivery, queues []string, n int) {
	m.r.Helper()
	if len(ds) > n {
		m.r.Fatalf("Dequeue returned %d tasks, asked for %d", len(ds), n)
	}
	for _, d := range ds {
		asked := false
		for _, q := range queues {
			asked = asked || q == d.Queue
		}
		if !asked {
			m.r.Fatalf("Dequeue of %v returned a task of queue %q", queues, d.Queue)
		}
		if d.Attempt == 0 || d.ID.IsZero() || d.Minion != m.ID() {
			m.r.Fatalf("Dequeue of %s returned task %s with attempt %d of %s", m.ID(), d.ID, d.Attempt, d.Minion)
		}
	}
}

// none checks that there is no task to dequeue.
func (m *minion) none() {
	m.r.Helper()
	m.keep()
	ds, err := m.Dequeue(m.r.ctx, m.queues, 10, m.r.Slack)
	if m.lives(err); err != nil {
		m.r.Fatalf("Dequeue: %v", err)
	}
	for _, d := range ds {
		m.r.Fatalf("task %s was handed out (attempt %d), want none", d.ID, d.Attempt)
	}
}

// tryTake returns up to n tasks that are pending now, or become pending within the slack. It does
// not fail the test if there are fewer.
func (m *minion) tryTake(n int) []*broker.Delivery {
	m.r.Helper()
	var got []*broker.Delivery
	for len(got) < n {
		m.keep()
		ds, err := m.Dequeue(m.r.ctx, m.queues, n-len(got), m.r.Slack)
		if m.lives(err); err != nil {
			m.r.Fatalf("Dequeue: %v", err)
		}
		m.check(ds, m.queues, n-len(got))
		if len(ds) == 0 {
			break
		}
		got = append(got, ds...)
	}
	return got
}

// dequeued is the result of a dequeue in another goroutine.
type dequeued struct {
	tasks []*broker.Delivery
	err   error
	took  time.Duration
	at    time.Time
}

// waiting starts a dequeue in another goroutine, and gives it time to begin to wait.
func (m *minion) waiting(ctx context.Context, max int, wait time.Duration) <-chan dequeued {
	done := m.start(ctx, max, wait)
	m.r.idle()
	return done
}

// start starts a dequeue in another goroutine.
func (m *minion) start(ctx context.Context, max int, wait time.Duration) <-chan dequeued {
	done := make(chan dequeued, 1)
	go func() {
		start := time.Now()
		ds, err := m.Dequeue(ctx, m.queues, max, wait)
		now := time.Now()
		done <- dequeued{ds, err, now.Sub(start), now}
	}()
	return done
}

// woken returns the tasks of a dequeue that waited. It must have been woken soon after start, and
// have returned tasks.
func (r *rig) woken(done <-chan dequeued, start time.Time) []*broker.Delivery {
	r.Helper()
	got := <-done
	if got.err != nil {
		r.Fatalf("Dequeue: %v", got.err)
	}
	if len(got.tasks) == 0 {
		r.Fatalf("Dequeue returned nothing after %v", got.took)
	}
	if late := got.at.Sub(start); late > r.prompt() {
		r.Fatalf("Dequeue was woken after %v, want at most %v", late, r.prompt())
	}
	return got.tasks
}

// settle settles a batch. Every settlement must be accepted.
func (m *minion) settle(batch ...broker.Settlement) {
	m.r.Helper()
	for i, err := range m.settled(batch...) {
		if m.lives(err); err != nil {
			m.r.Fatalf("Settle refused settlement %d of the batch: %v", i, err)
		}
	}
}

// settled settles a batch, and returns one error for each settlement.
func (m *minion) settled(batch ...broker.Settlement) []error {
	m.r.Helper()
	m.keep()
	errs, err := m.Settle(m.r.ctx, batch)
	if err != nil {
		m.r.Fatalf("Settle: %v", err)
	}
	if len(errs) != len(batch) {
		m.r.Fatalf("Settle returned %d errors for %d settlements", len(errs), len(batch))
	}
	return errs
}

// finish returns a settlement that ends the attempt in a final state. Its outcome is different for
// each task and attempt.
func (m *minion) finish(d *broker.Delivery, state broker.State) broker.Settlement {
	o := broker.Outcome{
		State: state, Codec: "json", Name: d.Name,
		Attempts: d.Attempt, Retried: d.Retried, Minion: m.ID(),
		Enqueued: d.Enqueued, Started: m.r.Now().Truncate(time.Millisecond),
	}
	o.Finished = o.Started.Add(3 * time.Millisecond)
	switch state {
	case broker.StateSucceeded:
		o.Result = append([]byte("result of "), d.ID[:]...)
	default:
		o.Err = &broker.Failure{
			Type: "*test.Error", Message: state.String() + ": " + d.ID.String(),
			Stack: "goroutine 1", Chain: []string{"outer", "inner"}, Codes: []string{"code"},
			Final: state == broker.StateFailed,
		}
	}
	return broker.Settlement{Delivery: d, Verb: broker.VerbFinish, Outcome: o}
}

func (m *minion) succeed(d *broker.Delivery) broker.Settlement {
	return m.finish(d, broker.StateSucceeded)
}

func retry(d *broker.Delivery, delay time.Duration) broker.Settlement {
	return broker.Settlement{Delivery: d, Verb: broker.VerbRetry, Delay: delay}
}

func snooze(d *broker.Delivery, delay time.Duration) broker.Settlement {
	return broker.Settlement{Delivery: d, Verb: broker.VerbSnooze, Delay: delay}
}

func giveBack(d *broker.Delivery) broker.Settlement {
	return broker.Settlement{Delivery: d, Verb: broker.VerbGiveBack}
}

// close closes the consumer, which must succeed.
func (m *minion) close() {
	m.r.Helper()
	if err := m.Close(m.r.ctx); err != nil {
		m.r.Fatalf("Close of the consumer: %v", err)
	}
}
