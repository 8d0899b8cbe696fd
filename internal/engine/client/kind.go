package client

import "github.com/go-arbiter/arbiter/broker"

// An id says in its bits whether it stands for a task, a group or a pipe. Errors and logs use
// the word for it.

// KindName returns the word for the kind of an id: "task", "group" or "pipe".
func KindName(id broker.ID) string {
	switch id.Kind() {
	case broker.KindGroup:
		return "group"
	case broker.KindPipe:
		return "pipe"
	}
	return "task"
}

// IsFlow reports whether an id stands for a group or pipe.
func IsFlow(id broker.ID) bool { return id.Kind() == broker.KindGroup || id.Kind() == broker.KindPipe }
