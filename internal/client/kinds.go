package client

import "github.com/go-arbiter/arbiter/broker"

// kind is the name and queue of tasks. Many tasks share one, so that an entry needs
// a pointer and no strings. Nobody changes it.
type kind struct {
	Name  string // empty if it isn't known, and for a group or pipe
	Queue string // the same
}

var unknownKind = new(kind)

// maxKinds bounds how many kinds are shared. A program with more of them, such as one
// with a queue for each customer, begins anew, and its entries have some kinds twice.
const maxKinds = 1000

// kinds are those that are shared.
type kinds struct {
	last *kind // most tasks are of the kind of the one before
	all  map[kind]*kind
}

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

// learn returns a kind with what a look-up has told beyond it: the queue, and the name if
// it was not known.
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
