package request

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
)

// Request is a call as a task.Submitter sees it: the name of a task, its arguments and its options,
// or the members of a pipe or group. Its methods may be called concurrently.
type Request struct {
	name     string
	args     arguments // nil for a pipe or group
	settings *Settings
	special  *special // never nil

	mu      sync.Mutex
	id      broker.ID
	codec   string // the name of the codec of payload, after sealedMark if payload is sealed; "" if not encoded yet
	payload []byte
}

// sealedMark can't be in the name of a codec. A separate field would make every request larger.
const sealedMark = "\x00"

// special holds fields that most requests do not need. Many requests are in memory at a time.
type special struct {
	err      error  // why the request can't be sent
	upstream string // the parameter that gets the result of the call before; "" is none
	parts    *parts // the members of a pipe or group; nil for a task
	flow     *Flow  // made from parts by the first call of Flow; guarded by the request's mu
	hidden   bool   // the unique key is already in its stored form, which seal.Unique made
	argsKey  string // the unique key that the arguments give; guarded by the request's mu
	place    place  // among the requests that are spread; guarded by the request's mu
}

// ordinary is shared by all requests without special fields. It is never written: see own.
var ordinary special

// own returns the special fields of a request that is being made, for writing.
func (r *Request) own() *special {
	if r.special == &ordinary {
		r.special = new(special)
	}
	return r.special
}

// reserve makes room for what is known only when the request is sent: the unique key that the arguments give, and the place
// among others.
func (r *Request) reserve() {
	if r.settings.Unique.ByArgs || r.settings.Spread != 0 {
		r.own()
	}
}

// fail marks a request that is being made as impossible to send. The first error counts.
func (r *Request) fail(err error) {
	if err != nil && r.special.err == nil {
		r.own().err = err
	}
}

// arguments are the arguments of a request, of a known or an unknown type.
type arguments interface {
	value() any   // the arguments as the caller gave them
	encodes() any // what the codec encodes: for a known type a pointer, which needs no copy
}

// untyped are arguments whose type is not known at compile time.
type untyped struct{ args any }

func (u untyped) value() any   { return u.args }
func (u untyped) encodes() any { return u.args }

// bound is a request and its arguments in one allocation.
type bound[Args any] struct {
	Request
	args typed[Args]
}

type typed[Args any] struct{ args Args }

func (t *typed[Args]) value() any   { return t.args }
func (t *typed[Args]) encodes() any { return &t.args }

// New returns a request by the name of a task, for callers without a typed handle. Args is a struct or
// a [codec.Arguments]. The request keeps the settings: do not change them later. Nil settings are those
// of [Default].
func New(name string, args any, s *Settings) *Request {
	req := &Request{name: name, args: untyped{args}, settings: cmp.Or(s, noOptions).ForArgs(args), special: &ordinary}
	req.fail(broker.CheckName("task", name))
	req.reserve()
	return req
}

// Bind returns the request of a typed handle with the settings s, which the request keeps. An error of
// the handle's definition, or nil, is reported when the request is sent.
func Bind[Args any](name string, s *Settings, err error, args Args) *Request {
	b := &bound[Args]{args: typed[Args]{args}}
	req := &b.Request
	s = cmp.Or(s, noOptions)
	if s.Lane != nil {
		s = s.ForArgs(args)
	}
	req.name, req.args, req.settings, req.special = name, &b.args, s, &ordinary
	req.fail(err)
	if name == "" {
		req.fail(fmt.Errorf("task: %w: the zero Task; use task.Define or a generated handle", broker.ErrInvalid))
	}
	req.reserve()
	return req
}

// Step returns the request of a step: like [Bind], with arguments by name that lack the parameter
// param. It gets the result of the call before. If a key of the settings depends on the arguments, the
// caller has filled it in with [Settings.ForArgs].
func Step(name string, s *Settings, err error, param string, others map[string]any) *Request {
	req := &Request{
		name: name, args: untyped{codec.Arguments{Named: others}}, settings: cmp.Or(s, noOptions).ForArgs(codec.Arguments{Named: others}),
		special: &special{err: err, upstream: param},
	}
	if _, bound := others[param]; bound {
		req.fail(fmt.Errorf("task %s: %w: the parameter %s of the step is bound already", name, broker.ErrInvalid, param))
	}
	return req
}

