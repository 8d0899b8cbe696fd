// Package flow moves groups and pipes on. The broker keeps them and counts
// their members; a [Driver] does what follows when members are final: it starts
// the next step of a pipe, the callback or the finalizer of a group, cancels
// what can't help any more, and ends the flow.
//
// Nobody owns a flow. Any driver may find an arrival, many at once may find the
// same one, and each can die at any line: an arrival is confirmed only when all
// that follows from it is done, and everything is done in such a way that doing
// it again changes nothing. So what a dead driver has left another one finds
// and does from the start.
package flow
