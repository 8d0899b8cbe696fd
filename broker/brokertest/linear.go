package brokertest

import (
	"errors"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
)

// Several clients work at the same time. Some order of their operations must explain all results
// (linearizability). The package porcupine searches for that order.
var linearTests = []test{
	{"Tasks", func(r *rig) { r.linear(linearTasks, taskModel, nil) }, 0},
	{"TasksWithFaults", func(r *rig) { r.linear(linearTasks, taskModel, linearFaults) }, 0},
	{"UniqueKeys", func(r *rig) { r.linear(linearKeys, keyModel, nil) }, 0},
	{"UniqueKeysWithFaults", func(r *rig) { r.linear(linearKeys, keyModel, linearFaults) }, 0},
	{"Documents", func(r *rig) { r.linear(linearDocuments, documentModel, nil) }, needDocuments},
	{"DocumentsWithFaults", func(r *rig) { r.linear(linearDocuments, documentModel, linearFaults) }, needDocuments},
}

const (
	linearRounds  = 4 // histories for each test
	linearClients = 4
	linearOps     = 60 // operations of each client in a history
	linearItems   = 12 // tasks or keys in a history
)

// linearFaults lets requests fail before or after they are carried out. It does not repeat requests
// inside the broker, since the models do not cover an operation with two effects and one result.
var linearFaults = &faulty.Rates{Before: 60, After: 120}

// linear lets clients work, and checks the history of their operations.
func (r *rig) linear(work func(*clients, int, *rand.Rand), model porcupine.Model, rates *faulty.Rates) {
	r.Helper()
	for round := range linearRounds {
		if ops := r.operate(work, rates, uint64(round)); !porcupine.CheckOperations(model, ops) {
			r.Fatalf("round %d: no order explains the results of the %d operations. The operations of a part without an order are:\n%s", round, len(ops), unexplained(model, ops))
		}
	}
}

// unexplained returns the operations of a part of the history for which there is no order.
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

// clients are several clients that work at the same time, and their history.
type clients struct {
	r     *rig
	at    []broker.Broker // of each client
	queue string
	turns *turns // nil if the clients work at the same time

	tasks []*broker.Task

	mu    sync.Mutex
	clock int64
	ops   []porcupine.Operation
}

// operate runs the clients of one round, and returns the history of their operations. Half of the
// clients use the broker of the rig, the others use another client of its store.
func (r *rig) operate(work func(*clients, int, *rand.Rand), rates *faulty.Rates, round uint64) []porcupine.Operation {
	return r.operateIn(nil, work, rates, round)
}

// operateIn is operate for clients that take turns. With nil they work at the same time.
func (r *rig) operateIn(t *turns, work func(*clients, int, *rand.Rand), rates *faulty.Rates, round uint64) []porcupine.Operation {
	c := &clients{r: r, queue: "linear" + itoa(int(round)), turns: t}
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
	together(many(linearClients, func(i int) {
		defer t.leave(i)
		work(c, i, rand.New(rand.NewPCG(round, uint64(i))))
	})...)
	return c.ops
}

// operations returns the numbers of the operations of a client. If the clients take turns, each
// operation waits for its turn.
func (c *clients) operations(client int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range linearOps {
			c.turns.await(client)
			if !yield(i) {
				return
			}
			c.turns.pass()
		}
	}
}

// turns lets the clients work one after the other, one operation each. So the history depends on
// the seed alone, and between two operations of a client there is one of each other client.
type turns struct {
	mu    sync.Mutex
	next  *sync.Cond
	order []int // the clients that are not done; the first one has the turn
}

func newTurns() *turns {
	t := &turns{}
	t.next = sync.NewCond(&t.mu)
	for i := range linearClients {
		t.order = append(t.order, i)
	}
	return t
}

// await waits until it is the turn of a client.
func (t *turns) await(client int) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.order[0] != client {
		t.next.Wait()
	}
}

// pass gives the turn to the next client.
func (t *turns) pass() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.order = append(t.order[1:], t.order[0])
	t.next.Broadcast()
}

// leave ends the part of a client.
func (t *turns) leave(client int) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.order = slices.DeleteFunc(t.order, func(i int) bool { return i == client })
	t.next.Broadcast()
}

// tick advances the logical clock and returns the time.
func (c *clients) tick() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	return c.clock
}

// note records an operation that has returned. An operation with an unknown outcome may take effect
// at any time after its call.
func (c *clients) note(client int, call int64, input, output any, unknown bool) {
	end := c.tick()
	if unknown {
		end = math.MaxInt64
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ops = append(c.ops, porcupine.Operation{ClientId: client, Call: call, Return: end, Input: input, Output: output})
}

// doubt classifies an error. unknown: the request may have taken effect or not. nothing: it has not
// taken effect, and may be repeated.
func doubt(err error) (unknown, nothing bool) {
	unknown = errors.Is(err, broker.ErrIndeterminate)
	return unknown, !unknown && errors.Is(err, broker.ErrUnavailable)
}

// seat is the consumer of one client, and the tasks that it holds.
type seat struct {
	broker.Consumer
	c      *clients
	client int
	hand   []*broker.Delivery
	since  int64 // time of the first dequeue whose reply was lost; 0 if none was
}

// consumer opens the consumer of a client. Its tasks return to the queue when the broker closes it.
func (c *clients) consumer(client int) *seat {
	for range 100 {
		m, err := c.at[client].Consume(c.r.ctx, broker.ConsumerConfig{Queues: []string{c.queue}, Slots: 100})
		if err == nil {
			return &seat{Consumer: m, c: c, client: client}
		}
		if unknown, nothing := doubt(err); !unknown && !nothing {
			c.r.Errorf("Consume: %v", err)
			return nil
		}
	}
	c.r.Errorf("Consume failed or was unknown a hundred times in a row")
	return nil
}

// take dequeues, and reports each task with the time of the call that took it.
func (p *seat) take(report func(d *broker.Delivery, call int64)) {
	call := p.c.tick()
	if p.since > 0 {
		call = p.since // the lost reply of that call may have had these tasks
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
		report(d, call)
	}
}

// takeWhatWasLost dequeues until no reply of a dequeue is missing.
func (p *seat) takeWhatWasLost(report func(d *broker.Delivery, call int64)) {
	for range 100 {
		if p.since == 0 {
			return
		}
		p.take(report)
	}
	p.c.r.Errorf("Dequeue failed or was unknown a hundred times in a row")
}

// settle settles the first task in hand. It keeps the task if the outcome is unknown.
func (p *seat) settle(report func(d *broker.Delivery, call int64, unknown bool)) {
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
	report(d, call, unknown)
}
