package broker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The limits of the saved state of one task. Steps and signals count together.
const (
	MaxSteps     = 1000    // how many steps and signals
	MaxStepName  = MaxName // bytes of a name
	MaxStepBytes = 2 << 20 // bytes of all names and data
)

// ErrSteps is wrapped by the error of a step or signal for which the task has no room: it has
// [MaxSteps] of them, or they have [MaxStepBytes]. It also wraps [ErrTooLarge].
var ErrSteps = fmt.Errorf("%w: the saved state of the task is full", ErrTooLarge)

// ErrSignaled is wrapped by the error of a signal if the task has another signal of that name.
var ErrSignaled = errors.New("the task has another signal of that name")

// ErrEnded is wrapped by the error of a signal to a task that is final.
var ErrEnded = errors.New("the task has ended")

// Step is one named record of the saved state of a task.
type Step struct {
	Name string // valid by CheckName
	Data []byte
	// Wait is a time that the broker measures, by its own clock. SaveStep takes the time from
	// now on, 0 for none, up to MaxDuration. LoadSteps returns what is left of it: 0 or less
	// if there was none or it is over.
	Wait time.Duration
}

// Signal is a value that a task gets from outside.
type Signal struct {
	ID    ID     // identifies the signal, so that a repeated one is recognized; must not be zero
	Name  string // valid by CheckName
	Codec string // name of the codec of Data, at most 32 bytes
	Data  []byte
}

// Saved is the saved state of a task.
type Saved struct {
	Steps   []Step   // in no particular order
	Signals []Signal // the same
}

// Steps is an optional capability: it saves the state of tasks that are not over, so that a later
// attempt goes on where an earlier one has ended. [StepsOf] returns the Steps of a Broker.
//
// The state belongs to the task. It stays through retries, snoozes, recoveries and requeues of a
// dead letter. It ends with the task, at the latest when the id of the task is no longer
// remembered, so that another task with the same id begins without any.
//
// A [Settlement] with VerbSnooze can name a signal as its Await. If the task has that signal, or
// as soon as it gets it before the Delay is over, the task is due at once.
type Steps interface {
	// SaveStep saves a step of a task, in place of an earlier one of that name. Only the owner
	// of the attempt may do that, also if the task was cancelled; else the error wraps
	// ErrLeaseLost, and nothing is changed. It is ErrInvalid if the name or the Wait is not
	// valid, and ErrSteps if there is no room. Saving a step again is harmless; its Wait then
	// begins again.
	SaveStep(ctx context.Context, d *Delivery, s Step) error

	// LoadSteps returns the saved state of a task. Only the owner of the attempt gets it, as with
	// SaveStep. If the state can't be read the error wraps ErrMalformed or ErrVersion.
	LoadSteps(ctx context.Context, d *Delivery) (Saved, error)

	// Signal gives a task a signal, whether it waits, runs, or has not started yet. The task
	// keeps it. Repeating a signal, with the same ID and Name, changes nothing. It is ErrInvalid if
	// a field is not valid, ErrNotFound if the task is not known, ErrEnded if it is final,
	// ErrSignaled if the task has another signal of that name, and ErrSteps if there is no room.
	Signal(ctx context.Context, task ID, s Signal) error

	// DropSteps removes a step of a dead letter and all steps that were first saved after it, so
	// that the task takes them again once it is requeued. Its signals stay. It is ErrNotFound if
	// the task is not a dead letter or has no step of that name.
	DropSteps(ctx context.Context, task ID, from string) error
}

// StepsOf returns the broker as a [Steps], or an error as [FlowsOf] does.
func StepsOf(b Broker, what string) (Steps, error) { return capability[Steps](b, what, "Steps") }

// Check reports whether the step is valid. The error wraps [ErrInvalid] or [ErrTooLarge].
func (s *Step) Check() error {
	if err := CheckName("step", s.Name); err != nil {
		return err
	}
	switch {
	case s.Wait < 0 || s.Wait > MaxDuration:
		return fmt.Errorf("step %s: %w: a wait of %v, want 0 to %v", s.Name, ErrInvalid, s.Wait, MaxDuration)
	case len(s.Name)+len(s.Data) > MaxStepBytes:
		return fmt.Errorf("step %s: %w: %d bytes, the limit for all steps and signals of a task is %d", s.Name, ErrSteps, len(s.Data), MaxStepBytes)
	}
	return nil
}

// Check reports whether the signal is valid. The error wraps [ErrInvalid] or [ErrTooLarge].
func (s *Signal) Check() error {
	if err := CheckName("signal", s.Name); err != nil {
		return err
	}
	switch {
	case s.ID.IsZero():
		return fmt.Errorf("signal %s: %w: no id", s.Name, ErrInvalid)
	case len(s.Codec) > 32:
		return fmt.Errorf("signal %s: %w: codec name %.40q is longer than 32 bytes", s.Name, ErrInvalid, s.Codec)
	case len(s.Name)+len(s.Data) > MaxStepBytes:
		return fmt.Errorf("signal %s: %w: %d bytes, the limit for all steps and signals of a task is %d", s.Name, ErrSteps, len(s.Data), MaxStepBytes)
	}
	return nil
}
