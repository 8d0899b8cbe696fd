package redis

import (
	"encoding/binary"

	"github.com/go-arbiter/arbiter/broker"
)

// A look-up tells the metadata of a task in every state, and why it is retried. A
// pending task can't be found in its list, and what has ended has no message any
// more: so both are in a hash, for those tasks that have them. lua/about.lua says
// which field comes and goes when.

// note says where the metadata of a message is that is about to be stored.
type note struct {
	plain    bool // its place is among the plain messages, else among the others
	place    int
	from, to int    // in the message
	meta     []byte // itself, if its message is kept apart
}

// note notes the metadata of the task that was added last, of which this is the
// message.
func (p *part) note(t *broker.Task, record []byte, plain, apart bool) {
	if len(t.Meta) == 0 {
		return
	}
	n := note{plain: plain, place: len(p.plain)}
	if !plain {
		n.place = len(p.last)
	}
	if apart { // perhaps that of an earlier try is stored, with its metadata at another place
		n.meta = broker.AppendMeta(nil, t.Meta)[1:]
	} else {
		n.from, n.to = broker.MetaSpan(record)
	}
	p.notes = append(p.notes, n)
}

// metadata returns what the enqueue scripts are told of metadata.
func (p *part) metadata() []byte {
	dst := make([]byte, 1, 1+10*len(p.notes))
	for _, n := range p.notes {
		place := n.place
		if !n.plain {
			place += len(p.plain)
		}
		dst = binary.BigEndian.AppendUint16(dst, uint16(place))
		dst = binary.BigEndian.AppendUint32(dst, uint32(n.from))
		dst = binary.BigEndian.AppendUint32(dst, uint32(n.to-n.from+len(n.meta)))
		dst = append(dst, n.meta...)
	}
	return dst
}

// described reports whether the end of an attempt may change what is told of the
// task beside its state.
func described(s *broker.Settlement) bool {
	d := s.Delivery
	return d.Retried > 0 || s.Verb == broker.VerbRetry && s.Outcome.Err != nil || d.Retention == 0 && len(d.Meta) > 0
}
