package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-arbiter/arbiter/broker"
)

// A second implementation of the records, with the msgpack library. The tests compare this
// package with it.

func refEncode(dst []byte, fill func(*msgpack.Encoder)) []byte {
	var buf bytes.Buffer
	fill(msgpack.NewEncoder(&buf))
	return append(dst, buf.Bytes()...)
}

func refAppendRecord(t *broker.Task) []byte {
	var head [HeadSize]byte
	head[0] = PlainVersion
	copy(head[OffsetID:], t.ID[:])
	head[OffsetAttempt+3] = 1
	for flag, on := range map[byte]bool{FlagUnique: t.Unique.Key != "", FlagBlocked: t.Flow.Blocked, FlagSquad: t.Flow.Squad} {
		if on {
			head[OffsetFlags] |= flag
		}
	}
	binary.BigEndian.PutUint32(head[OffsetDigest:], t.Digest())
	copy(head[OffsetInbox:], t.Inbox[:])
	return refEncode(head[:], func(e *msgpack.Encoder) {
		n := bodyLen(t)
		_ = e.EncodeArrayLen(n)
		for _, write := range []func(){
			func() { _ = e.EncodeString(t.Name) },
			func() { refEncodeBytes(e, t.Payload) },
			func() { refEncodeCodec(e, t.Codec) },
			func() { refEncodeTime(e, t.Enqueued) },
			func() { _ = e.EncodeUint(uint64(t.Retries + 1)) },
			func() {
				if t.Timeout == broker.NoTimeout {
					_ = e.EncodeInt(-1)
				} else {
					_ = e.EncodeUint(uint64((t.Timeout + time.Microsecond - 1) / time.Microsecond))
				}
			},
			func() { refEncodeKeep(e, t.Retention, broker.DefaultRetention) },
			func() { refEncodeKeep(e, t.DeadFor, broker.DefaultDeadRetention) },
			func() { _ = e.EncodeString(t.Unique.Key) },
			func() { refEncodeMeta(e, t.Meta) },
			func() { refEncodeID(e, t.Parent) },
			func() { refEncodeID(e, t.Flow.ID) },
			func() { _ = e.EncodeUint(uint64(t.Flow.Step)) },
			func() { _ = e.EncodeInt(0) },
			func() { _ = e.EncodeUint(t.Schema) },
			func() { _ = e.EncodeString(t.Flow.Upstream) },
			func() { refEncodeRule(e, &t.Unique) },
			func() { _ = e.EncodeUint(uint64(t.Slots)) },
		}[:n] {
			write()
		}
	})
}

