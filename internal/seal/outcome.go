package seal

import (
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// Outcome seals how a task, group or pipe has ended: its result, also an empty one, and
// its failure. The name is set.
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
		return nil // canceled or expired, which needs no seal
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

// hide returns what can be read of a failure, and what is in its seal.
func hide(s codec.Sealer, f *broker.Failure) (shown broker.Failure, inside []byte) {
	if !codec.Hides(s, codec.Errors) {
		return *f, nil
	}
	return broker.Failure{Type: "sealed", Message: "the error is sealed", Final: f.Final}, failureRecord(f)
}

// failureRecord returns a failure as bytes.
func failureRecord(f *broker.Failure) []byte {
	return broker.AppendOutcome(nil, &broker.Outcome{State: broker.StateFailed, Err: f})
}

// whole returns the failure that a seal of one has in it, or f if that hides nothing.
func whole(f *broker.Failure, inside []byte) (*broker.Failure, error) {
	if len(inside) == 0 {
		bare := *f
		bare.Seal = nil
		return &bare, nil
	}
	o, err := broker.ParseOutcome(inside)
	if err != nil {
		return nil, err
	}
	return o.Err, nil
}

// Opened is an outcome whose seal was opened.
type Opened struct {
	*broker.Outcome             // with a result that is not sealed; not to be changed
	Plain           codec.Codec // what its result is encoded with; nil if it has none, or Unknown
	Unknown         error       // why nobody knows how its result is encoded
}

// OpenOutcome opens an outcome of a task, group or pipe. The error says that it can't be
// believed: no codec is known, or nobody who has the key has said so of this task. What
// is canceled or has expired is believed without a seal, since a broker ends tasks so,
// and whoever can write to it can end any; but then it has no failure and no result. O stays
// as it is.
func OpenOutcome(codecs []codec.Codec, id broker.ID, o *broker.Outcome) (Opened, error) {
	c, err := codec.ByName(o.Codec, codecs...)
	s := Of(c)
	if s == nil && err == nil {
		return Opened{Outcome: o, Plain: c}, nil
	}
	if o.Codec == "" && o.State == broker.StateFailed && AcceptsPlain(codecs) {
		return Opened{Outcome: o}, nil // a group or pipe without a seal has a failure and no result
	}
	ended := o.State == broker.StateCanceled || o.State == broker.StateExpired
	switch {
	case err != nil && First(codecs) == nil: // nothing is ever sealed
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

// LastFailure seals the failure of an attempt after which the task is retried. The
// settlement is complete.
func LastFailure(s codec.Sealer, st *broker.Settlement) error {
	l := st.LastFailure() // cut as it will be
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

// OpenLastFailure returns a last failure as its minion has told it; nil if it can't be
// believed. L stays as it is.
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
	if First(codecs) == nil { // who has no key sees what there is to see
		return l
	}
	return nil
}

// OpenMeta returns metadata as it was sent, with whichever codec it is sealed; nil if it
// can't be opened.
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
