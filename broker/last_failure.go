package broker

import (
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/internal/msgp"
)

// The limits of a stored last failure. They are smaller than those of an outcome, since an
// outage can leave many tasks in retry at the same time.
const (
	MaxLastMessage = 2 << 10 // bytes of the message; a longer one is cut
	MaxLastStack   = 4 << 10 // bytes of the stack; a longer one is cut
	maxLastChain   = 4       // messages of the chain
	maxLastLink    = 256     // bytes of each message of the chain
	maxLastCodes   = 16
)

// LastFailure is the error of the last failed attempt at a task that is retried.
type LastFailure struct {
	Err     Failure   // message and stack cut to MaxLastMessage and MaxLastStack, the chain to a few messages
	Attempt uint32    // number of the start that failed
	At      time.Time // by the minion's clock, in ms, for display only
}

// LastFailure returns the failure that a look-up shows once the settlement is accepted: a
// copy that is cut to the limits. It is nil if the settlement is not a retry, or has no
// error. An earlier failure stays in that case.
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
func AppendLastFailure(dst []byte, name string, l *LastFailure) []byte {
	dst = append(dst, RecordVersion)
	dst = msgp.AppendArrayHead(dst, lastCount)
	dst = msgp.AppendString(dst, name)
	dst = msgp.AppendUint(dst, uint64(l.Attempt))
	dst = appendTime(dst, l.At)
	return appendFailure(dst, l.Err)
}

// ParseLastFailure reads a record of [AppendLastFailure]. The error wraps [ErrVersion] or
// [ErrMalformed].
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
		return "", LastFailure{}, err
	}
	return name, l, nil
}
