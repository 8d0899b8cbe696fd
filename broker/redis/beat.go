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

// beatQueues is how many queues one run of the beat script serves.
const beatQueues = 500

// Heartbeat implements [broker.Consumer].
func (c *consumer) Heartbeat(ctx context.Context, load broker.Load) error {
	return do(ctx, func() error { return c.heartbeatNow(ctx, load) })
}

func (c *consumer) heartbeatNow(ctx context.Context, load broker.Load) error {
	asked := time.Now()
	info, chores, err := c.beat(ctx, load)
	c.heard(err)
	if err != nil {
		return err
	}
	c.follow(ctx, asked, info, chores)
	return nil
}

// follow does what follows when a lease has been renewed: the namespace is told, and
// the chores are done. That takes round trips of its own, which must not delay the
// next heartbeat where the server is far away. So it goes on by itself when it takes
// longer than the time between two heartbeats. As long as it does, nothing follows on
// other heartbeats: one of the next ones does what is left.
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
			c.unannounced(err)
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

// unannounced logs that the namespace could not be told about the minion. The lease
// is extended all the same, so the heartbeat does not fail. A consumer that is closed is
// no reason to warn.
//
// A key of another type stays so until somebody mends it: that is told once a minute.
func (c *consumer) unannounced(err error) {
	if isSpoiled(err) && !c.b.told.due(nil) {
		return
	}
	c.b.log.Warn("redis: can't tell the namespace about the minion; will try again", "minion", c.id, "error", err)
}

// beat renews the lease and tells the minion. It returns what the namespace is to be
// told then, and not before: a minion that lost its lease must not seem to live; and
// chores, which does what is to be done in the queues.
func (c *consumer) beat(ctx context.Context, load broker.Load) (info []byte, chores func(context.Context), err error) {
	if err := c.usable(ctx); err != nil {
		return nil, nil, err
	}
	asked := time.Now() // the leases of all queues begin later
	var calls []*call
	var parts [][]*keys
	listens := 0
	if !c.single {
		listens = 1
	}
	_, cluster := c.b.rdb.(*redis.ClusterClient)
	for i := 0; i < len(c.order); {
		n := min(beatQueues, len(c.order)-i)
		if cluster { // queues are in slots of their own
			n = 1
		}
		part := c.order[i : i+n]
		i += n
		var names []string
		for _, k := range part {
			names = append(names, k.minions, k.watch, k.ready, k.held, k.due, k.stop, k.keep, k.flight(c.minion), k.claim(c.minion), k.outbox, k.parked, k.deadlines)
		}
		parts = append(parts, part)
		calls = append(calls, &call{script: scriptBeat, keys: names, args: []any{c.minion, c.leaseMillis(), listens}})
	}
	if info, err = c.describe(load); err != nil {
		return nil, nil, err
	}
	c.renew(ctx, calls)
	var news []told
	for i, part := range parts {
		if err := calls[i].err; err != nil {
			if errors.Is(err, broker.ErrClosed) { // one of the two
				return nil, nil, cmp.Or(c.usable(ctx), err)
			}
			for _, k := range part {
				if err := c.missed(k, err); err != nil {
					return nil, nil, err
				}
			}
			continue
		}
		list := toList(calls[i].reply)
		now := toInt(item(list, 0))
		for j, k := range part {
			if item(list, 1+j) == nil { // not registered; where it was away we hold nothing
				if !c.isAway(k) || c.reenter(ctx, k) != nil {
					return nil, nil, c.lose()
				}
				c.back(k)
				continue
			}
			if text, is := item(list, 1+j).(string); is {
				if err := c.missed(k, c.b.fault(scriptBeat.name, replyError(text))); err != nil {
					return nil, nil, err
				}
				continue
			}
			news = append(news, told{k, toList(item(list, 1+j)), now})
			c.back(k)
		}
	}
	if c.cfg.OnRenewed != nil {
		c.cfg.OnRenewed(asked)
	}
	return info, func(ctx context.Context) { c.attendAll(ctx, news) }, nil
}

// told is what a heartbeat was told about a queue.
type told struct {
	k     *keys
	reply []any
	now   int64 // by the server's clock
}

