package memory

import (
	"sync"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/idblock"
	"github.com/go-arbiter/arbiter/internal/base/shrinkmap"
)

// The index finds tasks and flows by their ids. It has the record of each task that is not
// over, and of each dead letter. When a task is over, a tombstone takes the place of the
// record. The sweeper forgets the tombstone when the id may be used again.

// index is divided into shards, each with its own lock, because every operation uses it.
type index struct {
	shards [shardCount]shard
	sweep  *alarm // set when a shard has something to forget
}

// shardCount is a power of two.
const shardCount = 64

// shard is one part of the index.
type shard struct {
	mu     sync.Mutex
	tasks  idblock.Map[entry]
	flows  shrinkmap.Map[broker.ID, *flow]
	expiry expiryQueue[broker.ID] // ids with a tombstone, and all flows, by when to look at them
}

// entry is what the index has for the id of a task: the record or, if that is nil, the
// tombstone.
type entry struct {
	record *record
	tombstone
}

// tombstone is the rest of a task that is over: the data by which a repeated call is
// recognised, and the outcome until its retention ends.
type tombstone struct {
	idUntil instant // when the id may be used again
	digest  uint32
	last    settled
	kept
}

// kept is what a look-up finds of a task that is over. It is zero if nothing is kept.
type kept struct {
	visibleUntil instant // until when it can be found
	queue        *queue
	outcome      []byte // encoded by package wire: bytes cost the garbage collector less than structs
	meta         map[string]string
}

// shard returns the shard of an id. All ids of a block are in one shard.
func (x *index) shard(id broker.ID) *shard {
	return &x.shards[id.Shard()%shardCount]
}

// find returns the record with the id, or nil and the tombstone. If there is neither, both
// are zero. The record may be over when its queue is locked: then its task is nil.
func (x *index) find(id broker.ID) (*record, tombstone) {
	s := x.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, _ := s.tasks.Get(id)
	return e.record, e.tombstone
}

// lock finds the record with the id and locks its queue. If there is no record, or only one
// that is over, it returns nil and the tombstone, and locks nothing.
func (x *index) lock(id broker.ID, now instant) (*record, tombstone) {
	r, grave := x.find(id)
	if r == nil {
		return nil, grave
	}
	r.queue.lock(now)
	if r.task != nil {
		return r, tombstone{}
	}
	r.queue.unlock() // it has ended since find
	_, grave = x.find(id)
	return nil, grave
}

// store puts the record of a new task into the index, unless refused is set. It reports
// whether the id is known: then nothing is stored, and the error is set if the id belongs to a
// task with other content.
func (x *index) store(r *record, refused bool, now instant) (known bool, err error) {
	s := x.shard(r.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if digest, ok := s.taken(r.id, now); ok {
		if digest == r.digest {
			return true, nil
		}
		return true, &broker.DuplicateError{ID: r.id, Holder: r.id}
	}
	if !refused {
		s.tasks.Put(r.id, entry{record: r})
	}
	return false, nil
}

// taken reports whether an id belongs to a task, and returns the digest of the task. s.mu is
// held.
func (s *shard) taken(id broker.ID, now instant) (digest uint32, ok bool) {
	e, ok := s.tasks.Get(id)
	if e.record != nil {
		return e.record.digest, true
	}
	return e.digest, ok && now < e.idUntil
}

// bury puts a tombstone in the place of a record.
func (x *index) bury(id broker.ID, grave tombstone) {
	s := x.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks.Put(id, entry{tombstone: grave})
	if grave.visibleUntil != 0 {
		s.expiry.add(grave.visibleUntil, id)
	} else {
		s.expiry.add(grave.idUntil, id)
	}
	x.sweep.set(s.expiry.next())
}

// forgetExpired looks at up to n ids that are due in the expiry queue, and forgets what is
// no longer kept. It returns how many it has looked at, and when more are due.
func (s *shard) forgetExpired(now instant, n int) (done int, next instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for done < n {
		ids := s.expiry.take(now, n-done)
		if len(ids) == 0 {
			break
		}
		done += len(ids)
		for _, id := range ids {
			s.expire(id, now)
			s.expireFlow(id, now)
		}
	}
	return done, s.expiry.next()
}

// expire forgets the parts of a tombstone that are no longer kept. The id may belong to
// another task by now.
func (s *shard) expire(id broker.ID, now instant) {
	e, ok := s.tasks.Get(id)
	switch {
	case !ok || e.record != nil:
	case e.idUntil <= now:
		s.tasks.Drop(id)
	case e.visibleUntil != 0 && e.visibleUntil <= now: // the outcome ends before the id may be used again
		e.kept = kept{}
		s.tasks.Put(id, e)
		s.expiry.add(e.idUntil, id)
	}
}