func refParseRecord(d *broker.Delivery, record []byte, now int64) error {
	known := len(record) > 0 && record[0] >= 2 && record[0] <= 31
	if len(record) == 0 || known && len(record) < HeadSize {
		return broker.ErrMalformed
	}
	if !known {
		return broker.ErrVersion
	}
	copy(d.ID[:], record[OffsetID:])
	d.Attempt = binary.BigEndian.Uint32(record[OffsetAttempt:])
	d.Retried = int(binary.BigEndian.Uint16(record[OffsetRetried:]))
	d.Recoveries = int(record[OffsetRecoveries])
	d.Strikes = int(record[OffsetStrikes])
	d.Start = d.Attempt
	if unstarted := uint32(binary.BigEndian.Uint16(record[OffsetUnstarted:])); unstarted < d.Attempt {
		d.Start -= unstarted
	} else if d.Attempt > 0 {
		d.Start = 1
	}
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
	d.Codec, d.Retries, d.Retention, d.DeadFor = defaultCodec, broker.DefaultRetries, broker.DefaultRetention, broker.DefaultDeadRetention
	if record[0] != PlainVersion {
		d.Version = record[0]
		return broker.ErrVersion
	}
	return refDecode(record[HeadSize:], fieldEnqueued+1, func(dec *msgpack.Decoder, field int) (err error) {
		switch field {
		case fieldName:
			d.Name, err = dec.DecodeString()
		case fieldPayload:
			d.Payload, err = refDecodeBytes(dec)
		case fieldCodec:
			d.Codec, err = refDecodeCodec(dec)
		case fieldEnqueued:
			d.Enqueued, err = refDecodeTime(dec)
		case fieldRetries:
			d.Retries, err = dec.DecodeInt()
			d.Retries--
		case fieldTimeout:
			var n int64
			n, err = dec.DecodeInt64()
			if d.Timeout = time.Duration(n) * time.Microsecond; n < 0 {
				d.Timeout = broker.NoTimeout
			}
		case fieldRetention:
			d.Retention, err = refDecodeKeep(dec, broker.DefaultRetention)
		case fieldDeadFor:
			d.DeadFor, err = refDecodeKeep(dec, broker.DefaultDeadRetention)
		case fieldUnique:
			d.Unique.Key, err = dec.DecodeString()
		case fieldMeta:
			d.Meta, err = refDecodeMeta(dec)
		case fieldParent:
			d.Parent, err = refDecodeID(dec)
		case fieldGroup:
			d.Flow.ID, err = refDecodeID(dec)
		case fieldStep:
			d.Flow.Step, err = dec.DecodeUint32()
		case fieldPriority:
			_, err = dec.DecodeInt8()
		case fieldSchema:
			d.Schema, err = dec.DecodeUint64()
		case fieldUpstream:
			d.Flow.Upstream, err = dec.DecodeString()
		case fieldRule:
			err = refDecodeRule(dec, &d.Unique)
		case fieldSlots:
			d.Slots, err = dec.DecodeUint32()
		default:
			err = dec.Skip()
		}
		return err
	})
}

func refEncodeRule(e *msgpack.Encoder, u *broker.Unique) {
	fields := []func(){
		func() { _ = e.EncodeBool(u.UntilStart) },
		func() { _ = e.EncodeUint(uint64(u.OnConflict)) },
		func() { _ = e.EncodeUint(RuleMillis(u.For)) },
		func() { _ = e.EncodeUint(RuleMillis(u.MaxAge)) },
	}
	n := 1
	for i, set := range []bool{u.UntilStart, u.OnConflict != 0, u.For != 0, u.MaxAge != 0} {
		if set {
			n = i + 1
		}
	}
	_ = e.EncodeArrayLen(n)
	for _, write := range fields[:n] {
		write()
	}
}

func refDecodeRule(d *msgpack.Decoder, u *broker.Unique) error {
	n, err := d.DecodeArrayLen()
	rule := broker.Unique{Key: u.Key}
	for i := 0; i < n && err == nil; i++ {
		var number uint64
		switch i {
		case 0:
			rule.UntilStart, err = d.DecodeBool()
		case 1:
			number, err = d.DecodeUint64()
			rule.OnConflict = broker.Conflict(min(number, 255))
		case 2:
			number, err = d.DecodeUint64()
			rule.For = time.Duration(number) * time.Millisecond
		case 3:
			number, err = d.DecodeUint64()
			rule.MaxAge = time.Duration(number) * time.Millisecond
		default:
			err = d.Skip()
		}
	}
	if err == nil {
		*u = rule
	}
	return err
}

func refAppendOutcome(o *broker.Outcome) []byte {
	return refEncode([]byte{RecordVersion}, func(e *msgpack.Encoder) {
		n := outcomeErr
		if o.Err != nil {
			n = outcomeErr + 1
		}
		if !o.ReplacedBy.IsZero() {
			n = outcomeReplacedBy + 1
		}
		_ = e.EncodeArrayLen(n)
		_ = e.EncodeUint(uint64(o.State))
		refEncodeCodec(e, o.Codec)
		refEncodeBytes(e, o.Result)
		_ = e.EncodeString(o.Name)
		_ = e.EncodeUint(uint64(o.Attempts))
		_ = e.EncodeUint(uint64(o.Retried))
		refEncodeID(e, o.Minion)
		refEncodeTime(e, o.Enqueued)
		refEncodeTime(e, o.Started)
		refEncodeTime(e, o.Finished)
		if o.Err == nil && n > outcomeErr {
			_ = e.EncodeNil()
		}
		if o.Err != nil {
			f := *o.Err
			f.Trim()
			n := 7
			if len(f.Seal) == 0 {
				n--
			}
			_ = e.EncodeArrayLen(n)
			_ = e.EncodeString(f.Type)
			_ = e.EncodeString(f.Message)
			_ = e.EncodeString(f.Stack)
			refEncodeStrings(e, f.Chain)
			refEncodeStrings(e, f.Codes)
			_ = e.EncodeBool(f.Final)
			if n == 7 {
				_ = e.EncodeBytes(f.Seal)
			}
		}
		if n > outcomeReplacedBy {
			refEncodeID(e, o.ReplacedBy)
		}
	})
}

