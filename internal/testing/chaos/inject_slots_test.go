//go:build unix

package chaos

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// slotPart is the number of keys that move at a time.
const slotPart = 3

// moveSlot moves the hash slot of a queue to the node that the fault names, or to the next node. It
// moves some keys at a time, and pauses half-way, when some keys are on one node and some on the
// other.
func (s *stage) moveSlot(ctx context.Context, f Fault) (told string, err error) {
	queue := s.template.Queues[f.Queue%len(s.template.Queues)]
	ask := s.admins[s.node(f.Node)]
	slot, err := ask.ClusterKeySlot(ctx, "{arbiter:"+queue+"}").Result()
	if err != nil {
		return "", err
	}
	from := 0
	err = persist(func() (err error) {
		from, err = s.ownerOf(ctx, ask, int(slot))
		return err
	})
	if err != nil {
		return "", err
	}
	to := s.node(f.Node)
	if to == from {
		to = s.node((f.Node + 1) % s.on.Nodes)
	}
	src, dst := s.admins[from], s.admins[to]
	srcID, err1 := src.Do(ctx, "cluster", "myid").Text()
	dstID, err2 := dst.Do(ctx, "cluster", "myid").Text()
	if err1 != nil || err2 != nil {
		return "", fmt.Errorf("%w, %w", err1, err2)
	}
	do := func(node *redis.Client, args ...any) error {
		return persist(func() error { return node.Do(ctx, args...).Err() })
	}
	if err := do(dst, "cluster", "setslot", slot, "importing", srcID); err != nil {
		return "", err
	}
	if err := do(src, "cluster", "setslot", slot, "migrating", dstID); err != nil {
		return "", err
	}
	host, port, _ := strings.Cut(s.nodes[to].Addr, ":")
	moved := 0
	for {
		keys, err := src.ClusterGetKeysInSlot(ctx, int(slot), slotPart).Result()
		if err != nil {
			return "", err
		}
		if len(keys) == 0 {
			break
		}
		args := []any{"migrate", host, port, "", 0, 5000, "keys"}
		for _, key := range keys {
			args = append(args, key)
		}
		if err := do(src, args...); err != nil {
			return "", err
		}
		if moved == 0 {
			time.Sleep(f.For)
		}
		moved += len(keys)
	}
	// The new owner first, so that no client is redirected back and forth.
	for _, node := range append([]int{to, from}, s.masters()...) {
		if err := do(s.admins[node], "cluster", "setslot", slot, "node", dstID); err != nil {
			return "", err
		}
	}
	return "queue " + queue + ", " + strconv.Itoa(moved) + " keys", nil
}

// persist calls do until it succeeds. An operation that has begun must be completed, and a cluster
// may be down for seconds after a fault.
func persist(do func() error) (err error) {
	for deadline := time.Now().Add(takeover); ; time.Sleep(50 * time.Millisecond) {
		if err = do(); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// masters returns the indexes of the nodes that serve.
func (s *stage) masters() []int {
	all := make([]int, s.on.Nodes)
	for i := range all {
		all[i] = s.node(i)
	}
	return all
}

// ownerOf returns the index of the master that has a hash slot.
func (s *stage) ownerOf(ctx context.Context, admin *redis.Client, slot int) (int, error) {
	shards, err := admin.ClusterShards(ctx).Result()
	if err != nil {
		return 0, err
	}
	for _, shard := range shards {
		if !slices.ContainsFunc(shard.Slots, func(r redis.SlotRange) bool { return r.Start <= int64(slot) && int64(slot) <= r.End }) {
			continue
		}
		for _, i := range s.masters() {
			if slices.ContainsFunc(shard.Nodes, func(n redis.Node) bool { return strings.HasSuffix(s.nodes[i].Addr, ":"+strconv.Itoa(int(n.Port))) }) {
				return i, nil
			}
		}
	}
	return 0, fmt.Errorf("no known node is the master of hash slot %d", slot)
}
