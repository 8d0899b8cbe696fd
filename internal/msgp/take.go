package msgp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The take functions are the reverse of the append functions: they return the
// first value of in, or of its head, and the bytes after it.

// The errors of take functions.
var (
	// ErrMismatch: the value is of another type. The caller, who knows what it
	// wants, explains it.
	ErrMismatch = errors.New("mismatch")
	// ErrTruncated: the input ends inside the value.
	ErrTruncated = errors.New("truncated input")
	// ErrSyntax: the byte at the front begins no value.
	ErrSyntax = errors.New("malformed input")
	// ErrTooDeep: the value is nested deeper than MaxDepth.
	ErrTooDeep = errors.New("nested too deeply")
)

// ErrNever is the ErrSyntax of the one byte that begins no value.
var ErrNever error = never{}

type never struct{}

func (never) Error() string { return "malformed input: byte 0xc1" }
func (never) Unwrap() error { return ErrSyntax }

// tooLong is the ErrTruncated of a length that the rest of the input cannot have.
type tooLong struct {
	length uint64
	remain int
}

func (e *tooLong) Error() string {
	return fmt.Sprintf("truncated input: a length of %d, and %d bytes remain", e.length, e.remain)
}
func (e *tooLong) Unwrap() error { return ErrTruncated }

// IsNil reports whether the first value is nil.
func IsNil(in []byte) bool { return len(in) > 0 && in[0] == Nil }

// BigEndian returns the unsigned integer of 1, 2, 4 or 8 bytes at the start of in.
func BigEndian(in []byte, size int) (u uint64, rest []byte, ok bool) {
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

// TakeInt returns an integer of any width. Bits are those of the int64, which a
// negative one is, or of the uint64.
func TakeInt(in []byte) (bits uint64, rest []byte, err error) {
	if len(in) == 0 {
		return 0, nil, ErrTruncated
	}
	code := in[0]
	if code < FixMap || code >= Negative {
		return uint64(int64(int8(code))), in[1:], nil
	}
	if code < Uint8 || code > Int64 {
		return 0, nil, ErrMismatch
	}
	rest = in[1:]
	if size := 1 << ((code - Uint8) & 3); len(rest) < size { // both rows of codes go from 8 bits to 64
		return 0, nil, ErrTruncated
	}
	switch code {
	case Uint8:
		return uint64(rest[0]), rest[1:], nil
	case Uint16:
		return uint64(binary.BigEndian.Uint16(rest)), rest[2:], nil
	case Uint32:
		return uint64(binary.BigEndian.Uint32(rest)), rest[4:], nil
	case Int8:
		return uint64(int64(int8(rest[0]))), rest[1:], nil
	case Int16:
		return uint64(int64(int16(binary.BigEndian.Uint16(rest)))), rest[2:], nil
	case Int32:
		return uint64(int64(int32(binary.BigEndian.Uint32(rest)))), rest[4:], nil
	}
	return binary.BigEndian.Uint64(rest), rest[8:], nil
}

// takeLen returns the length at the start of in, which is that of something of
// which each piece takes at least unit bytes. A length that the rest of the
// input cannot have is an error before anybody allocates memory for it.
func takeLen(in []byte, size, unit int) (n int, rest []byte, err error) {
	u, rest, ok := BigEndian(in, size)
	if !ok {
		return 0, nil, ErrTruncated
	}
	if u > uint64(len(rest)/unit) {
		return 0, nil, &tooLong{u, len(rest)}
	}
	return int(u), rest, nil
}

// takeHead returns the length of a string, bytes, array or map that has one of
// the three codes; a kind of value without a code for 8 bits passes code16 twice.
func takeHead(in []byte, code8, code16, code32 byte, unit int) (n int, rest []byte, err error) {
	if len(in) == 0 {
		return 0, nil, ErrTruncated
	}
	switch in[0] {
	case code16:
		return takeLen(in[1:], 2, unit)
	case code32:
		return takeLen(in[1:], 4, unit)
	case code8:
		return takeLen(in[1:], 1, unit)
	}
	return 0, nil, ErrMismatch
}

// takeFix returns the length that is in the code itself, in the bits of mask.
func takeFix(in []byte, mask byte, unit int) (n int, rest []byte, err error) {
	n, rest = int(in[0]&mask), in[1:]
	if n > len(rest)/unit {
		return 0, nil, ErrTruncated
	}
	return n, rest, nil
}

// TakeArrayHead returns how many values the array has that follow. There are at
// least as many bytes.
func TakeArrayHead(in []byte) (n int, rest []byte, err error) {
	if len(in) > 0 && in[0]&^0x0f == FixArray {
		return takeFix(in, 0x0f, 1)
	}
	return takeHead(in, Array16, Array16, Array32, 1)
}

// TakeMapHead returns how many keys and values the map has that follow. There
// are at least twice as many bytes.
func TakeMapHead(in []byte) (n int, rest []byte, err error) {
	if len(in) > 0 && in[0]&^0x0f == FixMap {
		return takeFix(in, 0x0f, 2)
	}
	return takeHead(in, Map16, Map16, Map32, 2)
}

// TakeString returns the bytes of a string.
func TakeString(in []byte) (s, rest []byte, err error) {
	var n int
	if len(in) > 0 && in[0]&^0x1f == FixStr {
		n, rest, err = takeFix(in, 0x1f, 1)
	} else {
		n, rest, err = takeHead(in, Str8, Str16, Str32, 1)
	}
	if err != nil {
		return nil, nil, err
	}
	return rest[:n], rest[n:], nil
}

// TakeBytes returns bytes.
func TakeBytes(in []byte) (b, rest []byte, err error) {
	n, rest, err := takeHead(in, Bin8, Bin16, Bin32, 1)
	if err != nil {
		return nil, nil, err
	}
	return rest[:n], rest[n:], nil
}

// TakeStringOrBytes is for what may have been written as either.
func TakeStringOrBytes(in []byte) (b, rest []byte, err error) {
	if len(in) == 0 {
		return nil, nil, ErrTruncated
	}
	var n int
	switch code := in[0]; code {
	case Bin8, Str8:
		n, rest, err = takeLen(in[1:], 1, 1)
	case Bin16, Str16:
		n, rest, err = takeLen(in[1:], 2, 1)
	case Bin32, Str32:
		n, rest, err = takeLen(in[1:], 4, 1)
	default:
		if code&^0x1f != FixStr {
			return nil, nil, ErrMismatch
		}
		n, rest, err = takeFix(in, 0x1f, 1)
	}
	if err != nil {
		return nil, nil, err
	}
	return rest[:n], rest[n:], nil
}

// TakeExt returns the type and the contents of an extension.
func TakeExt(in []byte) (kind byte, body, rest []byte, err error) {
	if len(in) == 0 {
		return 0, nil, nil, ErrTruncated
	}
	n := 0
	switch code := in[0]; code {
	case FixExt1, FixExt2, FixExt4, FixExt8, FixExt16:
		n, rest = 1<<(code-FixExt1), in[1:]
	case Ext8:
		n, rest, err = takeLen(in[1:], 1, 1)
	case Ext16:
		n, rest, err = takeLen(in[1:], 2, 1)
	case Ext32:
		n, rest, err = takeLen(in[1:], 4, 1)
	default:
		err = ErrMismatch
	}
	if err == nil && len(rest) < 1+n {
		err = ErrTruncated
	}
	if err != nil {
		return 0, nil, nil, err
	}
	return rest[0], rest[1 : 1+n], rest[1+n:], nil
}
