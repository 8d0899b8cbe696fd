package childtask

import (
	"fmt"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/failure"
)

// These are the messages between a minion and its children, encoded with msgpack. Both
// sides are the same build of the program and nothing is stored, so the format needs no
// version.

// Job is an attempt on its way to a child. The fields up to Enqueued are those of the task.Info that the
// handler finds there.
type Job struct {
	ID         broker.ID
	Name       string
	Queue      string
	Attempt    uint32
	Retried    int
	MaxRetries int
	Recoveries int
	Meta       map[string]string
	Enqueued   time.Time
	Left       time.Duration // time left for the attempt when this is sent; 0 is no limit
	LeftCause  string        // the cause of the context's end after that time
	Codec      string
	Payload    []byte
	Limit      int // maximum size of the result in bytes
}

// Done is the result of a handler.
type Done struct {
	Result []byte
	Err    *failure.Wire // nil if the task succeeded
	Unfit  bool          // the child lacks the handler or the codec of the task, and has not started it
	Signal string        // the signal that the task waits for, if the handler has ended with a snooze
}

// query is a request of a handler to its minion. It sends Calls, awaits Await, publishes Event, or saves
// or loads durable steps.
type query struct {
	Calls     []prepared    // calls to send
	OnSuccess bool          // send them only if the task succeeds
	Await     broker.ID     // the task to await; zero for other requests
	Limit     time.Duration // time until the context there ends; 0 is no limit
	Topic     string        // the topic to which Event is published; empty for other requests
	Event     []byte        // encoded by client.EncodeEvent
	Save      *broker.Step  // the durable step to save; nil for other requests
	Load      bool          // load the durable steps
}

// reply is the answer to a query.
type reply struct {
	Outcome []byte        // the outcome of the awaited task
	Err     *failure.Wire // the error of the whole request
	Failed  []failedCall  // the errors of single calls
	Saved   *broker.Saved // the durable steps that were loaded
}

// failedCall is a task.FailedCall.
type failedCall struct {
	Index int
	Err   *failure.Wire
}

// prepared is a prepared call: a task, or a group or pipe of prepared calls.
type prepared struct {
	Task        []byte // a record of wire.AppendSubmit; empty for a group or pipe
	Inherit     bool
	WaitForRoom bool // of a task

	ID        broker.ID // this and the following fields are for groups and pipes only
	Kind      broker.Kind
	Members   []prepared
	Quorum    int
	Callback  *prepared
	Finalizer *prepared
	Timeout   time.Duration
	Timeouts  []time.Duration
	Retention time.Duration
}

// pack encodes one of these types. They can always be encoded.
func pack(v any) []byte {
	b, err := msgpack.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("childtask: %T can't be encoded: %v", v, err))
	}
	return b
}

// unpack decodes the output of pack.
func unpack(b []byte, v any) error {
	if err := msgpack.Unmarshal(b, v); err != nil {
		return fmt.Errorf("message between minion and child: %T: %w", v, err)
	}
	return nil
}
