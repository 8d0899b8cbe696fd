package task

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/seal"
)

// Request is a call as a [Submitter] sees it. Only those who write one, or a
// test double of one, need it.
type Request struct {
	name     string
	args     arguments // nil if there are none: a pipe has none
	settings *Settings
	special  *special // never nil

	mu      sync.Mutex
	id      ID
	codec   string // that has encoded payload; sealedMark is in front of it once payload is sealed
	payload []byte
}

// sealedMark is in no name of a codec. A field of its own would make every request larger.
const sealedMark = "\x00"

// special is what most requests have nothing of: there are many of them at a time.
type special struct {
	err      error
	upstream string // parameter that gets the result of what is before; "" is none
	parts    *parts // of a pipe or group; nil for a task
	flow     *Flow  // made of parts when it is first asked for; the request's mu guards it
	hidden   bool   // its unique key is as it is stored
}

// ordinary is shared by all that are not special. Nobody writes it: see [Request.own].
var ordinary special

// own returns the special part of a request that is being made, to be written.
func (r *Request) own() *special {
	if r.special == &ordinary {
		r.special = new(special)
	}
	return r.special
}

// fail lets a request that is being made be one that can't be sent, unless it is already.
func (r *Request) fail(err error) {
	if err != nil && r.special.err == nil {
		r.own().err = err
	}
}

// arguments are those of a request.
type arguments interface {
	value() any   // as the caller gave them
	encodes() any // the same for a codec, which takes a pointer as well and leaves it as it is
}

// untyped are arguments whose type nobody knows.
type untyped struct{ args any }

func (u untyped) value() any   { return u.args }
func (u untyped) encodes() any { return u.args }

// bound is a request with its arguments, in one piece of memory.
type bound[Args any] struct {
	Request
	args typed[Args]
}

type typed[Args any] struct{ args Args }

func (t *typed[Args]) value() any   { return t.args }
func (t *typed[Args]) encodes() any { return &t.args }

// NewRequest returns a request by name, for callers without a typed handle.
// Args is a struct or a [codec.Arguments].
func NewRequest(name string, args any, opts ...Option) *Request {
	req := &Request{name: name, args: untyped{args}, settings: resolve(onCall, opts), special: &ordinary}
	req.fail(broker.CheckName("task", name))
	return req
}

// FailedRequest returns a request that can't be sent: err says why.
func FailedRequest(name string, err error) *Request {
	return &Request{name: name, settings: noOptions, special: &special{err: fmt.Errorf("task %s: %w", name, err)}}
}

// Request implements [Bound].
func (r *Request) Request() *Request { return r }

// Name returns the task's name.
func (r *Request) Name() string { return r.name }

// Args returns the arguments, not encoded.
func (r *Request) Args() any {
	if r.args == nil {
		return nil
	}
	return r.args.value()
}

// Settings returns what the options came to.
func (r *Request) Settings() Settings { return r.settings.clone() }

// ID returns the id, which is zero until the request was first about to be sent.
func (r *Request) ID() ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.id
}

// Prepare encodes the request, once, and gives it its id, once: whatever is
// prepared again has the same id, codec and payload. Parties that
// differ between sends (inbox, parent, flow) are the caller's to fill in. The
// error wraps [ErrInvalid] and names the task; an error leaves the request as it
// was. A request that has a [Request.Flow] is not one task: prepare its members.
func (r *Request) Prepare(c codec.Codec, now time.Time) (*broker.Task, error) {
	t := new(broker.Task)
	if err := r.Draft(t, c, now, nil); err != nil {
		return nil, err
	}
	r.Identify(t, nil)
	if err := r.Seal(t, c); err != nil {
		return nil, err
	}
	return t, nil
}

// Draft is the first part of Prepare, for who has memory for the record: it encodes the
// request and makes t its record, which has no id if the request has none yet. What a
// codec seals is not sealed yet, unless the request was sent before: Seal is the last
// part. An error leaves both as they were. The payload is appended to room, an empty slice, if it has
// the capacity.
func (r *Request) Draft(t *broker.Task, c codec.Codec, now time.Time, room []byte) error {
	if err := r.Check(); err != nil {
		return err
	}
	if r.special.parts != nil {
		return fmt.Errorf("%s: %w: it is not a single task", r.name, broker.ErrInvalid)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.codec == "" && r.id.IsZero() { // not encoded yet
		var args any
		if r.args != nil {
			args = r.args.encodes()
		}
		payload, err := seal.Plain(c).AppendArgs(room, args)
		if err != nil {
			return fmt.Errorf("task %s: %w: arguments: %w", r.name, broker.ErrInvalid, err)
		}
		if n := len(payload); n > 0 && n <= cap(room) && &payload[0] != &room[:1][0] && cap(payload) <= cap(room) {
			payload = bytes.Clone(payload) // it may be a later part of room, which others get
		}
		r.payload, r.codec = slices.Clip(payload), c.Name()
	}
	r.settings.record(t, r.name, now)
	t.ID, t.Codec, t.Payload, t.Upstream = r.id, strings.TrimPrefix(r.codec, sealedMark), r.payload, r.special.upstream
	if t.Unique != "" && !r.special.hidden {
		t.Unique = seal.Unique(seal.Of(c), t.Unique)
	}
	return nil
}

// Seal seals the draft of a request with the codec that has encoded it, if that seals. The
// draft is complete but for its inbox, its times and whether it is blocked. The request
// keeps the sealed arguments, which must be the same however often it is sent.
func (r *Request) Seal(draft *broker.Task, c codec.Codec) error {
	s, ok := c.(codec.Sealer)
	if !ok {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasPrefix(r.codec, sealedMark) {
		draft.Payload = r.payload
		return seal.HideMeta(s, draft)
	}
	if err := seal.Task(s, draft); err != nil {
		return err
	}
	r.payload, r.codec = draft.Payload, sealedMark+r.codec
	return nil
}

// Identify is the second part of Prepare: it gives the request of a draft its id, and the
// draft too. NewID makes the id; a nil newID makes a fresh one. Again says that the
// request had its id before, and so may have been sent.
func (r *Request) Identify(draft *broker.Task, newID func(*broker.Task) ID) (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch again = !r.id.IsZero(); {
	case again:
	case newID == nil:
		r.id = broker.NewTaskID(draft.Queue, draft.Unique)
	default:
		r.id = newID(draft)
	}
	draft.ID = r.id
	return again
}

// Check returns what is wrong with the request, as far as that is known before
// it is encoded.
func (r *Request) Check() error {
	if r.special.err == nil && r.settings.err != nil {
		return fmt.Errorf("task %s: %w", r.name, r.settings.err)
	}
	return r.special.err
}
