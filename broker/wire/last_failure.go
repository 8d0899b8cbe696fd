package wire

import (
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// The fields of a last failure, in their order on the wire, after the version byte. New
// fields are added at the end.
const (
	lastName = iota
	lastAttempt
	lastAt
	lastErr
	lastCount
)

// AppendLastFailure appends the record of the last failure of a task with that name.
func AppendLastFailure(dst []byte, name string, l *broker.LastFailure) []byte {
	dst = append(dst, RecordVersion)
	dst = msgp.AppendArrayHead(dst, lastCount)
	dst = msgp.AppendString(dst, name)
	dst = msgp.AppendUint(dst, uint64(l.Attempt))
	dst = appendTime(dst, l.At)
	return appendFailure(dst, l.Err)
}

// ParseLastFailure reads a record of [AppendLastFailure]. The error wraps
// [broker.ErrVersion] or [broker.ErrMalformed].
func ParseLastFailure(record []byte) (name string, l broker.LastFailure, err error) {
	if err := checkVersion(record, "a failure"); err != nil {
		return "", broker.LastFailure{}, err
	}
	n, in, err := takeFields(record[1:], lastCount)
	for i := 0; i < n && err == nil; i++ {
		switch i {
		case lastName:
			name, in, err = takeName(in)
		case lastAttempt:
			var attempt int64
			attempt, in, err = takeInt(in)
			l.Attempt = uint32(attempt)
		case lastAt:
			l.At, in, err = takeTime(in)
		case lastErr:
			var f *broker.Failure
			if f, in, err = takeFailure(in); f != nil {
				l.Err = *f
			}
		default: // a field of a newer version
			in, err = msgp.Skip(in, 1)
		}
		if err != nil {
			err = inField(i, err)
		}
	}
	if err == nil {
		err = atEnd(in)
	}
	if err != nil {
		return "", broker.LastFailure{}, err
	}
	return name, l, nil
}
