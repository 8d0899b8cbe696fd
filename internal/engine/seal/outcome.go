package seal

import (
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/codec"
)

// Outcome seals the outcome of a task, group or pipe: its result, also an empty one, or its
// failure. The name of the outcome must be set, because the seal includes it.
func Outcome(s codec.Sealer, id broker.ID, o *broker.Outcome) error {
	o.Codec = s.Name()
	if o.State == broker.StateSucceeded && o.Err == nil {
		data, err := sealed(s, o.Result, outcome(id, o.Name))
		if err != nil {
			return err
		}
		o.Result = data
		return nil
	}
	o.Result = nil
	if o.Err == nil {
		return nil // canceled or expired, which is accepted without a seal
	}
	f := *o.Err
	f.Trim()
	shown, inside := hide(s, &f)
	data, err := sealed(s, inside, failed(id, o, &shown))
	if err != nil {
		return err
	}
	shown.Seal = data
	o.Err = &shown
	return nil
}

// hide returns the part of a failure that stays readable, and the part that is encrypted in its
// seal.
func hide(s codec.Sealer, f *broker.Failure) (shown broker.Failure, inside []byte) {
	if !codec.Hides(s, codec.Errors) {
		return *f, nil
	}
	return broker.Failure{Type: "sealed", Message: "the error is sealed", Final: f.Final}, failureRecord(f)
}

// failureRecord encodes a failure.
func failureRecord(f *broker.Failure) []byte {
	return wire.AppendOutcome(nil, &broker.Outcome{State: broker.StateFailed, Err: f})
}

// whole returns the failure of which inside was encrypted in the seal, or f if nothing was.
func whole(f *broker.Failure, inside []byte) (*broker.Failure, error) {
	if len(inside) == 0 {
		bare := *f
		bare.Seal = nil
		return &bare, nil
	}
	o, err := wire.ParseOutcome(inside)
	if err != nil {
		return nil, err
	}
	return o.Err, nil
}

// Opened is an outcome whose seal was opened.
type Opened struct {
	*broker.Outcome             // with a result that is not sealed; must not be changed
	Plain           codec.Codec // decodes the result; nil if there is none, or if Unknown is set
	Unknown         error       // why no codec is known for the result
}

// OpenOutcome opens the outcome of a task, group or pipe, and does not change o. The error says
// that the outcome can't be accepted: its codec is unknown, or the seal is missing or wrong. A
// canceled or expired outcome is accepted without a seal, since brokers end tasks in this way,
// and a process that can write to the broker can end any task. But Opened has no failure and no
// result then.
func OpenOutcome(codecs []codec.Codec, id broker.ID, o *broker.Outcome) (Opened, error) {
	c, err := codec.ByName(o.Codec, codecs...)
	s := Of(c)
	if s == nil && err == nil {
		return Opened{Outcome: o, Plain: c}, nil
	}
	if o.Codec == "" && o.State == broker.StateFailed && AcceptsPlain(codecs) {
		// A group or pipe without a seal that failed names no codec, since it has no result.
		return Opened{Outcome: o}, nil
	}
	ended := o.State == broker.StateCanceled || o.State == broker.StateExpired
	switch {
	case err != nil && First(codecs) == nil: // nothing is ever sealed here
		return Opened{Outcome: o, Unknown: fmt.Errorf("result: %w", err)}, nil
	case err != nil && !ended:
		return Opened{}, fmt.Errorf("result: %w", err)
	case err == nil && o.State == broker.StateSucceeded && o.Err == nil:
		plain, err := opened(s, o.Result, outcome(id, o.Name))
		if err != nil {
			return Opened{}, fmt.Errorf("result: %w", err)
		}
		bare := *o
		bare.Result = plain
		return Opened{Outcome: &bare, Plain: s.Plain()}, nil
	case o.Err == nil && ended && len(o.Result) == 0:
		return Opened{Outcome: o}, nil
	}
	bare := *o
	bare.Err, bare.Result = nil, nil
	if o.Err == nil && ended {
		return Opened{Outcome: &bare}, nil
	}
	if err == nil {
		bare.Err, err = openFailure(s, id, o)
	}
	if err != nil && !ended {
		return Opened{}, fmt.Errorf("failure: %w", err)
	}
	return Opened{Outcome: &bare}, nil
}

// openFailure opens the failure of an outcome.
func openFailure(s codec.Sealer, id broker.ID, o *broker.Outcome) (*broker.Failure, error) {
	if o.Err == nil || len(o.Err.Seal) == 0 {
		return nil, errNoSeal("the failure")
	}
	inside, err := opened(s, o.Err.Seal, failed(id, o, o.Err))
	if err != nil {
		return nil, err
	}
	return whole(o.Err, inside)
}

// LastFailure seals the failure in a settlement after which the task is retried. All other
// fields of the settlement must be set.
func LastFailure(s codec.Sealer, st *broker.Settlement) error {
	l := st.LastFailure() // shortened as it will be stored
	if l == nil {
		return nil
	}
	shown, inside := hide(s, &l.Err)
	data, err := sealed(s, inside, attempt(st.Delivery.ID, l.Attempt, &shown))
	if err != nil {
		return err
	}
	shown.Seal = data
	st.Outcome.Err = &shown
	return nil
}

// OpenLastFailure opens the failure of an attempt, and does not change l. It returns nil if the
// seal is missing or wrong, and l itself if these codecs have no key.
func OpenLastFailure(codecs []codec.Codec, id broker.ID, l *broker.LastFailure) *broker.LastFailure {
	if l == nil || len(l.Err.Seal) == 0 && AcceptsPlain(codecs) {
		return l
	}
	for _, c := range codecs {
		s := Of(c)
		if s == nil || len(l.Err.Seal) == 0 {
			continue
		}
		inside, err := opened(s, l.Err.Seal, attempt(id, l.Attempt, &l.Err))
		if err != nil {
			continue
		}
		f, err := whole(&l.Err, inside)
		if err != nil {
			continue
		}
		bare := *l
		bare.Err = *f
		return &bare
	}
	if First(codecs) == nil { // without a key it returns the readable part
		return l
	}
	return nil
}

// OpenMeta returns metadata as it was sent, by trying all codecs that seal. It returns nil if
// none opens it.
func OpenMeta(codecs []codec.Codec, id broker.ID, stored map[string]string) map[string]string {
	if _, hidden := stored[MetaKey]; !hidden {
		return stored
	}
	for _, c := range codecs {
		if s := Of(c); s != nil {
			if m, err := Meta(s, id, stored); err == nil {
				return m
			}
		}
	}
	return nil
}
