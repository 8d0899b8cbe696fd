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

// This file keeps the list of the queues of a namespace.
//
// The registry is a hash at the server: the names of all queues, each with its number of
// partitions. A process reads it and remembers it, since every operation needs it. The
// process that registers a queue first decides how many partitions it has. That number
// does not change as long as the queue is registered.
//
// A task id has a hash of its queue's name, and so does the list (byHash). So a look-up by id
// asks the few queues that have this hash, usually one, and not all. Only if the task is in
// none of them the registry is read again, in case the queue is new.

// queue is a registered queue.
type queue struct {
	name  string
	parts []*keys // the keys of its partitions, usually one
}

// partition returns the partition of a task. It depends on the id alone, since the number of
// partitions does not change.
func (q *queue) partition(id broker.ID) *keys {
	if len(q.parts) == 1 {
		return q.parts[0]
	}
	return q.parts[int(id.Partition())%len(q.parts)]
}

// partitionFor returns the partition in which a task has to be stored. Unique keys are compared within
// a partition only, so all tasks with the same unique key must go to the same one; and so must all
// tasks with a lane, with or without a unique key. partitionFor returns an error that wraps
// [broker.ErrInvalid] if the id leads to another partition.
func (q *queue) partitionFor(t *broker.Task) (*keys, error) {
	k := q.partition(t.ID)
	if t.Lane != nil && k != q.parts[0] {
		return nil, fmt.Errorf("task %s: %w: its id belongs to partition %d, but tasks with a lane belong to partition 0, where the limits are; make the id with broker.Task.NewID",
			t.ID, broker.ErrInvalid, t.ID.Partition())
	}
	if t.Lane == nil && t.Unique.Key != "" && len(q.parts) > 1 {
		if n := broker.KeyPartition(t.Unique.Key); k != q.parts[int(n)%len(q.parts)] {
			return nil, fmt.Errorf("task %s: %w: its id belongs to partition %d, and its unique key %q to partition %d; make the id with broker.Task.NewID",
				t.ID, broker.ErrInvalid, t.ID.Partition(), t.Unique.Key, n)
		}
	}
	return k, nil
}

// queueList is the list of the queues of a namespace that the process knows.
type queueList struct {
	b      *Broker
	mu     sync.RWMutex
	byName map[string]*queue
	byHash map[uint16][]*queue // by broker.QueueHash of the name
	read   time.Time           // when the registry was last read
	count  int                 // how many queues it had then
	bad    map[string]string   // queues whose number of partitions in the registry is damaged, by name, and that text
}

// reread is for how long the registry is not read again as long as it has the same number of
// queues.
const reread = 10 * time.Second

func (l *queueList) init(b *Broker) {
	l.b = b
	l.byName = make(map[string]*queue)
	l.byHash = make(map[uint16][]*queue)
	l.bad = make(map[string]string)
}

// known returns a queue that is in the list; nil if it is not. It does no I/O.
func (l *queueList) known(name string) *queue {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.byName[name]
}

