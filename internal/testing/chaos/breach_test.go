//go:build unix

package chaos

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

// breach is a way in which a broker breaks the contract. It happens at one of every often calls at
// which it can happen.
type breach struct {
	name  string
	often int
	want  []Verdict // the checker must give one of these

	enqueue  func(b *breached, tasks []*broker.Task) []*broker.Task
	dequeue  func(c *breachedConsumer, got []*broker.Delivery) []*broker.Delivery
	settle   func(c *breachedConsumer, batch []broker.Settlement, errs []error)
	ack      bool        // settlements are accepted and not carried out
	beat     func() bool // reports whether a heartbeat does nothing
	cancel   func(ids []broker.ID) []broker.ID
	arrivals func(b *breached, found []broker.Arrival) []broker.Arrival
	arrive   func(arrivals []broker.Arrival) []broker.Arrival
	decide   func(started bool) bool
	record   func(recoveries, strikes int) (int, int)
	document func(b *breached, d *broker.Document, present uint64) (drop bool) // it may change the version that is expected
	rare     bool                                                              // it takes tens of seeds to see it, so only the long form looks for it
	silent   bool                                                              // a consumer whose lease has ended can't take its counted death back
}

var breaches = []breach{
	{
		name: "forgets a task that it has accepted", often: 50, want: []Verdict{Lost},
		enqueue: func(b *breached, tasks []*broker.Task) []*broker.Task {
			return slices.DeleteFunc(slices.Clone(tasks), func(*broker.Task) bool { return b.now() })
		},
	}, {
		name: "stores a repeated task again", often: 1, want: []Verdict{Unexplained},
		enqueue: func(b *breached, tasks []*broker.Task) []*broker.Task {
			tasks = slices.Clone(tasks)
			for i, t := range tasks {
				if b.seen(t.ID) {
					again := *t
					again.ID, again.Flow.ID = broker.NewID(broker.KindTask, t.Queue, 0), broker.ID{}
					tasks[i] = &again
				}
			}
			return tasks
		},
	}, {
		name: "starts a blocked task", often: 5, want: []Verdict{OutOfOrder, WrongEnd, WrongResult, NotOnce},
		enqueue: func(b *breached, tasks []*broker.Task) []*broker.Task {
			tasks = slices.Clone(tasks)
			for i, t := range tasks {
				if t.Flow.Blocked && !t.Flow.Squad && b.now() {
					free := *t
					free.Flow.Blocked, free.Delay, free.Flow.Upstream = false, 0, ""
					tasks[i] = &free
				}
			}
			return tasks
		},
	}, {
		name: "replaces a document whatever its version is", often: 1, want: []Verdict{Untimely, Crowded},
		document: func(_ *breached, d *broker.Document, present uint64) bool { d.Version = present; return false },
	}, {
		name: "acknowledges the change of a document and drops it", often: 15, want: []Verdict{Untimely},
		document: func(b *breached, _ *broker.Document, _ uint64) bool { return b.now() },
	}, {
		name: "ignores the bound of a queue", often: 1, want: []Verdict{Overfull},
		enqueue: func(_ *breached, tasks []*broker.Task) []*broker.Task {
			tasks = slices.Clone(tasks)
			for i, t := range tasks {
				free := *t
				free.Bounded = false
				tasks[i] = &free
			}
			return tasks
		},
	}, {
		name: "hands a task out to two minions", often: 50, want: []Verdict{Unexplained},
		dequeue: func(c *breachedConsumer, got []*broker.Delivery) []*broker.Delivery {
			b := c.b
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.spare != nil && b.spareOf != c && !b.spare.Flow.Squad {
				got = append(got, b.spare)
				b.spare = nil
			} else if len(got) > 0 {
				again := *got[0]
				b.spare, b.spareOf = &again, c
			}
			return got
		},
	}, {
		name: "loses a task that it hands out", often: 50, want: []Verdict{Lost},
		dequeue: func(c *breachedConsumer, got []*broker.Delivery) []*broker.Delivery {
			if len(got) > 0 && c.b.now() {
				return got[1:]
			}
			return got
		},
	}, {
		name: "accepts settlements of a former owner", often: 1, rare: true,
		want: []Verdict{SettledTwice, WrongResult},
		settle: func(c *breachedConsumer, batch []broker.Settlement, errs []error) {
			for i := range errs {
				if errors.Is(errs[i], broker.ErrLeaseLost) {
					errs[i] = c.b.force(batch[i])
				}
			}
		},
	}, {
		name: "acknowledges before it writes", often: 50, want: []Verdict{Lost, Unexplained, SettledTwice},
		ack: true,
	}, {
		name: "does not renew leases", often: 1, want: []Verdict{Unexplained},
		beat: func() bool { return true },
	}, {
		name: "ignores a cancel", often: 1, want: []Verdict{AfterKill},
		cancel: func([]broker.ID) []broker.ID { return nil },
	}, {
		name: "loses an arrival", often: 20, want: []Verdict{Lost, NotOnce},
		arrivals: func(b *breached, found []broker.Arrival) []broker.Arrival {
			if len(found) > 0 && b.now() {
				_ = b.Broker.Confirm(context.Background(), found[:1])
				return found[1:]
			}
			return found
		},
	}, {
		name: "counts a member that has not ended", often: 1, want: []Verdict{OutOfOrder, WrongResult, WrongEnd},
		arrive: func(arrivals []broker.Arrival) []broker.Arrival {
			if len(arrivals) > 0 && arrivals[0].Step == 0 {
				more := arrivals[0]
				more.Step = 1
				return append(slices.Clone(arrivals), more)
			}
			return arrivals
		},
	}, {
		name: "decides twice whether a squad starts", often: 2, want: []Verdict{InPart, AfterRefusal, WrongEnd},
		decide: func(started bool) bool { return !started },
	}, {
		name: "counts deaths for tasks that have not started", often: 1, want: []Verdict{Charged},
		record: func(recoveries, _ int) (int, int) { return recoveries, recoveries },
	}, {
		name: "charges nothing", often: 1, want: []Verdict{Charged},
		record: func(int, int) (int, int) { return 0, 0 },
	}, {
		name: "counts every outage as a death", often: 1, want: []Verdict{Charged}, silent: true,
	},
}

