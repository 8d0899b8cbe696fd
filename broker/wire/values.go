package wire

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// The values that several kinds of records are made of. A reader accepts nil in place of
// any value, as the zero value, and strings and bytes in place of each other.

// checkVersion checks the first byte of a record without a head. Kind is the word for the
// error message, such as "a flow".
func checkVersion(record []byte, kind string) error {
	if len(record) == 0 {
		return fmt.Errorf("%w: %s of no bytes", broker.ErrMalformed, kind)
	}
	if record[0] != RecordVersion {
		return fmt.Errorf("%w %d of %s, this program reads %d", broker.ErrVersion, record[0], kind, RecordVersion)
	}
	return nil
}

func takeInt(in []byte) (n int64, rest []byte, err error) {
	if msgp.IsNil(in) {
		return 0, in[1:], nil
	}
	bits, rest, err := msgp.TakeInt(in)
	if err != nil {
		return 0, nil, explain(in, err, "an integer")
	}
	return int64(bits), rest, nil
}

func takeBool(in []byte) (b bool, rest []byte, err error) {
	switch {
	case len(in) == 0:
		return false, nil, msgp.ErrTruncated
	case in[0] != msgp.Nil && in[0] != msgp.False && in[0] != msgp.True:
		return false, nil, explain(in, msgp.ErrMismatch, "a bool")
	}
	return in[0] == msgp.True, in[1:], nil
}

// takeData returns a string or bytes. They alias in.
func takeData(in []byte) (b, rest []byte, null bool, err error) {
	if msgp.IsNil(in) {
		return nil, in[1:], true, nil
	}
	if b, rest, err = msgp.TakeStringOrBytes(in); err != nil {
		return nil, nil, false, explain(in, err, "a string or bytes")
	}
	return b, rest, false, nil
}

func takeString(in []byte) (s string, rest []byte, err error) {
	b, rest, _, err := takeData(in)
	return string(b), rest, err
}

// takeName reads a string that many records have in common, and shares its memory.
func takeName(in []byte) (s string, rest []byte, err error) {
	b, rest, _, err := takeData(in)
	return names.intern(b), rest, err
}

func appendCodec(dst []byte, name string) []byte {
	if name == defaultCodec {
		name = ""
	}
	return msgp.AppendString(dst, name)
}

func takeCodec(in []byte) (name string, rest []byte, err error) {
	if name, rest, err = takeName(in); name == "" {
		name = defaultCodec
	}
	return name, rest, err
}

func appendBytes(dst, b []byte) []byte {
	if len(b) == 0 {
		return msgp.AppendNil(dst)
	}
	return msgp.AppendBytes(dst, b)
}

// takeBytes returns a copy of bytes, in the memory of room if that has the capacity.
func takeBytes(in, room []byte) (clone, rest []byte, err error) {
	b, rest, null, err := takeData(in)
	if err != nil || null {
		return nil, rest, err
	}
	if clone = room[:0]; clone == nil || cap(clone) < len(b) {
		clone = make([]byte, 0, len(b))
	}
	return append(clone, b...), rest, nil
}

func appendID(dst []byte, id broker.ID) []byte {
	if id.IsZero() {
		return msgp.AppendNil(dst)
	}
	return append(msgp.AppendBytesHead(dst, len(id)), id[:]...)
}

func takeID(in []byte) (id broker.ID, rest []byte, err error) {
	b, rest, null, err := takeData(in)
	if err != nil || null { // nil is the zero id
		return broker.ID{}, rest, err
	}
	if len(b) != len(id) {
		return broker.ID{}, nil, fmt.Errorf("an id of %d bytes, want %d", len(b), len(id))
	}
	return broker.ID(b), rest, nil
}

func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return msgp.AppendUint(dst, 0)
	}
	return msgp.AppendInt(dst, t.UnixMilli())
}

func takeTime(in []byte) (t time.Time, rest []byte, err error) {
	ms, rest, err := takeInt(in)
	if err != nil || ms == 0 {
		return time.Time{}, rest, err
	}
	return time.UnixMilli(ms).UTC(), rest, nil
}

// appendKeep writes a retention: 0 for the usual one, else milliseconds plus one.
func appendKeep(dst []byte, d, usual time.Duration) []byte {
	if d == usual {
		return msgp.AppendUint(dst, 0)
	}
	return msgp.AppendUint(dst, uint64(d/time.Millisecond)+1)
}

func takeKeep(in []byte, usual time.Duration) (d time.Duration, rest []byte, err error) {
	n, rest, err := takeInt(in)
	if err != nil || n == 0 {
		return usual, rest, err
	}
	return time.Duration(n-1) * time.Millisecond, rest, nil
}

// appendMeta writes the keys in sorted order, so that equal metadata has equal bytes.
func appendMeta(dst []byte, meta map[string]string) []byte {
	if len(meta) == 0 {
		return msgp.AppendNil(dst)
	}
	var few [8]string // most metadata fits, and needs no allocation
	keys := few[:0]
	for k := range meta {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = msgp.AppendMapHead(dst, len(keys))
	for _, k := range keys {
		dst = msgp.AppendString(dst, k)
		dst = msgp.AppendString(dst, meta[k])
	}
	return dst
}

func takeMeta(in []byte) (meta map[string]string, rest []byte, err error) {
	if msgp.IsNil(in) {
		return nil, in[1:], nil
	}
	n, rest, err := msgp.TakeMapHead(in)
	if err != nil || n == 0 {
		return nil, rest, explain(in, err, "a map")
	}
	meta = make(map[string]string, min(n, 64))
	for range n {
		var k, v string
		if k, rest, err = takeString(rest); err != nil {
			return nil, nil, err
		}
		if v, rest, err = takeString(rest); err != nil {
			return nil, nil, err
		}
		meta[k] = v
	}
	return meta, rest, nil
}

func takeArray(in []byte) (n int, rest []byte, null bool, err error) {
	if msgp.IsNil(in) {
		return 0, in[1:], true, nil
	}
	if n, rest, err = msgp.TakeArrayHead(in); err != nil {
		return 0, nil, false, explain(in, err, "an array")
	}
	return n, rest, false, nil
}

func appendStrings(dst []byte, list []string) []byte {
	if len(list) == 0 {
		return msgp.AppendNil(dst)
	}
	dst = msgp.AppendArrayHead(dst, len(list))
	for _, s := range list {
		dst = msgp.AppendString(dst, s)
	}
	return dst
}

func takeStrings(in []byte) (list []string, rest []byte, err error) {
	n, rest, _, err := takeArray(in)
	if err != nil || n == 0 {
		return nil, rest, err
	}
	list = make([]string, 0, min(n, 64))
	for range n {
		var s string
		if s, rest, err = takeString(rest); err != nil {
			return nil, nil, err
		}
		list = append(list, s)
	}
	return list, rest, nil
}
