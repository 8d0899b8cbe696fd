package broker

import (
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/internal/msgp"
)

// The limits of what is kept of a failure while its task is retried. There may be
// many such tasks at a time, in an outage.
const (
	MaxLastMessage = 2 << 10 // bytes of the message; what is longer is cut
	MaxLastStack   = 4 << 10 // bytes of the stack; what is longer is cut
	maxLastChain   = 4       // messages of the chain,
	maxLastLink    = 256     // of so many bytes each
	maxLastCodes   = 16
)

// LastFailure says why the last attempt that failed has failed, of a task that is
// retried.
type LastFailure struct {
	Err     Failure   // message and stack cut to MaxLastMessage and MaxLastStack, the chain to a few messages
	Attempt uint32    // number of the start that failed
	At      time.Time // by the minion's clock, in ms, for display only
}

// LastFailure returns what a look-up shows once the settlement is accepted: a copy
// that is cut to its limits. It is nil if the settlement is no retry, or names no
// error; then an earlier failure stays.
func (s *Settlement) LastFailure() *LastFailure {
	if s.Verb != VerbRetry || s.Outcome.Err == nil {
		return nil
	}
	f := *s.Outcome.Err
	f.Message, f.Stack = cut(f.Message, MaxLastMessage), cut(f.Stack, MaxLastStack)
	f.Chain = slices.Clone(f.Chain[:min(len(f.Chain), maxLastChain)])
	for i := range f.Chain {
		f.Chain[i] = cut(f.Chain[i], maxLastLink)
	}
	f.Codes = slices.Clone(f.Codes[:min(len(f.Codes), maxLastCodes)])
	l := &LastFailure{Err: f, Attempt: s.Delivery.Start}
	if at := s.Outcome.Finished; !at.IsZero() {
		l.At = time.UnixMilli(at.UnixMilli()).UTC()
	}
	return l
}

// The fields of a last failure, in their order on the wire, after the version byte.
// New ones go to the end.
const (
	lastName = iota
	lastAttempt
	lastAt
	lastErr
	lastCount
)

// AppendLastFailure appends the record of why a task of that name is retried.
func AppendLastFailure(dst []byte, name string, l *LastFailure) []byte {
	dst = append(dst, RecordVersion)
	dst = msgp.AppendArrayHead(dst, lastCount)
	dst = msgp.AppendString(dst, name)
	dst = msgp.AppendUint(dst, uint64(l.Attempt))
	dst = appendTime(dst, l.At)
	return appendFailure(dst, l.Err)
}

// ParseLastFailure reads what [AppendLastFailure] wrote. The error wraps
// [ErrVersion] or [ErrMalformed].
func ParseLastFailure(record []byte) (name string, l LastFailure, err error) {
	if err := checkVersion(record, "a failure"); err != nil {
		return "", LastFailure{}, err
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
			var f *Failure
			if f, in, err = takeFailure(in); f != nil {
				l.Err = *f
			}
		default: // of a newer writer: the array may only grow
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
		return "", LastFailure{}, err
	}
	return name, l, nil
}