// breached is a broker in memory with a breach.
type breached struct {
	*memory.Broker
	breach

	mu      sync.Mutex
	calls   int
	known   map[broker.ID]bool
	spare   *broker.Delivery // a delivery that is handed out a second time
	spareOf *breachedConsumer
	owners  map[broker.ID]*owner
}

// owner is the consumer that got a task last, and its delivery.
type owner struct {
	c *breachedConsumer
	d *broker.Delivery
}

func newBreached(of breach) *breached {
	return &breached{
		Broker: memory.New(memory.Lease(lease)), breach: of,
		known: make(map[broker.ID]bool), owners: make(map[broker.ID]*owner),
	}
}

// now reports whether the breach happens at this call.
func (b *breached) now() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	return b.calls%b.often == 0
}

// seen reports whether an id was passed before, and remembers it.
func (b *breached) seen(id broker.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.known[id]
	b.known[id] = true
	return before
}

// force settles a task in the name of its current owner. The owner of a squad member is not known,
// since the task was assigned.
func (b *breached) force(s broker.Settlement) error {
	b.mu.Lock()
	o := b.owners[s.Delivery.ID]
	b.mu.Unlock()
	if o == nil {
		return broker.ErrLeaseLost
	}
	s.Delivery = o.d
	errs, err := o.c.Consumer.Settle(context.Background(), []broker.Settlement{s})
	return errors.Join(append(errs, err)...)
}

func (b *breached) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	if b.enqueue != nil {
		tasks = b.enqueue(b, tasks)
	}
	return b.Broker.Enqueue(ctx, tasks)
}

func (b *breached) Cancel(ctx context.Context, ids []broker.ID) ([]broker.CancelVerdict, error) {
	if b.cancel != nil && len(b.cancel(ids)) == 0 {
		return slices.Repeat([]broker.CancelVerdict{broker.CancelPrevented}, len(ids)), nil
	}
	return b.Broker.Cancel(ctx, ids)
}

func (b *breached) Arrivals(ctx context.Context, queue string, limit int) ([]broker.Arrival, error) {
	found, err := b.Broker.Arrivals(ctx, queue, limit)
	if b.arrivals != nil {
		found = b.arrivals(b, found)
	}
	return found, err
}

