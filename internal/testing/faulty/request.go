package faulty

import (
	"context"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// errClosed is the error of a call when the process has been killed.
var errClosed = fmt.Errorf("the faulty broker is %w", broker.ErrClosed)

// Effect is what a fault does to a request.
type Effect uint8

// The effects.
const (
	None       Effect = iota
	FailBefore        // the request does not reach the broker
	FailAfter         // the request is carried out, and its reply is lost
	Twice             // the request is carried out twice, as if the first reply had been lost
	Slow              // the request reaches the broker late
	SlowReply         // the reply comes late
)

// String returns the effect in words.
func (e Effect) String() string {
	return [...]string{"none", "fail before", "fail after", "twice", "slow", "slow reply"}[e]
}

// Fault is the fault of a request.
type Fault struct {
	Effect Effect
	For    time.Duration // the delay of Slow and SlowReply
}

// do carries out a request whose only result is an error.
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

// ask carries out a request with a result.
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

// arrive brings a request to the broker. If it returns an error, the request does not reach the
// broker.
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
	b.waitWhileHung(ctx)
	switch err := ctx.Err(); {
	case b.life.Err() != nil:
		return errClosed
	case b.cutOff():
		return ErrUnavailable
	case err != nil && (fault.Effect == Slow || b.hangs()):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// reply returns the error that the caller gets instead of the reply, or the error of the request
// itself.
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
	b.waitWhileHung(ctx)
	switch ended := ctx.Err(); {
	case b.life.Err() != nil:
		return errClosed
	case b.cutOff():
		return ErrLostReply
	case ended != nil && err == nil && (fault.Effect == SlowReply || b.hangs()):
		return fmt.Errorf("%w: %w", ErrLostReply, ended)
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
