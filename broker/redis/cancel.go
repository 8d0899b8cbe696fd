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
		verdicts, err := b.cancelIn(ctx, k, chosen)
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

func (b *Broker) cancelIn(ctx context.Context, k *keys, ids []any) ([]any, error) {
	class, read, sweep := retention(b.cfg.atLeast, broker.DefaultRetention, 0, false)
	outcome := appendFrame(nil, &broker.Outcome{State: broker.StateCanceled, Finished: time.Now()})
	var minions []string
	for range minionRetries {
		names := []string{
			k.state, k.due, k.later, k.gone, k.stop, k.ready, k.held, k.minions,
			k.keep, k.forget(class), k.watch, k.flows, k.outbox, k.about, k.parked, k.needs,
		}
		args := []any{len(minions)}
		for _, m := range minions {
			names = append(names, k.flight(m), k.claim(m))
			args = append(args, m)
		}
		for _, id := range ids {
			names = append(names, k.record(broker.ID(id.([]byte))))
		}
		args = append(args, class, read.Milliseconds(), sweep.Milliseconds(), k.wake, b.space.inboxes, b.space.channels, outcome)
		reply, err := scriptCancel.run(ctx, b, names, append(args, ids...)...)
		if err != nil {
			if errors.Is(err, broker.ErrIndeterminate) {
				b.arrived.add(k) // perhaps; a repetition would not be told
			}
			return nil, err
		}
		list := toList(reply)
		if item(list, 0) == nil { // minions have come meanwhile
			minions = toStrings(item(list, 1))
			continue
		}
		b.unlock(ctx, k, toStrings(item(list, 1)))
		if toInt(item(list, 2)) > 0 {
			b.arrived.add(k)
		}
		return toList(item(list, 0)), nil
	}
	return nil, fmt.Errorf("redis cancel: %w: minions of queue %s come and go", broker.ErrUnavailable, k.queue)
}

// minionRetries is how often a script is tried that must know all minions of a
// queue.
const minionRetries = 20
