package broker

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// AbandonedAfter is how long an overdue parked task waits in a queue without a consumer
// before a consumer of another queue is asked how it ends. The wait is for queues whose
// minions are just being restarted.
const AbandonedAfter = time.Minute

// Parker is an optional capability: a task that its consumer can't run waits for a consumer
// that can. In a rolling deployment, minions of the old build get tasks of the new build,
// and must not end them as failures. [ParkerOf] returns the Parker of a Broker.
//
// A consumer parks a task with VerbPark. The state is then StateParked. The task is not
// handed to a consumer whose [ConsumerConfig].Tasks lacks its name, nor to a consumer that
// has itself parked a task with the same [Need]. If the message of the task is of a newer
// version than the consumer reads, its only need is a consumer that reads that version,
// until such a consumer parks it again. A consumer gets the parked tasks that it may have
// with its next Dequeue, before pending ones. A waiting Dequeue returns them at once, and a
// new consumer gets them with its first Dequeue.
//
// When the Delay of the settlement is over, the task is pending again with Delivery.Overdue
// set, and any consumer gets it. Overdue is cleared when the task is parked again, retried,
// snoozed or requeued.
//
// If the queue has no consumer then, or loses its last one before the task is settled, and
// gets none for AbandonedAfter, the task is abandoned: a consumer of another queue is
// asked how it ends ([ConsumerConfig].OnAbandoned), and it ends that way. Its inbox is
// notified and its flow gets its arrival, as with a settlement. If no consumer lives at
// all, the task waits for one.
//
// A parked task keeps its unique key and its position in a flow, and a cancel ends it. Its
// attempts and starts are counted as with VerbGiveBack.
type Parker interface {
	// Parked returns the needs of the parked tasks of a queue, with the number of tasks for
	// each, sorted as [Need.Compare] orders them. A queue that is not known has none. It is
	// ErrInvalid if the name of the queue is not valid.
	Parked(ctx context.Context, queue string) ([]Parked, error)
}

// Need is what a minion must have to run a task: a handler of its name, its codec, and the
// parameters that the task was sent with.
type Need struct {
	Name   string
	Codec  string
	Schema uint64 // Task.Schema
	// Version is the version of a message that was too new for the consumer that parked it.
	// The other fields are then empty, since they are in the message. Version is 0 if the
	// message could be read.
	Version uint8
}

// NeedOf returns the need of a task.
func NeedOf(t *Task) Need { return Need{Name: t.Name, Codec: t.Codec, Schema: t.Schema} }

// Need returns the need of the task, as far as the consumer that got it can tell.
func (d *Delivery) Need() Need {
	if d.Version != 0 {
		return Need{Version: d.Version}
	}
	return NeedOf(&d.Task)
}

// Compare orders needs by name, codec, schema and version. It fits [slices.SortFunc].
func (n Need) Compare(other Need) int {
	return cmp.Or(cmp.Compare(n.Name, other.Name), cmp.Compare(n.Codec, other.Codec), cmp.Compare(n.Schema, other.Schema),
		cmp.Compare(n.Version, other.Version))
}

// Parked counts the parked tasks with one need.
type Parked struct {
	Need  Need
	Tasks int
}

// Ability tells a [Parker] which parked tasks a consumer may get. Its methods may be called
// concurrently.
type Ability struct {
	tasks map[string]uint64
	reads uint8 // the newest version of messages that the consumer reads

	mu     sync.Mutex
	parked map[Need]struct{} // needs that the consumer has parked, if tasks has their name
}

// maxAbility bounds the needs that an Ability remembers. At the limit it forgets all of
// them, which costs one more try for each need.
const maxAbility = 10_000

// NewAbility returns the ability of a consumer with these [ConsumerConfig].Tasks. Reads is
// the newest version of messages that it reads, usually wire.MessageVersion.
func NewAbility(tasks map[string]uint64, reads uint8) *Ability {
	return &Ability{tasks: tasks, reads: reads}
}

// None reports whether the consumer can run no task at all, so it never gets a parked one.
func (a *Ability) None() bool { return len(a.tasks) == 0 }

// Fits reports whether the consumer may get parked tasks with a need.
func (a *Ability) Fits(n Need) bool {
	if n.Version != 0 { // a consumer that reads the message learns what else it needs
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

// Park records that the consumer parks a task with a need. The broker must call it before
// it can hand the task to another consumer or to the same one.
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
