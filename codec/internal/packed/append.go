package packed

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// extTime is the type of the msgpack extension for timestamps, -1.
const extTime byte = 0xff

// The append functions for values with a length fail if the length is over the limit of msgpack.

// AppendString appends a string.
func AppendString(dst []byte, s string) ([]byte, error) {
	if err := checkLen(len(s)); err != nil {
		return dst, err
	}
	return msgp.AppendString(dst, s), nil
}

func appendBytes(dst []byte, b []byte) ([]byte, error) {
	if err := checkLen(len(b)); err != nil {
		return dst, err
	}
	return msgp.AppendBytes(dst, b), nil
}

func appendBytesHead(dst []byte, n int) ([]byte, error) {
	if err := checkLen(n); err != nil {
		return dst, err
	}
	return msgp.AppendBytesHead(dst, n), nil
}

// AppendArrayHead appends the head of an array of n values.
func AppendArrayHead(dst []byte, n int) ([]byte, error) {
	if err := checkLen(n); err != nil {
		return dst, err
	}
	return msgp.AppendArrayHead(dst, n), nil
}

// AppendMapHead appends the head of a map of n entries.
func AppendMapHead(dst []byte, n int) ([]byte, error) {
	if err := checkLen(n); err != nil {
		return dst, err
	}
	return msgp.AppendMapHead(dst, n), nil
}

func checkLen(n int) error {
	if uint64(n) > msgp.MaxLen {
		return rules.Because(rules.ErrOverflow, "a length of %d overflows the 32 bits that msgpack has for it", n)
	}
	return nil
}

// appendTime appends a timestamp: 32 bits of seconds, 64 bits of seconds and nanoseconds, or 96 bits for a
// time before 1970 or after 2514.
func appendTime(dst []byte, t time.Time) []byte {
	seconds, nanoseconds := t.Unix(), uint64(t.Nanosecond())
	if uint64(seconds)>>34 != 0 {
		dst = append(dst, msgp.Ext8, 12, extTime)
		dst = binary.BigEndian.AppendUint32(dst, uint32(nanoseconds))
		return binary.BigEndian.AppendUint64(dst, uint64(seconds))
	}
	if both := nanoseconds<<34 | uint64(seconds); both > math.MaxUint32 {
		return binary.BigEndian.AppendUint64(append(dst, msgp.FixExt8, extTime), both)
	}
	return binary.BigEndian.AppendUint32(append(dst, msgp.FixExt4, extTime), uint32(seconds))
}
