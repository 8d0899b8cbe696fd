package packed

import (
	"encoding/binary"
	"time"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// takeTime decodes a timestamp. The time is in UTC, so it does not depend on the receiver's time zone.
func takeTime(in []byte) (t time.Time, rest []byte, err error) {
	kind, body, rest, err := msgp.TakeExt(in)
	if err != nil {
		return t, nil, err
	}
	if kind != extTime {
		return t, nil, rules.Because(rules.ErrType, "found an extension of the unknown type %d", int8(kind))
	}
	var seconds, nanoseconds uint64
	switch len(body) {
	case 4:
		seconds = uint64(binary.BigEndian.Uint32(body))
	case 8:
		both := binary.BigEndian.Uint64(body)
		seconds, nanoseconds = both&(1<<34-1), both>>34
	case 12:
		nanoseconds = uint64(binary.BigEndian.Uint32(body))
		seconds = binary.BigEndian.Uint64(body[4:])
	default:
		return t, nil, rules.Because(rules.ErrSyntax, "a timestamp of %d bytes", len(body))
	}
	if nanoseconds >= 1e9 {
		return t, nil, rules.Because(rules.ErrSyntax, "a timestamp with a second of nanoseconds or more")
	}
	return time.Unix(int64(seconds), int64(nanoseconds)).UTC(), rest, nil
}
