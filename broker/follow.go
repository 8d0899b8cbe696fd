package broker

import "context"

// Follower is an optional capability of a broker whose pushes can't be lost, such as one in
// the memory of the process. With it a waiter does not have to look up its tasks again and
// again, and a wait that never ends needs no timer. Use a type assertion to find out
// whether a Broker is a Follower.
//
// Its inboxes receive every notice while they are open, unless they report a Gap.
type Follower interface {
	// Follow pushes the outcomes of tasks, groups and pipes to an inbox that is open at
	// this Broker, in addition to the inbox that they were stored with. Each outcome is
	// pushed once, when it becomes final. It is not pushed if it is final already: follow
	// first, then look it up.
	//
	// An id need not be stored yet. An id that never is stored is remembered until the
	// inbox closes, so it is better to follow ids that a look-up has found. Nothing is
	// pushed for an id that is forgotten before it has ended, such as a flow in which
	// nothing happens for FlowPatience. If no inbox with the id is open at this Broker,
	// Follow does nothing and returns nil.
	//
	// Following an id twice is harmless. The following ends with the inbox. The errors are
	// ErrClosed and the error of ctx.
	Follow(ctx context.Context, inbox ID, ids []ID) error
}
