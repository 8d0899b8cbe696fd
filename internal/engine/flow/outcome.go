package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// This file makes the outcome of a flow when all its members have ended, and its callback and
// finalizer too. A pipe has the result of its last step, and a group the result of its
// callback, or else the combined results of its members. If the flow has failed, the outcome
// names the member at fault and takes over its error: its message, codes and stack.

// Names of flows where a task has its name.
const (
	NamePipe  = "pipe"
	NameGroup = "group"
)

// Codes of the failure of a flow: that a member is at fault, and whether that member was
// canceled or has expired instead of failing. Package task maps them to its errors.
const (
	FailedCode   = "flow failed"
	CanceledCode = "member canceled"
	ExpiredCode  = "member expired"
)

// TooLargeCode is the code of a failure that says that something exceeds its limit.
const TooLargeCode = "too large"

// outcome returns how a flow has ended. All its members are final, and so are its callback and
// finalizer. The outcome is not sealed yet; d is the checked flow for sealing it.
func (w *work) outcome(ctx context.Context, p *broker.Progress, arrivals []broker.Arrival) (o *broker.Outcome, d *checkedFlow, err error) {
	fl := &p.Flow
	o = &broker.Outcome{State: broker.StateSucceeded, Name: NameGroup, Finished: time.Now()}
	pipe := fl.ID.Kind() == broker.KindPipe
	if pipe {
		o.Name = NamePipe
	}
	if p.Marks&(broker.MarkKilled|broker.MarkDropped) != 0 {
		o.State = broker.StateCanceled
		return o, nil, nil
	}
	d, bad, err := w.checkFlow(ctx, p)
	switch {
	case err != nil:
		return nil, nil, err
	case bad != nil:
		return forgedOutcome(o, bad), nil, nil
	case pipe && p.Failed > 0:
		o, err = w.brokenPipe(ctx, d, p, o, arrivals)
	case pipe:
		o, err = w.lastStep(ctx, d, p, o, arrivals)
	case p.Succeeded < fl.Quorum:
		o, err = w.failed(ctx, d, p, o)
	case !fl.Callback.IsZero():
		o, err = w.callbackOutcome(ctx, d, p, o, arrivals)
	default:
		o.Result, o.Codec, bad, err = w.combine(ctx, p, w.limits().Result, "")
		if bad != nil {
			o.Err = uncombined(bad)
		}
	}
	return o, d, err
}

// forgedOutcome makes o the outcome of a flow of which a part is forged or can't be opened.
func forgedOutcome(o *broker.Outcome, why error) *broker.Outcome {
	o.State, o.Result = broker.StateFailed, nil
	o.Err = &broker.Failure{Type: fmt.Sprintf("%T", why), Message: why.Error(), Codes: []string{FailedCode}}
	o.Err.Trim()
	return o
}

// faultOutcome returns the opened outcome of the member at fault, or an outcome that says that
// it is forged.
func (w *work) faultOutcome(d *checkedFlow, position uint32, id broker.ID, m *broker.Outcome) *broker.Outcome {
	open, err := w.opened(d, position, id, m)
	if err != nil {
		return forgedOutcome(&broker.Outcome{Name: m.Name}, err)
	}
	return open.Outcome
}

// uncombined is the note of a group that succeeded, but whose results could not be combined into
// one. The results of its members can still be read.
func uncombined(why error) *broker.Failure {
	f := &broker.Failure{Type: fmt.Sprintf("%T", why), Message: "the results of the group can't be combined: " + why.Error()}
	if errors.Is(why, broker.ErrTooLarge) {
		f.Codes = []string{TooLargeCode}
	}
	f.Trim()
	return f
}

// lastStep makes o the outcome of a pipe whose steps have all succeeded.
func (w *work) lastStep(ctx context.Context, d *checkedFlow, p *broker.Progress, o *broker.Outcome, arrivals []broker.Arrival) (*broker.Outcome, error) {
	if p.Flow.Size == 0 {
		o.Codec = w.defaultCodec()
		return o, nil
	}
	id, last, err := w.outcomeAt(ctx, p.Flow.ID, p.Flow.Size-1, arrivals)
	if err != nil {
		return nil, err
	}
	open, err := w.opened(d, uint32(p.Flow.Size-1), id, last)
	if err != nil {
		return forgedOutcome(o, err), nil
	}
	o.State, o.Codec, o.Result, o.Err = open.State, open.Codec, open.Result, open.Err
	return o, nil
}

