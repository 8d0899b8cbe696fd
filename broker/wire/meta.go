package wire

import (
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// MetaSpan finds the metadata in a message of [AppendRecord]: it is in record[from:to].
// Both are 0 if the message has none, or if it can't be read.
func MetaSpan(record []byte) (from, to int) {
	if len(record) < HeadSize {
		return 0, 0
	}
	n, in, err := msgp.TakeArrayHead(record[HeadSize:])
	if err != nil || n <= fieldMeta {
		return 0, 0
	}
	for range fieldMeta {
		if in, err = msgp.Skip(in, 1); err != nil {
			return 0, 0
		}
	}
	if msgp.IsNil(in) {
		return 0, 0
	}
	rest, err := msgp.Skip(in, 1)
	if err != nil {
		return 0, 0
	}
	return len(record) - len(in), len(record) - len(rest)
}

// AppendMeta appends the record of a task's metadata: the version byte, followed by the
// bytes that [MetaSpan] finds in a message.
func AppendMeta(dst []byte, meta map[string]string) []byte {
	return appendMeta(append(dst, RecordVersion), meta)
}

// ParseMeta reads a record of [AppendMeta]. The error wraps [broker.ErrVersion] or
// [broker.ErrMalformed].
func ParseMeta(record []byte) (map[string]string, error) {
	if err := checkVersion(record, "metadata"); err != nil {
		return nil, err
	}
	meta, rest, err := takeMeta(record[1:])
	if err != nil {
		return nil, fmt.Errorf("%w: metadata: %w", broker.ErrMalformed, err)
	}
	return meta, atEnd(rest)
}

// RecordName returns the name of the task from its message, or "" if it can't be read. The
// first [NameWithin] bytes of the message are enough.
func RecordName(record []byte) string {
	if len(record) < HeadSize {
		return ""
	}
	in := record[HeadSize:]
	switch record[0] {
	case PlainVersion:
	case LanedVersion:
		var err error
		if _, in, err = takeLane(in); err != nil {
			return ""
		}
	default:
		return ""
	}
	n, in, err := msgp.TakeArrayHead(in)
	if err != nil || n <= fieldName {
		return ""
	}
	name, _, err := takeName(in)
	if err != nil {
		return ""
	}
	return name
}

// NameWithin is the number of bytes at the start of a message without a lane that contain
// the name.
const NameWithin = HeadSize + 3 + 2 + broker.MaxName
