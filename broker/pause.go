package broker

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Pause names the tasks of a queue that are not handed out for a while. The zero Pause is all
// tasks of the queue. At most one field is set.
type Pause struct {
	Task string // the tasks with this name
	Key  string // the tasks whose [Lane].Key is this; at most MaxLaneKey bytes
}

// PauseInfo is a pause that is in force.
type PauseInfo struct {
	Pause
	Since time.Time // when it began, by the broker's clock
}

// Pauser is an optional capability for operators: it stops the hand-out of tasks, until it is
// resumed. [PauserOf] returns the Pauser of a Broker.
//
// When Pause has returned, no task that it names is handed out before Resume is called: not by
// Dequeue, and not by Assign, whose entry is then ErrPaused. This holds for tasks that wait
// already, and for tasks that come later, are released, become due, fit a parked task's need,
// or come back. Tasks that consumers hold go on, also those that were handed out during the
// call. Other tasks are handed out as ever, with one exception: behind a paused task of a
// sequence, the sequence waits.
//
// A paused task is pending. It is counted and looked up as such, it is cancelled and expires,
// and it keeps its unique key. A task that was cancelled while it ran, and has come back,
// is paused like any other: it ends when it is handed out after Resume.
//
// Resume makes the tasks ready for hand-out at once: a Dequeue that waits returns them. They
// have the order that they had, and come before tasks without a [Lane] that became pending
// later. A task that two pauses name waits for both.
//
// A pause belongs to its queue and stays until Resume, also while the queue has no task and
// no consumer; a queue with a pause is not forgotten. It may be set before the queue has a
// task. A message that is too new for the broker to read its name is not paused by its name.
type Pauser interface {
	// Pause stops the hand-out. Pausing again what is paused changes nothing. It is
	// ErrInvalid if the queue, the name or the key is not valid, or both Task and Key are
	// set.
	Pause(ctx context.Context, queue string, p Pause) error
	// Resume ends a pause. Resuming what is not paused is not an error. A pause of the whole
	// queue and those of names and keys are independent of each other.
	Resume(ctx context.Context, queue string, p Pause) error
	// Pauses returns the pauses of a queue: first that of the whole queue, then those of
	// names, then those of keys, each sorted. A queue that is not known has none.
	Pauses(ctx context.Context, queue string) ([]PauseInfo, error)
}

// PauserOf returns the broker as a [Pauser], or an error as [FlowsOf] does.
func PauserOf(b Broker, what string) (Pauser, error) { return capability[Pauser](b, what, "Pauser") }

// Check reports whether the pause is valid. The error wraps [ErrInvalid].
func (p Pause) Check() error {
	switch {
	case p.Task != "" && p.Key != "":
		return fmt.Errorf("pause: %w: it names the task %.40q and the key %.40q; name one of them, and make two pauses for both", ErrInvalid, p.Task, p.Key)
	case len(p.Key) > MaxLaneKey:
		return fmt.Errorf("pause: %w: a key of %d bytes, the limit is %d", ErrInvalid, len(p.Key), MaxLaneKey)
	case p.Task != "":
		return CheckName("task", p.Task)
	}
	return nil
}

// Whole reports whether the pause is of the whole queue.
func (p Pause) Whole() bool { return p == Pause{} }

// Names reports whether the pause names a task.
func (p Pause) Names(t *Task) bool {
	return p.Whole() || p.Task != "" && p.Task == t.Name || p.Key != "" && t.Lane != nil && p.Key == t.Lane.Key
}

// Compare orders pauses as [Pauser.Pauses] does. It fits [slices.SortFunc].
func (p Pause) Compare(other Pause) int {
	rank := func(p Pause) int {
		switch {
		case p.Whole():
			return 0
		case p.Task != "":
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(p), rank(other)), cmp.Compare(p.Task, other.Task), cmp.Compare(p.Key, other.Key))
}
