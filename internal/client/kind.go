package client

import "github.com/go-arbiter/arbiter/broker"

// KindName returns what an id stands for, in a word.
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
