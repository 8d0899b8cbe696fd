package minion

import (
	"fmt"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-arbiter/arbiter/broker"
)

// What a minion and its children say to each other. They are the same program,
// so nothing here is kept or has to be understood by another version.

// wireJob is an attempt on its way to a child.
type wireJob struct {
	ID         broker.ID
	Name       string
	Queue      string
	Attempt    uint32
	Retried    int
	MaxRetries int
	Recoveries int
	Meta       map[string]string
	Enqueued   time.Time
	Left       time.Duration // of the attempt, when this is sent; 0 is no limit
	LeftCause  string        // why the context ends then
	Codec      string
	Payload    []byte
	Limit      int // bytes of the result
}

// wireDone is what a handler has returned.
type wireDone struct {
	Result []byte
	Err    *wireError // nil if it succeeded
	Unfit  bool       // the child has no handler for the task, or not its codec: nothing was started
}

// wireCall is what a handler asks of its minion.
type wireCall struct {
	Calls []wireRequest // to be sent
	Later bool          // if the task succeeds
	Await broker.ID     // to be waited for; zero if Calls are to be sent
	Limit time.Duration // how long Await is, until the context there ends; 0 is no limit
	Topic string        // Event is to be published to; empty for the others
	Event []byte        // as client.EncodeEvent has made it
}

// wireReply is the answer to a wireCall.
type wireReply struct {
	Outcome []byte       // of Await
	Err     *wireError   // of all
	Failed  []wireFailed // of single calls
}

// wireFailed is a task.FailedCall.
type wireFailed struct {
	Index int
	Err   *wireError
}

// wireRequest is a call, prepared: a task, or a pipe or group of such.
type wireRequest struct {
	Task    []byte // a record of broker.AppendSubmit; empty for a flow
	Inherit bool

	ID        broker.ID // these of a flow
	Kind      broker.Kind
	Members   []wireRequest
	Need      int
	Callback  *wireRequest
	Finalizer *wireRequest
	Timeout   time.Duration
	Timeouts  []time.Duration
	Retention time.Duration
}

// pack encodes one of these types, which can't fail.
func pack(v any) []byte {
	b, err := msgpack.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("minion: %T can't be encoded: %v", v, err))
	}
	return b
}

// unpack decodes what pack has made.
func unpack(b []byte, v any) error {
	if err := msgpack.Unmarshal(b, v); err != nil {
		return fmt.Errorf("message of a child: %T: %w", v, err)
	}
	return nil
}
