package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// queue is a queue as the registry has it.
type queue struct {
	name  string
	parts []*keys // its partitions, usually one
}

// of returns where a task is. How many partitions a queue has never changes, so
// this does not either.
func (q *queue) of(id broker.ID) *keys {
	if len(q.parts) == 1 {
		return q.parts[0]
	}
	return q.parts[int(id.Partition())%len(q.parts)]
}

// place returns where a task goes. A unique key is compared within a partition, so
// all tasks that have it must go to the same. The error wraps [broker.ErrInvalid].
func (q *queue) place(t *broker.Task) (*keys, error) {
	k := q.of(t.ID)
	if t.Unique != "" && len(q.parts) > 1 {
		if n := broker.KeyPartition(t.Unique); k != q.parts[int(n)%len(q.parts)] {
			return nil, fmt.Errorf("task %s: %w: its id is of partition %d, and that of its unique key %q is %d; broker.NewTaskID makes ids of the right one",
				t.ID, broker.ErrInvalid, t.ID.Partition(), t.Unique, n)
		}
	}
	return k, nil
}

// directory knows the queues of a namespace: how many partitions each has, and
// which an id may belong to.
type directory struct {
	b      *Broker
	mu     sync.RWMutex
	byName map[string]*queue
	byHash map[uint16][]*queue
	read   time.Time         // when the registry was last read
	count  int               // how many there were
	bad    map[string]string // why queues of the registry can't be used, by their names
}

// reread is how long the registry is not read again while it has as many queues
// as before.
const reread = 10 * time.Second

func (d *directory) init(b *Broker) {
	d.b = b
	d.byName = make(map[string]*queue)
	d.byHash = make(map[uint16][]*queue)
	d.bad = make(map[string]string)
}

// known returns a queue that was seen before; nil if it was not.
func (d *directory) known(name string) *queue {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byName[name]
}

// find returns a queue, nil if nobody has registered it.
func (d *directory) find(ctx context.Context, name string) (*queue, error) {
	if q := d.known(name); q != nil {
		return q, nil
	}
	if _, err := d.all(ctx); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if text, is := d.bad[name]; is {
		return nil, d.malformed(name, text)
	}
	return d.byName[name], nil
}

// open returns a queue, and registers it if it is new.
func (d *directory) open(ctx context.Context, name string) (*queue, error) {
	if q := d.known(name); q != nil {
		return q, nil
	}
	return d.register(ctx, name)
}

// register puts a queue into the registry, first where all queues are found,
// then in its own slots. Repeating it is harmless. Whoever comes first says how
// many partitions it has. With an error it returns the queue, too, if the registry
// has it.
func (d *directory) register(ctx context.Context, name string) (*queue, error) {
	for {
		reply, err := scriptRegister.run(ctx, d.b, []string{d.b.space.queues, d.b.space.since}, name, d.b.cfg.partitions)
		if err != nil {
			return nil, err
		}
		q, err := d.learn(name, toString(item(toList(reply), 0)))
		if err != nil {
			return nil, err
		}
		calls := make([]*call, len(q.parts))
		for i, k := range q.parts {
			calls[i] = &call{script: scriptFound, keys: []string{k.meta, k.state},
				args: []any{item(toList(reply), 1), d.b.cfg.registered.Milliseconds(), registerFor.Milliseconds()}}
		}
		runAll(ctx, d.b, calls)
		late := false // it took us so long that the queue may have been forgotten
		for _, c := range calls {
			if c.err != nil {
				return q, c.err
			}
			late = late || toInt(c.reply) == 0
		}
		if !late {
			return q, nil
		}
	}
}

// learn takes over what the registry says of a queue.
func (d *directory) learn(name, partitions string) (*queue, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.add(name, partitions)
}

// drop forgets a queue that is not in the registry any more.
func (d *directory) drop(q *queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remove(q)
}

// remove is drop. d.mu is held.
func (d *directory) remove(q *queue) {
	if d.byName[q.name] == q {
		delete(d.byName, q.name)
	}
	h := broker.QueueHash(q.name)
	left := slices.DeleteFunc(slices.Clone(d.byHash[h]), func(o *queue) bool { return o == q })
	if d.byHash[h] = left; len(left) == 0 {
		delete(d.byHash, h)
	}
}

