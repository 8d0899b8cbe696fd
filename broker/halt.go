package broker

import "context"

// Halter is an optional capability: it keeps the members of a large flow from starting
// while the flow is killed. To kill a flow, an arbiter cancels its members page by page.
// Unless the flow is halted first, members of later pages start meanwhile. A broker with
// Halter has [Flows] too.
type Halter interface {
	// Halt keeps the members and callbacks of up to MaxBatch flows from being handed out,
	// also those that are stored, become due or come back later. Three kinds of tasks are
	// still handed out: the finalizer; a requeued member, since its flow has counted it;
	// and a member that was cancelled while it ran, so that its consumer can end it.
	//
	// When it is the turn of a halted member to be handed out, the member becomes blocked:
	// Cancel ends it, and Release makes it pending. Unknown flows are ignored. A queue that
	// did not exist during the call is not halted until Halt is called again. More than
	// MaxBatch flows are ErrTooLarge.
	//
	// For each flow and queue Halt stores an arrival with Kill set. The flow is halted in
	// that queue until this arrival is confirmed. Arrivals does not return it until
	// HaltPatience has passed since the last Halt, or since Arrivals returned it. By then
	// the process that halted the flow may have died; the driver that gets the arrival
	// kills the flow and confirms it. A repeated Halt starts that time again.
	Halt(ctx context.Context, flows []ID) (*Halted, error)
}

// Halted is the result of [Halter.Halt].
type Halted struct {
	Kills   []Arrival // one for each halted flow and queue, to be confirmed when all members are cancelled
	Inner   []ID      // the members and callbacks that are flows; they are not halted by this call
	Running []ID      // the members that consumers held when the flow was halted, to be cancelled first
}
