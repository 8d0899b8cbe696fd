package redis

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// Minions look after the queues they serve with each heartbeat. Nobody does so for a
// queue without a minion: tenants go, queues are renamed, the last minion dies. So
// every broker that has a consumer or an inbox asks from time to time for a turn. The
// server gives one turn in each pause to the whole namespace. A turn is a page of the
// registry: who gets it visits these queues, and
//
//   - sweeps what is due,
//   - brings back what dead minions held,
//   - removes the messages of cancelled tasks, which a minion would find on its way,
//   - learns of deadlines, see expire.go,
//   - tells a minion of this process, or who waits here, about arrivals that no minion is
//     told of,
//   - lets a minion of this process end parked tasks whose time is over, see abandon.go,
//   - takes a queue out of the registry when it is empty and unused.
//
// A visit of a queue is one short script, so the cost is bounded by the size of a page:
// with more queues a round of all of them takes longer. All that a visit leads to may be
// done twice, or by several at once.
const (
	roundsEvery = 15 * time.Second
	roundQueues = 500 // in a page, about
	roundCalls  = 100 // visits in a round trip
)

// When a queue is forgotten. Who registers a queue notes so in each of its partitions,
// within registerFor, and for as long as registeredFor; without that note nothing can be
// stored there. So a queue that nobody has registered for unusedFor has no such note,
// and nothing can come to it: it can be taken out of the registry once it is empty. The
// difference is for servers of a cluster whose clocks are not alike.
const (
	registerFor   = 10 * time.Minute
	registeredFor = time.Hour
	unusedFor     = 2 * time.Hour
)

// keeper does what nobody else does for the queues of a namespace.
type keeper struct {
	start sync.Once

	mu        sync.Mutex
	listeners map[*consumer]struct{} // those that want to know of arrivals, or of abandoned tasks
}

// keep starts the goroutine that sweeps and takes turns.
func (b *Broker) keep() {
	if b.cfg.noKeeper {
		return
	}
	b.keeper.start.Do(func() {
		b.wg.Go(func() {
			turn := time.NewTimer(b.pause(b.cfg.rounds))
			defer turn.Stop()
			for {
				select {
				case <-turn.C:
					again, err := b.round(b.ctx)
					if err != nil {
						again = b.cfg.rounds
						b.log.Debug("redis: can't look after the namespace's queues; will try again", "error", err)
					}
					turn.Reset(b.pause(again))
				case <-b.forgotten.wake:
				case <-b.ctx.Done():
					return
				}
				// At full speed there is always something to sweep, and turns must be taken.
				b.sweep(b.ctx, time.Now().Add(sweepAtOnce))
			}
		})
	})
}

// pause adds to a pause, so that those who started together do not all ask at once.
func (b *Broker) pause(d time.Duration) time.Duration { return d + rand.N(b.cfg.rounds/4) }

// listen lets a consumer be told of arrivals in queues that no minion serves, and be asked
// about tasks that are abandoned there.
func (b *Broker) listen(c *consumer) {
	if c.cfg.OnArrivals == nil && c.cfg.OnAbandoned == nil {
		return
	}
	b.keeper.mu.Lock()
	defer b.keeper.mu.Unlock()
	if b.keeper.listeners == nil {
		b.keeper.listeners = make(map[*consumer]struct{})
	}
	b.keeper.listeners[c] = struct{}{}
}

func (b *Broker) unlisten(c *consumer) {
	b.keeper.mu.Lock()
	defer b.keeper.mu.Unlock()
	delete(b.keeper.listeners, c)
}

// tell tells a consumer of this process of arrivals in a queue, one that serves the
// queue if there is one. It reports whether there is a consumer.
func (b *Broker) tell(k *keys) bool {
	b.keeper.mu.Lock()
	var c *consumer
	for l := range b.keeper.listeners {
		if l.cfg.OnArrivals == nil {
			continue
		}
		c = l
		if c.queues[k.queue] != nil {
			break
		}
	}
	b.keeper.mu.Unlock()
	if c == nil {
		return false
	}
	c.arrived(k)
	return true
}

// visit is a look at one partition.
type visit struct {
	call
	queue *queue
	keys  *keys
}

// round asks for a turn, and looks after the queues that it gets. It returns when to
// ask again.
func (b *Broker) round(ctx context.Context) (again time.Duration, err error) {
	within, cancel := context.WithTimeout(ctx, 2*b.cfg.rounds)
	defer cancel()
	s := b.space
	reply, err := scriptTurn.run(within, b, []string{s.queues, s.since, s.turn}, b.cfg.rounds.Milliseconds(), roundQueues)
	if err != nil {
		return 0, err
	}
	list := toList(reply)
	again = time.Duration(toInt(item(list, 0))) * time.Millisecond
	if len(list) < 4 {
		return again, nil
	}
	// Minions that were the last of all have told the namespace about themselves.
	if _, _, err := b.announce(within, b.rdb, "", 0, nil, nil); err != nil {
		return again, err
	}
	for list = list[1:]; len(list) >= 3 && err == nil; {
		var visits []*visit
		unused := make(map[*queue]bool)
		for ; len(list) >= 3 && len(visits) < roundCalls; list = list[3:] {
			q, bad := b.queues.learn(toString(list[0]), toString(list[1]))
			if bad != nil { // which is logged
				continue
			}
			unused[q] = time.Duration(toInt(list[2]))*time.Millisecond >= b.cfg.unused
			for _, k := range q.parts {
				visits = append(visits, b.newVisit(q, k))
			}
		}
		err = b.visit(within, visits, unused)
	}
	if err == nil {
		err = b.queues.trim(within)
	}
	return again, err
}

