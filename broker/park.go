package broker

import (
	"cmp"
	"context"
	"sync"
)

// Parker is an optional capability: a task that its consumer can't run waits for one
// that can. In a rolling deployment the tasks of the new build come to minions of the
// old one, which must not end them as failures. [ParkerOf] tells whether a Broker has it.
//
// A consumer parks a task with VerbPark. The task is StateParked then, and is not handed
// to any consumer whose [ConsumerConfig].Tasks lacks its name; nor, a second time, to one
// that has parked a task with the same [Need]. A consumer that may have it gets it with
// its next Dequeue, before what is pending: one that waits already gets it at once, and
// one that is opened later gets it with its first. When the Delay of the settlement is
// over the task is pending again, with Delivery.Overdue set, and whoever dequeues first
// gets it. That is cleared when it is parked again, retried, snoozed or requeued.
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
}

// NeedOf returns what a task needs.
func NeedOf(t *Task) Need { return Need{t.Name, t.Codec, t.Schema} }

// Compare orders needs by name, codec and schema, as a function for [slices.SortFunc].
func (n Need) Compare(other Need) int {
	return cmp.Or(cmp.Compare(n.Name, other.Name), cmp.Compare(n.Codec, other.Codec), cmp.Compare(n.Schema, other.Schema))
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

	mu     sync.Mutex
	parked map[Need]struct{} // with names in tasks: of others nothing is handed to it anyway
}

// maxAbility bounds what an Ability remembers. Beyond that it begins anew, which costs
// one more try for each need.
const maxAbility = 10_000

// NewAbility returns the ability of a consumer with [ConsumerConfig].Tasks.
func NewAbility(tasks map[string]uint64) *Ability { return &Ability{tasks: tasks} }

// None reports whether there is no parked task that the consumer may ever be handed.
func (a *Ability) None() bool { return len(a.tasks) == 0 }

// Fits reports whether the consumer may be handed parked tasks with a need.
func (a *Ability) Fits(n Need) bool {
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