// trim forgets queues that others have taken out of the registry, if there are any.
func (d *directory) trim(ctx context.Context) error {
	n, err := d.b.rdb.HLen(ctx, d.b.space.queues).Result()
	if err != nil {
		return d.b.fault("count queues", err)
	}
	d.mu.RLock()
	more := int64(len(d.byName)) > n
	d.mu.RUnlock()
	if more {
		_, err = d.all(ctx)
	}
	return err
}

// malformed is the error of a queue whose entry in the registry is damaged.
func (d *directory) malformed(name, partitions string) error {
	return fmt.Errorf("redis: queue %q: %w: its number of partitions in the hash %s is %.40q, want 1 to %d; set it to what it was",
		name, broker.ErrMalformed, d.b.space.queues, partitions, MaxPartitions)
}

// add takes over what the registry says of a queue. d.mu is held.
func (d *directory) add(name, partitions string) (*queue, error) {
	n, err := strconv.Atoi(partitions)
	if err != nil || n < 1 || n > MaxPartitions || broker.CheckName("queue", name) != nil {
		err := d.malformed(name, partitions)
		if was, is := d.bad[name]; !is || was != partitions {
			d.bad[name] = partitions
			d.b.log.Error("redis: a queue of the registry can't be used; the others can", "error", err)
		}
		return nil, err
	}
	delete(d.bad, name)
	old := d.byName[name]
	if old != nil && len(old.parts) == n {
		return old, nil
	}
	q := &queue{name: name, parts: make([]*keys, n)}
	for i := range q.parts {
		q.parts[i] = newKeys(d.b.cfg.namespace, name, i, n)
	}
	h := broker.QueueHash(name)
	d.byName[name] = q
	d.byHash[h] = append(slices.DeleteFunc(slices.Clone(d.byHash[h]), func(o *queue) bool { return o == old }), q)
	return q, nil
}

// all reads the registry. The queues are sorted by name. One whose entry is damaged is
// left out, unless it was known before.
func (d *directory) all(ctx context.Context) ([]*queue, error) {
	names, err := d.b.rdb.HGetAll(ctx, d.b.space.queues).Result()
	if err != nil {
		return nil, d.b.fault("list queues", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.read, d.count = time.Now(), len(names)
	list := make([]*queue, 0, len(names))
	for name, n := range names {
		if q, err := d.add(name, n); err == nil {
			list = append(list, q)
		} else if q = d.byName[name]; q != nil { // as it was before it was damaged
			list = append(list, q)
		}
	}
	for name := range d.bad {
		if _, there := names[name]; !there {
			delete(d.bad, name)
		}
	}
	for name, q := range d.byName {
		if _, there := names[name]; !there { // nothing was left of it
			d.remove(q)
		}
	}
	slices.SortFunc(list, func(a, b *queue) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// mayHave returns the partitions of known queues that a task may be in by its id.
func (d *directory) mayHave(id broker.ID) []*keys {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var places []*keys
	for _, q := range d.byHash[id.QueueHash()] {
		places = append(places, q.of(id))
	}
	return places
}

// each calls visit with the ids that may be in a partition of a queue, for one
// after the other, until visit has found them all. It first asks the queues
// known here and reads the registry only if some ids were in none of them. Visit
// returns which ids, by their places in the list it was given, were found.
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
	n, err := d.b.rdb.HLen(ctx, d.b.space.queues).Result()
	if err != nil {
		return false, d.b.fault("count queues", err)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	return n != int64(d.count) || time.Since(d.read) > reread, nil
}

// next returns a partition that was not asked yet and the places of the ids that
// may be in it.
func (d *directory) next(ids []broker.ID, open []int, asked map[*keys]bool) (*keys, []int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var pick *keys
	var places []int
	for _, p := range open {
		for _, q := range d.byHash[ids[p].QueueHash()] {
			k := q.of(ids[p])
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
