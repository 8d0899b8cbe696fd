package msgp

import (
	"encoding/binary"
	"math"
)

// The append functions add one value, or the head of one, in its shortest form.

// MaxLen is the longest string, bytes, array or map that msgpack has a length
// for. Callers that may have longer ones look at it first.
const MaxLen = math.MaxUint32

// AppendNil adds nil.
func AppendNil(dst []byte) []byte { return append(dst, Nil) }

// AppendBool adds a bool.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, True)
	}
	return append(dst, False)
}

// AppendInt adds an integer; one that is not negative like AppendUint.
func AppendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return AppendUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, Int8, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, Int16), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, Int32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, Int64), uint64(n))
}

// AppendUint adds an integer.
func AppendUint(dst []byte, n uint64) []byte {
	switch {
	case n <= math.MaxInt8:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, Uint8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, Uint16), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, Uint32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, Uint64), n)
}

// AppendFloat32 adds a float of 32 bits.
func AppendFloat32(dst []byte, f float32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, Float32), math.Float32bits(f))
}

// AppendFloat64 adds a float of 64 bits.
func AppendFloat64(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, Float64), math.Float64bits(f))
}

// AppendString adds a string.
func AppendString(dst []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		dst = append(dst, FixStr|byte(n))
	case n <= math.MaxUint8:
		dst = append(dst, Str8, byte(n))
	default:
		dst = appendLen(dst, n, Str16, Str32)
	}
	return append(dst, s...)
}

// AppendBytes adds bytes.
func AppendBytes(dst, b []byte) []byte {
	return append(AppendBytesHead(dst, len(b)), b...)
}

// AppendBytesHead adds what comes before n bytes.
func AppendBytesHead(dst []byte, n int) []byte {
	if n <= math.MaxUint8 {
		return append(dst, Bin8, byte(n))
	}
	return appendLen(dst, n, Bin16, Bin32)
}

// AppendArrayHead adds what comes before the n values of an array.
func AppendArrayHead(dst []byte, n int) []byte {
	if n < 16 {
		return append(dst, FixArray|byte(n))
	}
	return appendLen(dst, n, Array16, Array32)
}

// AppendMapHead adds what comes before the n keys and values of a map.
func AppendMapHead(dst []byte, n int) []byte {
	if n < 16 {
		return append(dst, FixMap|byte(n))
	}
	return appendLen(dst, n, Map16, Map32)
}

// appendLen adds one of the two codes and the length n.
func appendLen(dst []byte, n int, code16, code32 byte) []byte {
	if n <= math.MaxUint16 {
		return binary.BigEndian.AppendUint16(append(dst, code16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, code32), uint32(n))
}
