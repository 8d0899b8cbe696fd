package client

import "github.com/go-arbiter/arbiter/broker"

// Most tasks of a client have one of a few names and queues. An entry of the table holds one
// pointer to a shared pair of both. Two strings instead would be three words more in each
// entry, and one more pointer for the garbage collector.

// label is a task's name and queue. It is shared and never changed.
type label struct {
	Name  string // empty if it isn't known, and for a group or pipe
	Queue string // empty in the same cases
}

var unknownLabel = new(label)

// maxLabels bounds how many labels are shared. A program with more of them, such as one with a
// queue for each customer, starts a new map. Entries may then hold two copies of a label, which
// costs memory and nothing else.
const maxLabels = 1000

// labels is the set of shared labels.
type labels struct {
	last *label // the last one that was asked for: most tasks are like the one before
	all  map[label]*label
}

// get returns the shared label of a name and queue.
func (ls *labels) get(name, queue string) *label {
	if last := ls.last; last != nil && last.Name == name && last.Queue == queue {
		return last
	}
	key := label{name, queue}
	if key == *unknownLabel {
		return unknownLabel
	}
	known := ls.all[key]
	if known == nil {
		if ls.all == nil || len(ls.all) >= maxLabels {
			ls.all = make(map[label]*label)
		}
		known = &key
		ls.all[key] = known
	}
	ls.last = known
	return known
}

// learn returns the label of a task after a look-up: the queue is taken from the status, and the
// name if it was not known.
func (ls *labels) learn(l *label, st *broker.Status) *label {
	name, queue := l.Name, l.Queue
	if name == "" && !IsFlow(st.ID) {
		name = st.Name
	}
	if st.Queue != "" {
		queue = st.Queue
	}
	if name == l.Name && queue == l.Queue {
		return l
	}
	return ls.get(name, queue)
}
