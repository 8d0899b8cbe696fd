package broker

import (
	"context"
	"fmt"
)

// Squads is an optional capability: what groups need whose members start
// together or not at all. [SquadsOf] tells whether a Broker has it. Who drives it is
// in internal/client and minion, which agree by posts; the broker moves what belongs
// to a minion that holds a place for it, and keeps the decision. A broker with Squads
// has [Flows] too: a squad is a flow.
//
// A member is a task with Squad set, enqueued as blocked. It is assigned to a
// minion, which holds it and starts it when it knows that the squad was decided
// to start. A task with Squad set that comes by another way, since its minion has
// died, it is retried or it was blocked for a time only, is handed out as any
// other: whoever gets it asks Decide whether it may start.
type Squads interface {
	// Post sends bytes to a consumer's OnPost or an inbox, by its id, if it is
	// open. It is the best that can be done and no more: nil says nothing about
	// whether it arrives. More than MaxPost bytes are ErrTooLarge.
	Post(ctx context.Context, to ID, payload []byte) error

	// Assign hands blocked tasks to a consumer as if it had dequeued them, and
	// gives them to its OnAssign; if they are lost on that way, to a later
	// Dequeue. Up to MaxBatch at once. What the consumer holds of them already is no
	// error, and may be given to it again. The error is a *BatchError: ErrNotFound for a task that
	// is neither blocked nor held by that consumer, or if the consumer does not
	// live or does not serve the task's queue. Such a task stays as it is.
	Assign(ctx context.Context, minion ID, ids []ID) error

	// Decide decides whether the members of a flow may start, and returns what
	// was decided: the first decision stays. A flow that was killed before is
	// decided not to start. ErrNotFound says that the flow is not kept any more.
	Decide(ctx context.Context, flow ID, start bool) (started bool, err error)
}

// MaxPost is the largest payload of a post.
const MaxPost = 4096

// CheckPost reports whether a post can be sent. The error wraps [ErrTooLarge].
func CheckPost(payload []byte) error {
	if len(payload) > MaxPost {
		return fmt.Errorf("post: %w: %d bytes, the limit is %d", ErrTooLarge, len(payload), MaxPost)
	}
	return nil
}