// brokenPipe returns the outcome of a pipe that a step has failed. The first step that did not
// succeed is the cause of everything after it. If that step was canceled while it ran, because
// a later step was killed, the later step is the cause.
func (w *work) brokenPipe(ctx context.Context, d *checkedFlow, p *broker.Progress, o *broker.Outcome, arrivals []broker.Arrival) (*broker.Outcome, error) {
	step := p.Succeeded
	id, m, err := w.outcomeAt(ctx, p.Flow.ID, step, arrivals)
	if err == nil && m.State == broker.StateCanceled && p.First > step {
		step = p.First
		id, m, err = w.outcomeAt(ctx, p.Flow.ID, step, arrivals)
	}
	if err != nil {
		return nil, err
	}
	return failedBy(o, step, w.faultOutcome(d, uint32(step), id, m)), nil
}

// failed returns the outcome of a group of which too few members succeeded. At fault is the
// first member, by position, that failed or expired. If there is none, members were killed.
// Then the one that was counted first is at fault, since others may have been canceled because
// of it.
func (w *work) failed(ctx context.Context, d *checkedFlow, p *broker.Progress, o *broker.Outcome) (*broker.Outcome, error) {
	var fault *broker.Outcome
	position := 0
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
				return failedBy(o, from+i, w.faultOutcome(d, uint32(from+i), m.ID, m.Outcome)), nil
			}
			if fault == nil || from+i == p.First {
				fault, position = w.faultOutcome(d, uint32(from+i), m.ID, m.Outcome), from+i
			}
		}
		from += len(page)
	}
	if fault == nil {
		return nil, errors.New("no member is at fault")
	}
	return failedBy(o, position, fault), nil
}

// failedBy makes o the outcome of a flow that a member has failed.
func failedBy(o *broker.Outcome, position int, m *broker.Outcome) *broker.Outcome {
	who := fmt.Sprintf("member %d", position)
	if m.Name != "" {
		who += fmt.Sprintf(" (%s)", m.Name)
	}
	o.State = broker.StateFailed
	o.Err = failureOf(who, m)
	o.Err.Codes = slices.DeleteFunc(o.Err.Codes, func(code string) bool { return code == FailedCode })
	o.Err.Codes = append([]string{FailedCode}, o.Err.Codes...)
	return o
}

// failureOf returns the failure of a flow because of a part that did not succeed. The text who
// names the part.
func failureOf(who string, m *broker.Outcome) *broker.Failure {
	f := &broker.Failure{Type: "*task.RemoteError"}
	said := ""
	if m.Err != nil {
		said = m.Err.Message
		f.Type, f.Stack = cmp.Or(m.Err.Type, f.Type), m.Err.Stack
		if said != "" {
			f.Chain = append([]string{said}, m.Err.Chain...)
		}
		f.Codes = slices.Clone(m.Err.Codes)
	}
	switch m.State {
	case broker.StateCanceled:
		f.Message, f.Codes = who+" was canceled", ended(f.Codes, CanceledCode)
	case broker.StateExpired:
		f.Message, f.Codes = who+" has expired", ended(f.Codes, ExpiredCode)
	default:
		f.Message = who + " failed"
	}
	if said != "" {
		f.Message += ": " + said
	}
	f.Trim()
	return f
}

// ended returns the codes of the failure of a part that was canceled or has expired. Such a
// handler usually returns the error of its context. That says nothing more, and a caller would
// take it for the end of its own context, so it is left out.
func ended(codes []string, code string) []string {
	codes = slices.DeleteFunc(codes, func(c string) bool { return strings.HasPrefix(c, "context.") })
	return append(codes, code)
}

// callbackOutcome makes o the outcome of a group with a callback: the callback's own outcome.
func (w *work) callbackOutcome(ctx context.Context, d *checkedFlow, p *broker.Progress, o *broker.Outcome, arrivals []broker.Arrival) (*broker.Outcome, error) {
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
	if end != nil {
		open, err := w.opened(d, broker.StepCallback, p.Flow.Callback, end)
		if err != nil {
			return forgedOutcome(o, fmt.Errorf("the callback: %w", err)), nil
		}
		end = open.Outcome
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
		o.State, o.Err = end.State, failureOf(who, end)
		return o, nil
	}
	o.Codec, o.Result, o.Err = end.Codec, end.Result, end.Err
	return o, nil
}
