package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/base/guard"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
)

// A step of a pipe waits for the result of the step before it, and a callback for the results
// of all members of its group, in order. This file fetches that value when the first task asks
// for it. Results are opened and combined here, because the broker does not know codecs.
// Results of a group are read page by page, and only up to the limit of the value.

// upstream is the value that tasks about to be started wait for. It is fetched when a task asks
// for it: a task that takes none, or was started before, costs nothing.
type upstream struct {
	w        *work
	flow     *broker.Progress
	step     int // of a pipe: the step that has the result
	arrivals []broker.Arrival

	got   bool // the fields below are set
	codec string
	raw   []byte // the value, encoded and not sealed
	bad   error  // why there is no value, for good
}

// value returns the encoded value for a task whose arguments are encoded by the codec name. bad
// says that there is none, for any driver; err says that fetching it failed and may be tried
// again.
func (u *upstream) value(ctx context.Context, name string) (raw []byte, bad, err error) {
	if !u.got {
		if u.flow.Flow.ID.Kind() == broker.KindPipe {
			u.raw, u.codec, u.bad, err = u.w.stepResult(ctx, u.flow, u.step, u.arrivals)
		} else {
			u.raw, u.codec, u.bad, err = u.w.combine(ctx, u.flow, u.w.limits().Payload, name)
		}
		if err != nil {
			return nil, nil, err
		}
		u.got = true
	}
	switch {
	case u.bad != nil:
		return nil, u.bad, nil
	case u.codec != name:
		return nil, fmt.Errorf("the result of the previous task is encoded by codec %q, and the arguments by %q", u.codec, name), nil
	}
	return u.raw, nil, nil
}

// stepResult returns the encoded result of a step of a pipe. bad and err are as in value.
func (w *work) stepResult(ctx context.Context, p *broker.Progress, step int, arrivals []broker.Arrival) (raw []byte, name string, bad, err error) {
	d, bad, err := w.checkFlow(ctx, p)
	if err != nil || bad != nil {
		return nil, "", bad, err
	}
	id, o, err := w.outcomeAt(ctx, p.Flow.ID, step, arrivals)
	if err != nil {
		return nil, "", nil, err
	}
	raw, bad = w.encoded(d, uint32(step), id, o)
	return raw, o.Codec, bad, nil
}

// encoded returns the value for the outcome of a member. A task without a result counts as one
// that returned an empty struct, as task.None is.
func (w *work) encoded(d *checkedFlow, position uint32, id broker.ID, o *broker.Outcome) (raw []byte, err error) {
	open, err := w.opened(d, position, id, o)
	switch {
	case err != nil:
		return nil, err
	case o.Err != nil && o.State == broker.StateSucceeded:
		return nil, errors.New(open.Err.Message)
	case len(open.Result) > 0:
		return open.Result, nil
	}
	c, err := codec.ByName(o.Codec, w.Codecs...)
	if err != nil {
		return nil, err
	}
	defer guard.Codec(o.Codec, "AppendValue", &err)
	return seal.Plain(c).AppendValue(nil, struct{}{})
}

// combine returns the array of the results of all members of a flow, in order, with nil for
// members that did not succeed. The array is encoded by the codec of the results. If no member
// succeeded, the codec is want, if that is given. bad and err are as in value.
func (w *work) combine(ctx context.Context, p *broker.Progress, limit int, want string) (raw []byte, name string, bad, err error) {
	d, bad, err := w.checkFlow(ctx, p)
	if err != nil || bad != nil {
		return nil, "", bad, err
	}
	var values [][]byte
	size, guess, succeeded := 5, "", 0
	for from := 0; from < p.Listed; {
		page, err := w.f.Members(ctx, p.Flow.ID, from, broker.MaxBatch, true)
		if err != nil {
			return nil, "", nil, wrap("members", err)
		}
		if len(page) == 0 {
			break
		}
		for i, m := range page {
			var v []byte
			if o := m.Outcome; o != nil && o.State != broker.StateSucceeded {
				// A task that was cancelled while it waited may name no codec, and that
				// reads as msgpack.
				if o.State != broker.StateCanceled || o.Codec != codec.Msgpack().Name() {
					guess = cmp.Or(guess, o.Codec)
				}
				if _, bad = w.opened(d, uint32(from+i), m.ID, o); bad != nil {
					return nil, "", bad, nil
				}
			} else if o != nil {
				switch {
				case name == "":
					name = o.Codec
				case name != o.Codec:
					return nil, "", fmt.Errorf("results encoded by the codecs %q and %q can't be combined", name, o.Codec), nil
				}
				if v, bad = w.encoded(d, uint32(from+i), m.ID, o); bad != nil {
					return nil, "", bad, nil
				}
				succeeded++
			}
			values = append(values, v)
			if size += max(len(v), 1); size > limit {
				return nil, "", tooLarge(fmt.Sprintf("results of %d members", p.Listed), size, limit), nil
			}
		}
		from += len(page)
	}
	if d != nil && succeeded < p.Flow.Quorum { // the counts are not sealed
		return nil, "", fmt.Errorf("%w: %d members have succeeded, and %d must", codec.ErrForged, succeeded, p.Flow.Quorum), nil
	}
	name = cmp.Or(name, want, guess, w.defaultCodec()) // no member may have succeeded, if none had to
	raw, bad = w.encodeArray(name, values)
	return raw, name, bad, nil
}

// encodeArray encodes an array of encoded values.
func (w *work) encodeArray(name string, values [][]byte) (raw []byte, err error) {
	j, _, err := w.combiner(name)
	if err != nil {
		return nil, err
	}
	defer guard.Codec(name, "AppendArray", &err)
	return j.AppendArray(nil, values)
}

// defaultCodec returns the name of the codec for results that nothing else decides.
func (w *work) defaultCodec() string {
	if len(w.Codecs) > 0 {
		return w.Codecs[0].Name()
	}
	return codec.Msgpack().Name()
}

// tooLarge returns an error that wraps ErrTooLarge. size may be less than the full size.
func tooLarge(what string, size, limit int) error {
	return fmt.Errorf("%w: %s of %d bytes or more, the limit is %d", broker.ErrTooLarge, what, size, limit)
}
