package redis

import (
	"encoding/binary"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// This file tells the enqueue scripts where the metadata of each task is, so that they can
// copy it to the hash about.
//
// A look-up returns the metadata of a task in every state, and the last failure of a
// task that is retried. Neither can be read from the message: a list has no index by id, so
// the message of a pending task can't be found, and a final task has no message. So
// the hash about has both, for those tasks that have them. Sending the metadata a second
// time would be a waste, so the script is told the offset and cuts it out of the message.
// lua/about.lua lists the fields, and when each is written and removed.

// note is the location of the metadata of one message that is about to be stored.
type note struct {
	plain    bool   // whether index counts the plain messages of the part; else the other ones
	index    int    // index among these
	from, to int    // where the metadata is in the message
	meta     []byte // the metadata itself, for a large record, whose message the script does not see
}

// note notes the metadata of t, the task that was added to the part last. Record is the
// record of t; large says that it is a large record, stored under a key of its own.
func (p *part) note(t *broker.Task, record []byte, plain, large bool) {
	if len(t.Meta) == 0 {
		return
	}
	n := note{plain: plain, index: len(p.plain)}
	if !plain {
		n.index = len(p.last)
	}
	if large { // an earlier try may have stored the record with the metadata at another offset
		n.meta = wire.AppendMeta(nil, t.Meta)[1:]
	} else {
		n.from, n.to = wire.MetaSpan(record)
	}
	p.notes = append(p.notes, n)
}

// metadata returns the argument that tells the enqueue scripts where metadata is: a zero
// byte, then for each note the number of its message (2), the offset (4) and the length (4),
// and the metadata itself if the offset is 0.
func (p *part) metadata() []byte {
	dst := make([]byte, 1, 1+10*len(p.notes))
	for _, n := range p.notes {
		index := n.index
		if !n.plain {
			index += len(p.plain)
		}
		dst = binary.BigEndian.AppendUint16(dst, uint16(index))
		dst = binary.BigEndian.AppendUint32(dst, uint32(n.from))
		dst = binary.BigEndian.AppendUint32(dst, uint32(n.to-n.from+len(n.meta)))
		dst = append(dst, n.meta...)
	}
	return dst
}

// described reports whether the settlement s may have to change the hash about: it removes
// or replaces the last failure, or it removes metadata together with an outcome that is not
// kept.
func described(s *broker.Settlement) bool {
	d := s.Delivery
	return d.Retried > 0 || s.Verb == broker.VerbRetry && s.Outcome.Err != nil || d.Retention == 0 && len(d.Meta) > 0
}
