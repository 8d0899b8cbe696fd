package brokertest

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/faulty"
)

// Clients at once, whose operations must have an order that explains them:
// linearizability, as porcupine decides it.
var linearTests = []test{
	{"Tasks", func(r *rig) { r.linear(linearTasks, taskModel, nil) }, 0},
	{"TasksWithFaults", func(r *rig) { r.linear(linearTasks, taskModel, linearFaults) }, 0},
	{"UniqueKeys", func(r *rig) { r.linear(linearKeys, keyModel, nil) }, 0},
	{"UniqueKeysWithFaults", func(r *rig) { r.linear(linearKeys, keyModel, linearFaults) }, 0},
}

const (
	linearRounds  = 4 // histories of a test
	linearClients = 4
	linearOps     = 60 // of each client in a history
	linearItems   = 12 // tasks or keys of a history
)

// linearFaults are requests that fail before or after they are carried out. The
// models know none that are carried out twice and have one reply.
var linearFaults = &faulty.Rates{Before: 60, After: 120}

// linear lets clients work and checks what they have seen.
func (r *rig) linear(work func(*clients, int, *rand.Rand), model porcupine.Model, rates *faulty.Rates) {
	r.Helper()
	for round := range linearRounds {
		if ops := r.operate(work, rates, uint64(round)); !porcupine.CheckOperations(model, ops) {
			r.Fatalf("round %d: no order explains the %d operations: %s", round, len(ops), unexplained(model, ops))
		}
	}
}

// unexplained returns the operations of a part that has no order.
func unexplained(model porcupine.Model, ops []porcupine.Operation) (text string) {
	for _, part := range model.Partition(ops) {
		if porcupine.CheckOperations(model, part) {
			continue
		}
		for _, op := range part {
			text += "\n" + model.DescribeOperation(op.Input, op.Output)
		}
		return text
	}
	return text
}

// clients are several at work at the same time.
type clients struct {
	r     *rig
	at    []broker.Broker // of each client
	queue string

	tasks []*broker.Task

	mu    sync.Mutex
	clock int64
	ops   []porcupine.Operation
}

// operate returns what the clients of a round did. A rig's broker is used by some
// of them, another client of its store by the others.
func (r *rig) operate(work func(*clients, int, *rand.Rand), rates *faulty.Rates, round uint64) []porcupine.Operation {
	c := &clients{r: r, queue: "linear" + itoa(int(round))}
	other := r.other()
	for i := range linearClients {
		b := []broker.Broker{r.Broker, other}[i%2]
		if rates != nil {
			w := faulty.New(raw(b))
			w.Set(faulty.Seeded(round, itoa(i), *rates, nil))
			b = r.watch(w)
		}
		c.at = append(c.at, b)
	}
	for range linearItems {
		c.tasks = append(c.tasks, r.task(onQueue(c.queue)))
	}
	together(many(linearClients, func(i int) { work(c, i, rand.New(rand.NewPCG(round, uint64(i)))) })...)
	return c.ops
}

// tick returns the time: it counts what happens.
func (c *clients) tick() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	return c.clock
}

// note notes an operation that has returned. One whose outcome is unknown may
// take effect at any time from its call on.
func (c *clients) note(client int, call int64, input, output any, unknown bool) {
	end := c.tick()
	if unknown {
		end = math.MaxInt64
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ops = append(c.ops, porcupine.Operation{ClientId: client, Call: call, Return: end, Input: input, Output: output})
}

// doubt says whether an error leaves open what has happened, and whether nothing
// has.
func doubt(err error) (unknown, nothing bool) {
	unknown = errors.Is(err, broker.ErrIndeterminate)
	return unknown, !unknown && errors.Is(err, broker.ErrUnavailable)
}

// place is a client's consumer, and what it has in hand.
type place struct {
	broker.Consumer
	c      *clients
	client int
	hand   []*broker.Delivery
	since  int64 // the call of the first dequeue of which nothing is known; 0 if there is none
}

// consumer opens a client's consumer. What it holds at the end comes back.
func (c *clients) consumer(client int) *place {
	for range 100 {
		m, err := c.at[client].Consume(c.r.ctx, broker.ConsumerConfig{Queues: []string{c.queue}, Slots: 100})
		if err == nil {
			return &place{Consumer: m, c: c, client: client}
		}
		if unknown, nothing := doubt(err); !unknown && !nothing {
			c.r.Errorf("Consume: %v", err)
			return nil
		}
	}
	c.r.Errorf("Consume has failed a hundred times")
	return nil
}

// take dequeues, and tells which tasks came since which call.
func (p *place) take(told func(d *broker.Delivery, call int64)) {
	call := p.c.tick()
	if p.since > 0 {
		call = p.since // the reply that was lost may have had them
	}
	got, err := p.Dequeue(p.c.r.ctx, []string{p.c.queue}, 3, time.Millisecond)
	if err != nil {
		if unknown, nothing := doubt(err); unknown {
			p.since = call
		} else if !nothing {
			p.c.r.Errorf("Dequeue: %v", err)
		}
		return
	}
	p.since = 0
	p.hand = append(p.hand, got...)
	for _, d := range got {
		told(d, call)
	}
}

// takeWhatWasLost dequeues until nothing is open about what was taken.
func (p *place) takeWhatWasLost(told func(d *broker.Delivery, call int64)) {
	for range 100 {
		if p.since == 0 {
			return
		}
		p.take(told)
	}
	p.c.r.Errorf("Dequeue has failed a hundred times")
}

// settle settles what is first in hand, and keeps it if the outcome is unknown.
func (p *place) settle(told func(d *broker.Delivery, call int64, unknown bool)) {
	if len(p.hand) == 0 {
		return
	}
	d := p.hand[0]
	call := p.c.tick()
	errs, err := p.Settle(p.c.r.ctx, []broker.Settlement{{Delivery: d, Outcome: broker.Outcome{
		State: broker.StateSucceeded, Name: d.Name, Attempts: d.Attempt, Minion: p.ID(),
	}}})
	if err == nil {
		err = errs[0]
	}
	unknown, nothing := doubt(err)
	switch {
	case nothing:
		return
	case err != nil && !unknown:
		p.c.r.Errorf("Settle: %v", err)
	case !unknown:
		p.hand = p.hand[1:]
	}
	told(d, call, unknown)
}
