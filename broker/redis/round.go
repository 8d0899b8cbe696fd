package redis

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// Heartbeats of minions do the housekeeping of the queues that they serve. A queue can be
// without a minion: a tenant has left, a queue was renamed, the last minion has died. Rounds
// do the housekeeping there. Every broker that has a consumer or an inbox asks the server
// for a turn from time to time. The server gives one turn per interval to the whole
// namespace, so the work is shared, and done by somebody as long as any process lives. A
// turn is a page of the registry of queues. The broker that gets it visits these queues and
//
//   - sweeps ended tasks whose retention is over,
//   - gives back the tasks of dead minions,
//   - removes the messages of cancelled tasks, which a minion would drop in passing,
//   - learns of deadlines, see expire.go,
//   - tells a consumer or the inboxes of this process about arrivals, if no minion is told,
//   - has a minion of this process end parked tasks whose time is over, see abandon.go,
//   - takes a queue out of the registry when it is empty and unused.
//
// A visit is one short script, and the cost of a turn is bounded by the size of a page. A
// round of more queues takes more turns. All of this may be done twice, or by several
// processes at once.

const (
	roundsEvery = 15 * time.Second // between two turns in a namespace
	roundQueues = 500              // about how many queues a page has
	roundCalls  = 100              // visits that share a round trip
)

// These times decide when a queue is forgotten. A process that registers a queue notes it
// in the registry, and then, within registerFor, in each of the partitions, where the note
// lasts for registeredFor. Nothing can be stored in a partition that has no note. So if a
// queue was not registered for unusedFor its partitions have no note, nothing can come into
// it, and it can be taken out of the registry once it is empty. unusedFor is longer than the
// other two together, since the clocks of a cluster's servers may differ.
const (
	registerFor   = 10 * time.Minute
	registeredFor = time.Hour
	unusedFor     = 2 * time.Hour
)

// housekeeping is the work of a broker on all queues of its namespace.
type housekeeping struct {
	start sync.Once // starts the goroutine

	mu        sync.Mutex
	listeners map[*consumer]struct{} // those with OnArrivals or OnAbandoned
}

// startHousekeeping starts the goroutine that sweeps and takes turns, unless it runs already.
func (b *Broker) startHousekeeping() {
	if b.cfg.noHousekeeping {
		return
	}
	b.housekeeping.start.Do(func() {
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
				case <-b.sweeper.wake:
				case <-b.ctx.Done():
					return
				}
				// Sweeping is bounded in time: at full speed there is always something to sweep,
				// and the next turn must not wait for it.
				b.sweep(b.ctx, time.Now().Add(sweepAtOnce))
			}
		})
	})
}

// pause adds a random part to a pause, so that processes that started together do not ask
// at the same moment.
func (b *Broker) pause(d time.Duration) time.Duration { return d + rand.N(b.cfg.rounds/4) }

// listen adds a consumer to those that are told of arrivals in queues without a minion, and
// asked how abandoned tasks end there, if its config has the callbacks.
func (b *Broker) listen(c *consumer) {
	if c.cfg.Flows.OnArrivals == nil && c.cfg.OnAbandoned == nil {
		return
	}
	b.housekeeping.mu.Lock()
	defer b.housekeeping.mu.Unlock()
	if b.housekeeping.listeners == nil {
		b.housekeeping.listeners = make(map[*consumer]struct{})
	}
	b.housekeeping.listeners[c] = struct{}{}
}

// unlisten removes a consumer that listen has added.
func (b *Broker) unlisten(c *consumer) {
	b.housekeeping.mu.Lock()
	defer b.housekeeping.mu.Unlock()
	delete(b.housekeeping.listeners, c)
}

// tell tells one consumer of this process about arrivals in a queue. It prefers one that
// serves the queue. It reports false if no consumer wants to be told.
func (b *Broker) tell(k *keys) bool {
	b.housekeeping.mu.Lock()
	var c *consumer
	for l := range b.housekeeping.listeners {
		if l.cfg.Flows.OnArrivals == nil {
			continue
		}
		c = l
		if c.queues[k.queue] != nil {
			break
		}
	}
	b.housekeeping.mu.Unlock()
	if c == nil {
		return false
	}
	c.arrived(k)
	return true
}

// visit is a run of visit.lua for one partition.
type visit struct {
	call
	queue *queue
	keys  *keys
}

