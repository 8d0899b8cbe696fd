package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// A stored message has two parts: a head of fixed width, which a store may edit in place
// without understanding the rest, and a body, which only clients read. docs/wire.md has the
// tables. The directory testdata has golden files of every kind of record.
const (
	// PlainVersion is the first byte of the message of a task without a lane. The body
	// follows the head.
	PlainVersion = 2
	// LanedVersion is the first byte of the message of a task with a lane. The description
	// of the lane is between head and body; see lane.go.
	LanedVersion = 3
	// MessageVersion is the newest version of messages that this package writes, and whose
	// body it reads.
	MessageVersion = LanedVersion
	// MaxMessageVersion is the last version that a message can have. All versions from 2 on
	// have the same head, which [ParseHead] reads. A larger first byte could be mistaken
	// for text that a foreign program has written.
	MaxMessageVersion = 31
	// RecordVersion is the first byte of all other records: outcomes, flows and so on.
	RecordVersion = 1

	// These are offsets into the head. Numbers are big-endian.

	OffsetID         = 1  // 16 bytes
	OffsetAttempt    = 17 // uint32
	OffsetRetried    = 21 // uint16
	OffsetRecoveries = 23 // uint8
	OffsetFlags      = 24 // uint8, Flag…
	OffsetDigest     = 25 // uint32, Task.Digest
	OffsetInbox      = 29 // 16 bytes, all 0 is none
	OffsetDeadline   = 45 // 6 bytes, unix ms by the broker's clock, 0 is none
	OffsetStrikes    = 51 // uint8, Delivery.Strikes
	OffsetUnstarted  = 52 // uint16, attempts that were given back before a handler was started
	HeadSize         = 54

	// FlagCanceled marks a task that was cancelled while it ran, and whose owner died or
	// closed after that. The next consumer that gets it settles it as canceled.
	FlagCanceled = 1
	// FlagUnique marks a task with a unique key.
	FlagUnique = 2
	// FlagBlocked marks a task that waits for other tasks.
	FlagBlocked = 4
	// FlagSquad marks a member of a squad.
	FlagSquad = 8
	// FlagParked marks a task that is parked. A consumer that can run the task gets it
	// without the flag. If the parking time ends first the flag stays set, and the task is
	// handed out as overdue ([broker.Delivery].Overdue). A retry, a snooze and a requeue
	// clear it.
	FlagParked = 16
	// FlagAfresh is Delivery.Afresh.
	FlagAfresh = 32
	// FlagStarted marks a task whose owner has recorded that it is about to start it; see
	// [broker.Starter]. It is cleared when the task is given back.
	FlagStarted = 64
	// FlagLaned marks a task with a lane: its message has LanedVersion or a later version.
	FlagLaned = 128
)

// AppendRecord appends the message of a new task: attempt 1, no retries, and no deadline,
// since the store knows the time and sets it. The queue is not part of the message, because
// a message is stored under its queue.
func AppendRecord(dst []byte, t *broker.Task) []byte {
	var head [HeadSize]byte
	head[0] = PlainVersion
	copy(head[OffsetID:], t.ID[:])
	head[OffsetAttempt+3] = 1
	if t.Unique.Key != "" {
		head[OffsetFlags] = FlagUnique
	}
	if t.Flow.Blocked {
		head[OffsetFlags] |= FlagBlocked
	}
	if t.Flow.Squad {
		head[OffsetFlags] |= FlagSquad
	}
	binary.BigEndian.PutUint32(head[OffsetDigest:], t.Digest())
	copy(head[OffsetInbox:], t.Inbox[:])
	if t.Lane != nil {
		head[0] = LanedVersion
		head[OffsetFlags] |= FlagLaned
	}
	dst = append(slices.Grow(dst, recordSize(t)), head[:]...)
	if t.Lane != nil {
		dst = appendLane(dst, t.Lane)
	}
	n := bodyLen(t)
	dst = msgp.AppendArrayHead(dst, n)
	for i := range n {
		dst = appendTaskField(dst, t, i)
	}
	return dst
}

// recordSize estimates the size of the record. It is seldom too low.
func recordSize(t *broker.Task) int {
	return HeadSize + 64 + len(t.Name) + len(t.Codec) + len(t.Payload)
}

