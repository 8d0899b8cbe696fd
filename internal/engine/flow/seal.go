package flow

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/base/cut"
	"github.com/go-arbiter/arbiter/internal/base/guard"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
)

// If codecs seal, a driver has the key, and reads data from a broker that others may write to.
// It must not lend its key to forged data. So before it seals anything, it checks that each
// part was sealed for its position: the record of the flow with the ids of its members, the
// outcome of each member, and the step that gets a result.
//
// A flow whose record is forged fails (failForged). A flow that this process has no key for is
// left to other processes (mayMoveOn).

// checkedFlow is a flow whose record was checked.
type checkedFlow struct {
	s       codec.Sealer
	flow    broker.Flow
	members []broker.ID
}

// checkFlow checks the record of a flow. It returns nil without an error if the flow is not
// sealed and need not be. bad says that the record is forged; err says that it could not be
// read.
func (w *work) checkFlow(ctx context.Context, p *broker.Progress) (d *checkedFlow, bad, err error) {
	if !seal.Seals(&p.Flow, w.Codecs) {
		return nil, nil, nil
	}
	if w.checked != nil && w.checked.flow == p.Flow {
		return w.checked, nil, nil
	}
	members := make([]broker.ID, 0, min(p.Flow.Size, broker.MaxBatch))
	for len(members) < p.Flow.Size {
		page, err := w.f.Members(ctx, p.Flow.ID, len(members), broker.MaxBatch, false)
		if err != nil {
			return nil, nil, wrap("members", err)
		}
		if len(page) == 0 {
			break
		}
		for i := range page {
			members = append(members, page[i].ID)
		}
	}
	s, bad := openFlow(w.Codecs, &p.Flow, members)
	if bad != nil || s == nil {
		return nil, bad, nil
	}
	w.checked = &checkedFlow{s: s, flow: p.Flow, members: members}
	return w.checked, nil, nil
}

// openFlow is seal.OpenFlow, with a panic of the codec turned into an error.
func openFlow(codecs []codec.Codec, f *broker.Flow, members []broker.ID) (s codec.Sealer, err error) {
	defer guard.Codec("of the flow", "Open", &err)
	return seal.OpenFlow(codecs, f, members)
}

// errLeft says that this driver does nothing for a flow, and leaves it to other processes. Its
// arrivals stay, and minions of the queue are told of them with each heartbeat.
var errLeft = errors.New("left to others")

// lastLeft is when this process last logged that it has left a flow to others.
var lastLeft atomic.Int64

// logLeft logs that a flow is left to other processes, at most once a minute.
func (w *work) logLeft(flow broker.ID, why error) {
	now, last := time.Now().UnixNano(), lastLeft.Load()
	if (last == 0 || now-last > int64(time.Minute)) && lastLeft.CompareAndSwap(last, now) {
		w.Log.Warn("a group or pipe waits for a process that has its codec", "flow", flow.String(), "error", why)
	}
}

// mayMoveOn returns nil if this driver may move the flow on, otherwise an error that wraps
// errLeft. A driver without the codec that has sealed the flow must not: every process with the
// key would refuse the steps that it starts, and the flow would fail. Whether a flow needs a
// seal is decided by the minions of its queue, not by a guest. Killing a flow needs no key.
func (w *work) mayMoveOn(f *broker.Flow) error {
	if f.Seal == "" {
		if w.Guest && seal.Seals(f, w.Codecs) {
			return fmt.Errorf("%w: it has no seal, and this process accepts nothing without one", errLeft)
		}
		return nil
	}
	name := seal.CodecOf(f)
	if _, err := codec.ByName(name, w.Codecs...); err != nil {
		return fmt.Errorf("%w: %w %q; give it to this process with the option Codecs", errLeft, codec.ErrUnknownCodec, name)
	}
	return nil
}

// failForged ends a flow whose record is forged, and returns the outcome. It returns nil if the
// record is good. The ids in a forged record may belong to other flows, so their arrivals may
// never come, and nothing waits for them. The rest of a pipe is cancelled. The callback starts
// without a result. Its minion refuses it then, so a wait for it gets an error that says why.
// The finalizer starts, because it gets no result anyway.
func (w *work) failForged(ctx context.Context, p *broker.Progress) (*broker.Outcome, error) {
	_, bad, err := w.checkFlow(ctx, p)
	if err != nil || bad == nil {
		return nil, err
	}
	fl := &p.Flow
	o := &broker.Outcome{Name: NameGroup, Finished: time.Now()}
	if fl.ID.Kind() == broker.KindPipe {
		o.Name = NamePipe
		if _, _, err := w.cancelMembers(ctx, p, false); err != nil {
			return nil, err
		}
	}
	if !fl.Callback.IsZero() && !p.Callback.Final() {
		if err := w.start(ctx, fl.Callback, &upstream{w: w, flow: p}); err != nil {
			return nil, err
		}
	}
	if !fl.Finalizer.IsZero() && !p.Finalizer.Final() {
		if err := w.start(ctx, fl.Finalizer, nil); err != nil {
			return nil, err
		}
	}
	w.Log.Error("the seal of a group or pipe is missing or wrong, so it has failed", "flow", fl.ID.String(), "error", bad)
	ended, err := w.end(ctx, nil, fl.ID, forgedOutcome(o, bad))
	return ended, wrap("end", err)
}

