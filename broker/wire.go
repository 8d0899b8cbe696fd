package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// A stored message is a head of fixed width, which a store may edit in place
// without understanding the rest, and a body that only clients open.
// docs/wire.md has the tables; testdata/ holds golden files of every record.
const (
	// RecordVersion is the first byte of every message and outcome this package
	// writes, and the only one it reads.
	RecordVersion = 1

	// Offsets into the head. Numbers are big-endian.
	OffsetID         = 1  // 16 bytes
	OffsetAttempt    = 17 // uint32
	OffsetRetried    = 21 // uint16
	OffsetRecoveries = 23 // uint8
	OffsetFlags      = 24 // uint8, Flag…
	OffsetDigest     = 25 // uint32, Task.Digest
	OffsetInbox      = 29 // 16 bytes, all 0 is none
	OffsetDeadline   = 45 // 6 bytes, unix ms by the broker's clock, 0 is none
	HeadSize         = 51

	// FlagCanceled marks a task that was cancelled while it ran and whose owner
	// died: whoever takes it next settles it as canceled.
	FlagCanceled = 1
	// FlagUnique marks a task that holds a unique key.
	FlagUnique = 2
	// FlagBlocked marks a task that waits for others.
	FlagBlocked = 4
	// FlagSquad marks a member of a squad.
	FlagSquad = 8
)

// ErrVersion is wrapped by the error of a record that a newer version wrote.
var ErrVersion = errors.New("unknown record version")

// ErrMalformed is wrapped by the error of a record that can't be read.
var ErrMalformed = errors.New("malformed record")

var readers = sync.Pool{New: func() any { return new(bytes.Reader) }}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// encode appends to dst what fill writes. Writing to a bytes.Buffer can't fail,
// so the encoder's errors need no handling by fill.
func encode(dst []byte, fill func(*msgpack.Encoder)) []byte {
	buf := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	enc := msgpack.GetEncoder()
	enc.Reset(buf)
	fill(enc)
	msgpack.PutEncoder(enc)
	dst = append(dst, buf.Bytes()...)
	if buf.Cap() <= 64<<10 { // a rare giant must not stay in the pool
		buffers.Put(buf)
	}
	return dst
}

// AppendRecord appends the message of a task that was never handed out:
// attempt 1, nothing retried, no deadline (the store knows the time and sets
// it). The queue is left out; the place where a message is kept says it.
func AppendRecord(dst []byte, t *Task) []byte {
	var head [HeadSize]byte
	head[0] = RecordVersion
	copy(head[OffsetID:], t.ID[:])
	head[OffsetAttempt+3] = 1
	if t.Unique != "" {
		head[OffsetFlags] = FlagUnique
	}
	if t.Blocked {
		head[OffsetFlags] |= FlagBlocked
	}
	if t.Squad {
		head[OffsetFlags] |= FlagSquad
	}
	binary.BigEndian.PutUint32(head[OffsetDigest:], t.Digest())
	copy(head[OffsetInbox:], t.Inbox[:])
	dst = append(dst, head[:]...)
	n := t.bodyLen()
	return encode(dst, func(e *msgpack.Encoder) {
		_ = e.EncodeArrayLen(n)
		for i := range n {
			t.encodeField(e, i)
		}
	})
}

// The fields of a body, in their order on the wire. New ones go to the end;
// fields at the end that are zero are left out.
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
)

func (t *Task) bodyLen() int {
	switch {
	case t.Upstream != "":
		return fieldUpstream + 1
	case t.Schema != 0:
		return fieldSchema + 1
	case t.Priority != 0:
		return fieldPriority + 1
	case t.Step != 0:
		return fieldStep + 1
	case !t.Group.IsZero():
		return fieldGroup + 1
	case !t.Parent.IsZero():
		return fieldParent + 1
	case len(t.Meta) > 0:
		return fieldMeta + 1
	case t.Unique != "":
		return fieldUnique + 1
	case t.DeadFor != DefaultDeadRetention:
		return fieldDeadFor + 1
	case t.Retention != DefaultRetention:
		return fieldRetention + 1
	case t.Timeout != 0:
		return fieldTimeout + 1
	case t.Retries != DefaultRetries:
		return fieldRetries + 1
	}
	return fieldEnqueued + 1
}

// defaultCodec is left out of records: almost all of them have it.
const defaultCodec = "msgpack"

func (t *Task) encodeField(e *msgpack.Encoder, field int) {
	switch field {
	case fieldName:
		_ = e.EncodeString(t.Name)
	case fieldPayload:
		encodeBytes(e, t.Payload)
	case fieldCodec:
		encodeCodec(e, t.Codec)
	case fieldEnqueued:
		encodeTime(e, t.Enqueued)
	case fieldRetries:
		_ = e.EncodeUint(uint64(t.Retries + 1))
	case fieldTimeout:
		_ = e.EncodeUint(uint64(t.Timeout / time.Microsecond))
	case fieldRetention:
		encodeKeep(e, t.Retention, DefaultRetention)
	case fieldDeadFor:
		encodeKeep(e, t.DeadFor, DefaultDeadRetention)
	case fieldUnique:
		_ = e.EncodeString(t.Unique)
	case fieldMeta:
		encodeMeta(e, t.Meta)
	case fieldParent:
		encodeID(e, t.Parent)
	case fieldGroup:
		encodeID(e, t.Group)
	case fieldStep:
		_ = e.EncodeUint(uint64(t.Step))
	case fieldPriority:
		_ = e.EncodeInt(int64(t.Priority))
	case fieldSchema:
		_ = e.EncodeUint(t.Schema)
	case fieldUpstream:
		_ = e.EncodeString(t.Upstream)
	}
}

