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

// How flows are called where a task has its name.
const (
	NamePipe  = "pipe"
	NameGroup = "group"
)

// Codes of a Failure that says that a flow has failed by the fault of a member, and what
// has become of that, if it did not fail itself. Package task knows which errors they
// stand for.
const (
	FailedCode   = "flow failed"
	CanceledCode = "member canceled"
	ExpiredCode  = "member expired"
)

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
		return w.brokenPipe(ctx, p, o, arrivals)
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

// brokenPipe returns the outcome of a pipe that a step has failed. The first step that
// did not succeed is the cause of all that follow it. If that step was canceled while it
// ran, because a later one was killed, that later one is the cause.
func (w *work) brokenPipe(ctx context.Context, p *broker.Progress, o *broker.Outcome, arrivals []broker.Arrival) (*broker.Outcome, error) {
	step := p.Succeeded
	m, err := w.outcomeAt(ctx, p.Flow.ID, step, arrivals)
	if err == nil && m.State == broker.StateCanceled && p.First > step {
		step = p.First
		m, err = w.outcomeAt(ctx, p.Flow.ID, step, arrivals)
	}
	if err != nil {
		return nil, err
	}
	return failedBy(o, step, m), nil
}

// failed returns the outcome of a group of which too few succeeded. To blame is
// the first member, by its place, that failed or expired. If there is none, somebody
// has killed members: the one that was counted first is to blame, since others may have
// been canceled because of it.
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
			if blame == nil || from+i == p.First {
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
	o.Err = failureOf(who, m)
	o.Err.Codes = slices.DeleteFunc(o.Err.Codes, func(code string) bool { return code == FailedCode })
	o.Err.Codes = append([]string{FailedCode}, o.Err.Codes...)
	return o
}

// failureOf returns the failure of a flow by the fault of a part that did not succeed.
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

// ended returns the codes of the failure of a part that was ended from outside. That its
// handler returned the error of its context says nothing beside that, and would be taken
// for an end of the caller's own context.
func ended(codes []string, code string) []string {
	codes = slices.DeleteFunc(codes, func(c string) bool { return strings.HasPrefix(c, "context.") })
	return append(codes, code)
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
		o.State, o.Err = end.State, failureOf(who, end)
		return o, nil
	}
	o.Codec, o.Result, o.Err = end.Codec, end.Result, end.Err
	return o, nil
}
