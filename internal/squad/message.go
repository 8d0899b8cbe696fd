// Package squad has the messages by which an arbiter and minions agree that the
// members of a squad start together. They travel as posts, see broker.Squads: any
// of them may be lost, and both sides go on without after a while.
//
// An arbiter asks minions for numbers, then one after the other to hold places
// for a squad. When all do, it stores the members and assigns them; each minion
// says when it has as many as it holds places for. Then the arbiter decides that
// the squad starts, and tells them. A minion that hears nothing frees its places
// when their time is over; if it has members by then, it first decides that the
// squad does not start, which is final unless the arbiter was first.
package squad

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Kind says what a message is about.
type Kind uint8

// What an arbiter says.
const (
	Ask     Kind = 1 + iota // how many slots are free?
	Reserve                 // hold N places for the squad, for a time
	Free                    // the squad does not need its places, or does not start
	Go                      // the squad has started
)

// What a minion says.
const (
	Numbers Kind = 16 + iota // these are my slots
	Granted                  // N places are held
	Refused                  // they are not
	Ready                    // all N members are here
	Unfit                    // a member can't run here
	Vacant                   // slots have become free: ask again
)

// Message is one of them.
type Message struct {
	Kind  Kind
	Squad broker.ID     // the flow
	From  broker.ID     // where an answer goes to: an inbox, or the minion
	Round uint32        // of the arbiter's tries, to tell late answers
	N     int           // places
	Slots int           // of a minion: how many there are,
	Free  int           // of these, how many are free,
	Held  int           // and how many are held for squads that may not start
	For   time.Duration // how long places are held; of Ask, how long Vacant is of use
}

const (
	version = 1
	size    = 2 + 16 + 16 + 6*4
)

// Append appends the message as it is posted.
func (m *Message) Append(dst []byte) []byte {
	dst = append(dst, version, byte(m.Kind))
	dst = append(append(dst, m.Squad[:]...), m.From[:]...)
	for _, n := range []uint32{m.Round, uint32(m.N), uint32(m.Slots), uint32(m.Free), uint32(m.Held), uint32(m.For.Milliseconds())} {
		dst = binary.BigEndian.AppendUint32(dst, n)
	}
	return dst
}

// Parse reads what Append wrote; a newer version may have added to it. The error
// wraps [broker.ErrMalformed] or [broker.ErrVersion].
func Parse(b []byte) (m Message, err error) {
	switch {
	case len(b) == 0:
		return m, fmt.Errorf("%w: an empty post", broker.ErrMalformed)
	case b[0] != version:
		return m, fmt.Errorf("%w %d of a post", broker.ErrVersion, b[0])
	case len(b) < size:
		return m, fmt.Errorf("%w: a post of %d bytes", broker.ErrMalformed, len(b))
	}
	m.Kind = Kind(b[1])
	copy(m.Squad[:], b[2:18])
	copy(m.From[:], b[18:34])
	number := func(i int) int { return int(binary.BigEndian.Uint32(b[34+4*i:])) }
	m.Round, m.N, m.Slots, m.Free, m.Held = uint32(number(0)), number(1), number(2), number(3), number(4)
	m.For = time.Duration(number(5)) * time.Millisecond
	return m, nil
}
