package redis

import (
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// What a minion holds comes back when the minion leaves, or when its lease ends. Both
// need its registration. A server that lost its data, a failover or an operator can
// take that away, and then nobody knows that the minion holds something: its blocking
// move goes on taking tasks, and what it holds when it dies would stay where it is.
// A living minion notices by itself and gives back what it holds. For the others, one
// minion of the namespace looks through the keys of the server for hashes and lists of
// minions that are not registered. It reads some pages with each heartbeat, so a large
// server takes it minutes, and costs no more than a small one.

// orphanage is what a search has found so far.
type orphanage struct {
	mu      sync.Mutex           // held by search
	cursors map[string]cursor    // by the address of the server
	found   map[orphan]time.Time // when it was seen first
	rights  bool                 // it was told that they are missing
}

// orphan is a minion that is not registered in a queue, and holds something there.
type orphan struct {
	queue  string
	part   string // what stands behind its name in keys, if it has partitions
	minion string
}

// cursor is how far a search has come at a server.
type cursor struct {
	at     uint64
	claims bool // whether it looks for claims; else for what is in flight
}

const (
	searchPages   = 4    // of each server, with each heartbeat
	searchPage    = 1000 // keys
	searchOrphans = 1000 // that are remembered
	searchPart    = 12   // which part of a lease it may take
)

// search looks for tasks without an owner, for as long as a heartbeat has time for.
// What it finds it gives back a lease later: till then the minion may notice by
// itself that it is not registered, and end what it runs.
func (c *consumer) search(ctx context.Context) {
	o := &c.orphans
	if !o.mu.TryLock() { // by a heartbeat that overlaps this one
		return
	}
	defer o.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, c.b.cfg.lease/searchPart)
	defer cancel()
	if o.cursors == nil {
		o.cursors, o.found = make(map[string]cursor), make(map[orphan]time.Time)
	}
	now := time.Now()
	for who, since := range o.found {
		if now.Sub(since) < c.b.cfg.lease {
			continue
		}
		k := who.keys(c.b.cfg.namespace)
		n, _, err := c.b.leave(ctx, k, who.minion, "lost", fenceFor)
		if err != nil {
			c.searched(ctx, err)
			break
		}
		delete(o.found, who)
		if n > 0 {
			c.b.log.Warn("redis: the registration of a minion was lost; its tasks are back", "queue", k.queue, "minion", toID(who.minion), "tasks", n)
		}
	}
	for _, node := range c.b.masters(ctx) {
		if err := c.searchNode(ctx, node); err != nil {
			c.searched(ctx, err)
		}
	}
}

// searched notes why a search has ended early.
func (c *consumer) searched(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil: // the next heartbeat goes on
	case replied(err, "NOPERM"):
		if !c.orphans.rights {
			c.orphans.rights = true
			c.b.log.Warn("redis: can't look for tasks without an owner; the documentation of package redis has the rights that are needed", "error", err)
		}
	default:
		c.b.log.Debug("redis: can't look for tasks without an owner; will try again", "error", err)
	}
}

// masters returns clients of all servers that keep keys, as far as they are known.
func (b *Broker) masters(ctx context.Context) []*redis.Client {
	switch rdb := b.rdb.(type) {
	case *redis.Client:
		return []*redis.Client{rdb}
	case *redis.ClusterClient:
		var mu sync.Mutex
		var all []*redis.Client
		_ = rdb.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, node)
			return nil
		})
		return all
	}
	return nil
}

// searchNode reads some pages of a server's keys.
func (c *consumer) searchNode(ctx context.Context, node *redis.Client) error {
	o := &c.orphans
	addr := node.Options().Addr
	for range searchPages {
		at := o.cursors[addr]
		what, kind := "flight:", "hash"
		if at.claims {
			what, kind = "claim:", "list"
		}
		names, next, err := node.ScanType(ctx, at.at, "{"+c.b.cfg.namespace+":*}:"+what+"*", searchPage, kind).Result()
		if err != nil {
			return err
		}
		if err := c.sift(ctx, names, what); err != nil {
			return err
		}
		o.cursors[addr] = cursor{at: next, claims: at.claims != (next == 0)}
		if next == 0 && at.claims { // once around
			return nil
		}
	}
	return nil
}

// sift remembers those keys whose minion is not registered.
func (c *consumer) sift(ctx context.Context, names []string, what string) error {
	var all []orphan
	var scores []*redis.FloatCmd
	pipe := c.b.rdb.Pipeline()
	for _, name := range names {
		who, ok := orphanOf(c.b.cfg.namespace, name, what)
		if !ok {
			continue
		}
		all = append(all, who)
		scores = append(scores, pipe.ZScore(ctx, who.keys(c.b.cfg.namespace).minions, who.minion))
	}
	if len(all) == 0 {
		return nil
	}
	_, _ = pipe.Exec(ctx) // each has its own error
	o := &c.orphans
	for i, who := range all {
		score, err := scores[i].Result()
		if unknown := err == redis.Nil || err == nil && score == lostScore; !unknown {
			delete(o.found, who)
			continue
		}
		if _, seen := o.found[who]; !seen && len(o.found) < searchOrphans {
			o.found[who] = time.Now()
		}
	}
	return nil
}

// lostScore is the score of a minion whose registration was lost, and whose tasks are
// being given back: see leave.lua.
const lostScore = -2

// orphanOf reads the name of a key, as keys.flight and keys.claim make it.
func orphanOf(namespace, key, what string) (orphan, bool) {
	rest, ok := strings.CutPrefix(key, "{"+namespace+":")
	place, rest, ok2 := strings.Cut(rest, "}:"+what)
	id, err := hex.DecodeString(rest)
	if !ok || !ok2 || err != nil || len(id) != len(broker.ID{}) {
		return orphan{}, false
	}
	queue, part := place, ""
	if i := strings.Index(place, ":"); i >= 0 {
		queue, part = place[:i], place[i:]
	}
	if broker.CheckName("queue", queue) != nil {
		return orphan{}, false
	}
	return orphan{queue: queue, part: part, minion: string(id)}, true
}

// keys returns the keys of the place where it is.
func (o orphan) keys(namespace string) *keys { return keysOf(namespace, o.queue, o.part) }
