package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// chance makes random tasks, outcomes and msgpack values of every form.
type chance struct{ *rand.Rand }

func newChance(seed uint64) chance { return chance{rand.New(rand.NewPCG(seed, seed))} }

func (c chance) one(in int) bool { return c.IntN(in) == 0 }

// number favors numbers at the limits of the widths of integers.
func (c chance) number() int64 {
	n := int64(1) << c.IntN(64)
	n += int64(c.IntN(5)) - 2
	if c.one(3) {
		return -n
	}
	return n
}

// length favors lengths at the limits of the widths of lengths.
func (c chance) length() int {
	ends := []int{0, 1, 15, 16, 31, 32, 127, 128, 129, 255, 256}
	switch {
	case c.one(200):
		return math.MaxUint16 + c.IntN(3) - 1
	case c.one(2):
		return ends[c.IntN(len(ends))]
	}
	return c.IntN(40)
}

func (c chance) bytes() []byte {
	b := make([]byte, c.length())
	for i := range b {
		b[i] = byte(c.Uint32())
	}
	return b
}

func (c chance) text() string {
	if c.one(3) {
		return ""
	}
	return string(c.bytes())
}

func (c chance) id() (id broker.ID) {
	if !c.one(3) {
		copy(id[:], c.bytes())
	}
	return id
}

func (c chance) texts() (list []string) {
	for range c.IntN(20) - 2 {
		list = append(list, c.text())
	}
	return list
}

func (c chance) time() time.Time {
	if c.one(4) {
		return time.Time{}
	}
	return time.UnixMilli(c.number() >> 8)
}

func (c chance) task() *broker.Task {
	t := &broker.Task{
		ID: c.id(), Name: c.text(), Codec: "msgpack", Payload: c.bytes(), Inbox: c.id(), Retries: broker.DefaultRetries,
		Retention: broker.DefaultRetention, DeadFor: broker.DefaultDeadRetention, Enqueued: c.time(),
		Flow: broker.TaskFlow{Blocked: c.one(2), Squad: c.one(2)},
	}
	for _, set := range []func(){
		func() { t.Codec = c.text() },
		func() { t.Retries = int(c.number()) },
		func() { t.Timeout = time.Duration(c.number()) },
		func() { t.Retention = time.Duration(c.number()) },
		func() { t.DeadFor = time.Duration(c.number()) },
		func() { t.Unique.Key = c.text() },
		func() {
			t.Meta = map[string]string{}
			for range c.IntN(20) {
				t.Meta[c.text()] = c.text()
			}
		},
		func() { t.Parent = c.id() },
		func() { t.Flow.ID = c.id() },
		func() { t.Flow.Step = uint32(c.number()) },
		func() { t.Schema = uint64(c.number()) },
		func() { t.Flow.Upstream = c.text() },
		func() { t.Unique.UntilStart = true },
		func() { t.Unique.OnConflict = broker.Conflict(c.number()) },
		func() { t.Unique.For = time.Duration(c.number()) },
		func() { t.Unique.MaxAge = time.Duration(c.number()) },
		func() { t.Slots = uint32(c.number()) },
	} {
		if c.one(3) {
			set()
		}
	}
	return t
}

func (c chance) outcome() *broker.Outcome {
	o := &broker.Outcome{
		State: broker.State(c.IntN(12)), Codec: c.text(), Result: c.bytes(), Name: c.text(), Attempts: uint32(c.number()),
		Retried: int(c.number()), Minion: c.id(), Enqueued: c.time(), Started: c.time(), Finished: c.time(),
	}
	if c.one(2) {
		o.Err = &broker.Failure{
			Type: c.text(), Message: strings.Repeat(c.text(), 1+c.IntN(3)), Stack: c.text(), Chain: c.texts(), Codes: c.texts(),
			Final: c.one(2), Seal: c.bytes(),
		}
	}
	if c.one(3) {
		o.ReplacedBy = c.id()
	}
	return o
}

