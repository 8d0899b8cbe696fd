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
	"github.com/go-arbiter/arbiter/internal/engine/derive"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/internal/engine/title"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// A task that fails is run again, and its new attempt sends its children again. That must not
// create second children. So the ids of children are derived instead of random: from the
// parent's id, the content of the child, and how often this attempt has sent the same content
// before. Another attempt that sends the same children, in whatever order, gets the same ids,
// and the broker refuses a child that it has already stored.

// Child is the client of a running task: everything that it sends has that task as its parent,
// and a derived id.
type Child struct {
	Client *Client
	Parent broker.ID
	// Attempt is the number of the parent's attempt. From the second on, children may have been
	// sent before.
	Attempt uint32
	// Afresh says that the attempt follows a failure. Then children that have failed for good
	// are requeued.
	Afresh bool
	// Heirs is told of calls with the option Inherit. It may be nil.
	Heirs Heirs

	mu    sync.Mutex
	again bool // Reset was called
	// sent counts how often this attempt has sent equal content, by its hash.
	sent map[[16]byte]uint32

	// requeued has the children that were requeued, or would have been if they had failed.
	requeued map[broker.ID]struct{}
}

// Heirs keeps track of calls that inherit from the task that sends them.
type Heirs interface {
	// Endow changes the record of a task before it is sent.
	Endow(t *broker.Task)
	// Sent is called before a task that is sent alone, a pipe or a group is sent. An error says
	// that it must not be sent, since nobody would end it.
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

// Prepare returns the record of a call that is a single task, for a caller that stores it by
// itself. It is checked, and sealed if the codec seals.
func (s *Child) Prepare(call task.Bound, now time.Time) (*broker.Task, error) {
	t := new(broker.Task)
	if _, err := s.Client.prepare(t, requestOf(call), s, now, nil, nil); err != nil {
		return nil, err
	}
	return t, nil
}

// Record returns the record of a request that a process other than that of the client sends. It
// is neither checked nor sealed. c encodes the arguments.
func (s *Child) Record(req *request.Request, c codec.Codec, now time.Time) (*broker.Task, error) {
	return s.prepare(req, c, now)
}

// FlowID returns the id of a pipe or group by its members. follow are the ids of its callback
// and finalizer, zero for none; they matter if there are no members.
func (s *Child) FlowID(kind broker.Kind, members []broker.ID, follow ...broker.ID) broker.ID {
	return s.flowID(kind, members, follow...)
}

// Reset begins another run of the handler in the same attempt: calls that it sends from now on
// get the ids of the first run.
func (s *Child) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.again = true
	s.sent = nil
}

// announce tells Heirs about a request that is about to be sent, if the request inherits.
func (s *Child) announce(req *request.Request) error {
	if s == nil || s.Heirs == nil || !req.Settings().Inherit {
		return nil
	}
	if err := s.Heirs.Sent(req.ID()); err != nil {
		return fmt.Errorf("%s: %w", title.Of(req.ID(), req.Name()), err)
	}
	return nil
}

// repeats reports whether another attempt or run may have sent the same calls before. s may be
// nil.
func (s *Child) repeats() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Attempt > 1 || s.again
}

// prepare returns the record of a request with its id. The record is neither checked nor
// sealed. s may be nil.
func (s *Child) prepare(req *request.Request, c codec.Codec, now time.Time) (*broker.Task, error) {
	t := new(broker.Task)
	if err := req.Draft(t, c, now, nil); err != nil {
		return nil, err
	}
	s.identify(req, t, c)
	return t, nil
}

// identify gives an id to a request and its draft t, whose arguments c has encoded, and sets
// the fields of t that come from the parent. again reports whether it may have been sent
// before. s may be nil.
func (s *Child) identify(req *request.Request, t *broker.Task, c codec.Codec) (again bool) {
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

// taskID derives the id of a task that this attempt has not sent yet, and whose arguments c has
// encoded.
func (s *Child) taskID(t *broker.Task, c codec.Codec) broker.ID {
	payload := t.Payload
	if s := seal.Of(c); s != nil { // the id must not reveal the payload
		payload = s.Fingerprint(payload)
	}
	// The hash is over the parts with their lengths, so that no two lists of parts give the
	// same bytes.
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
	return derive.TaskID(t, s.Parent[:], s.seed(binary.BigEndian.AppendUint32(key[:], s.countEqual(key))))
}

// stored reports whether err, the result of sending t, says that t is stored already. The id is
// derived from the content, so the stored task is the same, although an earlier attempt may
// have sealed it to different bytes. s may be nil: an arbiter's id is not derived, so its
// duplicates are errors.
func (s *Child) stored(t *broker.Task, err error) bool {
	var dup *broker.DuplicateError
	return s != nil && errors.As(err, &dup) && dup.Holder == t.ID
}

// flowID derives the id of a flow from the ids of its members, which are derived themselves.
// For an empty flow it uses the callback and finalizer, and how many such flows this attempt
// has sent before.
func (s *Child) flowID(kind broker.Kind, members []broker.ID, follow ...broker.ID) broker.ID {
	h := sha256.New()
	h.Write([]byte{byte(kind)})
	for i := range members {
		h.Write(members[i][:])
	}
	if len(members) > 0 {
		return derive.ID(kind, "", s.Parent[:], s.seed(h.Sum(nil)))
	}
	for i := range follow {
		h.Write(follow[i][:])
	}
	var key [16]byte
	copy(key[:], h.Sum(nil))
	return derive.ID(kind, "", s.Parent[:], s.seed(binary.BigEndian.AppendUint32(key[:], s.countEqual(key))))
}

// countEqual returns how often this attempt has sent content with the key before, and counts it
// once more.
func (s *Child) countEqual(key [16]byte) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == nil {
		s.sent = make(map[[16]byte]uint32)
	}
	n := s.sent[key]
	s.sent[key] = n + 1
	return n
}

// seed returns the seed of an id: the same content has different ids for different parents. The time of the ids is that of
// the parent, to the minute.
func (s *Child) seed(content []byte) []byte {
	return append(s.Parent[:len(s.Parent):len(s.Parent)], content...)
}
