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
	// it becomes final. What is final already, or unknown, is not pushed: follow
	// first, then look it up. Neither is what is forgotten before it has ended, such as
	// a flow in which nothing happens for 30 days. Following an id twice is harmless. It ends with the
	// inbox. The errors are ErrClosed and ctx's.
	Follow(ctx context.Context, inbox ID, ids []ID) error
}
