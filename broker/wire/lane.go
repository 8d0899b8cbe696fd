package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// The message of a task with a lane has a section between head and body, which describes the
// lane. Scripts read it, so it is not in the body. docs/wire.md has the table.
//
// The section begins with its length (2 bytes) and the place in the order of submission (8 bytes),
// which the store sets. The lane follows.

// flagStop in a lane's second byte is Lane.StopOnFailure.
const flagStop = 1

// appendLane appends the section of a lane, with its length in front and the position 0.
func appendLane(dst []byte, l *broker.Lane) []byte {
	from := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	var flags byte
	if l.StopOnFailure {
		flags = flagStop
	}
	dst = append(dst, l.Priority, flags)
	dst = appendShort(dst, l.Key)
	dst = appendShort(dst, l.Sequence)
	dst = append(dst, byte(len(l.Limits)))
	for _, c := range l.Limits {
		dst = appendShort(appendShort(dst, c.Limit), c.Key)
	}
	for _, c := range l.Limits {
		dst = binary.BigEndian.AppendUint32(dst, c.Cost)
	}
	binary.BigEndian.PutUint16(dst[from:], uint16(len(dst)-from-2))
	return dst
}

// appendShort appends a text of at most 255 bytes with its length in front.
func appendShort(dst []byte, s string) []byte { return append(append(dst, byte(len(s))), s...) }

// takeLane reads the section of a lane.
func takeLane(in []byte) (l *broker.Lane, rest []byte, err error) {
	bad := func(what string) (*broker.Lane, []byte, error) {
		return nil, nil, fmt.Errorf("%w: lane: %s", broker.ErrMalformed, what)
	}
	if len(in) < 2 {
		return bad("its length is missing")
	}
	n := int(binary.BigEndian.Uint16(in))
	if in = in[2:]; len(in) < n || n < 13 {
		return bad(fmt.Sprintf("a length of %d in %d bytes", n, len(in)))
	}
	in, rest = in[8:n], in[n:]
	l = &broker.Lane{Priority: in[0], StopOnFailure: in[1]&flagStop != 0}
	in = in[2:]
	var ok bool
	short := func() (s string) {
		if s, in, ok = takeShort(in); !ok {
			in = nil
		}
		return s
	}
	if l.Key = short(); !ok {
		return bad("its key ends too early")
	}
	if l.Sequence = short(); !ok || len(in) == 0 {
		return bad("its sequence ends too early")
	}
	many := int(in[0])
	in = in[1:]
	if many > broker.MaxCharges {
		return bad(fmt.Sprintf("%d limits", many))
	}
	if many > 0 {
		l.Limits = make([]broker.Charge, many)
	}
	for i := range l.Limits {
		if l.Limits[i].Limit = short(); !ok {
			return bad("the name of a limit ends too early")
		}
		if l.Limits[i].Key = short(); !ok {
			return bad("the key of a limit ends too early")
		}
	}
	if len(in) != 4*many {
		return bad(fmt.Sprintf("%d bytes for %d costs", len(in), many))
	}
	for i := range l.Limits {
		l.Limits[i].Cost = binary.BigEndian.Uint32(in[4*i:])
	}
	return l, rest, nil
}

// takeShort reads a text with its length in front.
func takeShort(in []byte) (s string, rest []byte, ok bool) {
	if len(in) == 0 || len(in) <= int(in[0]) {
		return "", nil, false
	}
	n := int(in[0])
	return string(in[1 : 1+n]), in[1+n:], true
}
