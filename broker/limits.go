package broker

import (
	"fmt"
	"time"
)

// The limits that every broker enforces. They bound memory, and how long one operation
// occupies a server. Payload, result and metadata have defaults that a broker may let its
// user change; the others are fixed.
const (
	DefaultMaxPayload = 1 << 20  // bytes of one task's payload
	DefaultMaxResult  = 1 << 20  // bytes of one task's result
	DefaultMaxMeta    = 4 << 10  // bytes of one task's metadata, keys and values together
	MaxBatch          = 1000     // records that one operation on the store may read or write
	MaxBatchBytes     = 4 << 20  // bytes that one operation on the store may move
	MaxInbox          = 100_000  // notices of an inbox, or events of a topic
	MaxUniqueKey      = 512      // bytes of a unique key, without its scope
	MaxStack          = 16 << 10 // bytes of an error's stack; a longer one is cut
	MaxMessage        = 8 << 10  // bytes of an error's message; a longer one is cut
)

// The times of the contract. They are fixed, except for the two defaults: arbiters and
// minions set these in the tasks and flows for which the user chooses nothing else. A broker
// takes a Retention or DeadFor of 0 as it is. It uses DefaultRetention where it can't know
// another one: for events, and perhaps for tasks that end while they wait.
const (
	DefaultRetention     = time.Hour                 // how long a result is kept after the final state
	DefaultDeadRetention = 7 * 24 * time.Hour        // how long a dead letter is kept
	MinTombstone         = 10 * time.Minute          // how long the id of a task or flow is remembered after its end, at least
	HaltPatience         = 30 * time.Second          // how long a process that has halted a flow has to kill it; see Halter
	MaxUnused            = 24 * time.Hour            // the time within which an empty queue that nobody uses is forgotten; see Inspector.Queues
	MaxDuration          = 10 * 365 * 24 * time.Hour // the longest delay, timeout, deadline or retention: ten years
)

// Limits are the sizes that the user of a broker may change.
type Limits struct {
	Payload int // bytes; default DefaultMaxPayload
	Result  int // bytes; default DefaultMaxResult
	Meta    int // bytes; default DefaultMaxMeta
}

// WithDefaults returns l with every zero replaced by its default.
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

// CheckName reports whether name is valid for a queue, a task, a topic or a namespace: 1 to
// 128 of A-Z a-z 0-9 _ . and -. The error wraps [ErrInvalid], and begins with kind, such as
// "queue".
func CheckName(kind, name string) error {
	ok := len(name) >= 1 && len(name) <= MaxName
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '_' || c == '.' || c == '-'
	}
	if ok {
		return nil
	}
	return fmt.Errorf("%w %s name %.140q: want 1 to %d of A-Z a-z 0-9 _ . -", ErrInvalid, kind, name, MaxName)
}
