package broker

import "context"

// Halter is an optional capability: it keeps all members of large flows from starting
// at once. Whoever kills a flow cancels its members page by page. Those of later pages
// would start meanwhile, unless the flow is halted first. A broker that has it has
// [Flows] too.
type Halter interface {
	// Halt keeps the members and the callbacks of up to MaxBatch flows from being handed
	// out, also those that are stored, become due or come back later. A finalizer is
	// handed out all the same. So is a member that was requeued, since its flow has
	// counted it, and one that was cancelled while it ran, for its consumer to end it.
	// A member that a consumer would get otherwise becomes blocked: Cancel ends it, and
	// Release makes it pending. A flow that is not known is left out. What is enqueued to a
	// queue that did not exist is not kept back until Halt is called again.
	//
	// For each flow and queue Halt stores an arrival with Kill set. The flow is halted in
	// that queue until this is confirmed. Arrivals leaves it out for HaltPatience from the
	// last Halt, or from when it was returned last; then whoever halted the flow
	// may have died, and whoever gets it kills the flow and confirms it. A repeated call
	// begins that time anew.
	Halt(ctx context.Context, flows []ID) (*Halted, error)
}

// Halted is what [Halter.Halt] has found.
type Halted struct {
	Kills   []Arrival // to be confirmed when all members are cancelled
	Inner   []ID      // the members and callbacks that are flows; these are not halted by that
	Running []ID      // the members that consumers held when it was halted, to be cancelled first
}
