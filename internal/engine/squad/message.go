package squad

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Kind is the kind of a message.
type Kind uint8

// Messages of an arbiter.
const (
	Ask     Kind = 1 + iota // how many slots are free?
	Reserve                 // reserve N slots for the squad, for the time For
	Free                    // release the slots of the squad: it does not need them or does not start
	Go                      // the squad has started
)

// Messages of a minion.
const (
	Numbers Kind = 16 + iota // the answer to Ask
	Granted                  // N slots are reserved
	Refused                  // they are not
	Ready                    // all N members have arrived
	Unfit                    // this minion can't run a member
	Vacant                   // slots have become free: ask again
)

// Message is a message of either kind.
type Message struct {
	Kind     Kind
	Squad    broker.ID // id of the group
	From     broker.ID // the sender, to which an answer is posted: an inbox or a minion
	Round    uint32    // number of the arbiter's try, to recognize late answers
	N        int       // a number of slots or members
	Slots    int       // slots of a minion in total
	Free     int       // free slots of a minion
	Reserved int       // slots of a minion that are reserved for squads that may not start
	// For is how long slots are reserved (Reserve), or how long a later Vacant is of use (Ask).
	For time.Duration
	// Each is how many slots each member takes (Ask, Reserve); 0 is one. See [Message.Takes].
	Each int
}

// Takes returns how many slots each member takes at a minion with that many slots: all of
// them, if the minion has fewer than the member wants.
func (m *Message) Takes(slots int) int { return takes(m.Each, slots) }

func takes(each, slots int) int { return max(min(each, slots), 1) }

const (
	version = 1
	size    = 2 + 16 + 16 + 6*4
)

// Append appends the encoded message to dst.
func (m *Message) Append(dst []byte) []byte {
	dst = append(dst, version, byte(m.Kind))
	dst = append(append(dst, m.Squad[:]...), m.From[:]...)
	for _, n := range []uint32{m.Round, uint32(m.N), uint32(m.Slots), uint32(m.Free), uint32(m.Reserved), uint32(m.For.Milliseconds())} {
		dst = binary.BigEndian.AppendUint32(dst, n)
	}
	if m.Each != 0 {
		dst = binary.BigEndian.AppendUint32(dst, uint32(m.Each))
	}
	return dst
}

// Parse decodes a message. A newer version may have appended fields, which are ignored. The
// error wraps [broker.ErrMalformed] or [broker.ErrVersion].
func Parse(b []byte) (m Message, err error) {
	switch {
	case len(b) == 0:
		return m, fmt.Errorf("%w: an empty message of a squad", broker.ErrMalformed)
	case b[0] != version:
		return m, fmt.Errorf("%w %d of a message of a squad", broker.ErrVersion, b[0])
	case len(b) < size:
		return m, fmt.Errorf("%w: a message of a squad with %d bytes", broker.ErrMalformed, len(b))
	}
	m.Kind = Kind(b[1])
	copy(m.Squad[:], b[2:18])
	copy(m.From[:], b[18:34])
	number := func(i int) int { return int(binary.BigEndian.Uint32(b[34+4*i:])) }
	m.Round, m.N, m.Slots, m.Free, m.Reserved = uint32(number(0)), number(1), number(2), number(3), number(4)
	m.For = time.Duration(number(5)) * time.Millisecond
	if len(b) >= size+4 {
		m.Each = number(6)
	}
	return m, nil
}