// value appends one value of a kind, in any of its encodings. The kinds are: n an integer,
// s a string or bytes, i an id, m metadata, l a list of strings, e an error, r a rule, b a bool,
// t a final state, and * any value. Now and then it appends a value of another kind.
func (c chance) value(dst []byte, kind rune, depth int) []byte {
	if c.one(15) {
		return append(dst, msgp.Nil)
	}
	if c.one(100) {
		kind = '*'
	}
	switch kind {
	case 'n':
		switch width := c.IntN(6); width {
		case 4:
			return append(dst, byte(c.IntN(128)))
		case 5:
			return append(dst, msgp.Negative|byte(c.IntN(32)))
		default:
			return append(append(dst, []byte{msgp.Uint8, msgp.Int8}[c.IntN(2)]+byte(width)), c.raw(1<<width)...)
		}
	case 's':
		b := c.bytes()
		if c.one(2) && len(b) < 32 {
			return append(append(dst, msgp.FixStr|byte(len(b))), b...)
		}
		return append(c.head(dst, []byte{msgp.Str8, msgp.Bin8}[c.IntN(2)], len(b)), b...)
	case 'i':
		return append(c.head(dst, []byte{msgp.Str8, msgp.Bin8}[c.IntN(2)], 16), c.raw(16)...)
	case 'm':
		n := c.IntN(20)
		return c.values(c.container(dst, msgp.FixMap, msgp.Map16, n), strings.Repeat("ss", n), depth)
	case 'l':
		return c.array(dst, strings.Repeat("s", c.IntN(20)), depth)
	case 'e':
		return c.array(dst, "sssllb***"[:c.IntN(10)], depth)
	case 'r':
		return c.array(dst, "bnnn***"[:c.IntN(8)], depth)
	case 'b':
		return append(dst, msgp.False+byte(c.IntN(2)))
	case 't':
		finals := []broker.State{broker.StateSucceeded, broker.StateFailed, broker.StateCanceled, broker.StateExpired}
		return append(dst, byte(finals[c.IntN(len(finals))]))
	}
	switch which := c.IntN(12 - 4*min(depth, 1)); which {
	case 0:
		width := c.IntN(2)
		return append(append(dst, msgp.Float32+byte(width)), c.raw(4<<width)...)
	case 1:
		width := c.IntN(5)
		return append(append(dst, msgp.FixExt1+byte(width)), c.raw(1+1<<width)...)
	case 2:
		b := c.bytes()
		return append(append(c.head(dst, msgp.Ext8, len(b)), 7), b...)
	case 3:
		n := c.IntN(5)
		return c.values(c.container(dst, msgp.FixMap, msgp.Map16, n), strings.Repeat("**", n), depth+1)
	case 4:
		return c.array(dst, strings.Repeat("*", c.IntN(5)), depth+1)
	default:
		return c.value(dst, rune("nsimlebnsimleb"[which]), depth+1)
	}
}

func (c chance) values(dst []byte, kinds string, depth int) []byte {
	for _, kind := range kinds {
		dst = c.value(dst, kind, depth)
	}
	return dst
}

func (c chance) array(dst []byte, kinds string, depth int) []byte {
	return c.values(c.container(dst, msgp.FixArray, msgp.Array16, len(kinds)), kinds, depth)
}

// raw returns n random bytes.
func (c chance) raw(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c.Uint32())
	}
	return b
}

// head appends one of the heads that can hold the length; code8 is the one with 8 bits.
func (c chance) head(dst []byte, code8 byte, n int) []byte {
	switch {
	case n <= math.MaxUint8 && c.one(2):
		return append(dst, code8, byte(n))
	case n <= math.MaxUint16 && c.one(2):
		return binary.BigEndian.AppendUint16(append(dst, code8+1), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, code8+2), uint32(n))
}

