package codec

import (
	"encoding/binary"
	"math"
	"strconv"
)

// number is a number in the input: a signed or unsigned integer or a float.
type number struct {
	kind numberKind
	bits uint64 // of the int64, the uint64 or the float64
}

type numberKind uint8

const (
	numInt  numberKind = iota
	numUint            // above the range of int64
	numFloat
)

// int returns the number as an int64, and false if it is none.
func (n number) int() (int64, bool) {
	switch n.kind {
	case numInt:
		return int64(n.bits), true
	case numFloat:
		// Both bounds are exact; 1<<63 itself is the first float out of range.
		if f := n.float(); f >= -1<<63 && f < 1<<63 && f == math.Trunc(f) {
			return int64(f), true
		}
	}
	return 0, false
}

// uint returns the number as a uint64, and false if it is none.
func (n number) uint() (uint64, bool) {
	switch n.kind {
	case numInt:
		return n.bits, int64(n.bits) >= 0
	case numFloat:
		if f := n.float(); f >= 0 && f < 1<<64 && f == math.Trunc(f) {
			return uint64(f), true
		}
		return 0, false
	}
	return n.bits, true
}

// float returns the number as the nearest float64.
func (n number) float() float64 {
	switch n.kind {
	case numInt:
		return float64(int64(n.bits))
	case numUint:
		return float64(n.bits)
	}
	return math.Float64frombits(n.bits)
}

// exactly reports whether f is the number, which a float is anyway.
func (n number) exactly(f float64) bool {
	back := number{numFloat, math.Float64bits(f)}
	switch n.kind {
	case numInt:
		i, ok := back.int()
		return ok && i == int64(n.bits)
	case numUint:
		u, ok := back.uint()
		return ok && u == n.bits
	}
	return true
}

func (n number) String() string {
	switch n.kind {
	case numInt:
		return strconv.FormatInt(int64(n.bits), 10)
	case numUint:
		return strconv.FormatUint(n.bits, 10)
	}
	return strconv.FormatFloat(n.float(), 'g', -1, 64)
}

func takeNumber(in []byte) (n number, rest []byte, err error) {
	if len(in) == 0 {
		return n, nil, ErrTruncated
	}
	code := in[0]
	if code < codeFixMap || code >= codeNegative {
		return number{bits: uint64(int64(int8(code)))}, in[1:], nil
	}
	var size int
	switch code {
	case codeUint8, codeInt8:
		size = 1
	case codeUint16, codeInt16:
		size = 2
	case codeUint32, codeInt32, codeFloat32:
		size = 4
	case codeUint64, codeInt64, codeFloat64:
		size = 8
	default:
		return n, nil, errMismatch
	}
	u, rest, ok := bigEndian(in[1:], size)
	if !ok {
		return n, nil, ErrTruncated
	}
	switch code {
	case codeInt8:
		u = uint64(int64(int8(u)))
	case codeInt16:
		u = uint64(int64(int16(u)))
	case codeInt32:
		u = uint64(int64(int32(u)))
	case codeUint64:
		if u > math.MaxInt64 {
			n.kind = numUint
		}
	case codeFloat32:
		n.kind, u = numFloat, math.Float64bits(float64(math.Float32frombits(uint32(u))))
	case codeFloat64:
		n.kind = numFloat
	}
	n.bits = u
	return n, rest, nil
}

// bigEndian returns the unsigned integer of that many bytes at the start of in.
func bigEndian(in []byte, size int) (u uint64, rest []byte, ok bool) {
	if len(in) < size {
		return 0, nil, false
	}
	switch size {
	case 1:
		u = uint64(in[0])
	case 2:
		u = uint64(binary.BigEndian.Uint16(in))
	case 4:
		u = uint64(binary.BigEndian.Uint32(in))
	case 8:
		u = binary.BigEndian.Uint64(in)
	}
	return u, in[size:], true
}
