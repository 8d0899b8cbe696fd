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

// Tasks that a minion holds are given back when the minion leaves or when its lease ends.
// Both need the minion's registration in the queue. A server that has lost data, a failover
// or an operator can remove the registration, and then nothing tells that the minion holds
// tasks: its blocking move even goes on taking them, and they would stay where they are when
// it dies.
//
// A living minion notices by itself and gives its tasks back. For dead ones there is
// the search. One minion of the namespace, the searcher (see announce.lua), looks through all
// keys of the server with SCAN for flight hashes and claim lists whose minion is not
// registered. It reads some pages with each heartbeat. A search through a large server
// takes minutes, but no more of the server's time per second than one through a small server.

// orphanSearch is the state of a consumer's search.
type orphanSearch struct {
	mu      sync.Mutex           // locked by search
	cursors map[string]cursor    // by the address of the server
	found   map[orphan]time.Time // when the search first met it
	rights  bool                 // the log has told that the rights for the search are missing
}

// orphan is a minion that holds something in a queue where it is not registered.
type orphan struct {
	queue  string
	part   string // the part of key names for the partition, see keysOf
	minion string
}

// cursor is how far the search has come at one server.
type cursor struct {
	at     uint64 // of SCAN
	claims bool   // it looks for claim lists, and else for flight hashes
}

const (
	searchPages   = 4    // pages of each server with each heartbeat
	searchPage    = 1000 // keys of a page
	searchOrphans = 1000 // the most orphans that are remembered
	searchShare   = 12   // a search may take this fraction of a lease
)

// search goes on with the search, for as long as a heartbeat has time for it. It gives back
// the tasks of an orphan a whole lease after it was first found: until then the minion, if it
// lives, has noticed by itself that it is not registered, and has ended its running tasks.
func (c *consumer) search(ctx context.Context) {
	o := &c.orphans
	if !o.mu.TryLock() { // an overlapping heartbeat searches
		return
	}
	defer o.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, c.b.cfg.lease/searchShare)
	defer cancel()
	if o.cursors == nil {
		o.cursors, o.found = make(map[string]cursor), make(map[orphan]time.Time)
	}
	// First give back the tasks of orphans that are still unregistered: the last pages that had
	// their keys have not removed them from found.
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

// searched logs why a search has ended early. Missing rights are told once.
func (c *consumer) searched(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil: // out of time, which is usual: the next heartbeat goes on
	case replied(err, "NOPERM"):
		if !c.orphans.rights {
			c.orphans.rights = true
			c.b.log.Warn("redis: can't look for tasks without an owner; the documentation of package redis has the rights that are needed", "error", err)
		}
	default:
		c.b.log.Debug("redis: can't look for tasks without an owner; will try again", "error", err)
	}
}

// masters returns a client for each known server that keeps keys.
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

// searchNode reads the next pages of one server's keys: all flight hashes, then all claim
// lists, and so on.
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
		if err := c.checkOwners(ctx, names, what); err != nil {
			return err
		}
		// At the end of a scan, change from one kind of key to the other.
		o.cursors[addr] = cursor{at: next, claims: at.claims != (next == 0)}
		if next == 0 && at.claims { // the search has seen all keys; begin again with the next heartbeat
			return nil
		}
	}
	return nil
}

// checkOwners adds the minions of keys to those found if they are not registered, and removes them
// if they are.
func (c *consumer) checkOwners(ctx context.Context, names []string, what string) error {
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

// lostScore is the score, among the minions of a queue, of one whose registration was lost
// and whose tasks are being given back: see leave.lua.
const lostScore = -2

// orphanOf reads the name of a key that keys.flight or keys.claim has made; what is
// "flight:" or "claim:".
func orphanOf(namespace, key, what string) (orphan, bool) {
	rest, ok := strings.CutPrefix(key, "{"+namespace+":")
	base, rest, ok2 := strings.Cut(rest, "}:"+what)
	id, err := hex.DecodeString(rest)
	if !ok || !ok2 || err != nil || len(id) != len(broker.ID{}) {
		return orphan{}, false
	}
	queue, part := base, ""
	if i := strings.Index(base, ":"); i >= 0 {
		queue, part = base[:i], base[i:]
	}
	if broker.CheckName("queue", queue) != nil {
		return orphan{}, false
	}
	return orphan{queue: queue, part: part, minion: string(id)}, true
}

// keys returns the keys of the partition in which the minion holds something.
func (o orphan) keys(namespace string) *keys { return keysOf(namespace, o.queue, o.part) }
