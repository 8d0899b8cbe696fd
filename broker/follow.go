package broker

import "context"

// Follower is an optional capability: a broker whose pushes are not lost, such as one in
// the memory of the process. Its user need not look up what it waits for again and
// again, so a wait for what never comes has no timer. Use a type assertion to find out
// whether a Broker has it.
//
// A letter to an inbox that is open is received by it, unless it reports a Gap.
type Follower interface {
	// Follow lets the outcomes of tasks, groups and pipes be pushed to an inbox that
	// is open at this Broker, beside the one that they were stored with: each once, as
	// it becomes final. What is final already is not pushed: follow first, then look it
	// up. An id need not be stored yet; one that never is is remembered until the inbox
	// ends, so better follow what a look-up has found. What is forgotten before it has
	// ended is not pushed either, such as a flow in which nothing happens for FlowPatience.
	// Following an id twice is harmless. It ends with the inbox. The errors are
	// ErrClosed and ctx's.
	Follow(ctx context.Context, inbox ID, ids []ID) error
}