// at returns the id at a position of the flow.
func (d *checkedFlow) at(position uint32) broker.ID {
	switch {
	case position == broker.StepCallback:
		return d.flow.Callback
	case uint64(position) < uint64(len(d.members)):
		return d.members[position]
	}
	return broker.ID{}
}

// opened opens the outcome of the member at a position of a flow. d is nil if the flow is not
// sealed.
func (w *work) opened(d *checkedFlow, position uint32, id broker.ID, o *broker.Outcome) (seal.Opened, error) {
	if d != nil && d.at(position) != id {
		return seal.Opened{}, fmt.Errorf("%w: %s is not the member at this position of the group or pipe", codec.ErrForged, id)
	}
	if d == nil && seal.First(w.Codecs) != nil {
		if c, err := codec.ByName(o.Codec, w.Codecs...); err == nil && seal.Of(c) != nil && o.State == broker.StateSucceeded {
			return seal.Opened{}, fmt.Errorf("%w: a sealed result in a group or pipe whose record is not sealed", codec.ErrForged)
		}
	}
	return seal.OpenOutcome(w.Codecs, id, o)
}

// checkReceiver checks that a blocked task, whose own seal is good, was sent to get the result
// of up: it must be the next step or the callback, or the first task inside one. bad says that
// it was not; err says that a record could not be read.
func (w *work) checkReceiver(ctx context.Context, t *broker.Task, up *upstream) (bad, err error) {
	flow, step := t.Flow.ID, t.Flow.Step
	for depth := 0; flow != up.flow.Flow.ID; depth++ {
		first := step < broker.StepFinalizer && (flow.Kind() == broker.KindGroup || step == 0)
		if flow.IsZero() || !first || depth == maxDepth {
			return fmt.Errorf("%w: the task was not sent to get this result", codec.ErrForged), nil
		}
		p, err := w.f.LookupFlow(ctx, flow)
		if err != nil {
			return nil, wrap("look up", err)
		}
		if _, bad, err := w.checkFlow(ctx, p); bad != nil || err != nil {
			return bad, err
		}
		flow, step = p.Flow.Group, p.Flow.Step
	}
	want := broker.StepCallback
	if flow.Kind() == broker.KindPipe {
		want = uint32(up.step) + 1
	}
	if step != want {
		return fmt.Errorf("%w: the task was not sent to get this result", codec.ErrForged), nil
	}
	return nil, nil
}

// maxDepth bounds how deeply flows may be nested. It equals the bound for senders.
const maxDepth = 100

// seals reports whether the codec with the name seals.
func (w *work) seals(name string) bool {
	c, err := codec.ByName(name, w.Codecs...)
	return err == nil && seal.Of(c) != nil
}

// stepArgs opens the arguments of a step.
func (w *work) stepArgs(s codec.Sealer, t *broker.Task) ([]byte, error) {
	args, _, err := seal.Open(s, t)
	return args, err
}

// sealStep seals the arguments of a step, which include its result now.
func sealStep(s codec.Sealer, t *broker.Task, args []byte) ([]byte, error) {
	ready := *t
	ready.Flow.Upstream, ready.Payload = "", args
	meta, err := seal.Meta(s, t.ID, t.Meta)
	if err != nil {
		return nil, err
	}
	ready.Meta = meta
	if err := seal.Task(s, &ready); err != nil {
		return nil, err
	}
	return ready.Payload, nil
}

// sealReason returns, in the form that is stored, why a task starts without the result that it
// waits for.
func (w *work) sealReason(t *broker.Task, why string) string {
	const most = 400
	why = cut.To(why, most)
	c, err := codec.ByName(t.Codec, w.Codecs...)
	s := seal.Of(c)
	if err != nil || s == nil {
		return why
	}
	hidden, err := seal.Reason(s, t.ID, why)
	if err != nil {
		return ""
	}
	return hidden
}

// sealed returns the outcome of a flow in the form that is stored. d is nil if the flow is not
// sealed.
func (w *work) sealed(d *checkedFlow, id broker.ID, o *broker.Outcome) (*broker.Outcome, error) {
	var s codec.Sealer
	switch {
	case d == nil && (o.Err == nil || seal.AcceptsPlain(w.Codecs)):
		return o, nil
	case d == nil: // the outcome says why the record is forged
		s = seal.First(w.Codecs)
	default:
		s = d.s
		if c, err := codec.ByName(o.Codec, w.Codecs...); err == nil && len(o.Result) > 0 {
			s = seal.Of(c)
		}
	}
	if s == nil { // neither the result nor its flow is sealed
		return o, nil
	}
	ended := *o
	if err := seal.Outcome(s, id, &ended); err != nil {
		return nil, wrap("seal", err)
	}
	return &ended, nil
}
