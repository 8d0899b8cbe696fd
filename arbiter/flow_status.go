package arbiter

import (
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// A [FlowStatus] is bounded, so that it can be asked for whatever the size of the
// group is.
const (
	// MaxStatusTasks is how many members a FlowStatus lists at most.
	MaxStatusTasks = 1000
	// MaxStatusResults is how many bytes the results in a FlowStatus have together at
	// most, as they are encoded.
	MaxStatusResults = 4 << 20
)

// FlowStatus is what is known of the members of a group, squad or pipe. The group
// itself gets its outcome in a step of its own, so for a moment after its last task is
// done, even after the future of its callback has returned, its State may still be
// running; a group's Result waits for its outcome.
type FlowStatus struct {
	// Of the members alone.
	Size      int // how many there are
	Need      int // how many must succeed
	Succeeded int // how many have

	// Of the members, the callback and the finalizers.
	Initiated int // how many have not started
	Running   int // how many run
	Done      int // how many are done

	Killed bool // somebody has killed it

	// Tasks are the first [MaxStatusTasks] members, in the order given, then the
	// callback and the finalizers; [Status.Type] tells them apart. Each has its result,
	// up to [MaxStatusResults] in all: what comes after that has
	// [Status.ResultOmitted] set, and ResultsOmitted says how many these are.
	// [Group.Wait] yields all members with their results. Nil with [CountsOnly].
	Tasks          []Status
	ResultsOmitted int

	// Callback and Finalizer are nil if there is none. Finalizer is the group of them,
	// if there are several. With [CountsOnly] they have no result.
	Callback  *Status
	Finalizer *Status
	// Reason says why the callback will never run; empty if it may, or did.
	Reason string

	listed int // how many of Tasks are members
}

// StatusOption changes what [Arbiter.Status] returns.
type StatusOption interface {
	applyStatus(*statusConfig)
}

type statusConfig struct{ counts bool }

type statusFunc func(*statusConfig)

func (f statusFunc) applyStatus(c *statusConfig) { f(c) }

// CountsOnly leaves the members out of the status of a group or pipe: it has their
// numbers, and neither reads their results nor lists them. That of a task is the
// same. The default is to list them.
func CountsOnly() StatusOption {
	return statusFunc(func(c *statusConfig) { c.counts = true })
}

// flowJSON is the status of a group or pipe in JSON: the original's keys, and
// those of a task that make sense.
type flowJSON struct {
	statusJSON
	Initiated      int      `json:"initiated"`
	Running        int      `json:"running"`
	Done           int      `json:"done"`
	Tasks          []Status `json:"tasks,omitzero"`
	More           int      `json:"more,omitempty"`
	ResultsOmitted int      `json:"results_omitted,omitempty"`
	Size           int      `json:"size"`
	Need           int      `json:"need"`
	Succeeded      int      `json:"succeeded"`
	Killed         bool     `json:"killed,omitempty"`
	Reason         string   `json:"reason,omitempty"`
}

func (f *FlowStatus) json(st statusJSON) flowJSON {
	out := flowJSON{
		statusJSON: st, Initiated: f.Initiated, Running: f.Running, Done: f.Done, Tasks: f.Tasks,
		ResultsOmitted: f.ResultsOmitted, Size: f.Size, Need: f.Need, Succeeded: f.Succeeded,
		Killed: f.Killed, Reason: f.Reason,
	}
	if f.Tasks != nil {
		out.More = f.Size - f.listed
	}
	return out
}

// reason returns why a callback will never run.
func reason(f *FlowStatus, p *broker.Progress, blame *Status) string {
	if p.Flow.Callback.IsZero() || p.Callback.Final() && p.Callback != broker.StateCanceled {
		return ""
	}
	switch {
	case p.Marks&broker.MarkDropped != 0:
		return "the squad did not start"
	case f.Killed:
		return "the " + kindOf(p.Flow.ID) + " was killed"
	case p.Doomed() && blame != nil:
		why := string(blame.Outcome)
		if blame.Error != nil {
			why += ": " + blame.Error.Message
		}
		name := blame.Name
		if name == "" {
			name = blame.ID.String()
		}
		return fmt.Sprintf("%d of %d members had to succeed, and %s did not: %s", p.Flow.Need, p.Flow.Size, name, why)
	case p.Doomed():
		return fmt.Sprintf("%d of %d members had to succeed, and %d were canceled", p.Flow.Need, p.Flow.Size, p.Failed)
	case p.Callback == broker.StateCanceled:
		return "it was killed"
	}
	return ""
}
