package client

import "github.com/go-arbiter/arbiter/broker"

// Most tasks of a client have one of a few names and queues. An entry of the table holds one
// pointer to a shared pair of both instead of two strings: entries are many, and each string
// would be four words more and one more pointer for the garbage collector.

// kind is a task's name and queue. It is shared and never changed.
type kind struct {
	Name  string // empty if it isn't known, and for a group or pipe
	Queue string // empty in the same cases
}

var unknownKind = new(kind)

// maxKinds bounds how many kinds are shared. A program with more of them, such as one with a
// queue for each customer, starts a new map. Entries may then hold two copies of a kind, which
// costs memory and nothing else.
const maxKinds = 1000

// kinds is the set of shared kinds.
type kinds struct {
	last *kind // the last one that was asked for: most tasks are like the one before
	all  map[kind]*kind
}

// of returns the shared kind of a name and queue.
func (k *kinds) of(name, queue string) *kind {
	if last := k.last; last != nil && last.Name == name && last.Queue == queue {
		return last
	}
	key := kind{name, queue}
	if key == *unknownKind {
		return unknownKind
	}
	known := k.all[key]
	if known == nil {
		if k.all == nil || len(k.all) >= maxKinds {
			k.all = make(map[kind]*kind)
		}
		known = &key
		k.all[key] = known
	}
	k.last = known
	return known
}

// learn returns the kind of a task after a look-up: the queue is taken from the status, and the
// name if it was not known.
func (k *kinds) learn(of *kind, st *broker.Status) *kind {
	name, queue := of.Name, of.Queue
	if name == "" && !IsFlow(st.ID) {
		name = st.Name
	}
	if st.Queue != "" {
		queue = st.Queue
	}
	if name == of.Name && queue == of.Queue {
		return of
	}
	return k.of(name, queue)
}
