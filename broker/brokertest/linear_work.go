package brokertest

import (
	"errors"
	"math/rand/v2"

	"github.com/go-arbiter/arbiter/broker"
)

// linearTasks is one client. It enqueues tasks that other clients enqueue too, takes and settles
// tasks, cancels some, and looks some up.
func linearTasks(c *clients, client int, rng *rand.Rand) {
	p := c.consumer(client)
	if p == nil {
		return
	}
	taken := func(d *broker.Delivery, call int64) {
		c.note(client, call, taskInput{d.ID, actTake}, taskOutput{}, false)
	}
	// A dequeue whose reply was lost may have taken tasks. The next dequeue returns them. Without
	// it, the history would have no hand-out for tasks that other clients see running.
	defer p.takeWhatWasLost(taken)
	b, ctx := c.at[client], c.r.ctx
	for range c.operations(client) {
		t := c.tasks[rng.IntN(len(c.tasks))]
		call := c.tick()
		var in taskInput
		var out taskOutput
		var err error
		switch rng.IntN(8) {
		case 0, 1:
			in = taskInput{t.ID, actEnqueue}
			err = b.Enqueue(ctx, []*broker.Task{t})
		case 2, 3:
			p.take(taken)
			continue
		case 4, 5:
			p.settle(func(d *broker.Delivery, call int64, unknown bool) {
				c.note(client, call, taskInput{d.ID, actSettle}, taskOutput{unknown: unknown}, unknown)
			})
			continue
		case 6:
			var verdicts []broker.CancelVerdict
			in = taskInput{t.ID, actCancel}
			if verdicts, err = b.Cancel(ctx, []broker.ID{t.ID}); err == nil {
				out.verdict = verdicts[0]
			}
		default:
			var found []broker.Status
			in = taskInput{t.ID, actLook}
			if found, err = b.Lookup(ctx, []broker.ID{t.ID}); err == nil {
				out.state = found[0].State
			}
		}
		unknown, nothing := doubt(err)
		if nothing {
			continue
		}
		if err != nil && !unknown {
			c.r.Errorf("operation %v on task %s: %v", in.act, t.ID, err)
			return
		}
		out.unknown = unknown
		c.note(client, call, in, out, unknown)
	}
}

// linearKeys is one client. It enqueues its own tasks under keys that other clients use too, and
// ends some of them.
func linearKeys(c *clients, client int, rng *rand.Rand) {
	const keys = 3
	p := c.consumer(client)
	if p == nil {
		return
	}
	b, ctx := c.at[client], c.r.ctx
	// Every client knows the number and the key of each task.
	number := make(map[broker.ID]int)
	for i, t := range c.tasks {
		number[t.ID] = i
	}
	key := func(n int) string { return "k" + itoa(n%keys) }
	for range c.operations(client) {
		n := rng.IntN(len(c.tasks))
		t := *c.tasks[n]
		t.Unique.Key = key(n)
		call := c.tick()
		in := keyInput{key(n), n, actEnqueue}
		out := keyOutput{holder: -1}
		var err error
		switch rng.IntN(8) {
		case 0, 1, 2:
			err = b.Enqueue(ctx, []*broker.Task{&t})
			if dup, ok := errors.AsType[*broker.DuplicateError](err); ok {
				out.holder, err = number[dup.Holder], nil
			}
		case 3, 4:
			p.take(func(*broker.Delivery, int64) {})
			continue
		case 5, 6:
			p.settle(func(d *broker.Delivery, call int64, unknown bool) {
				n := number[d.ID]
				c.note(client, call, keyInput{key(n), n, actSettle}, keyOutput{unknown: unknown, holder: -1}, unknown)
			})
			continue
		default:
			var verdicts []broker.CancelVerdict
			in.act = actCancel
			if verdicts, err = b.Cancel(ctx, []broker.ID{t.ID}); err == nil {
				out.verdict = verdicts[0]
			}
		}
		unknown, nothing := doubt(err)
		if nothing {
			continue
		}
		if err != nil && !unknown {
			c.r.Errorf("operation %v on task %s: %v", in.act, t.ID, err)
			return
		}
		out.unknown = unknown
		c.note(client, call, in, out, unknown)
	}
}
