package client

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/seal"
	"github.com/go-arbiter/arbiter/task"
)

// Child is a client inside a running task: what it sends has that task as its
// parent. The ids are derived from the parent, the task's name, queue and
// arguments, and how many such ones the attempt has sent before: another attempt
// that sends the same makes no second task, in whatever order it does so.
type Child struct {
	Client  *Client
	Parent  broker.ID
	Attempt uint32 // after the first, what is sent may have been sent before
	Afresh  bool   // the attempt follows a failure: children that failed for good run again
	Heirs   Heirs  // told of calls that inherit; nil if nobody is

	mu    sync.Mutex
	again bool                // Reset was called
	sent  map[[16]byte]uint32 // how often the like was sent

	revived map[broker.ID]struct{} // what was requeued, if it had failed for good
}

// Heirs is told of calls that inherit from the task that sends them.
type Heirs interface {
	// Endow changes the record of a task before it is sent.
	Endow(t *broker.Task)
	// Sent is told of what is about to be sent: a task that is sent alone, or a
	// pipe or group. An error says that it must not be sent, since nobody would end it.
	Sent(id broker.ID) error
}

// Submit implements [task.Submitter].
func (s *Child) Submit(ctx context.Context, calls ...task.Bound) error {
	return s.Client.submit(ctx, s, calls)
}

// Await implements [task.Submitter].
func (s *Child) Await(ctx context.Context, id task.ID, into any) error {
	return s.Client.Await(ctx, id, into)
}

// Prepare returns the record of a call that is a single task.
func (s *Child) Prepare(call task.Bound, now time.Time) (*broker.Task, error) {
	t := new(broker.Task)
	if _, err := s.Client.prepare(t, requestOf(call), s, now, nil, nil); err != nil {
		return nil, err
	}
	return t, nil
}

// Record returns the record of a request that is sent from another process than
// that of the client. It is neither checked nor sealed.
func (s *Child) Record(req *task.Request, c codec.Codec, now time.Time) (*broker.Task, error) {
	return s.prepare(req, c, now)
}

// FlowID returns the id of a pipe or group with the members, and with the callback
// and the finalizer that follow them, zero for none.
func (s *Child) FlowID(kind broker.Kind, members []broker.ID, follow ...broker.ID) broker.ID {
	return s.flowID(kind, members, follow...)
}

// Reset forgets what was sent: what comes now is sent by another run of the
// handler, and is the same.
func (s *Child) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.again = true
	s.sent = nil
}

// sends tells the heirs' keeper what is about to be sent.
func (s *Child) sends(req *task.Request) error {
	if s == nil || s.Heirs == nil || !req.Settings().Inherit {
		return nil
	}
	if err := s.Heirs.Sent(req.ID()); err != nil {
		return fmt.Errorf("%s: %w", task.Title(req.ID(), req.Name()), err)
	}
	return nil
}

// repeats reports whether what is sent may have been sent before, by another run.
func (s *Child) repeats() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Attempt > 1 || s.again
}

// prepare returns the record of a request, which is neither checked nor sealed.
func (s *Child) prepare(req *task.Request, c codec.Codec, now time.Time) (*broker.Task, error) {
	t := new(broker.Task)
	if err := req.Draft(t, c, now, nil); err != nil {
		return nil, err
	}
	s.identify(req, t, c)
	return t, nil
}

// identify gives the request of a draft that c has encoded its id, and the draft what it
// has from the task that sends it. Again says that it may have been sent before.
func (s *Child) identify(req *task.Request, t *broker.Task, c codec.Codec) (again bool) {
	if s == nil {
		return req.Identify(t, nil)
	}
	again = req.Identify(t, func(t *broker.Task) broker.ID { return s.taskID(t, c) })
	t.Parent = s.Parent
	if s.Heirs != nil && req.Settings().Inherit {
		s.Heirs.Endow(t)
	}
	return again || s.repeats()
}

// taskID returns the id of a task that is sent for the first time in this
// attempt, and was encoded by c.
func (s *Child) taskID(t *broker.Task, c codec.Codec) broker.ID {
	payload := t.Payload
	if s := seal.Of(c); s != nil { // an id must not tell what is in the payload
		payload = s.Fingerprint(payload)
	}
	h := sha256.New()
	h.Write(s.Parent[:])
	for _, part := range [][]byte{[]byte(t.Queue), []byte(t.Name), []byte(t.Codec), payload} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write(part)
	}
	var key [16]byte
	copy(key[:], h.Sum(nil))
	id := s.derive(broker.KindTask, t.Queue, binary.BigEndian.AppendUint32(key[:], s.before(key)))
	if t.Unique != "" {
		id[9] = broker.KeyPartition(t.Unique)
	}
	return id
}

// stored reports whether the error of a task that s has sent says that it is
// stored already. Its id is derived from what is in it, so what is there under the
// id is the same, though an earlier attempt may have sealed it to other bytes.
func (s *Child) stored(t *broker.Task, err error) bool {
	var dup *broker.DuplicateError
	return s != nil && errors.As(err, &dup) && dup.Holder == t.ID
}

// flowID returns the id of a flow, by those of its members: they are derived
// themselves. That of an empty flow is derived from what follows it, and from how
// many such ones the attempt has sent before.
func (s *Child) flowID(kind broker.Kind, members []broker.ID, follow ...broker.ID) broker.ID {
	h := sha256.New()
	h.Write([]byte{byte(kind)})
	for i := range members {
		h.Write(members[i][:])
	}
	if len(members) > 0 {
		return s.derive(kind, "", h.Sum(nil))
	}
	for i := range follow {
		h.Write(follow[i][:])
	}
	var key [16]byte
	copy(key[:], h.Sum(nil))
	return s.derive(kind, "", binary.BigEndian.AppendUint32(key[:], s.before(key)))
}

// before counts what is sent that has the key, and returns how often it was sent
// before by this attempt.
func (s *Child) before(key [16]byte) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == nil {
		s.sent = make(map[[16]byte]uint32)
	}
	n := s.sent[key]
	s.sent[key] = n + 1
	return n
}

// derive returns the id that the parent and a seed always give. Its time is that
// of the parent, to the minute: two bytes more that tell ids apart.
func (s *Child) derive(kind broker.Kind, queue string, seed []byte) broker.ID {
	sum := sha256.Sum256(append(s.Parent[:len(s.Parent):len(s.Parent)], seed...))
	id := broker.NewID(kind, queue, 0)
	copy(id[0:4], s.Parent[0:4])
	copy(id[4:6], sum[0:2])
	id[8] = 0x80 | sum[2]&0x3f
	id[9] = sum[9]
	copy(id[10:15], sum[3:8])
	return id
}