// The fields of a body, in their order on the wire. New fields are added at the end. Fields
// at the end that are zero are left out.
const (
	fieldName = iota
	fieldPayload
	fieldCodec
	fieldEnqueued
	fieldRetries
	fieldTimeout
	fieldRetention
	fieldDeadFor
	fieldUnique
	fieldMeta
	fieldParent
	fieldGroup
	fieldStep
	fieldPriority
	fieldSchema
	fieldUpstream
	fieldRule
	fieldSlots
)

// bodyLen returns the number of fields without those at the end that are zero.
func bodyLen(t *broker.Task) int {
	switch {
	case t.Slots != 0:
		return fieldSlots + 1
	case hasRule(&t.Unique):
		return fieldRule + 1
	case t.Flow.Upstream != "":
		return fieldUpstream + 1
	case t.Schema != 0:
		return fieldSchema + 1
	case t.Flow.Step != 0:
		return fieldStep + 1
	case !t.Flow.ID.IsZero():
		return fieldGroup + 1
	case !t.Parent.IsZero():
		return fieldParent + 1
	case len(t.Meta) > 0:
		return fieldMeta + 1
	case t.Unique.Key != "":
		return fieldUnique + 1
	case t.DeadFor != broker.DefaultDeadRetention:
		return fieldDeadFor + 1
	case t.Retention != broker.DefaultRetention:
		return fieldRetention + 1
	case t.Timeout != 0:
		return fieldTimeout + 1
	case t.Retries != broker.DefaultRetries:
		return fieldRetries + 1
	}
	return fieldEnqueued + 1
}

// defaultCodec is left out of records, since almost all of them have it.
const defaultCodec = "msgpack"

// appendTaskField appends one field of a body.
func appendTaskField(dst []byte, t *broker.Task, field int) []byte {
	switch field {
	case fieldName:
		return msgp.AppendString(dst, t.Name)
	case fieldPayload:
		return appendBytes(dst, t.Payload)
	case fieldCodec:
		return appendCodec(dst, t.Codec)
	case fieldEnqueued:
		return appendTime(dst, t.Enqueued)
	case fieldRetries:
		return msgp.AppendUint(dst, uint64(t.Retries+1))
	case fieldTimeout:
		if t.Timeout == broker.NoTimeout {
			return msgp.AppendInt(dst, -1)
		}
		return msgp.AppendUint(dst, uint64((t.Timeout+time.Microsecond-1)/time.Microsecond)) // rounded up, since 0 has another meaning
	case fieldRetention:
		return appendKeep(dst, t.Retention, broker.DefaultRetention)
	case fieldDeadFor:
		return appendKeep(dst, t.DeadFor, broker.DefaultDeadRetention)
	case fieldUnique:
		return msgp.AppendString(dst, t.Unique.Key)
	case fieldMeta:
		return appendMeta(dst, t.Meta)
	case fieldParent:
		return appendID(dst, t.Parent)
	case fieldGroup:
		return appendID(dst, t.Flow.ID)
	case fieldStep:
		return msgp.AppendUint(dst, uint64(t.Flow.Step))
	case fieldPriority:
		return msgp.AppendInt(dst, 0) // not used: the priority is in the lane
	case fieldSchema:
		return msgp.AppendUint(dst, t.Schema)
	case fieldUpstream:
		return msgp.AppendString(dst, t.Flow.Upstream)
	case fieldRule:
		return appendRule(dst, &t.Unique)
	case fieldSlots:
		return msgp.AppendUint(dst, uint64(t.Slots))
	}
	return dst
}

