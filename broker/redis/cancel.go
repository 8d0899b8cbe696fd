package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Cancel implements [broker.Broker]. What is kept of a task that was cancelled
// while it waited is kept for broker.DefaultRetention: the script does not open
// its message.
func (b *Broker) Cancel(ctx context.Context, ids []broker.ID) ([]broker.CancelVerdict, error) {
	ids = slices.Clone(ids)
	return ask(ctx, func() ([]broker.CancelVerdict, error) { return b.cancelNow(ctx, ids) })
}

func (b *Broker) cancelNow(ctx context.Context, ids []broker.ID) ([]broker.CancelVerdict, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	out := make([]broker.CancelVerdict, len(ids))
	err := b.queues.each(ctx, ids, func(k *keys, places []int) ([]bool, error) {
		chosen := make([]any, len(places))
		for i, p := range places {
			chosen[i] = ids[p][:]
		}
		verdicts, arrived, err := b.cancelIn(ctx, k, chosen)
		if arrived {
			b.arrived.add(k)
		}
		if err != nil {
			return nil, err
		}
		found := make([]bool, len(places))
		for i, p := range places {
			if known, is := item(verdicts, i).(string); is {
				// An error would keep the others of the batch from being canceled.
				b.log.Error("redis: what is known of a task can't be read, so it can't be canceled", "task.id", ids[p], "queue", k.queue, "error", unreadableState(known))
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

// ownerFields is about how many fields a script reads in search of the minions that hold
// tasks: tasks times minions.
const ownerFields = 20_000

// endedAtOnce is how many tasks a script ends at most. It takes about 40 µs for each on a
// slow machine, and the server does nothing else meanwhile.
const endedAtOnce = 250

// ownedAtOnce is of how many tasks a script may ask who holds them, and at most most.
func ownedAtOnce(minions, most int) int {
	return min(max(ownerFields/max(minions, 1), 10), most)
}

// cancelIn cancels tasks of one partition. It takes several scripts where they are many, or
// there are many minions to be asked. Then those that wait are all cancelled before the minions of the
// others are told: a slot that becomes free by that is not for one of them. It returns
// the verdicts, and whether some have arrived in their flows, or may have: a repetition
// would not be told.
func (b *Broker) cancelIn(ctx context.Context, k *keys, ids []any) ([]any, bool, error) {
	c := ending{b: b, k: k, as: broker.StateCanceled}
	verdicts, whole, err := c.all(ctx, ids, false)
	if err != nil || whole {
		return verdicts, c.arrived, err
	}
	var running []any
	var places []int
	for i, v := range verdicts {
		if _, is := v.(int64); is && broker.CancelVerdict(toInt(v)) == broker.CancelRequested {
			running, places = append(running, ids[i]), append(places, i)
		}
	}
	again, _, err := c.all(ctx, running, true)
	if err != nil {
		return nil, c.arrived, err
	}
	for i, place := range places {
		verdicts[place] = again[i]
	}
	return verdicts, c.arrived, nil
}

// expireIn ends those tasks of one partition whose deadlines have passed while they
// waited. It returns what cancelIn returns.
func (b *Broker) expireIn(ctx context.Context, k *keys, ids []any) ([]any, bool, error) {
	c := ending{b: b, k: k, as: broker.StateExpired}
	verdicts, _, err := c.all(ctx, ids, false)
	return verdicts, c.arrived, err
}

// ending ends tasks of one partition that wait.
type ending struct {
	b       *Broker
	k       *keys
	as      broker.State // canceled; or expired, and then it ends only those whose deadlines have passed
	minions []string     // those of the queue, as far as they are known
	arrived bool         // tasks have arrived in their flows, or may have
}

// all ends tasks and returns their verdicts. It tells the minions of those that run if
// tell says so, or if one script does for all tasks; whole reports that.
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
			return nil, false, fmt.Errorf("redis: end tasks: %w: minions of queue %s come and go", broker.ErrUnavailable, c.k.queue)
		}
	}
	return verdicts, whole, nil
}

// run runs the script. It returns nothing if there are minions that were not known: then
// nothing was done.
func (c *ending) run(ctx context.Context, ids []any, tell bool) ([]any, error) {
	b, k, minions := c.b, c.k, c.minions
	class, read, sweep := retention(b.cfg.atLeast, broker.DefaultRetention, 0, false)
	outcome := appendFrame(nil, &broker.Outcome{State: c.as, Finished: time.Now()})
	names := []string{
		k.state, k.due, k.later, k.gone, k.stop, k.ready, k.held, k.minions,
		k.keep, k.forget(class), k.watch, k.flows, k.outbox, k.about, k.parked, k.needs, k.deadlines,
	}
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
			c.arrived = true // perhaps
		}
		return nil, err
	}
	list := toList(reply)
	if item(list, 0) == nil { // minions have come meanwhile
		c.minions = toStrings(item(list, 1))
		return nil, nil
	}
	b.unlock(ctx, k, toStrings(item(list, 1)))
	if toInt(item(list, 2)) > 0 {
		c.arrived = true
	}
	verdicts := toList(item(list, 0))
	if len(verdicts) != len(ids) {
		return nil, fmt.Errorf("redis: end tasks: %w: %d verdicts for %d tasks", broker.ErrMalformed, len(verdicts), len(ids))
	}
	return verdicts, nil
}

// minionRetries is how often a script is tried that must know all minions of a
// queue.
const minionRetries = 20
