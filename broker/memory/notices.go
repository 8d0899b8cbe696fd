package memory

import (
	"slices"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/base/slab"
)

// noticeBatch collects notices while a queue is locked, and puts them into the inboxes
// afterwards. A notice carries the encoded outcome, and the index keeps a copy of these
// bytes, so an outcome is encoded only once.
type noticeBatch struct {
	followers *followers
	size      int // how many notices are expected
	list      []broker.Notice
	runs      []noticeRun // consecutive notices to the same inbox
	encoded   slab.Bytes  // memory of the outcomes
}

type noticeRun struct {
	inbox broker.ID
	end   int // index in list of the first one after the run
}

// newNoticeBatch returns a batch for about n notices.
func newNoticeBatch(b *Broker, n int) noticeBatch {
	return noticeBatch{followers: &b.followers, size: n, encoded: slab.Bytes{Left: n}}
}

// usualOutcome is about the size of an encoded outcome without the result.
const usualOutcome = 96

// encode encodes an outcome.
func (p *noticeBatch) encode(o *broker.Outcome) []byte {
	return p.encoded.Keep(wire.AppendOutcome(p.encoded.RoomFor(usualOutcome+len(o.Result)), o))
}

// add adds a notice for the inbox of a task, if it has one, and for each inbox that follows
// the task.
func (p *noticeBatch) add(inbox, id broker.ID, encoded []byte) {
	if !inbox.IsZero() {
		p.push(inbox, id, encoded)
	}
	for _, other := range p.followers.take(id) {
		if other != inbox {
			p.push(other, id, encoded)
		}
	}
}

func (p *noticeBatch) push(inbox, id broker.ID, encoded []byte) {
	if p.list == nil {
		p.list = make([]broker.Notice, 0, p.size)
	}
	p.list = append(p.list, broker.Notice{ID: id, Record: encoded})
	if n := len(p.runs); n > 0 && p.runs[n-1].inbox == inbox {
		p.runs[n-1].end = len(p.list)
	} else {
		p.runs = append(p.runs, noticeRun{inbox, len(p.list)})
	}
}

// deliver puts the notices into the inboxes. No lock is held.
func (p *noticeBatch) deliver(b *Broker) {
	at := 0
	for _, run := range p.runs {
		notices := p.list[at:run.end:run.end]
		openings := b.inboxes.get(run.inbox)
		for i, in := range openings {
			if i < len(openings)-1 { // each opening owns its list, and the last one gets this one
				in.put(slices.Clone(notices))
			} else {
				in.put(notices)
			}
		}
		at = run.end
	}
}