func (b *Broker) newVisit(q *queue, k *keys) *visit {
	return &visit{queue: q, keys: k, call: call{
		script: scriptVisit,
		keys: []string{
			k.minions, k.keep, k.ready, k.held, k.gone, k.due, k.later, k.state, k.dead,
			k.odd, k.outbox, k.meta, k.unique, k.about, k.flows, k.stop, k.watch, k.parked, k.needs, k.deadlines, k.halt,
		},
		args: []any{b.cfg.registered.Milliseconds(), b.cfg.abandoned.Milliseconds()},
	}}
}

// visit visits partitions, and takes queues out of the registry that are unused and of
// which nothing is left.
func (b *Broker) visit(ctx context.Context, visits []*visit, unused map[*queue]bool) error {
	calls := make([]*call, len(visits))
	for i, v := range visits {
		calls[i] = &v.call
	}
	runAll(ctx, b, calls)
	for _, v := range visits {
		if v.err != nil { // in a cluster the others may be reached
			b.log.Debug("redis: can't look after a queue; will try again", "queue", v.keys.queue, "error", v.err)
		}
		if toInt(item(toList(v.reply), 5)) == 0 {
			unused[v.queue] = false
		}
		b.lookAfter(ctx, v.keys, toList(v.reply))
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	for q, is := range unused {
		if !is {
			continue
		}
		s := b.space
		struck, err := scriptStrike.run(ctx, b, []string{s.queues, s.since}, q.name, b.cfg.unused.Milliseconds())
		if err != nil {
			return err
		}
		if toInt(struck) == 1 {
			b.queues.drop(q)
		}
	}
	return nil
}

// lookAfter does what a visit has found.
func (b *Broker) lookAfter(ctx context.Context, k *keys, told []any) {
	now := toInt(item(told, 0))
	b.forgotten.due(k, toStrings(item(told, 1)))
	b.expiry.learn(k, item(told, 6), now)
	b.bury(ctx, k, toStrings(item(told, 2)), now, "")
	if toInt(item(told, 3)) == 1 {
		if err := b.purge(ctx, k); err != nil && ctx.Err() == nil {
			b.log.Warn("redis: can't remove the messages of cancelled tasks; will try again", "queue", k.queue, "error", err)
		}
	}
	if toInt(item(told, 4)) == 1 {
		b.expiry.tell(k)
	}
	if toInt(item(told, 7)) == 1 {
		if err := b.abandon(ctx, k); err != nil && ctx.Err() == nil {
			b.log.Warn("redis: can't end parked tasks whose time is over; will try again", "queue", k.queue, "error", err)
		}
	}
}

// purgeDepth is how many messages that wait are looked at in a queue without a minion.
// What is cancelled behind them stays until they are fewer, or a minion comes.
const purgeDepth = 100_000

// purge removes messages of cancelled tasks from a queue that no minion serves.
func (b *Broker) purge(ctx context.Context, k *keys) error {
	from := "0"
	for from != "" {
		began := time.Now()
		reply, err := scriptPurge.run(ctx, b, []string{k.minions, k.ready, k.held, k.gone, k.halt}, from, purgeDepth)
		if err != nil {
			return err
		}
		list := toList(reply)
		from = ""
		if n, more := item(list, 0).(int64); more {
			from = strconv.FormatInt(n, 10)
		}
		if len(list) > 1 {
			b.unlock(ctx, k, texts(list[1:]))
		}
		select {
		case <-time.After(time.Since(began)): // others want the server, too
		case <-ctx.Done():
		}
	}
	return nil
}

// bury brings back what dead minions held in a queue. Except is who asks.
func (b *Broker) bury(ctx context.Context, k *keys, dead []string, now int64, except string) {
	if len(dead) == deadAtOnce { // a whole host is gone: there may be more
		dead = b.dead(ctx, k, dead, now)
	}
	for _, minion := range dead {
		if minion == except {
			continue
		}
		n, _, err := b.leave(ctx, k, minion, "died", fenceFor)
		if ctx.Err() != nil {
			return
		}
		id := toID(minion)
		if isSpoiled(err) { // so it will be for the others, until somebody mends the queue
			if b.told.due(k) {
				b.log.Error("redis: can't bring back a dead minion's tasks: a key of the queue is of another type; delete or rename the key",
					"queue", k.queue, "minion", id, "keys", b.wrongKeys(ctx, k, minion), "error", err)
			}
			return
		}
		if err != nil {
			b.log.Warn("redis: can't bring back a dead minion's tasks; will try again", "queue", k.queue, "minion", id, "error", err)
			continue
		}
		if n > 0 {
			b.log.Warn("redis: a minion died; its tasks are back", "queue", k.queue, "minion", id, "tasks", n)
		}
		// What it said of itself goes too; if that fails, it ends with its lease.
		_, _, _ = b.announce(ctx, b.rdb, minion, 0, nil, nil)
	}
}
