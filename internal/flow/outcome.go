package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// How flows are called where a task has its name.
const (
	NamePipe  = "pipe"
	NameGroup = "group"
)

// FailedCode is the code of a Failure that says that a flow has failed by the
// fault of a member.
const FailedCode = "flow failed"

// TooLargeCode is the code of a Failure that says that something is over its
// limit.
const TooLargeCode = "too large"

// outcome returns how a flow has ended whose members are all final, and so are
// its callback and finalizer.
func (w *work) outcome(ctx context.Context, p *broker.Progress, arrivals []broker.Arrival) (*broker.Outcome, error) {
	fl := &p.Flow
	o := &broker.Outcome{State: broker.StateSucceeded, Name: NameGroup, Finished: time.Now()}
	pipe := fl.ID.Kind() == broker.KindPipe
	if pipe {
		o.Name = NamePipe
	}
	switch {
	case p.Marks&(broker.MarkKilled|broker.MarkDropped) != 0:
		o.State = broker.StateCanceled
		return o, nil
	case pipe && p.Failed > 0:
		// The first that did not succeed is the cause of all that follow.
		m, err := w.outcomeAt(ctx, fl.ID, p.Succeeded, arrivals)
		if err != nil {
			return nil, err
		}
		return failedBy(o, p.Succeeded, m), nil
	case pipe:
		return w.lastStep(ctx, p, arrivals)
	case p.Succeeded < fl.Need:
		return w.failed(ctx, p, o)
	case !fl.Callback.IsZero():
		return w.callbackOutcome(ctx, p, o, arrivals)
	}
	raw, name, bad, err := w.join(ctx, p, w.limits().Result, "")
	if err != nil {
		return nil, err
	}
	o.Result, o.Codec = raw, name
	if bad != nil {
		o.Err = unjoined(bad)
	}
	return o, nil
}

// unjoined is the note of a group that succeeded and has no result of its own.
// Its members' results are there all the same.
func unjoined(why error) *broker.Failure {
	f := &broker.Failure{Type: fmt.Sprintf("%T", why), Message: "the results of the group can't be joined: " + why.Error()}
	if errors.Is(why, broker.ErrTooLarge) {
		f.Codes = []string{TooLargeCode}
	}
	f.Trim()
	return f
}

func (w *work) lastStep(ctx context.Context, p *broker.Progress, arrivals []broker.Arrival) (*broker.Outcome, error) {
	if p.Flow.Size == 0 {
		return &broker.Outcome{State: broker.StateSucceeded, Codec: w.usual(), Name: NamePipe, Finished: time.Now()}, nil
	}
	last, err := w.outcomeAt(ctx, p.Flow.ID, p.Flow.Size-1, arrivals)
	if err != nil {
		return nil, err
	}
	return &broker.Outcome{
		State: last.State, Codec: last.Codec, Result: last.Result, Err: last.Err,
		Name: NamePipe, Finished: time.Now(),
	}, nil
}

// failed returns the outcome of a group of which too few succeeded. To blame is
// the first member, by its place, that failed by itself; those that were
// cancelled are blamed only if there is no such one.
func (w *work) failed(ctx context.Context, p *broker.Progress, o *broker.Outcome) (*broker.Outcome, error) {
	var blame *broker.Outcome
	place := 0
	for from := 0; from < p.Listed; {
		page, err := w.f.Members(ctx, p.Flow.ID, from, broker.MaxBatch, true)
		if err != nil {
			return nil, wrap("members", err)
		}
		if len(page) == 0 {
			break
		}
		for i, m := range page {
			if m.Outcome == nil || m.State == broker.StateSucceeded {
				continue
			}
			if m.State != broker.StateCanceled {
				return failedBy(o, from+i, m.Outcome), nil
			}
			if blame == nil {
				blame, place = m.Outcome, from+i
			}
		}
		from += len(page)
	}
	if blame == nil {
		return nil, errors.New("no member is to blame")
	}
	return failedBy(o, place, blame), nil
}

// failedBy makes o the outcome of a flow that a member has failed.
func failedBy(o *broker.Outcome, place int, m *broker.Outcome) *broker.Outcome {
	who := fmt.Sprintf("member %d", place)
	if m.Name != "" {
		who += fmt.Sprintf(" (%s)", m.Name)
	}
	o.State = broker.StateFailed
	f := &broker.Failure{Type: "*task.RemoteError", Codes: []string{FailedCode}}
	if m.Err == nil || m.Err.Message == "" {
		if f.Message = fmt.Sprintf("%s was %s", who, m.State); m.State == broker.StateExpired {
			f.Message = who + " has expired"
		}
	} else {
		f.Message = fmt.Sprintf("%s failed: %s", who, m.Err.Message)
		f.Type = m.Err.Type
		f.Stack = m.Err.Stack
		f.Chain = append([]string{m.Err.Message}, m.Err.Chain...)
		for _, code := range m.Err.Codes {
			if code != FailedCode {
				f.Codes = append(f.Codes, code)
			}
		}
	}
	f.Trim()
	o.Err = f
	return o
}

// callbackOutcome makes o what the callback of a group has come to.
func (w *work) callbackOutcome(ctx context.Context, p *broker.Progress, o *broker.Outcome, arrivals []broker.Arrival) (*broker.Outcome, error) {
	var end *broker.Outcome
	for i := range arrivals {
		if arrivals[i].Step == broker.StepCallback {
			end = &arrivals[i].Outcome
		}
	}
	if end == nil {
		found, err := w.Broker.Lookup(ctx, []broker.ID{p.Flow.Callback})
		if err != nil {
			return nil, wrap("look up", err)
		}
		if len(found) == 1 {
			end = found[0].Outcome
		}
	}
	if end == nil {
		end = &broker.Outcome{State: p.Callback}
		if p.Callback == broker.StateSucceeded {
			end.Err = &broker.Failure{Message: "the result of the callback is not kept any more"}
		}
	}
	if end.State != broker.StateSucceeded {
		who := "the callback"
		if end.Name != "" {
			who += fmt.Sprintf(" (%s)", end.Name)
		}
		o.State = end.State
		f := broker.Failure{Message: fmt.Sprintf("%s was %s", who, end.State)}
		if end.Err != nil {
			f = *end.Err
			f.Message = fmt.Sprintf("%s failed: %s", who, end.Err.Message)
			f.Chain = append([]string{end.Err.Message}, end.Err.Chain...)
			f.Trim()
		}
		o.Err = &f
		return o, nil
	}
	o.Codec, o.Result, o.Err = end.Codec, end.Result, end.Err
	return o, nil
}