// find returns a queue; nil if it is not registered. It reads the registry if the queue is not
// in the list.
func (l *queueList) find(ctx context.Context, name string) (*queue, error) {
	if q := l.known(name); q != nil {
		return q, nil
	}
	if _, err := l.all(ctx); err != nil {
		return nil, err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if text, is := l.bad[name]; is {
		return nil, l.malformed(name, text)
	}
	return l.byName[name], nil
}

// open returns a queue, and registers it if it is not in the list.
func (l *queueList) open(ctx context.Context, name string) (*queue, error) {
	if q := l.known(name); q != nil {
		return q, nil
	}
	return l.register(ctx, name)
}

// register puts a queue into the registry, and then notes in the key meta of each of its
// partitions that it is registered. The two steps are in different hash slots, so they
// can't be one script. Repeating them does no harm. The first process to register a
// queue decides how many partitions it has. With an error register also returns the
// queue if the first step has succeeded.
func (l *queueList) register(ctx context.Context, name string) (*queue, error) {
	for {
		reply, err := scriptRegister.run(ctx, l.b, []string{l.b.space.queues, l.b.space.since}, name, l.b.cfg.partitions)
		if err != nil {
			return nil, err
		}
		q, err := l.learn(name, toString(item(toList(reply), 0)))
		if err != nil {
			return nil, err
		}
		// The second step has a time limit, counted from the first by the servers' clocks. Else it could
		// come when the queue has been removed from the registry again.
		calls := make([]*call, len(q.parts))
		for i, k := range q.parts {
			calls[i] = &call{script: scriptFound, keys: []string{k.meta, k.state, k.bound},
				args: []any{item(toList(reply), 1), l.b.cfg.registered.Milliseconds(), registerFor.Milliseconds()}}
		}
		runAll(ctx, l.b, calls)
		late := false // whether so much time has passed that the queue may have been removed from the registry
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

// learn adds a queue with its number of partitions, as the registry has it.
func (l *queueList) learn(name, partitions string) (*queue, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.add(name, partitions)
}

// drop removes a queue that is no longer in the registry.
func (l *queueList) drop(q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(q)
}

// remove is drop for callers that have locked d.mu.
func (l *queueList) remove(q *queue) {
	if l.byName[q.name] == q {
		delete(l.byName, q.name)
	}
	h := broker.QueueHash(q.name)
	left := slices.DeleteFunc(slices.Clone(l.byHash[h]), func(o *queue) bool { return o == q })
	if l.byHash[h] = left; len(left) == 0 {
		delete(l.byHash, h)
	}
}

// trim removes queues that other processes have taken out of the registry. It reads the
// registry only if that has fewer queues than the list.
func (l *queueList) trim(ctx context.Context) error {
	n, err := l.b.rdb.HLen(ctx, l.b.space.queues).Result()
	if err != nil {
		return l.b.fault("count queues", err)
	}
	l.mu.RLock()
	more := int64(len(l.byName)) > n
	l.mu.RUnlock()
	if more {
		_, err = l.all(ctx)
	}
	return err
}

// malformed returns the error for a queue whose number of partitions in the registry is
// damaged.
func (l *queueList) malformed(name, partitions string) error {
	return fmt.Errorf("redis: queue %q: %w: its number of partitions in the hash %s is %.40q, want 1 to %d; set it to what it was",
		name, broker.ErrMalformed, l.b.space.queues, partitions, MaxPartitions)
}

// add is learn for callers that have locked d.mu. It logs a damaged queue once.
func (l *queueList) add(name, partitions string) (*queue, error) {
	n, err := strconv.Atoi(partitions)
	if err != nil || n < 1 || n > MaxPartitions || broker.CheckName("queue", name) != nil {
		err := l.malformed(name, partitions)
		if was, is := l.bad[name]; !is || was != partitions {
			l.bad[name] = partitions
			l.b.log.Error("redis: a queue can't be used, because its entry in the registry is damaged; other queues are not affected", "error", err)
		}
		return nil, err
	}
	delete(l.bad, name)
	old := l.byName[name]
	if old != nil && len(old.parts) == n {
		return old, nil
	}
	q := &queue{name: name, parts: make([]*keys, n)}
	for i := range q.parts {
		q.parts[i] = newKeys(l.b.cfg.namespace, name, i, n)
	}
	h := broker.QueueHash(name)
	l.byName[name] = q
	l.byHash[h] = append(slices.DeleteFunc(slices.Clone(l.byHash[h]), func(o *queue) bool { return o == old }), q)
	return q, nil
}

// all reads the registry and returns its queues, sorted by name. A queue whose entry is
// damaged is left out, unless the process knew it before the damage.
func (l *queueList) all(ctx context.Context) ([]*queue, error) {
	names, err := l.b.rdb.HGetAll(ctx, l.b.space.queues).Result()
	if err != nil {
		return nil, l.b.fault("list queues", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read, l.count = time.Now(), len(names)
	list := make([]*queue, 0, len(names))
	for name, n := range names {
		if q, err := l.add(name, n); err == nil {
			list = append(list, q)
		} else if q = l.byName[name]; q != nil { // known from before the damage
			list = append(list, q)
		}
	}
	for name := range l.bad {
		if _, there := names[name]; !there {
			delete(l.bad, name)
		}
	}
	for name, q := range l.byName {
		if _, there := names[name]; !there { // it was removed from the registry
			l.remove(q)
		}
	}
	slices.SortFunc(list, func(a, b *queue) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// mayHave returns the partitions of known queues that may have the task with this id.
func (l *queueList) mayHave(id broker.ID) []*keys {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var parts []*keys
	for _, q := range l.byHash[id.QueueHash()] {
		parts = append(parts, q.partition(id))
	}
	return parts
}

// each finds the partitions of tasks. It calls visit for one partition after the other, with the
// indices in ids of the tasks that may be there, until all are found. visit reports for
// each of these indices, in order, whether the task was found. each first tries the queues in the
// list, and reads the registry only if some tasks were in none of them. At most
// broker.MaxBatch indices are passed to one call of visit.
func (l *queueList) each(ctx context.Context, ids []broker.ID, visit func(k *keys, positions []int) (found []bool, err error)) error {
	open := make([]int, len(ids)) // indices of the ids that were not found yet
	for i := range ids {
		open[i] = i
	}
	asked := make(map[*keys]bool)
	for round := 0; ; round++ {
		// Ask the partitions of known queues, as long as some id is left that may be in one of them.
		for len(open) > 0 {
			k, positions := l.next(ids, open, asked)
			if k == nil {
				break
			}
			asked[k] = true
			found := make(map[int]bool, len(positions))
			for chunk := range slices.Chunk(positions, broker.MaxBatch) {
				is, err := visit(k, chunk)
				if err != nil {
					return err
				}
				for i, position := range chunk {
					found[position] = is[i]
				}
			}
			open = slices.DeleteFunc(open, func(p int) bool { return found[p] })
		}
		// The rest may be in queues that are new. One more round with a fresh list is enough.
		if len(open) == 0 || round > 0 {
			return nil
		}
		if stale, err := l.stale(ctx); err != nil || !stale {
			return err
		}
		if _, err := l.all(ctx); err != nil {
			return err
		}
	}
}

// stale reports whether the registry may have queues that are not in the list: their number has
// changed, or the registry was not read for a while.
func (l *queueList) stale(ctx context.Context) (bool, error) {
	n, err := l.b.rdb.HLen(ctx, l.b.space.queues).Result()
	if err != nil {
		return false, l.b.fault("count queues", err)
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return n != int64(l.count) || time.Since(l.read) > reread, nil
}

// next returns a partition that is not in asked, and the indices of those open ids that may be in
// it. It returns nil if there is no such partition.
func (l *queueList) next(ids []broker.ID, open []int, asked map[*keys]bool) (*keys, []int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var pick *keys
	var positions []int
	for _, p := range open {
		for _, q := range l.byHash[ids[p].QueueHash()] {
			k := q.partition(ids[p])
			if pick == nil && !asked[k] {
				pick = k
			}
			if k == pick && k != nil {
				positions = append(positions, p)
				break
			}
		}
	}
	return pick, positions
}
