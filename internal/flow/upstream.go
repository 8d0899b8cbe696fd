package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/guard"
)

// upstream is what a task that is about to start waits for: the result of a step
// of a pipe, or of all members of a group in order. It is fetched when it is
// first asked for: a task that was started before, or takes none, costs nothing.
type upstream struct {
	w        *work
	flow     *broker.Progress
	step     int // of a pipe
	arrivals []broker.Arrival

	got   bool
	codec string
	raw   []byte
	bad   error // why there is none, for good
}

// value returns the encoded value for a task whose arguments have a codec; bad
// says why there is none, whoever tries, and err that it should be tried again.
func (u *upstream) value(ctx context.Context, name string) (raw []byte, bad, err error) {
	if !u.got {
		if u.flow.Flow.ID.Kind() == broker.KindPipe {
			var o *broker.Outcome
			if o, err = u.w.outcomeAt(ctx, u.flow.Flow.ID, u.step, u.arrivals); err == nil {
				u.codec = o.Codec
				u.raw, u.bad = u.w.encoded(o)
			}
		} else {
			u.raw, u.codec, u.bad, err = u.w.join(ctx, u.flow, u.w.limits().Payload, name)
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
		return nil, fmt.Errorf("the result before is of the codec %q, and the arguments are of %q", u.codec, name), nil
	}
	return u.raw, nil, nil
}

// encoded returns the value that an outcome stands for. A task without a result
// counts as one that returned an empty struct, which task.None is.
func (w *work) encoded(o *broker.Outcome) (raw []byte, err error) {
	switch {
	case o.Err != nil && o.State == broker.StateSucceeded:
		return nil, errors.New(o.Err.Message)
	case len(o.Result) > 0:
		return o.Result, nil
	}
	c, err := codec.ByName(o.Codec, w.Codecs...)
	if err != nil {
		return nil, err
	}
	defer guard.Codec(o.Codec, "AppendValue", &err)
	return c.AppendValue(nil, struct{}{})
}

// join returns the array of the results of all members of a flow, in order.
// Those that did not succeed are nil in it; if that are all, it is of the codec
// want, where there is one. It reads page by page, and no more than limit allows.
func (w *work) join(ctx context.Context, p *broker.Progress, limit int, want string) (raw []byte, name string, bad, err error) {
	var values [][]byte
	size, guess := 5, ""
	for from := 0; from < p.Listed; {
		page, err := w.f.Members(ctx, p.Flow.ID, from, broker.MaxBatch, true)
		if err != nil {
			return nil, "", nil, wrap("members", err)
		}
		if len(page) == 0 {
			break
		}
		for _, m := range page {
			var v []byte
			if o := m.Outcome; o != nil && o.State != broker.StateSucceeded {
				// What was cancelled while it waited may name no codec, which is
				// read as msgpack.
				if o.State != broker.StateCanceled || o.Codec != codec.Msgpack().Name() {
					guess = cmp.Or(guess, o.Codec)
				}
			} else if o != nil {
				switch {
				case name == "":
					name = o.Codec
				case name != o.Codec:
					return nil, "", fmt.Errorf("results of the codecs %q and %q can't be joined", name, o.Codec), nil
				}
				if v, bad = w.encoded(o); bad != nil {
					return nil, "", bad, nil
				}
			}
			values = append(values, v)
			if size += max(len(v), 1); size > limit {
				return nil, "", tooLarge(fmt.Sprintf("results of %d members", p.Listed), size, limit), nil
			}
		}
		from += len(page)
	}
	name = cmp.Or(name, want, guess, w.usual()) // perhaps none succeeded, and none had to
	raw, bad = w.joined(name, values)
	return raw, name, bad, nil
}

func (w *work) joined(name string, values [][]byte) (raw []byte, err error) {
	j, err := w.joiner(name)
	if err != nil {
		return nil, err
	}
	defer guard.Codec(name, "AppendJoined", &err)
	return j.AppendJoined(nil, values)
}

// usual is the codec of where nothing says which.
func (w *work) usual() string {
	if len(w.Codecs) > 0 {
		return w.Codecs[0].Name()
	}
	return codec.Msgpack().Name()
}

func tooLarge(what string, size, limit int) error {
	return fmt.Errorf("%w: %s of %d bytes or more, the limit is %d", broker.ErrTooLarge, what, size, limit)
}
