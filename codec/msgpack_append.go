package codec

import (
	"encoding/binary"
	"math"
	"time"
)

// The first bytes of msgpack values. The msgpack library has them as variables,
// which cannot be the cases of a switch.
const (
	codeFixMap   byte = 0x80 // to 0x8f
	codeFixArray byte = 0x90 // to 0x9f
	codeFixStr   byte = 0xa0 // to 0xbf
	codeNil      byte = 0xc0
	codeNever    byte = 0xc1 // begins no value
	codeFalse    byte = 0xc2
	codeTrue     byte = 0xc3
	codeBin8     byte = 0xc4
	codeBin16    byte = 0xc5
	codeBin32    byte = 0xc6
	codeExt8     byte = 0xc7
	codeExt16    byte = 0xc8
	codeExt32    byte = 0xc9
	codeFloat32  byte = 0xca
	codeFloat64  byte = 0xcb
	codeUint8    byte = 0xcc
	codeUint16   byte = 0xcd
	codeUint32   byte = 0xce
	codeUint64   byte = 0xcf
	codeInt8     byte = 0xd0
	codeInt16    byte = 0xd1
	codeInt32    byte = 0xd2
	codeInt64    byte = 0xd3
	codeFixExt1  byte = 0xd4
	codeFixExt2  byte = 0xd5
	codeFixExt4  byte = 0xd6
	codeFixExt8  byte = 0xd7
	codeFixExt16 byte = 0xd8
	codeStr8     byte = 0xd9
	codeStr16    byte = 0xda
	codeStr32    byte = 0xdb
	codeArray16  byte = 0xdc
	codeArray32  byte = 0xdd
	codeMap16    byte = 0xde
	codeMap32    byte = 0xdf
	codeNegative byte = 0xe0 // to 0xff: -32 to -1
)

// extTime is the type of the extension that is a timestamp: -1.
const extTime byte = 0xff

// The append functions add one value, or the head of one, in its shortest form.

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, codeTrue)
	}
	return append(dst, codeFalse)
}

func appendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, codeInt8, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, codeInt16), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, codeInt32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeInt64), uint64(n))
}

func appendUint(dst []byte, n uint64) []byte {
	switch {
	case n <= math.MaxInt8:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, codeUint8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, codeUint16), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, codeUint32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeUint64), n)
}

func appendFloat32(dst []byte, f float32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, codeFloat32), math.Float32bits(f))
}

func appendFloat64(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, codeFloat64), math.Float64bits(f))
}

func appendString(dst []byte, s string) ([]byte, error) {
	var err error
	switch n := len(s); {
	case n < 32:
		dst = append(dst, codeFixStr|byte(n))
	case n <= math.MaxUint8:
		dst = append(dst, codeStr8, byte(n))
	default:
		dst, err = appendLen(dst, n, codeStr16, codeStr32)
	}
	if err != nil {
		return dst, err
	}
	return append(dst, s...), nil
}

func appendBytes(dst []byte, b []byte) ([]byte, error) {
	dst, err := appendBytesHead(dst, len(b))
	if err != nil {
		return dst, err
	}
	return append(dst, b...), nil
}

func appendBytesHead(dst []byte, n int) ([]byte, error) {
	if n <= math.MaxUint8 {
		return append(dst, codeBin8, byte(n)), nil
	}
	return appendLen(dst, n, codeBin16, codeBin32)
}

func appendArrayHead(dst []byte, n int) ([]byte, error) {
	if n < 16 {
		return append(dst, codeFixArray|byte(n)), nil
	}
	return appendLen(dst, n, codeArray16, codeArray32)
}

func appendMapHead(dst []byte, n int) ([]byte, error) {
	if n < 16 {
		return append(dst, codeFixMap|byte(n)), nil
	}
	return appendLen(dst, n, codeMap16, codeMap32)
}

// appendLen adds one of the two codes and the length n.
func appendLen(dst []byte, n int, code16, code32 byte) ([]byte, error) {
	switch {
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, code16), uint16(n)), nil
	case uint64(n) <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, code32), uint32(n)), nil
	}
	return dst, because(ErrOverflow, "a length of %d overflows the 32 bits that msgpack has for it", n)
}

// appendTime adds a timestamp: 32 bits of seconds, 64 bits of seconds and
// nanoseconds, or 96 bits for a time before 1970 or after 2514.
func appendTime(dst []byte, t time.Time) []byte {
	seconds, nanoseconds := t.Unix(), uint64(t.Nanosecond())
	if uint64(seconds)>>34 != 0 {
		dst = append(dst, codeExt8, 12, extTime)
		dst = binary.BigEndian.AppendUint32(dst, uint32(nanoseconds))
		return binary.BigEndian.AppendUint64(dst, uint64(seconds))
	}
	if both := nanoseconds<<34 | uint64(seconds); both > math.MaxUint32 {
		return binary.BigEndian.AppendUint64(append(dst, codeFixExt8, extTime), both)
	}
	return binary.BigEndian.AppendUint32(append(dst, codeFixExt4, extTime), uint32(seconds))
}
