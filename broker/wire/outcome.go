package wire

import (
	"fmt"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// The fields of an outcome, in their order on the wire, after the version byte. New fields
// are added at the end.
const (
	outcomeState = iota
	outcomeCodec
	outcomeResult
	outcomeName
	outcomeAttempts
	outcomeRetried
	outcomeMinion
	outcomeEnqueued
	outcomeStarted
	outcomeFinished
	outcomeErr
	outcomeReplacedBy
	outcomeCount
)

// AppendOutcome appends the record of an outcome.
func AppendOutcome(dst []byte, o *broker.Outcome) []byte {
	dst = append(slices.Grow(dst, 64+len(o.Name)+len(o.Codec)+len(o.Result)), RecordVersion)
	n := outcomeCount // zero fields at the end are left out
	if o.ReplacedBy.IsZero() {
		n--
		if o.Err == nil {
			n--
		}
	}
	dst = msgp.AppendArrayHead(dst, n)
	dst = msgp.AppendUint(dst, uint64(o.State))
	dst = appendCodec(dst, o.Codec)
	dst = appendBytes(dst, o.Result)
	dst = msgp.AppendString(dst, o.Name)
	dst = msgp.AppendUint(dst, uint64(o.Attempts))
	dst = msgp.AppendUint(dst, uint64(o.Retried))
	dst = appendID(dst, o.Minion)
	dst = appendTime(dst, o.Enqueued)
	dst = appendTime(dst, o.Started)
	dst = appendTime(dst, o.Finished)
	switch {
	case o.Err != nil:
		dst = appendFailure(dst, *o.Err)
	case n > outcomeErr:
		dst = msgp.AppendNil(dst)
	}
	if n > outcomeReplacedBy {
		dst = appendID(dst, o.ReplacedBy)
	}
	return dst
}

func appendFailure(dst []byte, f broker.Failure) []byte {
	f.Trim()
	n := 7
	if len(f.Seal) == 0 {
		n-- // a zero field at the end is left out
	}
	dst = msgp.AppendArrayHead(dst, n)
	dst = msgp.AppendString(dst, f.Type)
	dst = msgp.AppendString(dst, f.Message)
	dst = msgp.AppendString(dst, f.Stack)
	dst = appendStrings(dst, f.Chain)
	dst = appendStrings(dst, f.Codes)
	dst = msgp.AppendBool(dst, f.Final)
	if len(f.Seal) > 0 {
		dst = msgp.AppendBytes(dst, f.Seal)
	}
	return dst
}

// ParseOutcome reads a record of [AppendOutcome]. The error wraps [broker.ErrVersion] or
// [broker.ErrMalformed]. Nothing in the outcome aliases record, and record is not changed. Like
// [ParseRecord] it does not copy a string that is converted to bytes.
func ParseOutcome(record []byte) (broker.Outcome, error) {
	var o broker.Outcome
	if err := parseOutcome(&o, record); err != nil {
		return broker.Outcome{}, err
	}
	return o, nil
}

// ParseResult reads only the result of a task that succeeded, and nothing behind it. The
// result aliases record. It returns false for every other outcome, and for a record that
// can't be read.
func ParseResult(record []byte) (codec string, result []byte, ok bool) {
	if checkVersion(record, "an outcome") != nil {
		return "", nil, false
	}
	n, in, err := takeFields(record[1:], outcomeFinished+1)
	if err != nil || n > outcomeErr { // it may have an error
		return "", nil, false
	}
	state, in, err := takeInt(in)
	if err != nil || state != int64(broker.StateSucceeded) {
		return "", nil, false
	}
	if codec, in, err = takeCodec(in); err != nil {
		return "", nil, false
	}
	result, _, _, err = takeData(in)
	return codec, result, err == nil
}

// ParseState reads only the state of an outcome's record. It returns StateUnknown if the
// state can't be read.
func ParseState(record []byte) broker.State {
	if checkVersion(record, "an outcome") != nil {
		return broker.StateUnknown
	}
	_, in, err := takeFields(record[1:], outcomeFinished+1)
	if err != nil {
		return broker.StateUnknown
	}
	state, _, err := takeInt(in)
	if err != nil || state < 0 || !broker.State(state).Final() {
		return broker.StateUnknown
	}
	return broker.State(state)
}

// parseOutcome reads a record into o, which it leaves half-filled after an error.
func parseOutcome(o *broker.Outcome, record []byte) error {
	if err := checkVersion(record, "an outcome"); err != nil {
		return err
	}
	n, in, err := takeFields(record[1:], outcomeFinished+1)
	if err != nil {
		return err
	}
	for i := range n {
		if in, err = takeOutcomeField(o, in, i); err != nil {
			return inField(i, err)
		}
	}
	if err := atEnd(in); err != nil {
		return err
	}
	if !o.State.Final() {
		return fmt.Errorf("%w: an outcome with state %s", broker.ErrMalformed, o.State)
	}
	return nil
}

// takeOutcomeField reads one field of a record into o.
func takeOutcomeField(o *broker.Outcome, in []byte, field int) (rest []byte, err error) {
	var n int64
	switch field {
	case outcomeState:
		n, rest, err = takeInt(in)
		o.State = broker.State(min(uint64(n), 255))
	case outcomeCodec:
		o.Codec, rest, err = takeCodec(in)
	case outcomeResult:
		o.Result, rest, err = takeBytes(in, nil)
	case outcomeName:
		o.Name, rest, err = takeName(in)
	case outcomeAttempts:
		n, rest, err = takeInt(in)
		o.Attempts = uint32(n)
	case outcomeRetried:
		n, rest, err = takeInt(in)
		o.Retried = int(n)
	case outcomeMinion:
		o.Minion, rest, err = takeID(in)
	case outcomeEnqueued:
		o.Enqueued, rest, err = takeTime(in)
	case outcomeStarted:
		o.Started, rest, err = takeTime(in)
	case outcomeFinished:
		o.Finished, rest, err = takeTime(in)
	case outcomeErr:
		o.Err, rest, err = takeFailure(in)
	case outcomeReplacedBy:
		o.ReplacedBy, rest, err = takeID(in)
	default: // a field of a newer version: the array may only grow
		rest, err = msgp.Skip(in, 1)
	}
	return rest, err
}

func takeFailure(in []byte) (f *broker.Failure, rest []byte, err error) {
	n, rest, null, err := takeArray(in)
	if err != nil || null {
		return nil, rest, err
	}
	f = new(broker.Failure)
	for i := range n {
		switch i {
		case 0:
			f.Type, rest, err = takeString(rest)
		case 1:
			f.Message, rest, err = takeString(rest)
		case 2:
			f.Stack, rest, err = takeString(rest)
		case 3:
			f.Chain, rest, err = takeStrings(rest)
		case 4:
			f.Codes, rest, err = takeStrings(rest)
		case 5:
			f.Final, rest, err = takeBool(rest)
		case 6:
			f.Seal, rest, err = takeBytes(rest, nil)
		default:
			rest, err = msgp.Skip(rest, 2)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("error, field %d: %w", i, err)
		}
	}
	return f, rest, nil
}
