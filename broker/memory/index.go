package memory

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// index leads from ids to records. It is cut in shards, each with a lock of its
// own, because every operation passes here.
type index struct {
	shards [shardCount]shard
	sweep  *alarm // rings when a shard has something to sweep
}

// shardCount is a power of two.
const shardCount = 64

// shard is one part of the index.
type shard struct {
	mu     sync.Mutex
	tasks  roll
	flows  table[broker.ID, *flow]
	agenda agenda[broker.ID]  // of what is final, and of all flows
	arenas map[instant]*arena // the outcomes of tombstones, by the end of their minute
}

// tombstone is what is left of a task: enough to answer those who repeat
// themselves, and where its outcome is. It has no pointers, so millions of them
// are cheap.
type tombstone struct {
	kept    instant // until when the outcome is there to see; 0 if there is none
	until   instant // when the id may be used again
	outcome place
	digest  uint32
	last    settled
}

func (x *index) init(sweep *alarm) {
	x.sweep = sweep
	for i := range x.shards {
		s := &x.shards[i]
		s.flows = newTable[broker.ID, *flow]()
		s.arenas = map[instant]*arena{}
	}
}

// shard returns where an id belongs. Bytes 10 to 14 are random; the last one is
// not used, so ids that differ in it only are found together.
func (x *index) shard(id broker.ID) *shard {
	h := binary.BigEndian.Uint32(id[10:14]) ^ uint32(id[14])
	h ^= h >> 16
	h ^= h >> 8
	return &x.shards[h%shardCount]
}

// find returns the record with the id, or nil and the tombstone. Both are zero if
// there is neither.
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

// final returns what is kept of a task that has a tombstone; an empty queue says
// that nothing is.
func (x *index) final(id broker.ID, now instant) (queue string, o *broker.Outcome, meta map[string]string) {
	s := x.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.tasks.get(id); e != nil && now < e.kept {
		return s.arenas[minuteEnd(e.kept)].get(e.outcome)
	}
	return "", nil, nil
}

// taken returns the digest of the task that an id belongs to, if to any.
func (s *shard) taken(id broker.ID, now instant) (digest uint32, ok bool) {
	e := s.tasks.get(id)
	if e == nil {
		return 0, false
	}
	digest, until := e.digest, e.until
	if r := s.tasks.record(e); r != nil {
		digest, until = r.digest, r.forgotten
	}
	if now >= until {
		s.tasks.drop(id)
		return 0, false
	}
	return digest, true
}

// add makes a record known whose id is not taken.
func (s *shard) add(r *record) { s.tasks.add(r) }

// retire notes until when a record that is final is kept: for keep, and its id
// for at least as long as ids are remembered. A tombstone takes its place, with the
// record of the outcome and the metadata, unless the outcome is nil: then they stay
// with the record.
func (x *index) retire(r *record, outcome []byte, meta map[string]string, now instant, keep time.Duration) {
	s := x.shard(r.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	r.kept = now.plus(keep)
	r.forgotten = now.plus(max(keep, broker.MinTombstone))
	switch {
	case keep <= 0:
		s.bury(r)
	case outcome == nil:
		s.agenda.add(r.kept, r.id)
	default:
		end := minuteEnd(r.kept)
		a := s.arenas[end]
		if a == nil {
			a = &arena{}
			s.arenas[end] = a
		}
		s.tasks.bury(r.entry, tombstone{
			kept: r.kept, until: r.forgotten, outcome: a.add(r.queue.name, outcome, meta), digest: r.digest, last: r.last,
		})
		s.agenda.add(r.kept, r.id)
	}
	x.sweep.set(s.agenda.next())
}

// revive takes back what retire noted. It reports false if that is too late.
func (x *index) revive(r *record) bool {
	s := x.shard(r.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.entry == nil {
		return false
	}
	r.kept, r.forgotten = never, never
	return true
}

// bury puts a tombstone in the place of a record.
func (s *shard) bury(r *record) {
	s.tasks.bury(r.entry, tombstone{until: r.forgotten, digest: r.digest, last: r.last})
	s.agenda.add(r.forgotten, r.id)
}

// tidy sweeps up to n entries whose time has passed. It returns how many it
// looked at, and when there will be more to do.
func (s *shard) tidy(now instant, n int) (done int, next instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for end := range s.arenas {
		if end <= now {
			delete(s.arenas, end)
		}
	}
	for done < n {
		ids := s.agenda.take(now, n-done)
		if len(ids) == 0 {
			break
		}
		done += len(ids)
		for _, id := range ids {
			s.expire(id, now)
			s.expireFlow(id, now)
		}
	}
	return done, s.agenda.next()
}

// expire drops what is over of an id. The agenda may name one more than once,
// or one that lives again.
func (s *shard) expire(id broker.ID, now instant) {
	e := s.tasks.get(id)
	if e == nil {
		return
	}
	if r := s.tasks.record(e); r != nil {
		switch {
		case r.kept > now:
		case r.forgotten > now:
			s.bury(r)
		default:
			s.tasks.drop(id)
		}
		return
	}
	switch {
	case e.until <= now:
		s.tasks.drop(id)
	case e.kept != 0 && e.kept <= now: // the id outlives the outcome
		e.kept = 0
		s.agenda.add(e.until, id)
	}
}
