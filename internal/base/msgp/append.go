package msgp

import (
	"encoding/binary"
	"math"
)

// The append functions append one value, or the head of one, in its shortest form.

// MaxLen is the longest string, bytes, array or map that msgpack can represent. Callers that may have longer ones
// check the length first.
const MaxLen = math.MaxUint32

// AppendNil appends nil.
func AppendNil(dst []byte) []byte { return append(dst, Nil) }

// AppendBool appends a bool.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, True)
	}
	return append(dst, False)
}

// AppendInt appends an integer. If it is not negative, the encoding is that of AppendUint.
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

// AppendUint appends an unsigned integer.
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

// AppendFloat32 appends a float of 32 bits.
func AppendFloat32(dst []byte, f float32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, Float32), math.Float32bits(f))
}

// AppendFloat64 appends a float of 64 bits.
func AppendFloat64(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, Float64), math.Float64bits(f))
}

// AppendString appends a string.
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

// AppendBytes appends binary data.
func AppendBytes(dst, b []byte) []byte {
	return append(AppendBytesHead(dst, len(b)), b...)
}

// AppendBytesHead appends the head of n bytes of binary data. The caller appends the bytes.
func AppendBytesHead(dst []byte, n int) []byte {
	if n <= math.MaxUint8 {
		return append(dst, Bin8, byte(n))
	}
	return appendLen(dst, n, Bin16, Bin32)
}

// AppendArrayHead appends the head of an array. The caller appends its n values.
func AppendArrayHead(dst []byte, n int) []byte {
	if n < 16 {
		return append(dst, FixArray|byte(n))
	}
	return appendLen(dst, n, Array16, Array32)
}

// AppendMapHead appends the head of a map. The caller appends its n keys and values.
func AppendMapHead(dst []byte, n int) []byte {
	if n < 16 {
		return append(dst, FixMap|byte(n))
	}
	return appendLen(dst, n, Map16, Map32)
}

// appendLen appends the length n after one of the two codes, with 16 or 32 bits.
func appendLen(dst []byte, n int, code16, code32 byte) []byte {
	if n <= math.MaxUint16 {
		return binary.BigEndian.AppendUint16(append(dst, code16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, code32), uint32(n))
}
