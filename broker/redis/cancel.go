package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// This file ends tasks that wait: because somebody cancels them, or because their deadline has
// passed.
//
// A task id says in which partition the task may be, and the script cancel does the work
// there. A task that waits is made final at once. A task that runs is only marked, and its
// minion is told by the minion's channel and with its next heartbeat. To know whether a task
// runs the script has to look into the hash and the list of every minion of the queue. A
// script can't compute key names from data in a cluster, so the caller passes the minions
// that it knows. If there are others the script does nothing but return them, and the caller
// tries again (ending.all). With many minions or tasks the work is divided among several
// scripts, to keep each of them short.

// Cancel implements [broker.Broker]. The outcome of a task that is cancelled while it
// waits is kept for broker.DefaultRetention, whatever its own retention is, since the
// script does not parse the message.
func (b *Broker) Cancel(ctx context.Context, ids []broker.ID) ([]broker.CancelVerdict, error) {
	ids = slices.Clone(ids)
	return ask(ctx, func() ([]broker.CancelVerdict, error) { return b.cancelNow(ctx, ids) })
}

func (b *Broker) cancelNow(ctx context.Context, ids []broker.ID) ([]broker.CancelVerdict, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	out := make([]broker.CancelVerdict, len(ids))
	err := b.queues.each(ctx, ids, func(k *keys, positions []int) ([]bool, error) {
		chosen := make([]any, len(positions))
		for i, p := range positions {
			chosen[i] = ids[p][:]
		}
		verdicts, arrived, err := b.cancelIn(ctx, k, chosen)
		if arrived {
			b.arrived.add(k)
		}
		if err != nil {
			return nil, err
		}
		found := make([]bool, len(positions))
		for i, p := range positions {
			if known, is := item(verdicts, i).(string); is {
				// The task is logged and not returned as an error, which would keep the rest of the
				// batch from being cancelled.
				b.log.Error("redis: can't cancel a task, because its state can't be read", "task.id", ids[p], "queue", k.queue, "error", unreadableState(known))
				continue
			}
			v := broker.CancelVerdict(toInt(item(verdicts, i)))
			if v != broker.CancelUnknown {
				found[i], out[p] = true, v
			}
		}
		return found, nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ownerFields bounds how many fields one script reads to find the minions that hold tasks,
// which is the number of tasks times the number of minions.
const ownerFields = 20_000

// endedAtOnce is how many tasks one script ends at most. Each takes up to 80 µs if it has a lane with many limits,
// and other clients wait meanwhile.
const endedAtOnce = 150

// ownedAtOnce returns for how many tasks one script may search the owners among so many
// minions. It returns at most most.
func ownedAtOnce(minions, most int) int {
	return min(max(ownerFields/max(minions, 1), 10), most)
}

// cancelIn cancels tasks of one partition. If several scripts are needed, it works in two
// passes: the first cancels the tasks that wait, the second tells the minions of those
// that run. In one pass a minion that is told early could free its slot and start a
// task that is to be cancelled, too.
//
// It returns a verdict for each task, and whether arrivals were made. If a reply was lost that
// is true, since a repetition finds the tasks final and would report no arrivals.
func (b *Broker) cancelIn(ctx context.Context, k *keys, ids []any) ([]any, bool, error) {
	c := ending{b: b, k: k, as: broker.StateCanceled}
	verdicts, whole, err := c.all(ctx, ids, false)
	if err != nil || whole {
		return verdicts, c.arrived, err
	}
	var running []any
	var positions []int
	for i, v := range verdicts {
		if _, is := v.(int64); is && broker.CancelVerdict(toInt(v)) == broker.CancelRequested {
			running, positions = append(running, ids[i]), append(positions, i)
		}
	}
	again, _, err := c.all(ctx, running, true)
	if err != nil {
		return nil, c.arrived, err
	}
	for i, position := range positions {
		verdicts[position] = again[i]
	}
	return verdicts, c.arrived, nil
}

// expireIn ends those of the given tasks of one partition that wait and whose deadlines have
// passed. Its results are like those of cancelIn.
func (b *Broker) expireIn(ctx context.Context, k *keys, ids []any) ([]any, bool, error) {
	c := ending{b: b, k: k, as: broker.StateExpired}
	verdicts, _, err := c.all(ctx, ids, false)
	return verdicts, c.arrived, err
}

// ending ends waiting tasks of one partition, with as many runs of the script as that takes.
type ending struct {
	b       *Broker
	k       *keys
	as      broker.State // StateCanceled; or StateExpired, which ends only tasks whose deadlines have passed
	minions []string     // the minions of the queue that the last script returned
	arrived bool         // whether arrivals were made, or may have been
}

// all ends tasks and returns their verdicts. With tell, the minions of tasks that run are
// told. They are told in any case if one script is enough for all tasks; whole reports
// that.
func (c *ending) all(ctx context.Context, ids []any, tell bool) (verdicts []any, whole bool, err error) {
	for tries := 0; len(verdicts) < len(ids); {
		rest := ids[len(verdicts):]
		n := ownedAtOnce(len(c.minions), min(len(rest), endedAtOnce))
		whole = n == len(ids)
		some, err := c.run(ctx, rest[:n], tell || whole)
		if err != nil {
			return nil, false, err
		}
		if some != nil {
			verdicts = append(verdicts, some...)
		} else if tries++; tries == minionRetries {
			return nil, false, fmt.Errorf("redis: end tasks: %w: the minions of queue %s have changed with every try, %d times", broker.ErrUnavailable, c.k.queue, minionRetries)
		}
	}
	return verdicts, whole, nil
}

// run runs the script once. If the queue has minions that c.minions lacks, the script does
// nothing; run then takes them over and returns no verdicts.
func (c *ending) run(ctx context.Context, ids []any, tell bool) ([]any, error) {
	b, k, minions := c.b, c.k, c.minions
	class, read, sweep := retention(b.cfg.atLeast, broker.DefaultRetention, 0, false)
	outcome := appendFrame(nil, &broker.Outcome{State: c.as, Finished: time.Now()})
	names := []string{
		k.state, k.due, k.scheduled, k.canceled, k.stop, k.ready, k.checked, k.minions,
		k.retention, k.ended(class), k.watch, k.flows, k.outbox, k.about, k.parked, k.needs, k.deadlines, k.unique, k.holders,
	}
	names = append(append(names, k.lanes...), k.aside, k.back)
	args := []any{len(minions)}
	for _, m := range minions {
		names = append(names, k.flight(m), k.claim(m))
		args = append(args, m)
	}
	for _, id := range ids {
		names = append(names, k.record(broker.ID(id.([]byte))))
	}
	told, expiring := 0, 0
	if c.as == broker.StateExpired {
		expiring = 1
	} else if tell {
		told = 1
	}
	args = append(args, class, read.Milliseconds(), sweep.Milliseconds(), k.wake, b.space.inboxes, b.space.channels, outcome, told, int(c.as), expiring)
	reply, err := scriptCancel.run(ctx, b, names, append(args, ids...)...)
	if err != nil {
		if errors.Is(err, broker.ErrIndeterminate) {
			c.arrived = true // possibly
		}
		return nil, err
	}
	list := toList(reply)
	if item(list, 0) == nil { // there are minions that the script was not told
		c.minions = toStrings(item(list, 1))
		return nil, nil
	}
	if toInt(item(list, 1)) > 0 {
		c.arrived = true
	}
	verdicts := toList(item(list, 0))
	if len(verdicts) != len(ids) {
		return nil, fmt.Errorf("redis: end tasks: %w: %d verdicts for %d tasks", broker.ErrMalformed, len(verdicts), len(ids))
	}
	return verdicts, nil
}

// minionRetries is how often a script is tried that must be told all minions of a queue. Each
// try fails only if a minion has registered since the last one.
const minionRetries = 20