// takeTaskField reads one field of a body into t.
func takeTaskField(t *broker.Task, in []byte, field int) (rest []byte, err error) {
	switch field {
	case fieldName:
		t.Name, rest, err = takeName(in)
	case fieldPayload:
		t.Payload, rest, err = takeBytes(in, nil)
	case fieldCodec:
		t.Codec, rest, err = takeCodec(in)
	case fieldEnqueued:
		t.Enqueued, rest, err = takeTime(in)
	case fieldRetries:
		var n int64
		n, rest, err = takeInt(in)
		t.Retries = int(n) - 1
	case fieldTimeout:
		var n int64
		n, rest, err = takeInt(in)
		if t.Timeout = time.Duration(n) * time.Microsecond; n < 0 {
			t.Timeout = broker.NoTimeout
		}
	case fieldRetention:
		t.Retention, rest, err = takeKeep(in, broker.DefaultRetention)
	case fieldDeadFor:
		t.DeadFor, rest, err = takeKeep(in, broker.DefaultDeadRetention)
	case fieldUnique:
		t.Unique.Key, rest, err = takeString(in)
	case fieldMeta:
		t.Meta, rest, err = takeMeta(in)
	case fieldParent:
		t.Parent, rest, err = takeID(in)
	case fieldGroup:
		t.Flow.ID, rest, err = takeID(in)
	case fieldStep:
		var n int64
		n, rest, err = takeInt(in)
		t.Flow.Step = uint32(n)
	case fieldPriority:
		_, rest, err = takeInt(in)
	case fieldSchema:
		var n int64
		n, rest, err = takeInt(in)
		t.Schema = uint64(n)
	case fieldUpstream:
		t.Flow.Upstream, rest, err = takeString(in)
	case fieldRule:
		rest, err = takeRule(&t.Unique, in)
	case fieldSlots:
		var n int64
		n, rest, err = takeInt(in)
		t.Slots = uint32(n)
	default: // a field of a newer version: the array may only grow
		rest, err = msgp.Skip(in, 1)
	}
	return rest, err
}

// ParseRecord reads a message into d. Now is the broker's clock in unix ms, from which Left
// is computed. D must be zero, except for d.Payload and d.Queue: fields that the message leaves
// out are not reset, and the queue is never in it.
//
// If the head can't be read, nothing is set but d.Payload, to nil. If only the body can't be
// read, all fields of the head are set, and those of the body as far as they could be read.
// The body of a message of a newer version can't be read; then d.Version is that version.
// The error wraps [broker.ErrVersion] or [broker.ErrMalformed].
//
// Nothing in d aliases record, and record is not changed. The compiler can prove it, so
// ParseRecord(d, []byte(s), now) does not copy the string s. The payload is stored in the
// memory of d.Payload if that has the capacity.
func ParseRecord(d *broker.Delivery, record []byte, now int64) error {
	room := d.Payload[:0]
	d.Payload = nil
	n, in, err := takeHead(d, record, now)
	if err != nil {
		return err
	}
	for i := range n {
		if i == fieldPayload {
			d.Payload, in, err = takeBytes(in, room)
		} else {
			in, err = takeTaskField(&d.Task, in, i)
		}
		if err != nil {
			return inField(i, err)
		}
	}
	return atEnd(in)
}

// AdoptRecord is [ParseRecord] for a record that the caller gives away: the payload aliases
// record, whose memory belongs to d from then on.
func AdoptRecord(d *broker.Delivery, record []byte, now int64) error {
	n, in, err := takeHead(d, record, now)
	if err != nil {
		return err
	}
	for i := range n {
		if i == fieldPayload {
			d.Payload, in, _, err = takeData(in)
		} else {
			in, err = takeTaskField(&d.Task, in, i)
		}
		if err != nil {
			return inField(i, err)
		}
	}
	return atEnd(in)
}

// takeHead reads the head of a message. It returns the number of fields in the body, and
// the rest of the record, which holds these fields.
func takeHead(d *broker.Delivery, record []byte, now int64) (n int, rest []byte, err error) {
	if err := ParseHead(d, record, now); err != nil {
		return 0, nil, err
	}
	switch rest = record[HeadSize:]; record[0] {
	case PlainVersion:
	case LanedVersion:
		if d.Lane, rest, err = takeLane(rest); err != nil {
			return 0, nil, err
		}
	default:
		d.Version = record[0]
		return 0, nil, newerVersion(record[0], MessageVersion)
	}
	return takeFields(rest, fieldEnqueued+1)
}

// newerVersion returns the error for a message of a newer version than this program reads.
func newerVersion(version, reads uint8) error {
	return fmt.Errorf("%w %d of a message, this program reads %d", broker.ErrVersion, version, reads)
}