// Request returns r: a request is a task.Bound.
func (r *Request) Request() *Request { return r }

// Name returns the task's name, or "group" or "pipe".
func (r *Request) Name() string { return r.name }

// Args returns the arguments as the caller gave them, or nil for a pipe or group.
func (r *Request) Args() any {
	if r.args == nil {
		return nil
	}
	return r.args.value()
}

// Settings returns the values that the options result in.
func (r *Request) Settings() Settings { return r.settings.Clone() }

// WaitsForRoom reports whether the request waits if its queue is full. It is false for nil.
func (r *Request) WaitsForRoom() bool { return r != nil && r.settings.WaitForRoom }

// ID returns the id. It is zero until the request is first sent.
func (r *Request) ID() broker.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.id
}

// Prepare encodes the request and gives it an id, both only once: each further call returns the same
// id, codec and payload. The caller fills in the fields that differ between sends (inbox, parent,
// flow). The error wraps [broker.ErrInvalid] and names the task; the request is then unchanged. A pipe
// or group (see [Request.Flow]) can't be prepared: prepare its members.
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

// Draft is the first part of Prepare, for callers that bring the memory for the record. It encodes
// the request and fills t with its record. The record has no id if the request has none yet, and
// its payload is not sealed yet unless the request was sent before. The payload is appended to
// room, an empty slice, if it fits into the capacity. An error leaves t and the request unchanged.
func (r *Request) Draft(t *broker.Task, c codec.Codec, now time.Time, room []byte) error {
	if err := r.Check(); err != nil {
		return err
	}
	if r.special.parts != nil {
		return fmt.Errorf("%s: %w: it is not a single task", r.name, broker.ErrInvalid)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settings.Spread != 0 && !r.special.place.taken {
		return r.noPlace()
	}
	key := ""
	if r.settings.Unique.ByArgs {
		var err error
		if key, err = r.argsKey(c); err != nil {
			return err
		}
	}
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
			payload = bytes.Clone(payload) // the codec may return a later part of room, which other requests use
		}
		r.payload, r.codec = slices.Clip(payload), c.Name()
	}
	r.settings.record(t, r.name, now)
	t.Delay += r.special.place.part
	t.ID, t.Codec, t.Payload, t.Flow.Upstream = r.id, strings.TrimPrefix(r.codec, sealedMark), r.payload, r.special.upstream
	switch {
	case key != "":
		t.Unique.Key = key
	case t.Unique.Key != "" && !r.special.hidden:
		t.Unique.Key = seal.Unique(seal.Of(c), t.Unique.Key)
	}
	return nil
}

// Seal is the last part of Prepare. If the codec seals, it seals the draft's payload. The draft must
// be complete but for its inbox, its times and its blocked state. The request keeps the sealed
// payload, so that each send has the same bytes.
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

// Identify is the second part of Prepare: it gives the request and its draft an id. If the request
// has none, newID makes it; if newID is nil, Identify makes a fresh one. It returns true if the
// request had an id before, and so may have been sent.
func (r *Request) Identify(draft *broker.Task, newID func(*broker.Task) broker.ID) (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch again = !r.id.IsZero(); {
	case again:
	case newID == nil:
		r.id = draft.NewID()
	default:
		r.id = newID(draft)
	}
	draft.ID = r.id
	return again
}

// Check returns the error of a request that can't be sent, as far as that is known before it is
// encoded.
func (r *Request) Check() error {
	switch {
	case r.special.err != nil:
		return r.special.err
	case r.settings.Err != nil:
		return fmt.Errorf("task %s: %w", r.name, r.settings.Err)
	case r.special.parts != nil:
		return nil
	}
	if err := r.settings.Unique.check(); err != nil {
		return fmt.Errorf("task %s: %w", r.name, err)
	}
	return nil
}
