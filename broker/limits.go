package broker

import (
	"fmt"
	"time"
)

// The limits every broker keeps, so that memory is bounded and a script on the
// server stays short. Payload, Result and Meta are defaults that a broker may
// let its user change; the others are fixed.
const (
	DefaultMaxPayload = 1 << 20  // bytes of one task's payload
	DefaultMaxResult  = 1 << 20  // bytes of one task's result
	DefaultMaxMeta    = 4 << 10  // bytes of one task's metadata, keys and values together
	MaxBatch          = 1000     // records that one operation on the store may touch
	MaxBatchBytes     = 4 << 20  // bytes that one operation on the store may move
	MaxInbox          = 100_000  // entries of an inbox or an event topic
	MaxUniqueKey      = 512      // bytes of a unique key, without its scope
	MaxStack          = 16 << 10 // bytes of an error's stack; what is longer is cut
	MaxMessage        = 8 << 10  // bytes of an error's message; what is longer is cut
)

// The times every broker keeps unless its user says otherwise.
const (
	DefaultRetention     = time.Hour          // how long a result is kept after the final state
	DefaultDeadRetention = 7 * 24 * time.Hour // how long a dead letter is kept
	MinTombstone         = 10 * time.Minute   // how long an id is remembered after the final state, at least
	HaltPatience         = 30 * time.Second   // how long whoever has halted a flow is left to kill it; see Halter
	MaxUnused            = 24 * time.Hour     // by when a queue is forgotten that is empty and that nobody uses
	MaxDuration          = 10 * 365 * 24 * time.Hour
)

// Limits are the sizes that a broker's user may change.
type Limits struct {
	Payload int // bytes; default DefaultMaxPayload
	Result  int // bytes; default DefaultMaxResult
	Meta    int // bytes; default DefaultMaxMeta
}

// WithDefaults returns l with the default in place of every zero.
func (l Limits) WithDefaults() Limits {
	if l.Payload == 0 {
		l.Payload = DefaultMaxPayload
	}
	if l.Result == 0 {
		l.Result = DefaultMaxResult
	}
	if l.Meta == 0 {
		l.Meta = DefaultMaxMeta
	}
	return l
}

// MaxName is the longest name of a queue, task, topic or namespace, in bytes.
const MaxName = 128

// CheckName reports whether name may name a queue, a task, a topic or a
// namespace: 1 to 128 of A-Z a-z 0-9 _ . and -. What says in the error what
// the name is of. The error wraps [ErrInvalid].
func CheckName(what, name string) error {
	ok := len(name) >= 1 && len(name) <= MaxName
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '_' || c == '.' || c == '-'
	}
	if ok {
		return nil
	}
	return fmt.Errorf("%w %s name %.140q: want 1 to %d of A-Z a-z 0-9 _ . -", ErrInvalid, what, name, MaxName)
}