// ParseNewer reads a message into d like a program that reads versions up to reads, and for
// which this message is too new: it sets all fields of the head, and Delivery.Version. The
// error wraps [broker.ErrVersion], or [broker.ErrMalformed] if nothing is set.
func ParseNewer(d *broker.Delivery, record []byte, now int64, reads uint8) error {
	if err := ParseHead(d, record, now); err != nil {
		return err
	}
	d.Version = record[0]
	return newerVersion(record[0], reads)
}

// ParseHead reads the head of a message into d, and sets the fields of the body that have a
// default other than zero. Now is the broker's clock in unix ms.
// Every version from 2 to [MaxMessageVersion] has this head. The error wraps
// [broker.ErrVersion] or [broker.ErrMalformed], and then nothing is set.
func ParseHead(d *broker.Delivery, record []byte, now int64) error {
	if len(record) == 0 {
		return fmt.Errorf("%w: it is empty", broker.ErrMalformed)
	}
	if record[0] < firstHead || record[0] > MaxMessageVersion {
		return newerVersion(record[0], MessageVersion)
	}
	if len(record) < HeadSize {
		return fmt.Errorf("%w: %d bytes, the head alone has %d", broker.ErrMalformed, len(record), HeadSize)
	}
	copy(d.ID[:], record[OffsetID:])
	d.Attempt = binary.BigEndian.Uint32(record[OffsetAttempt:])
	d.Retried = int(binary.BigEndian.Uint16(record[OffsetRetried:]))
	d.Recoveries = int(record[OffsetRecoveries])
	d.Strikes = int(record[OffsetStrikes])
	d.Start = d.Attempt - min(uint32(binary.BigEndian.Uint16(record[OffsetUnstarted:])), max(d.Attempt, 1)-1)
	copy(d.Inbox[:], record[OffsetInbox:])
	d.Canceled = record[OffsetFlags]&FlagCanceled != 0
	d.Flow.Blocked = record[OffsetFlags]&FlagBlocked != 0
	d.Flow.Squad = record[OffsetFlags]&FlagSquad != 0
	d.Overdue = record[OffsetFlags]&FlagParked != 0
	d.Afresh = record[OffsetFlags]&FlagAfresh != 0
	d.Left = broker.NoDeadline
	if at := uint48(record[OffsetDeadline:]); at != 0 {
		d.Left = time.Duration(at-now) * time.Millisecond
	}
	d.Codec = defaultCodec
	d.Retries = broker.DefaultRetries
	d.Retention = broker.DefaultRetention
	d.DeadFor = broker.DefaultDeadRetention
	return nil
}

// firstHead is the first version of messages with the head of HeadSize bytes.
const firstHead = 2

// uint48 reads an unsigned number of six bytes.
func uint48(b []byte) int64 {
	return int64(binary.BigEndian.Uint16(b))<<32 | int64(binary.BigEndian.Uint32(b[2:]))
}

// takeFields reads the head of the array that makes up a body. It returns the number of
// fields, which is at least least, and the rest. Callers read the fields in a loop of their
// own: a callback for each field would make the results escape to the heap.
func takeFields(in []byte, least int) (n int, rest []byte, err error) {
	n, rest, err = msgp.TakeArrayHead(in)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", broker.ErrMalformed, explain(in, err, "an array"))
	}
	if n < least {
		return 0, nil, fmt.Errorf("%w: an array of %d fields", broker.ErrMalformed, n)
	}
	return n, rest, nil
}

// inField adds the number of the field to an error.
func inField(field int, err error) error {
	if errors.Is(err, msgp.ErrTruncated) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: field %d: %w", broker.ErrMalformed, field, err)
}

// atEnd returns an error if there are bytes left.
func atEnd(rest []byte) error {
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes after its end", broker.ErrMalformed, len(rest))
	}
	return nil
}

// explain says which kind of value was found and which is wanted. For a truncated record it
// returns io.ErrUnexpectedEOF.
func explain(in []byte, err error, want string) error {
	switch {
	case errors.Is(err, msgp.ErrTruncated):
		return io.ErrUnexpectedEOF
	case err == msgp.ErrMismatch: // never wrapped
		return fmt.Errorf("found %s (code %#02x), want %s", msgp.FamilyOf(in[0]), in[0], want)
	}
	return err
}
