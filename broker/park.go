package broker

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// AbandonedAfter is how long a parked task waits beyond its time in a queue without a
// consumer, before a consumer of another queue is asked how it ends. That is for queues
// whose minions are just being restarted.
const AbandonedAfter = time.Minute

// Parker is an optional capability: a task that its consumer can't run waits for one
// that can. In a rolling deployment the tasks of the new build come to minions of the
// old one, which must not end them as failures. [ParkerOf] tells whether a Broker has it.
//
// A consumer parks a task with VerbPark. The task is StateParked then, and is not handed
// to any consumer whose [ConsumerConfig].Tasks lacks its name; nor, a second time, to one
// that has parked a task with the same [Need]. A task whose message is of a newer version
// than the consumer reads is handed to consumers that read it, and has no other need until
// one of them parks it again. A consumer that may have it gets it with
// its next Dequeue, before what is pending: one that waits already gets it at once, and
// one that is opened later gets it with its first. When the Delay of the settlement is
// over the task is pending again, with Delivery.Overdue set, and whoever dequeues first
// gets it. That is cleared when it is parked again, retried, snoozed or requeued.
//
// If no consumer serves its queue then, and for AbandonedAfter, a consumer of another
// queue is asked how the task ends ([ConsumerConfig].OnAbandoned), and that is how it ends.
// Its inbox is told, and its flow has its arrival, as of any that is settled. Where no
// consumer lives at all it waits for one.
//
// A parked task keeps its unique key and its place in a flow, and a cancel ends it. Its
// attempts are counted as after VerbRelease.
type Parker interface {
	// Parked returns what the parked tasks of a queue need, and how many need it,
	// sorted by name, codec and schema. A queue that is not known has none.
	Parked(ctx context.Context, queue string) ([]Parked, error)
}

// Need is what a task needs of a minion: a handler of its name, its codec, and
// parameters as those that it was sent with.
type Need struct {
	Name   string
	Codec  string
	Schema uint64 // Task.Schema
	// Version is that of a message which the consumer that parked it could not read. All
	// else is in the message, so it is empty. It is 0 if the message could be read.
	Version uint8
}

// NeedOf returns what a task needs.
func NeedOf(t *Task) Need { return Need{Name: t.Name, Codec: t.Codec, Schema: t.Schema} }

// Need returns what the task needs, as far as the consumer that it was handed to can
// tell.
func (d *Delivery) Need() Need {
	if d.Version != 0 {
		return Need{Version: d.Version}
	}
	return NeedOf(&d.Task)
}

// Compare orders needs by name, codec, schema and version, as a function for
// [slices.SortFunc].
func (n Need) Compare(other Need) int {
	return cmp.Or(cmp.Compare(n.Name, other.Name), cmp.Compare(n.Codec, other.Codec), cmp.Compare(n.Schema, other.Schema),
		cmp.Compare(n.Version, other.Version))
}

// Parked counts parked tasks with the same need.
type Parked struct {
	Need  Need
	Tasks int
}

// Ability tells a [Parker] which parked tasks a consumer may be handed. Its methods may
// be called concurrently.
type Ability struct {
	tasks map[string]uint64
	reads uint8 // versions of messages up to this

	mu     sync.Mutex
	parked map[Need]struct{} // with names in tasks: of others nothing is handed to it anyway
}

// maxAbility bounds what an Ability remembers. Beyond that it begins anew, which costs
// one more try for each need.
const maxAbility = 10_000

// NewAbility returns the ability of a consumer with [ConsumerConfig].Tasks.
func NewAbility(tasks map[string]uint64) *Ability {
	return &Ability{tasks: tasks, reads: MessageVersion}
}

// Reads says up to which version the consumer reads messages, for one whose broker is of
// another version than this package.
func (a *Ability) Reads(version uint8) { a.reads = version }

// None reports whether there is no parked task that the consumer may ever be handed.
func (a *Ability) None() bool { return len(a.tasks) == 0 }

// Fits reports whether the consumer may be handed parked tasks with a need.
func (a *Ability) Fits(n Need) bool {
	if n.Version != 0 { // what else it needs can be told when it is read
		return n.Version <= a.reads
	}
	if _, knows := a.tasks[n.Name]; !knows {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, parked := a.parked[n]
	return !parked
}

// Park notes that the consumer parks a task with a need. Call it before another
// consumer, or the same one, can be handed the task.
func (a *Ability) Park(n Need) {
	if _, knows := a.tasks[n.Name]; !knows {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.parked == nil || len(a.parked) >= maxAbility {
		a.parked = make(map[Need]struct{})
	}
	a.parked[n] = struct{}{}
}