// attendAll does what a heartbeat says there is to do.
func (c *consumer) attendAll(ctx context.Context, news []told) {
	limited, cancel := context.WithTimeout(ctx, c.b.cfg.lease/choresPart)
	defer cancel()
	held := 0
	for _, n := range news {
		if text := toString(item(n.reply, 8)); text != "" {
			c.spoiled(ctx, n.k, replyError(text))
		}
		held += c.attend(limited, n.k, n.reply, n.now)
	}
	c.compare(held)
}

// beatConns is how many connections heartbeats may have: one for renewing the lease, one
// for telling the namespace, which may still go on then, and one more if another hangs.
const beatConns = 3

// beating returns a client for heartbeats alone. One that waited for a connection, or
// for a new one, which takes several round trips, might come too late: when the server
// is far away, when many requests are under way, or when goroutines wait long for
// their turn. The client of a cluster has a pool for each node; it is used as it is.
func (b *Broker) beating() redis.UniversalClient {
	node, single := b.rdb.(*redis.Client)
	if !single {
		return b.rdb
	}
	o := *node.Options()
	o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = beatConns, 0, beatConns, beatConns
	o.ConnMaxIdleTime, o.ConnMaxLifetime = -1, 0
	o.Dialer = wakefulDialer(o.Dialer)
	o.MaxRetries = -1
	beats := redis.NewClient(&o)
	for range 2 { // the first two are made while the consumer is opened
		go beats.Ping(b.ctx)
	}
	return beats
}

// endBeats closes the client for heartbeats.
func (c *consumer) endBeats() {
	if c.beats != c.b.rdb {
		_ = c.beats.Close()
	}
}

// beatTries is how often a heartbeat asks a server before it fails.
const beatTries = 3

// renew runs the beat script for each of several parts. Where a reply was lost it
// asks at once again, there alone: with queues on many servers one connection in
// trouble must not cost the lease of all.
func (c *consumer) renew(ctx context.Context, calls []*call) {
	for range beatTries {
		runAllOn(ctx, c.b, c.beats, calls)
		calls = slices.DeleteFunc(slices.Clone(calls), func(c *call) bool { return !errors.Is(c.err, broker.ErrIndeterminate) })
		if len(calls) == 0 || ctx.Err() != nil {
			return
		}
	}
}

