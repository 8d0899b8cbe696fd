// Package flow moves groups and pipes on. The broker stores them and counts their members. A
// [Driver] acts when members end: it starts the next step of a pipe, or the callback and the
// finalizer of a group; it cancels members that can't change the result any more; and it ends
// the flow.
//
// No process owns a flow. Any driver may find an arrival, several may find the same one at
// once, and each may die at any point. That is safe for two reasons: an arrival is confirmed
// only after everything that follows from it is done, and every action can be repeated without
// further effect. So if a driver dies, another one finds the same arrivals, and starts from the
// beginning.
//
// driver.go has the main loop. start.go starts members with the results that they wait for,
// which upstream.go fetches. outcome.go says how a flow has ended. sweep.go cancels, and
// halt.go stops the start of members during the kill of a large flow. seal.go checks and makes
// seals.
package flow
