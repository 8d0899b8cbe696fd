package packed

import (
	"math"
	"strconv"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// number is a decoded number: a signed or unsigned integer or a float.
type number struct {
	kind numberKind
	bits uint64 // the bits of the int64, the uint64 or the float64
}

type numberKind uint8

const (
	numInt  numberKind = iota
	numUint            // above the range of int64
	numFloat
)

// int returns the number as an int64, and false if an int64 can't hold it.
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

// uint returns the number as a uint64, and false if a uint64 can't hold it.
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

// exactly reports whether f equals the number. A float always does, since it was rounded on purpose.
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
		return n, nil, rules.ErrTruncated
	}
	switch in[0] {
	case msgp.Float32, msgp.Float64:
		return takeFloat(in)
	case msgp.Uint64:
		if n.bits, rest, err = msgp.TakeInt(in); n.bits > math.MaxInt64 {
			n.kind = numUint
		}
		return n, rest, err
	}
	n.bits, rest, err = msgp.TakeInt(in)
	return n, rest, err
}

func takeFloat(in []byte) (n number, rest []byte, err error) {
	size := 8
	if in[0] == msgp.Float32 {
		size = 4
	}
	u, rest, ok := msgp.BigEndian(in[1:], size)
	if !ok {
		return n, nil, rules.ErrTruncated
	}
	if size == 4 {
		u = math.Float64bits(float64(math.Float32frombits(uint32(u))))
	}
	return number{numFloat, u}, rest, nil
}
