package memory

import (
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The index finds tasks and flows by their ids. It keeps a record for each task that is not
// final, and for each dead letter. When a task ends, a tombstone takes the place of its
// record: a few numbers without pointers, by which a repeated enqueue or settlement is
// recognised. The outcome goes to an arena. An expiry queue says when an outcome, and later
// the tombstone, is to be forgotten.

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
	tasks  taskTable
	flows  shrinkMap[broker.ID, *flow]
	expiry expiryQueue[broker.ID] // ids of final tasks, and of all flows, by when to look at them
	arenas map[instant]*arena     // the outcomes of tombstones, by the end of the minute of tombstone.visibleUntil
}

// tombstone is the rest of a task that has ended: the data by which a repeated call is
// recognised, and the place of its outcome. It has no pointers, so millions of them cost
// the garbage collector nothing.
type tombstone struct {
	visibleUntil instant // until when the outcome can be found; 0 if there is none
	idUntil      instant // when the id may be used again
	outcome      arenaPos
	digest       uint32
	last         settled
}

func (x *index) init(sweep *alarm) {
	x.sweep = sweep
	for i := range x.shards {
		s := &x.shards[i]
		s.flows = newShrinkMap[broker.ID, *flow]()
		s.arenas = map[instant]*arena{}
	}
}

// shard returns the shard of an id. All ids of a block are in one shard.
func (x *index) shard(id broker.ID) *shard {
	return &x.shards[id.Shard()%shardCount]
}

// find returns the record with the id, or nil and the tombstone. If there is neither, both
// are zero.
func (x *index) find(id broker.ID) (*record, tombstone) {
	s := x.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.tasks.get(id)
	if e == nil {
		return nil, tombstone{}
	}
	return s.tasks.record(e), e.tombstone
}

// final returns the queue, outcome and metadata of a task that has a tombstone. If they are
// no longer kept, the outcome is nil.
func (x *index) final(id broker.ID, now instant) (queue string, o *broker.Outcome, meta map[string]string) {
	s := x.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.tasks.get(id); e != nil && now < e.visibleUntil {
		return s.arenas[minuteEnd(e.visibleUntil)].get(e.outcome)
	}
	return "", nil, nil
}

// taken reports whether an id belongs to a task, and returns the digest of the task.
func (s *shard) taken(id broker.ID, now instant) (digest uint32, ok bool) {
	e := s.tasks.get(id)
	if e == nil {
		return 0, false
	}
	digest, until := e.digest, e.idUntil
	if r := s.tasks.record(e); r != nil {
		digest, until = r.digest, r.idUntil
	}
	if now >= until {
		s.tasks.drop(id)
		return 0, false
	}
	return digest, true
}

// add adds a record whose id is not taken.
func (s *shard) add(r *record) { s.tasks.add(r) }

// keepFinal sets until when a final task is kept: its outcome for keep, and its id at least
// for broker.MinTombstone. If outcome is not nil, a tombstone takes the place of the
// record, and the outcome and the metadata go to an arena. If it is nil, they stay with the
// record, which is a dead letter.
func (x *index) keepFinal(r *record, outcome []byte, meta map[string]string, now instant, keep time.Duration) {
	s := x.shard(r.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	r.visibleUntil = now.plus(keep)
	r.idUntil = now.plus(max(keep, broker.MinTombstone))
	switch {
	case keep <= 0:
		s.bury(r)
	case outcome == nil:
		s.expiry.add(r.visibleUntil, r.id)
	default:
		end := minuteEnd(r.visibleUntil)
		a := s.arenas[end]
		if a == nil {
			a = &arena{}
			s.arenas[end] = a
		}
		s.tasks.bury(r.entry, tombstone{
			visibleUntil: r.visibleUntil, idUntil: r.idUntil, outcome: a.add(r.queue.name, outcome, meta), digest: r.digest, last: r.last,
		})
		s.expiry.add(r.visibleUntil, r.id)
	}
	x.sweep.set(s.expiry.next())
}

// revive takes back keepFinal, for a requeue. It reports false if the record is no longer
// kept.
func (x *index) revive(r *record) bool {
	s := x.shard(r.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.entry == nil {
		return false
	}
	r.visibleUntil, r.idUntil = never, never
	return true
}

// bury replaces a record by a tombstone without an outcome.
func (s *shard) bury(r *record) {
	s.tasks.bury(r.entry, tombstone{idUntil: r.idUntil, digest: r.digest, last: r.last})
	s.expiry.add(r.idUntil, r.id)
}

// forgetExpired looks at up to n ids that are due in the expiry queue, and forgets what is
// no longer kept. It returns how many it has looked at, and when more are due.
func (s *shard) forgetExpired(now instant, n int) (done int, next instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for end := range s.arenas {
		if end <= now {
			delete(s.arenas, end)
		}
	}
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

// expire forgets the parts of a task that are no longer kept. The expiry queue may have an id
// more than once, and may have the id of a dead letter that was requeued.
func (s *shard) expire(id broker.ID, now instant) {
	e := s.tasks.get(id)
	if e == nil {
		return
	}
	if r := s.tasks.record(e); r != nil {
		switch {
		case r.visibleUntil > now:
		case r.idUntil > now:
			s.bury(r)
		default:
			s.tasks.drop(id)
		}
		return
	}
	switch {
	case e.idUntil <= now:
		s.tasks.drop(id)
	case e.visibleUntil != 0 && e.visibleUntil <= now: // the outcome ends before the id may be used again
		e.visibleUntil = 0
		s.expiry.add(e.idUntil, id)
	}
}