func refParseOutcome(record []byte) (broker.Outcome, error) {
	var o broker.Outcome
	if len(record) == 0 {
		return o, broker.ErrMalformed
	}
	if record[0] != RecordVersion {
		return o, broker.ErrVersion
	}
	err := refDecode(record[1:], outcomeFinished+1, func(dec *msgpack.Decoder, field int) (err error) {
		switch field {
		case outcomeState:
			var n uint64
			n, err = dec.DecodeUint64()
			o.State = broker.State(min(n, 255))
		case outcomeCodec:
			o.Codec, err = refDecodeCodec(dec)
		case outcomeResult:
			o.Result, err = refDecodeBytes(dec)
		case outcomeName:
			o.Name, err = dec.DecodeString()
		case outcomeAttempts:
			o.Attempts, err = dec.DecodeUint32()
		case outcomeRetried:
			o.Retried, err = dec.DecodeInt()
		case outcomeMinion:
			o.Minion, err = refDecodeID(dec)
		case outcomeEnqueued:
			o.Enqueued, err = refDecodeTime(dec)
		case outcomeStarted:
			o.Started, err = refDecodeTime(dec)
		case outcomeFinished:
			o.Finished, err = refDecodeTime(dec)
		case outcomeErr:
			o.Err, err = refDecodeFailure(dec)
		case outcomeReplacedBy:
			o.ReplacedBy, err = refDecodeID(dec)
		default:
			err = dec.Skip()
		}
		return err
	})
	if err == nil && !o.State.Final() {
		err = broker.ErrMalformed
	}
	if err != nil {
		return broker.Outcome{}, err
	}
	return o, nil
}

func refDecodeFailure(d *msgpack.Decoder) (*broker.Failure, error) {
	n, err := d.DecodeArrayLen()
	if err != nil || n < 0 {
		return nil, err
	}
	f := new(broker.Failure)
	for i := 0; i < n && err == nil; i++ {
		switch i {
		case 0:
			f.Type, err = d.DecodeString()
		case 1:
			f.Message, err = d.DecodeString()
		case 2:
			f.Stack, err = d.DecodeString()
		case 3:
			f.Chain, err = refDecodeStrings(d)
		case 4:
			f.Codes, err = refDecodeStrings(d)
		case 5:
			f.Final, err = d.DecodeBool()
		case 6:
			f.Seal, err = refDecodeBytes(d)
		default:
			err = d.Skip()
		}
	}
	return f, err
}

func refDecode(data []byte, least int, field func(*msgpack.Decoder, int) error) error {
	r := bytes.NewReader(data)
	dec := msgpack.NewDecoder(r)
	n, err := dec.DecodeArrayLen()
	if err == nil && (n < least || n > len(data)) {
		err = fmt.Errorf("an array of %d fields", n)
	}
	for i := 0; i < n && err == nil; i++ {
		err = field(dec, i)
	}
	if err == nil && r.Len() > 0 {
		err = errors.New("bytes after its end")
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", broker.ErrMalformed, err)
	}
	return err
}

func refEncodeCodec(e *msgpack.Encoder, name string) {
	if name == defaultCodec {
		name = ""
	}
	_ = e.EncodeString(name)
}

