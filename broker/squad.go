package broker

import (
	"context"
	"fmt"
)

// Squads is an optional capability for groups whose members start together or not at all.
// [SquadsOf] returns the Squads of a Broker. A squad is a flow, so a broker with Squads has
// [Flows] too. The protocol that starts a squad is in internal/engine/client and minion, which
// talk to each other by posts; docs/architecture.md draws it. The broker delivers the posts,
// assigns members to the minions that have reserved slots for them, and keeps the decision.
//
// A member is a task with [TaskFlow.Squad] set that is enqueued as blocked. It is assigned
// to a minion, which holds it until it knows that the squad was decided to start. A member
// can also come from the queue like any other task: because its minion has died, because it
// is retried, or because the Delay for which it was blocked is over. The minion that
// dequeues it then asks Decide whether it may start.
type Squads interface {
	// Post sends bytes to the consumer or inbox with the id, if that is open: to the OnPost
	// of a consumer, or to the Mail of each opening of an inbox. Delivery is not guaranteed,
	// and nil does not mean that the post has arrived. A repeated Post may arrive twice.
	// More than MaxPost bytes are ErrTooLarge.
	Post(ctx context.Context, to ID, payload []byte) error

	// Assign hands blocked tasks to a consumer as if it had dequeued them, and passes them
	// to its OnAssign. If they are lost on the way, or if it has no OnAssign, a later
	// Dequeue returns them: at the latest after some heartbeats. Up to MaxBatch tasks may be
	// assigned at once; more are ErrTooLarge. A task that the consumer holds already is no
	// error, and may be passed to it again.
	//
	// The error is a *BatchError. An entry is ErrNotFound if the task is neither blocked
	// nor held by that consumer, or if the consumer does not live or does not serve the
	// queue of the task. It is ErrPaused if the task is paused; see [Pauser]. Such a task stays
	// as it is.
	Assign(ctx context.Context, minion ID, ids []ID) error

	// Decide decides whether the members of a flow may start, and returns the decision. The
	// first decision stays, so the result can differ from start. For a flow that was killed
	// before, the decision is not to start. ErrNotFound means that the flow is no longer
	// kept.
	Decide(ctx context.Context, flow ID, start bool) (started bool, err error)
}

// SquadsConfig is the part of a [ConsumerConfig] that concerns [Squads]:
// [ConsumerConfig].Squads.
type SquadsConfig struct {
	// OnAssign receives tasks that were assigned to the consumer. It owns their memory.
	// Without it a later Dequeue returns these tasks.
	OnAssign func(tasks []*Delivery)

	// OnPost receives the payload of a post to the consumer. It may keep the payload.
	OnPost func(payload []byte)
}

// SquadsMail is the part of a [Mail] that concerns [Squads]: [Mail].Squads.
type SquadsMail struct {
	Posts [][]byte // the payloads of posts to the inbox
}

// MaxPost is the largest payload of a post, in bytes.
const MaxPost = 4096

// CheckPost reports whether a post can be sent. The error wraps [ErrTooLarge].
func CheckPost(payload []byte) error {
	if len(payload) > MaxPost {
		return fmt.Errorf("post: %w: %d bytes, the limit is %d", ErrTooLarge, len(payload), MaxPost)
	}
	return nil
}
