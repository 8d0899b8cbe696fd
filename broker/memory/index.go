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

// shard is one part of the index. An id is in one of its maps at most.
type shard struct {
	mu      sync.Mutex
	records idblock.Map[*record]   // of tasks that are not over, and of dead letters
	graves  idblock.Map[tombstone] // of tasks that are over
	flows   shrinkmap.Map[broker.ID, *flow]
	kept    map[instant]*keptPages // what is kept of tasks that are over, by the end of its last minute
	expiry  expiryQueue[broker.ID] // ids with a tombstone, and all flows, by when to look at them
}

// tombstone is the rest of a task that is over: the data by which a repeated call is
// recognised, and the place of what a look-up finds. It has no pointers, so that millions of them
// cost the garbage collector nothing.
type tombstone struct {
	idUntil      instant   // when the id may be used again
	visibleUntil instant   // until when a look-up finds the task; 0 if nothing is kept
	kept         keptPlace // its place in shard.kept
	digest       uint32
	last         settled
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
	if r, _ := s.records.Get(id); r != nil {
		return r, tombstone{}
	}
	grave, _ := s.graves.Get(id)
	return nil, grave
}

// kept returns what is kept of a task that is over, and whether there is anything.
func (x *index) kept(id broker.ID, now instant) (k kept, ok bool) {
	s := x.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	grave, _ := s.graves.Get(id)
	if now >= grave.visibleUntil {
		return kept{}, false
	}
	return s.kept[minuteEnd(grave.visibleUntil)].get(grave.kept), true
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
		s.records.Put(r.id, r)
	}
	return false, nil
}

// taken reports whether an id belongs to a task, and returns the digest of the task. s.mu is
// held.
func (s *shard) taken(id broker.ID, now instant) (digest uint32, ok bool) {
	if r, _ := s.records.Get(id); r != nil {
		return r.digest, true
	}
	grave, ok := s.graves.Get(id)
	if ok && grave.idUntil <= now { // it has not been swept yet
		s.graves.Drop(id)
		return 0, false
	}
	return grave.digest, ok
}

// bury puts a tombstone in the place of a record. k is what a look-up finds until grave.visibleUntil.
func (x *index) bury(id broker.ID, grave tombstone, k kept) {
	s := x.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records.Drop(id)
	if grave.visibleUntil != 0 {
		grave.kept = s.keep(grave.visibleUntil, k)
		s.expiry.add(grave.visibleUntil, id)
	} else {
		s.expiry.add(grave.idUntil, id)
	}
	s.graves.Put(id, grave)
	x.sweep.set(s.expiry.next())
}

// keep adds what is kept of a task until an instant.
func (s *shard) keep(until instant, k kept) keptPlace {
	end := minuteEnd(until)
	pages := s.kept[end]
	if pages == nil {
		if s.kept == nil {
			s.kept = make(map[instant]*keptPages)
		}
		pages = &keptPages{}
		s.kept[end] = pages
	}
	return pages.add(k)
}

// forgetExpired looks at up to n ids that are due in the expiry queue, and forgets what is
// no longer kept. It returns how many it has looked at, and when more are due.
func (s *shard) forgetExpired(now instant, n int) (done int, next instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for done < n {
		end := s.expiry.next()
		ids := s.expiry.take(now, n-done)
		if len(ids) == 0 {
			break
		}
		delete(s.kept, end)
		done += len(ids)
		for _, id := range ids {
			s.expire(id, now)
			s.expireFlow(id, now)
		}
	}
	return done, s.expiry.next()
}

// expire forgets a tombstone, unless its id can't be used again yet. The id may belong to another task
// by now.
func (s *shard) expire(id broker.ID, now instant) {
	grave, ok := s.graves.Get(id)
	switch {
	case !ok:
	case grave.idUntil <= now:
		s.graves.Drop(id)
	case grave.visibleUntil != 0 && grave.visibleUntil <= now: // the outcome ends before the id may be used again
		grave.visibleUntil = 0
		s.graves.Put(id, grave)
		s.expiry.add(grave.idUntil, id)
	}
}