func (b *breached) Arrive(ctx context.Context, id broker.ID, arrivals []broker.Arrival) (*broker.Progress, error) {
	if b.arrive != nil {
		if p, err := b.Broker.Arrive(ctx, id, b.arrive(arrivals)); err == nil {
			return p, nil
		}
	}
	return b.Broker.Arrive(ctx, id, arrivals)
}

func (b *breached) Decide(ctx context.Context, flow broker.ID, start bool) (bool, error) {
	started, err := b.Broker.Decide(ctx, flow, start)
	if err == nil && b.decide != nil && b.now() {
		started = b.decide(started)
	}
	return started, err
}

func (b *breached) RecordStart(ctx context.Context, d *broker.Delivery) (recoveries, strikes int, err error) {
	recoveries, strikes, err = b.Broker.RecordStart(ctx, d)
	if err == nil && b.record != nil {
		recoveries, strikes = b.record(recoveries, strikes)
	}
	return recoveries, strikes, err
}

func (b *breached) WriteDocument(ctx context.Context, collection string, d broker.Document) (uint64, error) {
	if b.document != nil {
		old, _, err := b.ReadDocument(ctx, collection, d.Name)
		if err != nil {
			return 0, err
		}
		if b.document(b, &d, old.Version) {
			return old.Version + 1, nil
		}
	}
	return b.Broker.WriteDocument(ctx, collection, d)
}

func (b *breached) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	c, err := b.Broker.Consume(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &breachedConsumer{c, b}, nil
}

type breachedConsumer struct {
	broker.Consumer
	b *breached
}

func (c *breachedConsumer) Dequeue(ctx context.Context, queues []string, limit int, wait time.Duration) ([]*broker.Delivery, error) {
	got, err := c.Consumer.Dequeue(ctx, queues, limit, wait)
	c.b.mu.Lock()
	for _, d := range got {
		c.b.owners[d.ID] = &owner{c, d}
	}
	c.b.mu.Unlock()
	if c.b.dequeue != nil {
		got = c.b.dequeue(c, got)
	}
	return got, err
}

func (c *breachedConsumer) Settle(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	if c.b.ack && c.b.now() {
		return make([]error, len(batch)), nil
	}
	errs, err := c.Consumer.Settle(ctx, batch)
	if c.b.settle != nil {
		c.b.settle(c, batch, errs)
	}
	return errs, err
}

func (c *breachedConsumer) Close(ctx context.Context) error {
	if c.b.silent && errors.Is(c.Consumer.Heartbeat(ctx, broker.Load{}), broker.ErrLeaseLost) {
		return nil
	}
	return c.Consumer.Close(ctx)
}

func (c *breachedConsumer) Heartbeat(ctx context.Context, load broker.Load) error {
	if c.b.beat != nil && c.b.beat() {
		return nil
	}
	return c.Consumer.Heartbeat(ctx, load)
}

// breachSeeds is the number of seeds within which each breach must be found. Most need fewer than
// five, but how the goroutines of a seed take turns differs from run to run.
const breachSeeds = 400

// The checker finds a broker that breaks the contract, for each known breach.
func TestSimulationSeesBreaches(t *testing.T) {
	t.Parallel()
	for _, of := range breaches {
		if of.rare && !testform.Long() {
			continue
		}
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			for s := uint64(1); s <= breachSeeds; s++ {
				w, report := simulate(t, s, func() broker.Broker { return newBreached(of) })
				if !w.failed(report) {
					continue
				}
				for _, v := range of.want {
					if report.Broken[v] > 0 {
						t.Logf("found with seed %d: %s", s, first(report, v))
						return
					}
				}
				t.Logf("seed %d: the verdicts are %v, the errors %v", s, report.Broken, w.errs)
			}
			t.Errorf("not found with any of %d seeds, want one of the verdicts %q", breachSeeds, of.want)
		})
	}
}

// first returns the first case with a verdict.
func first(r *Report, v Verdict) string {
	for _, c := range r.Cases {
		if strings.HasPrefix(c, string(v)+":") {
			return c
		}
	}
	return string(v)
}
