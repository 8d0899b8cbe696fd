package memory

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// arena keeps the outcomes that end in the same minute, as bytes: there are
// many of them, for an hour, and the garbage collector shall not have to look
// at any. It goes as a whole.
type arena struct{ chunks [][]byte }

// place is where an outcome is in its arena.
type place struct{ chunk, off uint32 }

// The sizes of chunks. What is larger than the largest has one of its own.
const (
	firstChunk = 512
	lastChunk  = 64 << 10
)

// compact reports whether an arena can keep an outcome. What has an error is
// rare, and stays with its record.
func compact(o *broker.Outcome) bool { return o.Err == nil }

// add keeps an outcome of a task of a queue.
func (a *arena) add(queue string, o *broker.Outcome) place {
	size := len(queue) + len(o.Codec) + len(o.Name) + len(o.Result) + len(o.Minion) + 10*binary.MaxVarintLen64
	n := len(a.chunks) - 1
	if n < 0 || cap(a.chunks[n])-len(a.chunks[n]) < size {
		next := firstChunk
		if n >= 0 {
			next = min(2*cap(a.chunks[n]), lastChunk)
		}
		a.chunks = append(a.chunks, make([]byte, 0, max(next, size)))
		n++
	}
	b := a.chunks[n]
	at := place{uint32(n), uint32(len(b))}
	b = append(b, byte(o.State))
	for _, s := range [...]string{queue, o.Codec, o.Name} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, uint64(len(o.Result)))
	b = append(b, o.Result...)
	b = append(b, o.Minion[:]...)
	b = binary.AppendUvarint(b, uint64(o.Attempts))
	b = binary.AppendVarint(b, int64(o.Retried))
	for _, t := range [...]time.Time{o.Enqueued, o.Started, o.Finished} {
		b = binary.AppendVarint(b, milli(t))
	}
	a.chunks[n] = b
	return at
}

// get returns what add was given, with times to the millisecond.
func (a *arena) get(at place) (queue string, o *broker.Outcome) {
	r := reader{a.chunks[at.chunk][at.off:]}
	o = &broker.Outcome{State: broker.State(r.take(1)[0])}
	queue, o.Codec, o.Name = r.text(), r.text(), r.text()
	o.Result = copyBytes(r.take(int(r.uvarint())))
	o.Minion = broker.ID(r.take(len(o.Minion)))
	o.Attempts, o.Retried = uint32(r.uvarint()), int(r.varint())
	o.Enqueued, o.Started, o.Finished = moment(r.varint()), moment(r.varint()), moment(r.varint())
	return queue, o
}

// reader reads what add wrote, so it finds no mistakes.
type reader struct{ b []byte }

func (r *reader) take(n int) []byte {
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) text() string { return string(r.take(int(r.uvarint()))) }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.b = r.b[n:]
	return v
}

// milli returns the time in ms, and a value of its own for no time at all.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return math.MinInt64
	}
	return t.UnixMilli()
}

func moment(ms int64) time.Time {
	if ms == math.MinInt64 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
