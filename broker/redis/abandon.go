package redis

import (
	"context"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// This file ends parked tasks in queues that no minion serves.
//
// A task is parked when the minion that got it can't run it. Once its parking time is
// over, the task is handed to any minion of its queue, and that minion ends it if no live
// minion can run it. A queue without any minion needs another way. The periodic round
// (round.go) visits such a queue, reads its overdue parked tasks with the script abandoned,
// and asks a minion of another queue, in this process, for the outcome of each. Then the
// script abandon ends them.
//
// Some overdue tasks are among the pending ones: a minion of the queue has moved them there when
// their time was over, and then the last minion has left or died. The script stranded moves these
// back to the parked tasks. Their wait of broker.AbandonedAfter begins then.
//
// The asked minion does not own the tasks. So the script ends a task only if its message is
// unchanged and the queue still has no minion. Hence several processes may do this at
// once, and each may die at any line.

const (
	abandonPage  = 100    // due tasks that one script looks at
	abandonDepth = 10_000 // due tasks that one visit skips at most because they are not parked
)

// abandonedTask holds the final outcome of one task that no minion took.
type abandonedTask struct {
	id      broker.ID
	attempt uint32 // number of the attempt that would have been next; the message must still have it
	outcome []byte // the record of the outcome, behind its length (4 bytes)
}

// keptFor is how long the outcome and the dead letter of a task are kept. Tasks that have
// it in common are ended by one script.
type keptFor struct {
	class       string        // class of retention
	read, sweep time.Duration // how long the outcome can be read, and when it is swept
}

// abandon ends the parked tasks of a partition without a minion that no minion has taken in
// time. It returns early if no consumer of this process can be asked for their outcomes.
func (b *Broker) abandon(ctx context.Context, k *keys) error {
	// passed counts the due tasks that stay, so that the next script begins behind them. Tasks that
	// were ended are no longer there to be passed over.
	for passed := 0; passed < abandonDepth; {
		ask := b.abandonedCallback()
		if ask == nil {
			return nil // a process that has such a consumer gets a turn later
		}
		reply, err := scriptAbandoned.run(ctx, b, []string{k.minions, k.due, k.scheduled, k.parked},
			b.cfg.abandoned.Milliseconds(), passed, abandonPage, readBytes)
		if err != nil {
			return err
		}
		list := toList(reply)
		looked := int(toInt(item(list, 1)))
		if looked == 0 { // nothing is due, or the queue has a minion
			return nil
		}
		ends, err := b.askOutcomes(ctx, k, texts(list[2:]), toInt(list[0]), ask)
		if err != nil {
			return err
		}
		done := 0
		for of, group := range ends {
			n, err := b.endAbandoned(ctx, k, of, group)
			if err != nil {
				return err
			}
			done += n
		}
		if done > 0 {
			b.log.Warn("redis: parked tasks were ended: no minion served their queue in time", "queue", k.queue, "tasks", done)
		}
		passed += looked - done
	}
	return nil
}

// unstrand moves the overdue parked tasks among the pending ones of a partition without a minion
// back to the parked ones. Those behind many other tasks of the list stay, until there are fewer or a
// minion comes.
func (b *Broker) unstrand(ctx context.Context, k *keys) error {
	for from, mark := "0", ""; from != ""; {
		began := time.Now()
		keys := append([]string{k.minions, k.ready, k.checked, k.canceled, k.due, k.scheduled, k.parked, k.needs}, k.lanes...)
		reply, err := scriptStranded.run(ctx, b, keys, from, mark)
		if err != nil {
			return err
		}
		list := toList(reply)
		from, mark = toString(item(list, 0)), toString(item(list, 1))
		if n, err := strconv.Atoi(from); err == nil && n >= purgeDepth {
			from, mark = "l", "in part" // the tasks in line are next
		}
		select {
		case <-time.After(time.Since(began)): // leave half of the server's time to others
		case <-ctx.Done():
		}
	}
	return nil
}

// abandonedCallback returns the OnAbandoned callback of a consumer of this process; nil if no consumer
// has one.
func (b *Broker) abandonedCallback() func(*broker.Delivery) broker.Outcome {
	b.housekeeping.mu.Lock()
	defer b.housekeeping.mu.Unlock()
	for c := range b.housekeeping.listeners {
		if c.cfg.OnAbandoned != nil {
			return c.cfg.OnAbandoned
		}
	}
	return nil
}

// askOutcomes calls ask for the outcome of each task of msgs. It returns the outcomes by how long
// they are kept. It leaves out tasks whose deadline has passed, since these expire instead,
// and those for which ask returned anything but a valid failure. now is the server's time
// in ms.
func (b *Broker) askOutcomes(ctx context.Context, k *keys, msgs []string, now int64, ask func(*broker.Delivery) broker.Outcome) (map[keptFor][]abandonedTask, error) {
	records, err := b.largeRecords(ctx, k, msgs)
	if err != nil {
		return nil, err
	}
	ends := make(map[keptFor][]abandonedTask)
	for i, msg := range msgs {
		d := &broker.Delivery{Task: broker.Task{Queue: k.queue}}
		if err := b.parse(d, msg, recordAt(records, i), now); err != nil {
			if d.ID.IsZero() {
				continue
			}
			d.Err = err // the minion decides, as for any task that it can't read
		}
		d.Queue, d.Overdue = k.queue, true
		if d.Left <= 0 { // its deadline has passed: it expires instead
			continue
		}
		s := broker.Settlement{Delivery: d, Verb: broker.VerbFinish, Unstarted: true, Outcome: ask(d)}
		if s.Outcome.State != broker.StateFailed || s.Check(b.cfg.limits) != nil {
			continue
		}
		class, read, sweep := retention(b.cfg.atLeast, d.Retention, d.DeadFor, d.DeadFor > 0)
		of := keptFor{class, read, sweep}
		ends[of] = append(ends[of], abandonedTask{id: d.ID, attempt: d.Attempt, outcome: appendFrame(nil, &s.Outcome)})
	}
	return ends, nil
}

// endAbandoned runs the script abandon for tasks that are kept equally long. It returns how
// many of them the script has ended.
func (b *Broker) endAbandoned(ctx context.Context, k *keys, of keptFor, tasks []abandonedTask) (int, error) {
	names := []string{
		k.minions, k.due, k.scheduled, k.parked, k.needs, k.state, k.dead, k.unique, k.retention, k.ended(of.class),
		k.about, k.deadlines, k.flows, k.outbox, k.holders, k.ready, k.checked, k.watch,
	}
	names = append(names, k.lanes...)
	args := []any{b.cfg.abandoned.Milliseconds(), of.class, of.read.Milliseconds(), of.sweep.Milliseconds(), b.space.inboxes, k.wake}
	for i := range tasks {
		t := &tasks[i]
		names = append(names, k.record(t.id))
		args = append(args, t.id[:], binary.BigEndian.AppendUint32(nil, t.attempt), t.outcome)
	}
	reply, err := scriptAbandon.run(ctx, b, names, args...)
	if err != nil {
		return 0, err
	}
	list := toList(reply)
	if toInt(item(list, 1)) > 0 { // if the process dies here, the next visit tells of the arrivals
		b.expiry.tell(k)
	}
	return int(toInt(item(list, 0))), nil
}
