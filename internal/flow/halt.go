package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/halting"
)

// The members of a flow are cancelled page by page, and those of the last page could start
// meanwhile. Of a small flow that is a moment. A larger one is halted first, with the flows
// in it, so that the broker hands out none of its members. Whoever halts it confirms that
// when all are cancelled. If he dies before, the broker tells somebody else: see killed.

// halt is a flow that is halted, with the flows in it.
type halt struct {
	h     broker.Halter
	flows []broker.ID
	known map[broker.ID]bool
	kills []broker.Arrival
	at    time.Time
	runs  []broker.ID // members that ran when they were halted, until they are cancelled
	outer *halt       // of a flow around it, that did not know it yet
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

// halt halts a flow, if it is large and was not halted before, and the broker can. Whoever
// gets a halt calls stop once the flow is marked as killed, and resumes it at the end.
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

// stop cancels the members that run of what is halted for a flow, which is marked as
// killed. They are told first, so that whichever was handed out but has not begun does not.
// The flows in it are marked before: one in which a member is canceled and that is not
// killed has failed. What is unknown by now is looked for again.
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

// goesOn says to the broker that the kill of what is halted goes on, if it takes long.
func (w *work) goesOn(ctx context.Context) error {
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

// KillFlow is [Driver.Kill] for a flow that was looked up. If it is large, no member of it
// is handed out any more from when it is marked, and those that consumers hold are
// cancelled next.
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

// killNow kills a flow that is halted, if own is not nil.
func (w *work) killNow(ctx context.Context, id broker.ID, own *halt) error {
	o, err := w.kill(ctx, id, false)
	if err != nil {
		return err
	}
	if err := w.resume(ctx, own); err != nil {
		return err
	}
	if o != nil { // perhaps the flow around it has not counted it
		if err := w.advance(ctx, id, nil); err != nil {
			return err
		}
	}
	return w.Drain(ctx, "")
}

// killed finishes kills that others have begun and not finished, and returns those to be
// confirmed.
func (w *work) killed(ctx context.Context, kills []broker.Arrival) (done []broker.Arrival, err error) {
	ended := make(map[broker.ID]error)
	for _, a := range kills {
		bad, is := ended[a.Flow]
		if !is {
			bad = w.killAgain(ctx, a.Flow)
			ended[a.Flow] = bad
		}
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("kill %s, which somebody has left: %w", a.Flow, bad))
			continue
		}
		done = append(done, a)
	}
	return done, err
}

func (w *work) killAgain(ctx context.Context, id broker.ID) error {
	lost := false
	again := &work{Driver: w.Driver, f: w.f, verdict: func(_ broker.ID, v broker.CancelVerdict) {
		lost = lost || v == broker.CancelUnknown
	}}
	o, err := again.kill(ctx, id, false)
	if err == nil && lost {
		// Somebody may have stored them meanwhile, and they wait to be cancelled.
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