func refDecodeCodec(d *msgpack.Decoder) (string, error) {
	name, err := d.DecodeString()
	if name == "" {
		name = defaultCodec
	}
	return name, err
}

func refEncodeBytes(e *msgpack.Encoder, b []byte) {
	if len(b) == 0 {
		b = nil
	}
	_ = e.EncodeBytes(b)
}

// refDecodeBytes does not use DecodeBytes, which allocates whatever length the data claims.
func refDecodeBytes(d *msgpack.Decoder) ([]byte, error) {
	if code, err := d.PeekCode(); err != nil || code == 0xc0 {
		return nil, errors.Join(err, d.Skip())
	}
	s, err := d.DecodeString()
	return []byte(s), err
}

func refEncodeID(e *msgpack.Encoder, id broker.ID) {
	if id.IsZero() {
		_ = e.EncodeNil()
		return
	}
	_ = e.EncodeBytes(id[:])
}

func refDecodeID(d *msgpack.Decoder) (broker.ID, error) {
	n, err := d.DecodeBytesLen()
	if err != nil || n < 0 {
		return broker.ID{}, err
	}
	var id broker.ID
	if n != len(id) {
		return broker.ID{}, fmt.Errorf("an id of %d bytes", n)
	}
	if err := d.ReadFull(id[:]); err != nil {
		return broker.ID{}, err
	}
	return id, nil
}

func refEncodeTime(e *msgpack.Encoder, t time.Time) {
	if t.IsZero() {
		_ = e.EncodeUint(0)
		return
	}
	_ = e.EncodeInt(t.UnixMilli())
}

func refDecodeTime(d *msgpack.Decoder) (time.Time, error) {
	ms, err := d.DecodeInt64()
	if err != nil || ms == 0 {
		return time.Time{}, err
	}
	return time.UnixMilli(ms).UTC(), nil
}

func refEncodeKeep(e *msgpack.Encoder, d, usual time.Duration) {
	if d == usual {
		_ = e.EncodeUint(0)
		return
	}
	_ = e.EncodeUint(uint64(d/time.Millisecond) + 1)
}

func refDecodeKeep(d *msgpack.Decoder, usual time.Duration) (time.Duration, error) {
	n, err := d.DecodeInt64()
	if err != nil || n == 0 {
		return usual, err
	}
	return time.Duration(n-1) * time.Millisecond, nil
}

func refEncodeMeta(e *msgpack.Encoder, meta map[string]string) {
	if len(meta) == 0 {
		_ = e.EncodeNil()
		return
	}
	var keys []string
	for k := range meta {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	_ = e.EncodeMapLen(len(keys))
	for _, k := range keys {
		_ = e.EncodeString(k)
		_ = e.EncodeString(meta[k])
	}
}

// refDecodeMeta rejects extensions. The library would skip the header of one before a map,
// and take its length for its type.
func refDecodeMeta(d *msgpack.Decoder) (map[string]string, error) {
	code, err := d.PeekCode()
	if err == nil && (code >= 0xc7 && code <= 0xc9 || code >= 0xd4 && code <= 0xd8) {
		err = errors.New("an extension")
	}
	if err != nil {
		return nil, err
	}
	n, err := d.DecodeMapLen()
	if err != nil || n <= 0 {
		return nil, err
	}
	meta := make(map[string]string)
	for range n {
		k, err := d.DecodeString()
		if err != nil {
			return nil, err
		}
		if meta[k], err = d.DecodeString(); err != nil {
			return nil, err
		}
	}
	return meta, nil
}

func refEncodeStrings(e *msgpack.Encoder, list []string) {
	if len(list) == 0 {
		_ = e.EncodeNil()
		return
	}
	_ = e.EncodeArrayLen(len(list))
	for _, s := range list {
		_ = e.EncodeString(s)
	}
}

func refDecodeStrings(d *msgpack.Decoder) ([]string, error) {
	n, err := d.DecodeArrayLen()
	if err != nil || n <= 0 {
		return nil, err
	}
	var list []string
	for range n {
		s, err := d.DecodeString()
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}
