package redis

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// directory knows the queues of a namespace: which are registered, and which an
// id may belong to.
type directory struct {
	b      *Broker
	mu     sync.Mutex
	byName map[string]*keys
	byHash map[uint16][]*keys
	read   time.Time // when the registry was last read
	count  int       // how many there were
}

// reread is how long the registry is not read again while it has as many queues
// as before. Their number only grows, unless the server lost its data.
const reread = 10 * time.Second

func (d *directory) init(b *Broker) {
	d.b = b
	d.byName = make(map[string]*keys)
	d.byHash = make(map[uint16][]*keys)
}

// get returns the keys of a queue.
func (d *directory) get(queue string) *keys {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.add(queue)
}

func (d *directory) add(queue string) *keys {
	k := d.byName[queue]
	if k == nil {
		k = newKeys(d.b.cfg.namespace, queue)
		d.byName[queue] = k
		h := broker.QueueHash(queue)
		d.byHash[h] = append(d.byHash[h], k)
	}
	return k
}

// register puts a queue into the registry, first where all queues are found,
// then in its own slot. Repeating it is harmless.
func (d *directory) register(ctx context.Context, k *keys) error {
	if err := d.b.rdb.SAdd(ctx, d.b.space.queues, k.queue).Err(); err != nil {
		return fault("register queue "+k.queue, err)
	}
	return fault("register queue "+k.queue, d.b.rdb.Set(ctx, k.meta, "1", 0).Err())
}

// all reads the registry.
func (d *directory) all(ctx context.Context) ([]*keys, error) {
	names, err := d.b.rdb.SMembers(ctx, d.b.space.queues).Result()
	if err != nil {
		return nil, fault("list queues", err)
	}
	slices.Sort(names)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.read, d.count = time.Now(), len(names)
	list := make([]*keys, len(names))
	for i, name := range names {
		list[i] = d.add(name)
	}
	return list, nil
}

// each calls visit with the ids that may be in a queue, for one queue after the
// other, until visit has found them all. It first asks the queues known here and
// reads the registry only if some ids were in none of them. Visit returns
// which ids, by their places in the list it was given, were found.
func (d *directory) each(ctx context.Context, ids []broker.ID, visit func(k *keys, places []int) (found []bool, err error)) error {
	open := make([]int, len(ids)) // places of the ids not found yet
	for i := range ids {
		open[i] = i
	}
	asked := make(map[*keys]bool)
	for round := 0; ; round++ {
		for len(open) > 0 {
			k, places := d.next(ids, open, asked)
			if k == nil {
				break
			}
			asked[k] = true
			found := make(map[int]bool, len(places))
			for chunk := range slices.Chunk(places, broker.MaxBatch) {
				is, err := visit(k, chunk)
				if err != nil {
					return err
				}
				for i, place := range chunk {
					found[place] = is[i]
				}
			}
			open = slices.DeleteFunc(open, func(p int) bool { return found[p] })
		}
		if len(open) == 0 || round > 0 {
			return nil
		}
		if stale, err := d.stale(ctx); err != nil || !stale {
			return err
		}
		if _, err := d.all(ctx); err != nil {
			return err
		}
	}
}

// stale says whether the registry may have queues that are not known here.
func (d *directory) stale(ctx context.Context) (bool, error) {
	n, err := d.b.rdb.SCard(ctx, d.b.space.queues).Result()
	if err != nil {
		return false, fault("count queues", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return n != int64(d.count) || time.Since(d.read) > reread, nil
}

// next returns a queue that was not asked yet and the places of the ids that
// may be in it.
func (d *directory) next(ids []broker.ID, open []int, asked map[*keys]bool) (*keys, []int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var pick *keys
	var places []int
	for _, p := range open {
		for _, k := range d.byHash[ids[p].QueueHash()] {
			if pick == nil && !asked[k] {
				pick = k
			}
			if k == pick && k != nil {
				places = append(places, p)
				break
			}
		}
	}
	return pick, places
}