// round asks for a turn, and visits the queues of the page if it gets one. It returns
// the time after which to ask again.
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
	// An announcement of no minion removes the descriptions of minions whose leases have
	// ended. If these were the last ones, no other announcement does.
	if _, _, err := b.announce(within, b.rdb, "", 0, nil, nil); err != nil {
		return again, err
	}
	for list = list[1:]; len(list) >= 3 && err == nil; {
		var visits []*visit
		unused := make(map[*queue]bool)
		for ; len(list) >= 3 && len(visits) < roundCalls; list = list[3:] {
			q, bad := b.queues.learn(toString(list[0]), toString(list[1]))
			if bad != nil { // learn has logged it
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

// newVisit returns a visit of a partition that has not been made yet.
func (b *Broker) newVisit(q *queue, k *keys) *visit {
	return &visit{queue: q, keys: k, call: call{
		script: scriptVisit,
		keys: []string{
			k.minions, k.retention, k.ready, k.checked, k.canceled, k.due, k.scheduled, k.state, k.dead,
			k.unreadable, k.outbox, k.meta, k.unique, k.about, k.flows, k.stop, k.watch, k.parked, k.needs, k.deadlines, k.halt,
			k.lanes[0], k.lanes[1], k.lanes[2], k.lanes[3], k.lanes[4], k.lanes[5], k.lanes[6], k.lanes[7], k.lanes[8], k.holders,
			k.paused, k.aside, k.back, k.bound, k.steps,
		},
		args: []any{b.cfg.registered.Milliseconds(), b.cfg.abandoned.Milliseconds()},
	}}
}

// visit makes visits, and then takes those queues out of the registry that are unused and
// have nothing left in any partition.
func (b *Broker) visit(ctx context.Context, visits []*visit, unused map[*queue]bool) error {
	calls := make([]*call, len(visits))
	for i, v := range visits {
		calls[i] = &v.call
	}
	runAll(ctx, b, calls)
	for _, v := range visits {
		if v.err != nil { // another server of a cluster may still answer for other queues
			b.log.Debug("redis: can't look after a queue; will try again", "queue", v.keys.queue, "error", v.err)
		}
		if toInt(item(toList(v.reply), 5)) == 0 {
			unused[v.queue] = false
		}
		b.doHousekeeping(ctx, v.keys, toList(v.reply))
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	for q, is := range unused {
		if !is {
			continue
		}
		s := b.space
		removed, err := scriptUnregister.run(ctx, b, []string{s.queues, s.since}, q.name, b.cfg.unused.Milliseconds())
		if err != nil {
			return err
		}
		if toInt(removed) == 1 {
			b.queues.drop(q)
		}
	}
	return nil
}

// doHousekeeping does the work that a visit has found; told is the reply of visit.lua.
func (b *Broker) doHousekeeping(ctx context.Context, k *keys, told []any) {
	now := toInt(item(told, 0))
	b.sweeper.due(k, toStrings(item(told, 1)))
	b.expiry.learn(k, item(told, 6), now)
	b.recoverDead(ctx, k, toStrings(item(told, 2)), now, "")
	if toInt(item(told, 3)) == 1 {
		if err := b.purge(ctx, k); err != nil && ctx.Err() == nil {
			b.logFailed(ctx, k, "remove the messages of cancelled tasks", err)
		}
	}
	if toInt(item(told, 4)) == 1 {
		b.expiry.tell(k)
	}
	if toInt(item(told, 8)) == 1 {
		if err := b.unstrand(ctx, k); err != nil && ctx.Err() == nil {
			b.log.Warn("redis: can't look for parked tasks whose time is over among the pending ones; will try again", "queue", k.queue, "error", err)
		}
	}
	if toInt(item(told, 7)) == 1 {
		if err := b.abandon(ctx, k); err != nil && ctx.Err() == nil {
			b.logFailed(ctx, k, "end parked tasks whose time is over", err)
		}
	}
}

// purgeDepth is how many waiting messages purge looks at. Cancelled messages behind them
// stay until the queue is shorter, or until a minion serves it.
const purgeDepth = 100_000

// purge removes messages of cancelled tasks from a queue that no minion serves.
func (b *Broker) purge(ctx context.Context, k *keys) error {
	from := "0"
	for from != "" {
		began := time.Now()
		reply, err := scriptPurge.run(ctx, b, []string{k.minions, k.ready, k.checked, k.canceled, k.halt, k.lanes[lanesLined], k.paused, k.back}, from, purgeDepth)
		if err != nil {
			return err
		}
		from = ""
		if n, more := reply.(int64); more {
			from = strconv.FormatInt(n, 10)
		}
		select {
		case <-time.After(time.Since(began)): // leave half of the server's time to others
		case <-ctx.Done():
		}
	}
	return nil
}

// recoverDead gives back the tasks of minions whose leases have ended. Except is the minion that
// sends the heartbeat, or "": its own lease may have ended a moment before.
func (b *Broker) recoverDead(ctx context.Context, k *keys, dead []string, now int64, except string) {
	if len(dead) == deadAtOnce { // the script returns no more than these, and there may be more
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
		if isWrongType(err) { // the other minions would fail, too, until somebody repairs the queue
			if b.wrongTypes.due(k) {
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
		// Remove its description, too. If that fails, the next announcement removes it.
		_, _, _ = b.announce(ctx, b.rdb, minion, 0, nil, nil)
	}
}
