package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/halting"
)

// A kill cancels the members of a flow page by page, and members of later pages could start
// meanwhile. For a small flow that takes a moment. A larger flow is halted first, together with
// the flows inside it: from then on the broker hands out none of their members. The process
// that halts it confirms the halt when all members are cancelled. If that process dies, the
// broker reports the halt to another driver, which finishes the kill (see finishKills).

// halt is a halted flow, with the flows inside it.
type halt struct {
	h     broker.Halter
	flows []broker.ID        // the flow, then the flows inside it
	known map[broker.ID]bool // the same, as a set
	kills []broker.Arrival   // records of the halt, to be confirmed at its end
	at    time.Time          // when the broker was last told that the kill goes on
	runs  []broker.ID        // members that ran when they were halted and are not cancelled yet
	outer *halt              // the halt of a flow around it that did not know of it yet
}

// has reports whether a flow is halted.
func (own *halt) has(id broker.ID) bool {
	for ; own != nil; own = own.outer {
		if own.known[id] {
			return true
		}
	}
	return false
}

// halt halts a flow if it is large, is not halted yet, and the broker supports that; otherwise
// it returns nil. The caller calls stop once the flow is marked as killed, and resume at the
// end.
func (w *work) halt(ctx context.Context, p *broker.Progress) (*halt, error) {
	h, ok := w.Broker.(broker.Halter)
	id := p.Flow.ID
	if !ok || !halting.Large(p.Flow.Size) || w.halted.has(id) {
		return nil, nil
	}
	own := &halt{h: h, known: map[broker.ID]bool{id: true}, at: time.Now(), outer: w.halted}
	for level := []broker.ID{id}; len(level) > 0; {
		var next []broker.ID
		for part := range slices.Chunk(level, broker.MaxBatch) {
			own.flows = append(own.flows, part...)
			found, err := h.Halt(ctx, part)
			if err != nil {
				return nil, wrap("halt", err)
			}
			own.kills = append(own.kills, found.Kills...)
			own.runs = append(own.runs, found.Running...)
			for _, inner := range found.Inner {
				if !own.known[inner] {
					own.known[inner] = true
					next = append(next, inner)
				}
			}
		}
		level = next
	}
	w.halted = own
	return own, nil
}

// stop cancels the running members of a halted flow that is marked as killed. They come first,
// so that a member that was handed out and has not begun does not begin. The flows inside are
// marked before that: a driver that sees a canceled member in a flow without the mark would
// take the flow for failed. A member that the broker does not know by now is looked for again
// by the kill.
func (w *work) stop(ctx context.Context, id broker.ID) error {
	own := w.halted
	if own == nil || own.flows[0] != id || len(own.runs) == 0 {
		return nil
	}
	for _, inner := range own.flows[1:] {
		if err := w.f.MarkFlow(ctx, inner, broker.MarkKilled); err != nil && !errors.Is(err, broker.ErrNotFound) {
			return wrap("mark", err)
		}
	}
	runs := own.runs
	own.runs = nil
	for part := range slices.Chunk(runs, broker.MaxBatch) {
		w.canceled = true
		verdicts, err := w.Broker.Cancel(ctx, part)
		if err != nil {
			return wrap("cancel", err)
		}
		for i, v := range verdicts {
			if w.verdict != nil && v != broker.CancelUnknown {
				w.verdict(part[i], v)
			}
		}
	}
	return nil
}

// extendHalt tells the broker that the kill of a halted flow goes on, if that is due.
func (w *work) extendHalt(ctx context.Context) error {
	own := w.halted
	if own == nil || time.Since(own.at) < halting.Patience()/3 {
		return nil
	}
	own.at = time.Now()
	own.kills = nil
	for part := range slices.Chunk(own.flows, broker.MaxBatch) {
		found, err := own.h.Halt(ctx, part)
		if err != nil {
			return wrap("halt", err)
		}
		own.kills = append(own.kills, found.Kills...)
	}
	return nil
}

// resume ends a halt, all of whose members are cancelled.
func (w *work) resume(ctx context.Context, own *halt) error {
	if own == nil {
		return nil
	}
	w.halted = own.outer
	for part := range slices.Chunk(own.kills, broker.MaxBatch) {
		if err := w.f.Confirm(ctx, part); err != nil {
			return wrap("confirm", err)
		}
	}
	return nil
}

// KillFlow is [Driver.Kill] for a flow that was looked up. If the flow is large, the broker
// hands out none of its members from then on, and running members are cancelled before the
// others.
func (d *Driver) KillFlow(ctx context.Context, p *broker.Progress, tell Verdict) error {
	f, err := broker.FlowsOf(d.Broker, "killing a group or pipe")
	if err != nil {
		return err
	}
	w := &work{Driver: d, f: f, verdict: tell}
	own, err := w.halt(ctx, p)
	if err != nil {
		return err
	}
	return w.killNow(ctx, p.Flow.ID, own)
}

// killNow kills a flow, and handles the arrivals that result. own is its halt, or nil.
func (w *work) killNow(ctx context.Context, id broker.ID, own *halt) error {
	o, err := w.kill(ctx, id, false)
	if err != nil {
		return err
	}
	if err := w.resume(ctx, own); err != nil {
		return err
	}
	if o != nil { // the flow around it may not have counted it
		if err := w.advance(ctx, id, nil); err != nil {
			return err
		}
	}
	return w.Drain(ctx, "")
}

// finishKills finishes kills that another process has begun and not finished. It returns the
// arrivals that can be confirmed.
func (w *work) finishKills(ctx context.Context, kills []broker.Arrival) (done []broker.Arrival, err error) {
	ended := make(map[broker.ID]error)
	for _, a := range kills {
		bad, is := ended[a.Flow]
		if !is {
			bad = w.finishKill(ctx, a.Flow)
			ended[a.Flow] = bad
		}
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("kill %s, which another process has begun: %w", a.Flow, bad))
			continue
		}
		done = append(done, a)
	}
	return done, err
}

// finishKill does a kill from the beginning.
func (w *work) finishKill(ctx context.Context, id broker.ID) error {
	lost := false
	again := &work{Driver: w.Driver, f: w.f, verdict: func(_ broker.ID, v broker.CancelVerdict) {
		lost = lost || v == broker.CancelUnknown
	}}
	o, err := again.kill(ctx, id, false)
	if err == nil && lost {
		// Members that were unknown may have been stored meanwhile, and are to be cancelled.
		o, err = again.kill(ctx, id, false)
	}
	switch {
	case errors.Is(err, broker.ErrNotFound):
		return nil
	case err == nil && o != nil:
		err = again.advance(ctx, id, nil)
	}
	w.canceled = w.canceled || again.canceled
	return err
}
