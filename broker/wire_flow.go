package broker

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// The fields of a flow, in their order on the wire, after the version byte. New
// ones go to the end.
const (
	flowID = iota
	flowSize
	flowNeed
	flowCallback
	flowFinalizer
	flowGroup
	flowStep
	flowInbox
	flowRetention
	flowCount
)

// AppendFlow appends the record of a flow.
func AppendFlow(dst []byte, f *Flow) []byte {
	dst = append(dst, RecordVersion)
	return encode(dst, func(e *msgpack.Encoder) {
		_ = e.EncodeArrayLen(flowCount)
		encodeID(e, f.ID)
		_ = e.EncodeUint(uint64(f.Size))
		_ = e.EncodeUint(uint64(f.Need))
		encodeID(e, f.Callback)
		encodeID(e, f.Finalizer)
		encodeID(e, f.Group)
		_ = e.EncodeUint(uint64(f.Step))
		encodeID(e, f.Inbox)
		encodeKeep(e, f.Retention, DefaultRetention)
	})
}

// ParseFlow reads what [AppendFlow] wrote. The error wraps [ErrVersion] or
// [ErrMalformed].
func ParseFlow(record []byte) (Flow, error) {
	var f Flow
	if err := checkVersion(record, "flow"); err != nil {
		return f, err
	}
	err := decode(record[1:], f.decodeField, flowCount)
	if err == nil {
		if bad := f.Check(); bad != nil {
			err = fmt.Errorf("%w: %w", ErrMalformed, bad)
		}
	}
	if err != nil {
		return Flow{}, err
	}
	return f, nil
}

func checkVersion(record []byte, of string) error {
	if len(record) == 0 {
		return fmt.Errorf("%w: an empty %s", ErrMalformed, of)
	}
	if record[0] != RecordVersion {
		return fmt.Errorf("%w %d of a %s, this program reads %d", ErrVersion, record[0], of, RecordVersion)
	}
	return nil
}

func (f *Flow) decodeField(d *msgpack.Decoder, field int) error {
	var err error
	switch field {
	case flowID:
		f.ID, err = decodeID(d)
	case flowSize:
		f.Size, err = d.DecodeInt()
	case flowNeed:
		f.Need, err = d.DecodeInt()
	case flowCallback:
		f.Callback, err = decodeID(d)
	case flowFinalizer:
		f.Finalizer, err = decodeID(d)
	case flowGroup:
		f.Group, err = decodeID(d)
	case flowStep:
		f.Step, err = d.DecodeUint32()
	case flowInbox:
		f.Inbox, err = decodeID(d)
	case flowRetention:
		f.Retention, err = decodeKeep(d, DefaultRetention)
	default:
		err = d.Skip()
	}
	return err
}

// FlowRefSize is how long what [AppendFlowRef] appends is.
const FlowRefSize = 20

// AppendFlowRef appends of which flow the task is a member, and where in it.
func AppendFlowRef(dst []byte, t *Task) []byte {
	return binary.BigEndian.AppendUint32(append(dst, t.Group[:]...), t.Step)
}

// ParseFlowRef reads what [AppendFlowRef] wrote, from the front of ref.
func ParseFlowRef(ref []byte) (flow ID, step uint32, err error) {
	if len(ref) < FlowRefSize {
		return ID{}, 0, fmt.Errorf("%w: a flow's place of %d bytes", ErrMalformed, len(ref))
	}
	copy(flow[:], ref)
	return flow, binary.BigEndian.Uint32(ref[len(flow):]), nil
}

// AppendSubmit appends a task that is to be enqueued later, with its queue and
// the durations that begin then.
func AppendSubmit(dst []byte, t *Task) []byte {
	dst = append(dst, RecordVersion)
	return encode(dst, func(e *msgpack.Encoder) {
		_ = e.EncodeArrayLen(4)
		_ = e.EncodeString(t.Queue)
		_ = e.EncodeInt(wholeMillis(t.Delay))
		_ = e.EncodeInt(wholeMillis(t.Deadline))
		_ = e.EncodeBytes(AppendRecord(nil, t))
	})
}

// wholeMillis returns the ms of a duration, away from 0 if it is not a whole
// number of them: 0 means something else.
func wholeMillis(d time.Duration) int64 {
	ms := int64(d / time.Millisecond)
	switch rest := d % time.Millisecond; {
	case rest > 0:
		ms++
	case rest < 0:
		ms--
	}
	return ms
}

// decodeMillis reads what wholeMillis returned.
func decodeMillis(d *msgpack.Decoder) (time.Duration, error) {
	ms, err := d.DecodeInt64()
	if limit := int64(MaxDuration / time.Millisecond); err == nil && (ms > limit || ms < -limit) {
		err = fmt.Errorf("%d ms, the limit is %d", ms, limit)
	}
	return time.Duration(ms) * time.Millisecond, err
}

// ParseSubmit reads what [AppendSubmit] wrote. The error wraps [ErrVersion] or
// [ErrMalformed].
func ParseSubmit(record []byte) (*Task, error) {
	if err := checkVersion(record, "submission"); err != nil {
		return nil, err
	}
	var d Delivery
	var queue string
	var delay, deadline time.Duration
	err := decode(record[1:], func(dec *msgpack.Decoder, field int) error {
		var err error
		switch field {
		case 0:
			queue, err = dec.DecodeString()
		case 1:
			delay, err = decodeMillis(dec)
		case 2:
			deadline, err = decodeMillis(dec)
		case 3:
			var record []byte
			if record, err = dec.DecodeBytes(); err == nil {
				err = ParseRecord(&d, record, 0)
			}
		default:
			err = dec.Skip()
		}
		return err
	}, 4)
	if err != nil {
		return nil, err
	}
	d.Queue, d.Delay, d.Deadline = queue, delay, deadline
	return &d.Task, nil
}