// container appends one of the heads of an array or map that can hold the length.
func (c chance) container(dst []byte, fix, code16 byte, n int) []byte {
	switch {
	case n < 16 && c.one(2):
		return append(dst, fix|byte(n))
	case c.one(2):
		return binary.BigEndian.AppendUint16(append(dst, code16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, code16+1), uint32(n))
}

// body appends the fields of a record. The fields after the first least may be missing, or
// may be followed by fields of a newer version.
func (c chance) body(dst []byte, kinds string, least int) []byte {
	kinds += "***"
	return c.array(dst, kinds[:least+c.IntN(len(kinds)-least+1)], 0)
}

// damage changes, cuts or inserts a few bytes.
func (c chance) damage(b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + c.IntN(3) {
		if len(b) < 2 {
			break
		}
		switch at := 1 + c.IntN(len(b)-1); c.IntN(4) {
		case 0:
			b[at] = byte(c.Uint32())
		case 1:
			b = b[:at]
		case 2:
			b = slices.Insert(b, at, byte(c.Uint32()))
		default:
			b = slices.Insert(b, at, c.value(nil, '*', 0)...)
		}
	}
	return b
}

// The kinds of the fields, in order.
const (
	recordKinds  = "sssn" + "nnnnsmiinnnsrn"
	outcomeKinds = "tsssnninnnei"
)

// agree reads data with this package and with the msgpack library. It is an error if only
// one of them can read it, or if only the library finds that it is truncated.
func agree(t *testing.T, data []byte) {
	t.Helper()
	var d, ref broker.Delivery
	err, want := ParseRecord(&d, data, 5), refParseRecord(&ref, data, 5)
	if same(t, data, err, want); want != nil {
		// The payload is undefined if its field could not be read.
		d.Payload, ref.Payload = nil, nil
		// This package does not begin to read an array that claims more fields than there
		// are bytes.
		if _, _, err := takeFields(data[min(len(data), HeadSize):], 0); err != nil {
			ref = broker.Delivery{}
			_ = refParseRecord(&ref, data[:min(len(data), HeadSize)], 5)
		}
	}
	if !reflect.DeepEqual(d, ref) && !errors.Is(err, msgp.ErrTooDeep) {
		t.Errorf("%x:\n got %+v, %v\nwant %+v, %v", data, d, err, ref, want)
	}
	if err == nil { // the result is the same if the payload has room
		roomy := broker.Delivery{Task: broker.Task{Payload: make([]byte, 0, 8)}}
		room := roomy.Payload[:1]
		if err := ParseRecord(&roomy, data, 5); err != nil || !reflect.DeepEqual(roomy, d) {
			t.Errorf("%x:\n with room %+v, %v\n want %+v", data, roomy, err, d)
		}
		if n := len(roomy.Payload); n > 0 && (&roomy.Payload[0] == &room[0]) != (n <= 8) {
			t.Errorf("%x: a payload of %d bytes: want it in the room if it fits, and only then", data, n)
		}
	}
	o, err := ParseOutcome(data)
	if codec, result, ok := ParseResult(data); ok && err == nil &&
		(o.State != broker.StateSucceeded || o.Err != nil || codec != o.Codec || !bytes.Equal(result, o.Result)) {
		t.Errorf("%x: result %x by codec %q of %+v", data, result, codec, o)
	}
	refOutcome, want := refParseOutcome(data)
	same(t, data, err, want)
	if !reflect.DeepEqual(o, refOutcome) && !errors.Is(err, msgp.ErrTooDeep) {
		t.Errorf("%x:\n got %+v, %v\nwant %+v, %v", data, o, err, refOutcome, want)
	}
}

func same(t *testing.T, data []byte, err, want error) {
	t.Helper()
	if errors.Is(err, msgp.ErrTooDeep) { // the library has no limit
		return
	}
	if (err == nil) != (want == nil) || errors.Is(want, io.ErrUnexpectedEOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%x: %v, want %v", data, err, want)
	}
	for _, kind := range []error{broker.ErrVersion, broker.ErrMalformed} {
		if errors.Is(err, kind) != errors.Is(want, kind) {
			t.Errorf("%x: %v, want %v", data, err, want)
		}
	}
}

func TestRecordsAreWrittenAsByTheLibrary(t *testing.T) {
	c := newChance(1)
	for range 3000 {
		task := c.task()
		prefix := c.bytes()
		got, want := AppendRecord(slices.Clone(prefix), task), append(prefix, refAppendRecord(task)...)
		if !bytes.Equal(got, want) {
			t.Fatalf("%+v:\n got %x\nwant %x", task, got, want)
		}
		o := c.outcome()
		got, want = AppendOutcome(slices.Clone(prefix), o), append(prefix, refAppendOutcome(o)...)
		if !bytes.Equal(got, want) {
			t.Fatalf("%+v:\n got %x\nwant %x", o, got, want)
		}
		if _, _, ok := ParseResult(got[len(prefix):]); ok != (o.State == broker.StateSucceeded && o.Err == nil && o.ReplacedBy.IsZero()) {
			t.Fatalf("%+v has a result: %v", o, ok)
		}
	}
}

func TestRecordsAreReadAsByTheLibrary(t *testing.T) {
	c := newChance(2)
	var read [4]int // records of each kind that could be read
	for range 1500 {
		for kind, data := range [][]byte{
			AppendRecord(nil, c.task()),
			c.body(append([]byte{PlainVersion}, c.raw(HeadSize-1)...), recordKinds, fieldEnqueued+1),
			AppendOutcome(nil, c.outcome()),
			c.body([]byte{RecordVersion}, outcomeKinds, outcomeFinished+1),
		} {
			agree(t, data)
			agree(t, c.damage(data))
			if ParseRecord(new(broker.Delivery), data, 0) == nil {
				read[kind]++
			}
			if _, err := ParseOutcome(data); err == nil {
				read[kind]++
			}
		}
		agree(t, append([]byte{RecordVersion}, c.bytes()...))
		if t.Failed() {
			return
		}
	}
	if slices.Min(read[:]) < 100 {
		t.Errorf("of the four kinds, %d records could be read, want 100 or more of each", read)
	}
}

func FuzzAgree(f *testing.F) {
	c := newChance(3)
	for range 20 {
		f.Add(AppendRecord(nil, c.task()))
		f.Add(AppendOutcome(nil, c.outcome()))
		f.Add(c.body(append([]byte{PlainVersion}, c.raw(HeadSize-1)...), recordKinds, fieldEnqueued+1))
		f.Add(c.body([]byte{RecordVersion}, outcomeKinds, outcomeFinished+1))
	}
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}
