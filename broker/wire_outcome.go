package broker

import (
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
)

// The fields of an outcome, in their order on the wire, after the version byte.
// New ones go to the end.
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
	outcomeCount
)

// AppendOutcome appends the record of an outcome.
func AppendOutcome(dst []byte, o *Outcome) []byte {
	dst = append(dst, RecordVersion)
	n := outcomeCount
	if o.Err == nil {
		n-- // what is zero at the end is left out
	}
	return encode(dst, func(e *msgpack.Encoder) {
		_ = e.EncodeArrayLen(n)
		_ = e.EncodeUint(uint64(o.State))
		encodeCodec(e, o.Codec)
		encodeBytes(e, o.Result)
		_ = e.EncodeString(o.Name)
		_ = e.EncodeUint(uint64(o.Attempts))
		_ = e.EncodeUint(uint64(o.Retried))
		encodeID(e, o.Minion)
		encodeTime(e, o.Enqueued)
		encodeTime(e, o.Started)
		encodeTime(e, o.Finished)
		if o.Err != nil {
			f := *o.Err
			f.Trim()
			_ = e.EncodeArrayLen(6)
			_ = e.EncodeString(f.Type)
			_ = e.EncodeString(f.Message)
			_ = e.EncodeString(f.Stack)
			encodeStrings(e, f.Chain)
			encodeStrings(e, f.Codes)
			_ = e.EncodeBool(f.Final)
		}
	})
}

// ParseOutcome reads what [AppendOutcome] wrote. The error wraps [ErrVersion]
// or [ErrMalformed]. Nothing in the outcome aliases record.
func ParseOutcome(record []byte) (Outcome, error) {
	var o Outcome
	if len(record) == 0 {
		return o, fmt.Errorf("%w: an empty outcome", ErrMalformed)
	}
	if record[0] != RecordVersion {
		return o, fmt.Errorf("%w %d of an outcome, this program reads %d", ErrVersion, record[0], RecordVersion)
	}
	err := decode(record[1:], o.decodeField, outcomeFinished+1)
	if err == nil && !o.State.Final() {
		err = fmt.Errorf("%w: an outcome with state %s", ErrMalformed, o.State)
	}
	if err != nil {
		return Outcome{}, err
	}
	return o, nil
}

func (o *Outcome) decodeField(d *msgpack.Decoder, field int) error {
	var err error
	switch field {
	case outcomeState:
		var n uint64
		n, err = d.DecodeUint64()
		o.State = State(min(n, 255))
	case outcomeCodec:
		o.Codec, err = decodeCodec(d)
	case outcomeResult:
		o.Result, err = d.DecodeBytes()
	case outcomeName:
		o.Name, err = d.DecodeString()
	case outcomeAttempts:
		o.Attempts, err = d.DecodeUint32()
	case outcomeRetried:
		o.Retried, err = d.DecodeInt()
	case outcomeMinion:
		o.Minion, err = decodeID(d)
	case outcomeEnqueued:
		o.Enqueued, err = decodeTime(d)
	case outcomeStarted:
		o.Started, err = decodeTime(d)
	case outcomeFinished:
		o.Finished, err = decodeTime(d)
	case outcomeErr:
		o.Err, err = decodeFailure(d)
	default:
		err = d.Skip()
	}
	return err
}

func decodeFailure(d *msgpack.Decoder) (*Failure, error) {
	n, err := d.DecodeArrayLen()
	if err != nil || n < 0 {
		return nil, err
	}
	f := new(Failure)
	for i := range n {
		switch i {
		case 0:
			f.Type, err = d.DecodeString()
		case 1:
			f.Message, err = d.DecodeString()
		case 2:
			f.Stack, err = d.DecodeString()
		case 3:
			f.Chain, err = decodeStrings(d)
		case 4:
			f.Codes, err = decodeStrings(d)
		case 5:
			f.Final, err = d.DecodeBool()
		default:
			err = d.Skip()
		}
		if err != nil {
			return nil, fmt.Errorf("error, field %d: %w", i, err)
		}
	}
	return f, nil
}