func (t *Task) decodeField(d *msgpack.Decoder, field int) error {
	var err error
	switch field {
	case fieldName:
		t.Name, err = d.DecodeString()
	case fieldPayload:
		t.Payload, err = d.DecodeBytes()
	case fieldCodec:
		t.Codec, err = decodeCodec(d)
	case fieldEnqueued:
		t.Enqueued, err = decodeTime(d)
	case fieldRetries:
		var n int
		n, err = d.DecodeInt()
		t.Retries = n - 1
	case fieldTimeout:
		var n int64
		n, err = d.DecodeInt64()
		t.Timeout = time.Duration(n) * time.Microsecond
	case fieldRetention:
		t.Retention, err = decodeKeep(d, DefaultRetention)
	case fieldDeadFor:
		t.DeadFor, err = decodeKeep(d, DefaultDeadRetention)
	case fieldUnique:
		t.Unique, err = d.DecodeString()
	case fieldMeta:
		t.Meta, err = decodeMeta(d)
	case fieldParent:
		t.Parent, err = decodeID(d)
	case fieldGroup:
		t.Group, err = decodeID(d)
	case fieldStep:
		t.Step, err = d.DecodeUint32()
	case fieldPriority:
		t.Priority, err = d.DecodeInt8()
	case fieldSchema:
		t.Schema, err = d.DecodeUint64()
	case fieldUpstream:
		t.Upstream, err = d.DecodeString()
	default: // of a newer writer: the array may only grow
		err = d.Skip()
	}
	return err
}

// ParseRecord reads a message into d. Now is the broker's clock in unix ms and
// gives Left. If the head can't be read nothing is set; if only the body can't,
// everything of the head is. The error wraps [ErrVersion] or [ErrMalformed].
// Nothing in d aliases record.
func ParseRecord(d *Delivery, record []byte, now int64) error {
	if len(record) == 0 {
		return fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	if record[0] != RecordVersion {
		return fmt.Errorf("%w %d, this program reads %d", ErrVersion, record[0], RecordVersion)
	}
	if len(record) < HeadSize {
		return fmt.Errorf("%w: %d bytes, the head alone has %d", ErrMalformed, len(record), HeadSize)
	}
	copy(d.ID[:], record[OffsetID:])
	d.Attempt = binary.BigEndian.Uint32(record[OffsetAttempt:])
	d.Retried = int(binary.BigEndian.Uint16(record[OffsetRetried:]))
	d.Recoveries = int(record[OffsetRecoveries])
	copy(d.Inbox[:], record[OffsetInbox:])
	d.Canceled = record[OffsetFlags]&FlagCanceled != 0
	d.Blocked = record[OffsetFlags]&FlagBlocked != 0
	d.Squad = record[OffsetFlags]&FlagSquad != 0
	d.Left = NoDeadline
	if at := uint48(record[OffsetDeadline:]); at != 0 {
		d.Left = time.Duration(at-now) * time.Millisecond
	}
	d.Codec = defaultCodec
	d.Retries = DefaultRetries
	d.Retention = DefaultRetention
	d.DeadFor = DefaultDeadRetention
	return decode(record[HeadSize:], func(dec *msgpack.Decoder, field int) error {
		return d.decodeField(dec, field)
	}, fieldEnqueued+1)
}

func uint48(b []byte) int64 {
	return int64(binary.BigEndian.Uint16(b))<<32 | int64(binary.BigEndian.Uint32(b[2:]))
}

// decode reads an array of at least least fields that fills data to its end.
func decode(data []byte, field func(*msgpack.Decoder, int) error, least int) error {
	r := readers.Get().(*bytes.Reader)
	r.Reset(data)
	dec := msgpack.GetDecoder()
	dec.Reset(r)
	defer func() {
		msgpack.PutDecoder(dec)
		r.Reset(nil)
		readers.Put(r)
	}()
	n, err := dec.DecodeArrayLen()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, noEOF(err))
	}
	if n < least || n > len(data) {
		return fmt.Errorf("%w: an array of %d fields", ErrMalformed, n)
	}
	for i := range n {
		if err := field(dec, i); err != nil {
			return fmt.Errorf("%w: field %d: %w", ErrMalformed, i, noEOF(err))
		}
	}
	if r.Len() > 0 {
		return fmt.Errorf("%w: %d bytes after its end", ErrMalformed, r.Len())
	}
	return nil
}

// noEOF keeps a truncated record from looking like the end of a stream.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
