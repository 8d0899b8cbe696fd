package wire

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// The fields of a flow, in their order on the wire, after the version byte. New fields are
// added at the end.
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
	flowSeal
	flowCount
)

// AppendFlow appends the record of a flow.
func AppendFlow(dst []byte, f *broker.Flow) []byte {
	dst = append(dst, RecordVersion)
	n := flowCount
	if f.Seal == "" {
		n-- // a zero field at the end is left out
	}
	dst = msgp.AppendArrayHead(dst, n)
	dst = appendID(dst, f.ID)
	dst = msgp.AppendUint(dst, uint64(f.Size))
	dst = msgp.AppendUint(dst, uint64(f.Quorum))
	dst = appendID(dst, f.Callback)
	dst = appendID(dst, f.Finalizer)
	dst = appendID(dst, f.Group)
	dst = msgp.AppendUint(dst, uint64(f.Step))
	dst = appendID(dst, f.Inbox)
	dst = appendKeep(dst, f.Retention, broker.DefaultRetention)
	if f.Seal != "" {
		dst = msgp.AppendBytes(dst, []byte(f.Seal))
	}
	return dst
}

// ParseFlow reads a record of [AppendFlow]. The error wraps [broker.ErrVersion] or
// [broker.ErrMalformed].
func ParseFlow(record []byte) (broker.Flow, error) {
	var f broker.Flow
	if err := parseFlow(&f, record); err != nil {
		return broker.Flow{}, err
	}
	return f, nil
}

// parseFlow reads a record into f, which it leaves half-filled after an error.
func parseFlow(f *broker.Flow, record []byte) error {
	if err := checkVersion(record, "a flow"); err != nil {
		return err
	}
	n, in, err := takeFields(record[1:], flowRetention+1)
	if err != nil {
		return err
	}
	for i := range n {
		if in, err = takeFlowField(f, in, i); err != nil {
			return inField(i, err)
		}
	}
	if err := atEnd(in); err != nil {
		return err
	}
	if err := f.Check(); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrMalformed, err)
	}
	return nil
}

// takeFlowField reads one field of a record into f.
func takeFlowField(f *broker.Flow, in []byte, field int) (rest []byte, err error) {
	var n int64
	switch field {
	case flowID:
		f.ID, rest, err = takeID(in)
	case flowSize:
		n, rest, err = takeInt(in)
		f.Size = int(n)
	case flowNeed:
		n, rest, err = takeInt(in)
		f.Quorum = int(n)
	case flowCallback:
		f.Callback, rest, err = takeID(in)
	case flowFinalizer:
		f.Finalizer, rest, err = takeID(in)
	case flowGroup:
		f.Group, rest, err = takeID(in)
	case flowStep:
		n, rest, err = takeInt(in)
		f.Step = uint32(n)
	case flowInbox:
		f.Inbox, rest, err = takeID(in)
	case flowRetention:
		f.Retention, rest, err = takeKeep(in, broker.DefaultRetention)
	case flowSeal:
		f.Seal, rest, err = takeString(in)
	default: // a field of a newer version: the array may only grow
		rest, err = msgp.Skip(in, 1)
	}
	return rest, err
}

// FlowRefSize is the number of bytes that [AppendFlowRef] appends.
const FlowRefSize = 20

// AppendFlowRef appends the flow of a task (16 bytes) and its position there (4 bytes).
func AppendFlowRef(dst []byte, t *broker.Task) []byte {
	return binary.BigEndian.AppendUint32(append(dst, t.Flow.ID[:]...), t.Flow.Step)
}

// ParseFlowRef reads the bytes of [AppendFlowRef] at the front of ref. The error wraps
// [broker.ErrMalformed]: there are fewer than [FlowRefSize].
func ParseFlowRef(ref []byte) (flow broker.ID, step uint32, err error) {
	if len(ref) < FlowRefSize {
		return broker.ID{}, 0, fmt.Errorf("%w: a flow and position of %d bytes", broker.ErrMalformed, len(ref))
	}
	copy(flow[:], ref)
	return flow, binary.BigEndian.Uint32(ref[len(flow):]), nil
}

// AppendSubmit appends the record of a task that is to be enqueued later: the message, its
// queue, and the durations that begin when it is enqueued. They are stored in milliseconds,
// the Delay rounded up and the Deadline rounded down.
func AppendSubmit(dst []byte, t *broker.Task) []byte {
	dst = append(dst, RecordVersion)
	dst = msgp.AppendArrayHead(dst, 4)
	dst = msgp.AppendString(dst, t.Queue)
	dst = msgp.AppendInt(dst, wholeMillis(t.Delay))
	dst = msgp.AppendInt(dst, t.DeadlineMillis())
	return msgp.AppendBytes(dst, AppendRecord(nil, t))
}

// wholeMillis returns d in ms, rounded away from 0, because 0 has another meaning.
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

// takeMillis reads a duration that wholeMillis made.
func takeMillis(in []byte) (d time.Duration, rest []byte, err error) {
	ms, rest, err := takeInt(in)
	if limit := int64(broker.MaxDuration / time.Millisecond); err == nil && (ms > limit || ms < -limit) {
		err = fmt.Errorf("%d ms, the limit is %d", ms, limit)
	}
	return time.Duration(ms) * time.Millisecond, rest, err
}

// ParseSubmit reads a record of [AppendSubmit]. A deadline that had passed is read as -1 ms.
// The error wraps [broker.ErrVersion] or [broker.ErrMalformed].
func ParseSubmit(record []byte) (*broker.Task, error) {
	if err := checkVersion(record, "a submission"); err != nil {
		return nil, err
	}
	var d broker.Delivery
	var queue string
	var delay, deadline time.Duration
	n, in, err := takeFields(record[1:], 4)
	if err != nil {
		return nil, err
	}
	for i := range n {
		switch i {
		case 0:
			queue, in, err = takeName(in)
		case 1:
			delay, in, err = takeMillis(in)
		case 2:
			deadline, in, err = takeMillis(in)
		case 3:
			var message []byte
			if message, in, _, err = takeData(in); err == nil {
				err = ParseRecord(&d, message, 0)
			}
		default: // a field of a newer version: the array may only grow
			in, err = msgp.Skip(in, 1)
		}
		if err != nil {
			return nil, inField(i, err)
		}
	}
	if err := atEnd(in); err != nil {
		return nil, err
	}
	d.Queue, d.Delay, d.Deadline = queue, delay, deadline
	return &d.Task, nil
}
