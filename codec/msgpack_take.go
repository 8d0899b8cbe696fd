package codec

import (
	"encoding/binary"
	"errors"
	"time"
)

// The take functions are the reverse of the append functions: they return the
// first value of in, or of its head, and the bytes after it. What they return
// still shares memory with in.

// errMismatch is the error of a take function for a value of another type. The
// caller, who knows the Go type, explains it.
var errMismatch = errors.New("mismatch")

// family is what kind of value a first byte begins.
type family uint8

const (
	famNever family = iota
	famNil
	famBool
	famNumber
	famString
	famBytes
	famArray
	famMap
	famExt
)

func familyOf(code byte) family {
	switch {
	case code < codeFixMap || code >= codeNegative:
		return famNumber
	case code < codeFixArray:
		return famMap
	case code < codeFixStr:
		return famArray
	case code < codeNil:
		return famString
	}
	switch code {
	case codeNil:
		return famNil
	case codeFalse, codeTrue:
		return famBool
	case codeBin8, codeBin16, codeBin32:
		return famBytes
	case codeExt8, codeExt16, codeExt32, codeFixExt1, codeFixExt2, codeFixExt4, codeFixExt8, codeFixExt16:
		return famExt
	case codeStr8, codeStr16, codeStr32:
		return famString
	case codeArray16, codeArray32:
		return famArray
	case codeMap16, codeMap32:
		return famMap
	case codeNever:
		return famNever
	}
	return famNumber
}

// String returns the name of the family, as errors call it.
func (f family) String() string {
	return [...]string{"no msgpack value", "null", "bool", "number", "string", "bytes", "array", "map", "extension"}[f]
}

func isNil(in []byte) bool { return len(in) > 0 && in[0] == codeNil }

// takeLen returns the length at the start of in, which is that of something of
// which each piece takes at least unit bytes. A length that the rest of the
// input cannot have is an error before anybody allocates memory for it.
func takeLen(in []byte, size, unit int) (n int, rest []byte, err error) {
	u, rest, ok := bigEndian(in, size)
	if !ok {
		return 0, nil, ErrTruncated
	}
	if u > uint64(len(rest)/unit) {
		return 0, nil, because(ErrTruncated, "truncated input: a length of %d, and %d bytes remain", u, len(rest))
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
	return 0, nil, errMismatch
}

// takeFix returns the length that is in the code itself, in the bits of mask.
func takeFix(in []byte, mask byte, unit int) (n int, rest []byte, err error) {
	n, rest = int(in[0]&mask), in[1:]
	if n > len(rest)/unit {
		return 0, nil, ErrTruncated
	}
	return n, rest, nil
}

func takeArrayHead(in []byte) (n int, rest []byte, err error) {
	if len(in) > 0 && in[0]&^0x0f == codeFixArray {
		return takeFix(in, 0x0f, 1)
	}
	return takeHead(in, codeArray16, codeArray16, codeArray32, 1)
}

func takeMapHead(in []byte) (n int, rest []byte, err error) {
	if len(in) > 0 && in[0]&^0x0f == codeFixMap {
		return takeFix(in, 0x0f, 2)
	}
	return takeHead(in, codeMap16, codeMap16, codeMap32, 2)
}

func takeString(in []byte) (s, rest []byte, err error) {
	var n int
	if len(in) > 0 && in[0]&^0x1f == codeFixStr {
		n, rest, err = takeFix(in, 0x1f, 1)
	} else {
		n, rest, err = takeHead(in, codeStr8, codeStr16, codeStr32, 1)
	}
	if err != nil {
		return nil, nil, err
	}
	return rest[:n], rest[n:], nil
}

func takeBytes(in []byte) (b, rest []byte, err error) {
	n, rest, err := takeHead(in, codeBin8, codeBin16, codeBin32, 1)
	if err != nil {
		return nil, nil, err
	}
	return rest[:n], rest[n:], nil
}

// takeStringOrBytes is for types with methods: they say which of the two they
// write, and other senders may write the other.
func takeStringOrBytes(in []byte) (b, rest []byte, err error) {
	if b, rest, err = takeBytes(in); err == errMismatch {
		b, rest, err = takeString(in)
	}
	return b, rest, err
}

func takeExt(in []byte) (kind byte, body, rest []byte, err error) {
	n := 0
	switch code := in[0]; code {
	case codeFixExt1, codeFixExt2, codeFixExt4, codeFixExt8, codeFixExt16:
		n, rest = 1<<(code-codeFixExt1), in[1:]
	case codeExt8:
		n, rest, err = takeLen(in[1:], 1, 1)
	case codeExt16:
		n, rest, err = takeLen(in[1:], 2, 1)
	case codeExt32:
		n, rest, err = takeLen(in[1:], 4, 1)
	default:
		err = errMismatch
	}
	if err == nil && len(rest) < 1+n {
		err = ErrTruncated
	}
	if err != nil {
		return 0, nil, nil, err
	}
	return rest[0], rest[1 : 1+n], rest[1+n:], nil
}

// takeTime returns a timestamp in UTC, so that it does not depend on where it is
// decoded.
func takeTime(in []byte) (t time.Time, rest []byte, err error) {
	if len(in) == 0 {
		return t, nil, ErrTruncated
	}
	kind, body, rest, err := takeExt(in)
	if err != nil {
		return t, nil, err
	}
	if kind != extTime {
		return t, nil, because(ErrType, "found an extension of the unknown type %d", int8(kind))
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
		return t, nil, because(ErrSyntax, "a timestamp of %d bytes", len(body))
	}
	if nanoseconds >= 1e9 {
		return t, nil, because(ErrSyntax, "a timestamp with %d nanoseconds", nanoseconds)
	}
	return time.Unix(int64(seconds), int64(nanoseconds)).UTC(), rest, nil
}

// skip returns what follows the first value of in, of which it checks all but
// the contents of extensions.
func skip(in []byte, depth int) (rest []byte, err error) {
	if len(in) == 0 {
		return nil, ErrTruncated
	}
	n, nested := 0, false
	switch familyOf(in[0]) {
	case famNil, famBool:
		return in[1:], nil
	case famNumber:
		_, rest, err = takeNumber(in)
	case famString:
		_, rest, err = takeString(in)
	case famBytes:
		_, rest, err = takeBytes(in)
	case famExt:
		_, _, rest, err = takeExt(in)
	case famArray:
		n, rest, err = takeArrayHead(in)
		nested = true
	case famMap:
		n, rest, err = takeMapHead(in)
		n *= 2
		nested = true
	default:
		return nil, errNever
	}
	if err == nil && nested && depth >= maxDepth {
		return nil, ErrTooDeep
	}
	for ; err == nil && n > 0; n-- {
		rest, err = skip(rest, depth+1)
	}
	return rest, err
}

// errNever is the error for the one byte that begins no value.
var errNever = because(ErrSyntax, "malformed input: byte 0xc1")
