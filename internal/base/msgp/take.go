package msgp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The take functions are the reverse of the append functions: they return the first value of in, or its head, and the
// bytes after it.

// The errors of take functions.
var (
	// ErrMismatch: the value has another type. Callers know the wanted type, and replace the error by one
	// that names it.
	ErrMismatch = errors.New("mismatch")
	// ErrTruncated: the input ends inside the value.
	ErrTruncated = errors.New("truncated input")
	// ErrSyntax: no value begins with the first byte.
	ErrSyntax = errors.New("malformed input")
	// ErrTooDeep: the value is nested deeper than MaxDepth.
	ErrTooDeep = errors.New("nested too deeply")
)

// ErrNever is the ErrSyntax for the byte Never.
var ErrNever error = never{}

type never struct{}

func (never) Error() string { return "malformed input: byte 0xc1" }
func (never) Unwrap() error { return ErrSyntax }

// tooLongError is the ErrTruncated for a length that is larger than the remaining input.
type tooLongError struct {
	length uint64
	remain int
}

func (e *tooLongError) Error() string {
	return fmt.Sprintf("truncated input: a length of %d, and %d bytes remain", e.length, e.remain)
}
func (e *tooLongError) Unwrap() error { return ErrTruncated }

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

// TakeInt decodes an integer of any width. It returns the bits of an int64 if the integer is negative, and else of a
// uint64.
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
	if size := 1 << ((code - Uint8) & 3); len(rest) < size { // the codes of both signs are in the order 8, 16, 32, 64 bits
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

// takeLen decodes a length of size bytes. Each element takes at least unit bytes of the input. A length that the rest of
// the input can't hold is an error, before any memory is allocated for it.
func takeLen(in []byte, size, unit int) (n int, rest []byte, err error) {
	u, rest, ok := BigEndian(in, size)
	if !ok {
		return 0, nil, ErrTruncated
	}
	if u > uint64(len(rest)/unit) {
		return 0, nil, &tooLongError{u, len(rest)}
	}
	return int(u), rest, nil
}

// takeHead decodes the head of a string, bytes, array or map with one of three codes, and returns the length. A kind of
// value that has no code for a length of 8 bits passes code16 twice.
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

// takeFix returns the length in the bits of mask of the code itself.
func takeFix(in []byte, mask byte, unit int) (n int, rest []byte, err error) {
	n, rest = int(in[0]&mask), in[1:]
	if n > len(rest)/unit {
		return 0, nil, ErrTruncated
	}
	return n, rest, nil
}

// TakeArrayHead returns the number of values in the array. The rest has at least as many bytes.
func TakeArrayHead(in []byte) (n int, rest []byte, err error) {
	if len(in) > 0 && in[0]&^0x0f == FixArray {
		return takeFix(in, 0x0f, 1)
	}
	return takeHead(in, Array16, Array16, Array32, 1)
}

// TakeMapHead returns the number of entries, keys with values, in the map. The rest has at least twice as many bytes.
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

// TakeBytes returns binary data.
func TakeBytes(in []byte) (b, rest []byte, err error) {
	n, rest, err := takeHead(in, Bin8, Bin16, Bin32, 1)
	if err != nil {
		return nil, nil, err
	}
	return rest[:n], rest[n:], nil
}

// TakeStringOrBytes returns a value that may have been written as a string or as binary data.
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