// announce tells the namespace about the minion. Which tasks it can run may be
// long: the server hears it once, or again if it has forgotten. It reports whether
// the minion is the one that looks for tasks without an owner.
func (c *consumer) announce(ctx context.Context, info []byte) (searches bool, err error) {
	select {
	case c.telling <- struct{}{}:
		defer func() { <-c.telling }()
	case <-c.gone:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
	select {
	case <-c.gone: // by now; a minion that has left must not be there again
		return false, nil
	default:
	}
	var tasks []byte
	for {
		told, searches, err := c.b.announce(ctx, c.beats, c.minion, c.leaseMillis(), info, tasks)
		if err != nil || told || tasks != nil {
			return searches, err
		}
		if tasks, err = msgpack.Marshal(c.cfg.Tasks); err != nil {
			return searches, err
		}
	}
}

// farewell tells the namespace that the minion has left. It waits for a heartbeat
// that is telling the opposite.
func (c *consumer) farewell(ctx context.Context) error {
	select {
	case c.telling <- struct{}{}:
		defer func() { <-c.telling }()
	case <-ctx.Done():
		return ctx.Err()
	}
	_, _, err := c.b.announce(ctx, c.b.rdb, c.minion, 0, nil, nil)
	return err
}

func (b *Broker) announce(ctx context.Context, on redis.UniversalClient, minion string, lease int64, info, tasks []byte) (told, searches bool, err error) {
	s := b.space
	reply, err := runAs(ctx, b, on, scriptAnnounce, newOnce, []string{s.beats, s.infos, s.tasks, s.searcher}, []any{minion, lease, info, tasks})
	list := toList(reply)
	return toInt(item(list, 0)) == 1, toInt(item(list, 1)) == 1, err
}

// choresPart is which part of a lease a heartbeat spends on what others have left.
// What is left when a host has died is for the next heartbeat: each of them also tells
// the namespace of the minion, and that shall not wait.
const choresPart = 6

// attend does what a heartbeat says there is to do in a queue, and returns how
// many tasks the server thinks we hold there.
func (c *consumer) attend(ctx context.Context, k *keys, told []any, now int64) int {
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
	c.b.bury(ctx, k, toStrings(item(told, 3)), now, c.minion)
	if toInt(item(told, 6)) > 0 {
		c.arrived(k)
	}
	c.b.begin(ctx, k, toStrings(item(told, 4)))
	return int(toInt(item(told, 2)))
}

// deadAtOnce is how many dead minions the beat script tells of.
const deadAtOnce = 10

// dead returns all minions of a queue whose lease has ended; those that are
// known if that can't be told.
func (b *Broker) dead(ctx context.Context, k *keys, known []string, now int64) []string {
	all, err := b.rdb.ZRangeByScore(ctx, k.minions, &redis.ZRangeBy{
		Min: "-inf", Max: strconv.FormatInt(now, 10), Count: broker.MaxBatch,
	}).Result()
	if err != nil {
		return known
	}
	return all
}

// compare notices, at the second heartbeat in a row, that the server thinks we
// hold more than we do: a reply was lost, and the client library hid it.
func (c *consumer) compare(held int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held > c.held.count {
		c.strange++
	} else {
		c.strange = 0
	}
	if c.strange >= 2 {
		c.strange, c.suspect = 0, true
	}
	maps.DeleteFunc(c.early, func(_ broker.ID, at time.Time) bool { return time.Since(at) > earlyFor })
	maps.DeleteFunc(c.pushed, func(_ broker.ID, p push) bool { return time.Since(p.at) > earlyFor })
}

// description is what a minion says of itself, as an array that may only grow.
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
	reply, err := scriptCensus.run(ctx, b, []string{b.space.beats, b.space.infos, b.space.tasks})
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
			b.log.Warn("redis: can't read what a minion says of itself", "error", err)
			continue
		}
		var tasks map[string]uint64
		if text := toString(item(pair, 2)); text != "" {
			if err := msgpack.Unmarshal([]byte(text), &tasks); err != nil {
				b.log.Warn("redis: can't read which tasks a minion can run", "error", err)
			}
		}
		out = append(out, broker.MinionInfo{
			ID: toID(item(pair, 0)), Queues: d.Queues, Slots: d.Slots, Active: d.Active,
			Host: d.Host, PID: d.PID, Tasks: tasks, Started: toTime(d.Started), Beat: toTime(uint48(text)),
		})
	}
	return out, nil
}

// leave gives back what a minion holds in a queue, and returns how many tasks
// that were. Why is died, left or lost: see leave.lua. Fence is for how long a blocking
// move may still come. Taken reports whether the minion had been taken for dead before.
func (b *Broker) leave(ctx context.Context, k *keys, minion, why string, fence time.Duration) (n int, taken bool, err error) {
	for first := true; ; first = false {
		reply, err := scriptLeave.run(ctx, b,
			[]string{k.minions, k.watch, k.ready, k.held, k.flight(minion), k.claim(minion), k.stop, k.odd, k.state, k.deadlines},
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

// A fence keeps out a blocking move that comes after its minion is gone; see leave.lua.
const (
	// fenceFor is how long a process may have been stopped and still not do harm with a
	// move it was about to send.
	fenceFor = 7 * 24 * time.Hour
	// leftFenceFor is how long a move of a minion that has left may be on its way.
	leftFenceFor = 10 * time.Minute
)

// unlock frees the unique keys of messages that are gone. It may fail: a key
// whose task is final is no obstacle, it only takes room.
func (b *Broker) unlock(ctx context.Context, k *keys, msgs []string) {
	var args []any
	for _, msg := range msgs {
		var d broker.Delivery
		if err := broker.ParseRecord(&d, []byte(msg), 0); err == nil && d.Unique != "" {
			args = append(args, d.Unique, d.ID[:])
		}
	}
	if len(args) == 0 {
		return
	}
	if _, err := scriptUnlock.run(ctx, b, []string{k.unique}, args...); err != nil && !errors.Is(err, context.Canceled) {
		b.log.Debug("redis: can't free unique keys of cancelled tasks", "queue", k.queue, "error", err)
	}
}

func uint48(s string) (n int64) {
	for i := range 6 {
		n = n<<8 | int64(s[i])
	}
	return n
}
