package task

import (
	"fmt"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// Request is a call as a [Submitter] sees it. Only those who write one, or a
// test double of one, need it.
type Request struct {
	name     string
	args     any
	settings Settings
	err      error

	mu      sync.Mutex
	id      ID
	codec   string
	payload []byte
}

// NewRequest returns a request by name, for callers without a typed handle.
// Args is a struct or a [codec.Arguments].
func NewRequest(name string, args any, opts ...Option) *Request {
	req := &Request{name: name, args: args, settings: resolve(opts)}
	req.err = broker.CheckName("task", name)
	return req
}

// Request implements [Bound].
func (r *Request) Request() *Request { return r }

// Name returns the task's name.
func (r *Request) Name() string { return r.name }

// Args returns the arguments, not encoded.
func (r *Request) Args() any { return r.args }

// Settings returns what the options came to.
func (r *Request) Settings() Settings { return r.settings }

// ID returns the id, which is zero until the request was first prepared.
func (r *Request) ID() ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.id
}

// Prepare encodes the request, once, and gives it its id, once: whatever is
// prepared again has the same id, codec and payload. Parties that
// differ between sends (inbox, parent) are the caller's to fill in. The error
// wraps [ErrInvalid] and names the task; an error leaves the request as it was.
func (r *Request) Prepare(c codec.Codec, now time.Time) (*broker.Task, error) {
	if r.err != nil {
		return nil, r.err
	}
	if r.settings.err != nil {
		return nil, fmt.Errorf("task %s: %w", r.name, r.settings.err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.id.IsZero() {
		payload, err := c.AppendArgs(nil, r.args)
		if err != nil {
			return nil, fmt.Errorf("task %s: %w: arguments: %w", r.name, broker.ErrInvalid, err)
		}
		r.payload, r.codec = payload, c.Name()
		r.id = broker.NewID(broker.KindTask, r.settings.Queue, 0)
	}
	t := r.settings.record(now)
	t.ID, t.Name, t.Codec, t.Payload = r.id, r.name, r.codec, r.payload
	return t, nil
}
