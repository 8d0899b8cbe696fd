package redis

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-arbiter/arbiter/broker"
)

// This file renews the lease of a minion, and does the work that a heartbeat finds.
//
// A heartbeat has three steps. First the script beat extends the lease in every partition and
// reports what there is to do there; the heartbeat has succeeded when all have answered.
// Then announce writes the minion's description to the keys of the namespace. Last come the
// chores: take over tasks of dead minions, pass on cancels, sweep outcomes, tell of arrivals.
// Chores take round trips of their own and must not delay the next heartbeat, so they run in a
// goroutine (follow).
//
// Heartbeats have a small connection pool of their own (heartbeatClient), so that they never wait
// behind other requests. Without it a busy process could lose its lease.

// heartbeatQueues is how many partitions one run of the beat script serves. In a cluster it is
// one, since each partition has its own hash slot.
const heartbeatQueues = 500

// Heartbeat implements [broker.Consumer].
func (c *consumer) Heartbeat(ctx context.Context, load broker.Load) error {
	return do(ctx, func() error { return c.heartbeatNow(ctx, load) })
}

func (c *consumer) heartbeatNow(ctx context.Context, load broker.Load) error {
	asked := time.Now()
	info, chores, err := c.renewLeases(ctx, load)
	c.heard(err)
	if err != nil {
		return err
	}
	c.follow(ctx, asked, info, chores)
	return nil
}

