package arbiter

import (
	"context"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// KeyStatus tells which task has a unique key, which one waits behind it, and until when it is held at least. Its field
// Key is the key as the broker stores it. It is zero except for Key if nobody has the key.
type KeyStatus = broker.KeyStatus

// KeyHolder returns the status of the unique key that a call would have if it were sent: with its queue, its key or
// arguments, and the arbiter's codec. The call is not sent. For a call without a typed handle, [task.Named] makes one:
//
//	st, err := arb.KeyHolder(ctx, task.Named("invoice", task.Args(), task.Unique("17")))
//
// The error wraps [task.ErrInvalid] if the call has no unique key or can't be sent, [task.ErrUnsupported] if the broker
// lacks the capability, [task.ErrUnavailable] or [task.ErrClosed].
func (a *Arbiter) KeyHolder(ctx context.Context, call task.Bound) (KeyStatus, error) {
	return a.uniqueKey(ctx, "key holder", call, broker.Uniques.LookupKeys)
}

// FreeKey frees the unique key that a call would have if it were sent, as in [Arbiter.KeyHolder], and returns its status
// before that. A window of [task.UniqueFor] ends. A holder that has not ended goes on without the key, so another task
// with the key can then run beside it. A task that waits behind the holder takes the key, and no longer waits for the
// holder: call FreeKey again to free it from this one. Freeing a key that nobody has is no error.
//
// It is for operators: the broker frees each key by itself when its task ends. The errors are those of KeyHolder.
func (a *Arbiter) FreeKey(ctx context.Context, call task.Bound) (KeyStatus, error) {
	return a.uniqueKey(ctx, "free key", call, broker.Uniques.FreeKeys)
}

// uniqueKey asks the broker about the key of a call.
func (a *Arbiter) uniqueKey(ctx context.Context, what string, call task.Bound, ask func(broker.Uniques, context.Context, string, []string) ([]KeyStatus, error)) (KeyStatus, error) {
	if err := a.open(); err != nil {
		return KeyStatus{}, fmt.Errorf("%s: %w", what, err)
	}
	if call == nil || call.Request() == nil {
		return KeyStatus{}, fmt.Errorf("%s: %w: the zero Call; make one with Bind", what, broker.ErrInvalid)
	}
	req := call.Request()
	if req.Spreads() { // it is not sent, so it gets no place
		req = req.With(func(s *request.Settings) { s.Spread = 0 })
	}
	var draft broker.Task
	if err := req.Draft(&draft, a.codec, time.Now(), nil); err != nil {
		return KeyStatus{}, fmt.Errorf("%s: %w", what, err)
	}
	if draft.Unique.Key == "" {
		return KeyStatus{}, fmt.Errorf("%s: task %s: %w: the call has no unique key; give it one with Unique, UniqueIn or UniqueArgs", what, draft.Name, broker.ErrInvalid)
	}
	uniques, err := broker.UniquesOf(a.b, "the status of a unique key")
	if err != nil {
		return KeyStatus{}, fmt.Errorf("%s: %w", what, err)
	}
	sts, err := ask(uniques, ctx, draft.Queue, []string{draft.Unique.Key})
	if err == nil && len(sts) != 1 {
		err = fmt.Errorf("the broker answered for %d keys of 1", len(sts))
	}
	if err != nil {
		return KeyStatus{}, fmt.Errorf("%s: task %s: %w", what, draft.Name, err)
	}
	return sts[0], nil
}
