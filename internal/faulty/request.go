package faulty

import (
	"context"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// errClosed says that the broker's process has died or is closed.
var errClosed = fmt.Errorf("the faulty broker is %w", broker.ErrClosed)

// Effect is what a fault does to a request.
type Effect uint8

// The effects.
const (
	None       Effect = iota
	FailBefore        // it never reaches the broker
	FailAfter         // it is carried out, and the reply is lost
	Twice             // it is carried out, and once more by somebody who has not seen the reply
	Slow              // it reaches the broker late
	SlowReply         // its reply comes late
)

// String returns the effect in words.
func (e Effect) String() string {
	return [...]string{"none", "fail before", "fail after", "twice", "slow", "slow reply"}[e]
}

// Fault is what befalls a request.
type Fault struct {
	Effect Effect
	For    time.Duration // of the slow ones
}

// do carries out a request that answers with an error alone.
func (b *Broker) do(ctx context.Context, op Op, n int, f func(context.Context) error) error {
	ctx, done := b.begin(ctx)
	defer done()
	fault := b.strike(op, n)
	if err := b.arrive(ctx, op, n, fault); err != nil {
		return err
	}
	err := f(ctx)
	if fault.Effect == Twice && ctx.Err() == nil {
		err = f(ctx)
	}
	return b.reply(ctx, op, n, fault, err)
}

// ask carries out a request that answers with something.
func ask[T any](ctx context.Context, b *Broker, op Op, n int, f func(context.Context) (T, error)) (T, error) {
	var out, none T
	err := b.do(ctx, op, n, func(ctx context.Context) (err error) {
		out, err = f(ctx)
		return err
	})
	if err != nil {
		return none, err
	}
	return out, nil
}

func (b *Broker) strike(op Op, n int) Fault {
	if f := b.now().Strike; f != nil {
		return f(op, n)
	}
	return Fault{}
}

// arrive brings a request to the broker; an error says that it never comes
// there.
func (b *Broker) arrive(ctx context.Context, op Op, n int, fault Fault) error {
	if err := b.before(ctx, op, n); err != nil {
		return err
	}
	if fault.Effect == FailBefore {
		return ErrUnavailable
	}
	if fault.Effect == Slow {
		pause(ctx, fault.For)
	}
	b.waitWhileHeld(ctx)
	switch err := ctx.Err(); {
	case b.life.Err() != nil:
		return errClosed
	case err != nil && (fault.Effect == Slow || b.hangs()):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// reply brings the reply back, or what stands in its place.
func (b *Broker) reply(ctx context.Context, op Op, n int, fault Fault, err error) error {
	if fault.Effect == FailAfter {
		return ErrLostReply
	}
	if lost := b.after(op, n); lost != nil {
		return lost
	}
	if fault.Effect == SlowReply {
		pause(ctx, fault.For)
	}
	b.waitWhileHeld(ctx)
	switch gone := ctx.Err(); {
	case b.life.Err() != nil:
		return errClosed
	case gone != nil && err == nil && (fault.Effect == SlowReply || b.hangs()):
		return fmt.Errorf("%w: %w", ErrLostReply, gone)
	}
	return err
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