// follow announces the minion to the namespace and does the chores, once a lease has been
// renewed. It returns when that is done, or when the next heartbeat is due; then the rest
// goes on in the background, so that a distant server does not delay heartbeats. While it
// goes on, later heartbeats skip this step. A heartbeat after that finds the same
// chores again. asked is when the heartbeat was sent.
func (c *consumer) follow(ctx context.Context, asked time.Time, info []byte, chores func(context.Context)) {
	select {
	case c.following <- struct{}{}:
	default:
		return
	}
	done := make(chan struct{})
	go func() {
		defer func() {
			<-c.following
			close(done)
		}()
		within, cancel := context.WithTimeout(c.ctx, c.b.cfg.lease/2)
		defer cancel()
		searches, err := c.announce(within, info)
		if err != nil && c.ctx.Err() == nil {
			c.announceFailed(err)
		}
		chores(within)
		if searches {
			c.search(within)
		}
	}()
	_, every := c.Lease()
	timer := time.NewTimer(every - time.Since(asked))
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// announceFailed logs that announce failed. The heartbeat does not fail for it, since the lease
// has been extended. A key of the wrong type stays wrong until an operator repairs it, so
// that is logged once a minute only.
func (c *consumer) announceFailed(err error) {
	if isWrongType(err) && !c.b.wrongTypes.due(nil) {
		return
	}
	c.b.log.Warn("redis: can't store the description of the minion; will try again", "minion", c.id, "error", err)
}

// renewLeases renews the lease in all partitions and calls OnRenewed. It returns the description of
// the minion and a function that does the chores. The caller announces the description
// afterwards and not before, since a minion that has lost its lease must not be listed as
// live.
func (c *consumer) renewLeases(ctx context.Context, load broker.Load) (info []byte, chores func(context.Context), err error) {
	if err := c.usable(ctx); err != nil {
		return nil, nil, err
	}
	asked := time.Now() // the lease in each queue begins later than this
	var calls []*call
	var parts [][]*keys
	listens := 0
	if !c.single {
		listens = 1
	}
	_, cluster := c.b.rdb.(*redis.ClusterClient)
	for i := 0; i < len(c.order); {
		n := min(heartbeatQueues, len(c.order)-i)
		if cluster { // each partition has its own hash slot
			n = 1
		}
		part := c.order[i : i+n]
		i += n
		var names []string
		for _, k := range part {
			names = append(names, k.minions, k.watch, k.ready, k.checked, k.due, k.stop, k.retention, k.flight(c.minion), k.claim(c.minion), k.outbox, k.parked, k.deadlines, k.lanes[lanesOpening])
		}
		parts = append(parts, part)
		calls = append(calls, &call{script: scriptHeartbeat, keys: names, args: []any{c.minion, c.leaseMillis(), listens}})
	}
	if info, err = c.describe(load); err != nil {
		return nil, nil, err
	}
	c.runRenewals(ctx, calls)
	// Every partition must have been renewed, except those that are unreachable and in which the
	// consumer holds nothing.
	var news []heartbeatReply
	for i, part := range parts {
		if err := calls[i].err; err != nil {
			if errors.Is(err, broker.ErrClosed) { // the consumer, or the whole broker
				return nil, nil, cmp.Or(c.usable(ctx), err)
			}
			for _, k := range part {
				if err := c.tolerate(k, err); err != nil {
					return nil, nil, err
				}
			}
			continue
		}
		list := toList(calls[i].reply)
		now := toInt(item(list, 0))
		for j, k := range part {
			if item(list, 1+j) == nil {
				// The consumer is not registered there. If the queue was unreachable it holds
				// nothing there, so it can register again; else its lease is lost.
				if !c.isUnreachable(k) || c.registerAgain(ctx, k) != nil {
					return nil, nil, c.lose()
				}
				c.reached(k)
				continue
			}
			if text, is := item(list, 1+j).(string); is { // the error of this partition alone
				if err := c.tolerate(k, c.b.fault(scriptHeartbeat.name, replyError(text))); err != nil {
					return nil, nil, err
				}
				continue
			}
			news = append(news, heartbeatReply{k, toList(item(list, 1+j)), now})
			c.reached(k)
		}
	}
	if c.cfg.OnRenewed != nil {
		c.cfg.OnRenewed(asked)
	}
	return info, func(ctx context.Context) { c.doAllChores(ctx, news) }, nil
}

// heartbeatReply is the reply of the beat script about one partition; beat.lua lists its elements.
type heartbeatReply struct {
	k     *keys
	reply []any
	now   int64 // by the server's clock
}

// doAllChores does the chores in all partitions, within a part of the lease.
func (c *consumer) doAllChores(ctx context.Context, news []heartbeatReply) {
	limited, cancel := context.WithTimeout(ctx, c.b.cfg.lease/choresPart)
	defer cancel()
	held := 0
	for _, n := range news {
		if text := toString(item(n.reply, 8)); text != "" {
			c.logWrongType(ctx, n.k, replyError(text))
		}
		held += c.doChores(limited, n.k, n.reply, n.now)
	}
	c.compareHeld(held)
}

// heartbeatConns is how many connections heartbeats may have: one to renew the lease, one to
// announce the minion, which may still be under way then, and one in case another hangs.
const heartbeatConns = 3

// heartbeatClient returns a client that only heartbeats use. With the shared client a heartbeat might
// have to wait for a free connection, or for a new one, which takes several round trips.
// Under load or with a distant server it could come after the lease has ended. For a
// cluster it returns the shared client, which has a pool for each node.
func (b *Broker) heartbeatClient() redis.UniversalClient {
	node, single := b.rdb.(*redis.Client)
	if !single {
		return b.rdb
	}
	o := *node.Options()
	o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = heartbeatConns, 0, heartbeatConns, heartbeatConns
	o.ConnMaxIdleTime, o.ConnMaxLifetime = -1, 0
	o.Dialer = pollingDialer(o.Dialer)
	o.MaxRetries = -1
	o.ContextTimeoutEnabled = false // a heartbeat that its caller has left goes on, like other requests
	client := redis.NewClient(&o)
	for range 2 { // connect twice now, while the consumer is being opened
		go client.Ping(b.ctx)
	}
	return client
}

// closeHeartbeatClient closes the client for heartbeats, unless it is the shared one.
func (c *consumer) closeHeartbeatClient() {
	if c.heartbeats != c.b.rdb {
		_ = c.heartbeats.Close()
	}
}

// heartbeatTries is how often a heartbeat sends a call before it fails.
const heartbeatTries = 3

// runRenewals runs the calls of the beat script. It repeats at once those whose reply was lost, and
// no others: with queues on many servers, one broken connection must not cost the lease in
// all of them. A repetition does no harm, as it extends the lease once more.
func (c *consumer) runRenewals(ctx context.Context, calls []*call) {
	for range heartbeatTries {
		runAllOn(ctx, c.b, c.heartbeats, calls)
		calls = slices.DeleteFunc(slices.Clone(calls), func(c *call) bool { return !errors.Is(c.err, broker.ErrIndeterminate) })
		if len(calls) == 0 || ctx.Err() != nil {
			return
		}
	}
}

// announce stores the description of the minion in the keys of the namespace. The list of
// tasks that the minion can run may be long, so it is sent only if the server does not
// have it. searches reports whether this minion is the one of its namespace that looks
// for tasks without an owner.
func (c *consumer) announce(ctx context.Context, info []byte) (searches bool, err error) {
	select {
	case c.announcing <- struct{}{}:
		defer func() { <-c.announcing }()
	case <-c.closing:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
	select {
	case <-c.closing: // Close has been called meanwhile; a minion that has left must not be listed again
		return false, nil
	default:
	}
	var tasks []byte
	// The first try is without the list of tasks. If the server does not have the list, a second
	// try sends it.
	for {
		told, searches, err := c.b.announce(ctx, c.heartbeats, c.minion, c.leaseMillis(), info, tasks)
		if err != nil || told || tasks != nil {
			return searches, err
		}
		if tasks, err = msgpack.Marshal(c.cfg.Tasks); err != nil {
			return searches, err
		}
	}
}

// withdraw removes the description of the minion. It first waits for an announce that is
// under way, which would store the description again.
func (c *consumer) withdraw(ctx context.Context) error {
	select {
	case c.announcing <- struct{}{}:
		defer func() { <-c.announcing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	_, _, err := c.b.announce(ctx, c.b.rdb, c.minion, 0, nil, nil)
	return err
}

// announce runs the announce script by the client on. A lease of 0 ms removes the minion; nil
// tasks leave its list of tasks as it is. told reports whether the server has that list.
func (b *Broker) announce(ctx context.Context, on redis.UniversalClient, minion string, lease int64, info, tasks []byte) (told, searches bool, err error) {
	s := b.space
	reply, err := runAs(ctx, b, on, scriptAnnounce, newOnce, []string{s.heartbeats, s.infos, s.tasks, s.searcher}, []any{minion, lease, info, tasks})
	list := toList(reply)
	return toInt(item(list, 0)) == 1, toInt(item(list, 1)) == 1, err
}

// choresPart limits the chores of a heartbeat to this part of a lease, a sixth. After the
// death of a host there may be more to do; the next heartbeats do the rest.
const choresPart = 6

// doChores does the chores in one partition, and returns how many tasks the minion holds
// there as the server counts. told is the reply of the beat script; now is the server's
// time in ms.
func (c *consumer) doChores(ctx context.Context, k *keys, told []any, now int64) int {
	c.note(k, item(told, 0), now)
	c.b.expiry.learn(k, item(told, 9), now)
	if toInt(item(told, 1)) == 1 && !c.single {
		c.again(k)
	}
	if toInt(item(told, 7)) == 1 {
		c.mu.Lock()
		c.maybeParked(k)
		c.mu.Unlock()
	}
	c.change()
	for _, id := range toStrings(item(told, 5)) {
		c.cancel(toID(id))
	}
	c.b.recoverDead(ctx, k, toStrings(item(told, 3)), now, c.minion)
	if toInt(item(told, 6)) > 0 {
		c.arrived(k)
	}
	c.b.sweepFirst(ctx, k, toStrings(item(told, 4)))
	return int(toInt(item(told, 2)))
}

// deadAtOnce is how many dead minions the beat script names at most.
const deadAtOnce = 10

// dead returns the minions of a partition whose lease has ended at now, the server's time in
// ms. If the request fails it returns known.
func (b *Broker) dead(ctx context.Context, k *keys, known []string, now int64) []string {
	all, err := b.rdb.ZRangeByScore(ctx, k.minions, &redis.ZRangeBy{
		Min: "-inf", Max: strconv.FormatInt(now, 10), Count: broker.MaxBatch,
	}).Result()
	if err != nil {
		return known
	}
	return all
}

// compareHeld compares held, the number of tasks that the minion holds as the server counts, with
// the number that it has received. If the server's is higher at two heartbeats in a row, a
// reply with tasks was lost and the client library has hidden it; the next Dequeue then
// asks for them. It also removes records of cancels and attempts that are too old to matter.
func (c *consumer) compareHeld(held int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held > c.held.count {
		c.excess++
	} else {
		c.excess = 0
	}
	if c.excess >= 2 {
		c.excess, c.suspect = 0, true
	}
	// Forget what can't matter any more.
	maps.DeleteFunc(c.early, func(_ broker.ID, at time.Time) bool { return time.Since(at) > earlyFor })
	maps.DeleteFunc(c.pushed, func(_ broker.ID, p push) bool { return time.Since(p.at) > earlyFor })
}

// description is what Minions returns of a minion, stored as a msgpack array. New fields may
// be appended only: readers of other versions rely on the order.
type description struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack
	Queues   []string
	Slots    int
	Active   int
	Host     string
	PID      int
	Started  int64
}

func (c *consumer) describe(load broker.Load) ([]byte, error) {
	return msgpack.Marshal(&description{
		Queues: c.cfg.Queues, Slots: c.cfg.Slots, Active: load.Active,
		Host: c.cfg.Host, PID: c.cfg.PID, Started: c.started.UnixMilli(),
	})
}

// Minions implements [broker.Broker].
func (b *Broker) Minions(ctx context.Context) ([]broker.MinionInfo, error) {
	return ask(ctx, func() ([]broker.MinionInfo, error) { return b.minionsNow(ctx) })
}

func (b *Broker) minionsNow(ctx context.Context) ([]broker.MinionInfo, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	reply, err := scriptCensus.run(ctx, b, []string{b.space.heartbeats, b.space.infos, b.space.tasks})
	if err != nil {
		return nil, err
	}
	var out []broker.MinionInfo
	for _, e := range toList(reply) {
		pair := toList(e)
		text := toString(item(pair, 1))
		if len(text) < 6 {
			continue
		}
		var d description
		if err := msgpack.Unmarshal([]byte(text[6:]), &d); err != nil {
			b.log.Warn("redis: can't read the description of a minion; it is left out", "error", err)
			continue
		}
		var tasks map[string]uint64
		if text := toString(item(pair, 2)); text != "" {
			if err := msgpack.Unmarshal([]byte(text), &tasks); err != nil {
				b.log.Warn("redis: can't read the list of tasks that a minion can run", "error", err)
			}
		}
		out = append(out, broker.MinionInfo{
			ID: toID(item(pair, 0)), Queues: d.Queues, Slots: d.Slots, Active: d.Active,
			Host: d.Host, PID: d.PID, Tasks: tasks, Started: toTime(d.Started), Beat: toTime(uint48(text)),
		})
	}
	return out, nil
}

// leave removes a minion from a partition and puts the tasks that it holds there back into
// the queue; n is how many those were. Why is "died", "left" or "lost", see leave.lua. Fence
// is how long a blocking move of the minion may still arrive at the server; see fenceFor.
// taken reports whether the minion had been treated as dead, or had lost its registration,
// before this call.
func (b *Broker) leave(ctx context.Context, k *keys, minion, why string, fence time.Duration) (n int, taken bool, err error) {
	for first := true; ; first = false {
		reply, err := scriptLeave.run(ctx, b,
			append([]string{
				k.minions, k.watch, k.ready, k.checked, k.flight(minion), k.claim(minion), k.stop, k.unreadable, k.state, k.deadlines, k.needs, k.scheduled,
			}, k.lanes...),
			minion, k.wake, why, fence.Milliseconds())
		if err != nil {
			return n, taken, err
		}
		list := toList(reply)
		n += int(toInt(item(list, 1)))
		taken = taken || first && toInt(item(list, 2)) == 1
		if toInt(item(list, 0)) == 0 {
			return n, taken, nil
		}
	}
}

// A blocking move may arrive at the server after its minion has been removed, and would move
// a message to a list that nobody reads. A fence prevents that: a string under the name of
// that list, so that the move fails with WRONGTYPE and the message stays; see leave.lua.
const (
	// fenceFor is the fence of a dead minion. It must outlast the longest time for which a
	// process is suspended just before it sends a move.
	fenceFor = 7 * 24 * time.Hour
	// leftFenceFor is the fence of a minion that has left: how long its last move may be in
	// transit.
	leftFenceFor = 10 * time.Minute
)

// uint48 reads a big-endian number of 6 bytes.
func uint48(s string) (n int64) {
	for i := range 6 {
		n = n<<8 | int64(s[i])
	}
	return n
}
