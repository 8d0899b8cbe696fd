package arbiter

import (
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// The limits of a [FlowStatus], which keep a look-up cheap for a group of any size.
const (
	// MaxStatusTasks is how many members a FlowStatus lists.
	MaxStatusTasks = 1000
	// MaxStatusResults is how many bytes all results in a FlowStatus have together, in their encoded form.
	MaxStatusResults = 4 << 20
)

// FlowStatus has the numbers and the members of a group, squad or pipe.
//
// The outcome of a group is stored in a separate step after its last task. So for a moment after that task is done, even
// after the future of the callback has returned, the group's State may still be running. A group's Result waits for the
// outcome.
type FlowStatus struct {
	// These numbers count only the members.
	Size      int // all members
	Quorum    int // how many members must succeed
	Succeeded int // members that have succeeded

	// These numbers count the members, the callback and the finalizers.
	Initiated int // not started yet
	Running   int // running
	Done      int // done, whatever their outcome

	Killed bool // the group or pipe was killed

	// Tasks are the first [MaxStatusTasks] members in the order given, and then the callback and the finalizers;
	// [Status.Type] distinguishes them. Their results are included until they have [MaxStatusResults] bytes
	// together. The tasks after that have [Status.ResultOmitted] set, and ResultsOmitted is their number.
	// [Group.WaitForMembers] yields all members with their results. Tasks is nil with [CountsOnly].
	Tasks          []Status
	ResultsOmitted int

	// Callback and Finalizer are nil if there is none. If there are several finalizers, Finalizer is the group of
	// them. With [CountsOnly] they have no result.
	Callback  *Status
	Finalizer *Status
	// Reason tells why the callback will never run. It is empty if the callback has run or may still run.
	Reason string

	listed int // how many members are in Tasks
}

// StatusOption changes what [Arbiter.Status] returns.
type StatusOption interface {
	applyStatus(*statusConfig)
}

type statusConfig struct{ counts bool }

type statusFunc func(*statusConfig)

func (f statusFunc) applyStatus(c *statusConfig) { f(c) }

// CountsOnly leaves the members out of the status of a group or pipe. The status has only the numbers, and results are
// not read. The status of a task is the same with it. The default is to list the members.
func CountsOnly() StatusOption {
	return statusFunc(func(c *statusConfig) { c.counts = true })
}

// flowJSON is the status of a group or pipe in JSON: the original's keys, and the keys of a task that apply.
type flowJSON struct {
	statusJSON
	Initiated      int      `json:"initiated"`
	Running        int      `json:"running"`
	Done           int      `json:"done"`
	Tasks          []Status `json:"tasks,omitzero"`
	More           int      `json:"more,omitempty"`
	ResultsOmitted int      `json:"results_omitted,omitempty"`
	Size           int      `json:"size"`
	Quorum         int      `json:"quorum"`
	Succeeded      int      `json:"succeeded"`
	Killed         bool     `json:"killed,omitempty"`
	Reason         string   `json:"reason,omitempty"`
}

func (f *FlowStatus) json(st statusJSON) flowJSON {
	out := flowJSON{
		statusJSON: st, Initiated: f.Initiated, Running: f.Running, Done: f.Done, Tasks: f.Tasks,
		ResultsOmitted: f.ResultsOmitted, Size: f.Size, Quorum: f.Quorum, Succeeded: f.Succeeded,
		Killed: f.Killed, Reason: f.Reason,
	}
	if f.Tasks != nil {
		out.More = f.Size - f.listed
	}
	return out
}

// reason returns the reason why a callback will never run, or "" if it may run.
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
		why := blame.State.String()
		if blame.Error != nil {
			why += ": " + blame.Error.Message
		}
		name := blame.Name
		if name == "" {
			name = blame.ID.String()
		}
		return fmt.Sprintf("%d of %d members had to succeed, and %s did not: %s", p.Flow.Quorum, p.Flow.Size, name, why)
	case p.Doomed():
		return fmt.Sprintf("%d of %d members had to succeed, and %d were canceled", p.Flow.Quorum, p.Flow.Size, p.Failed)
	case p.Callback == broker.StateCanceled:
		return "it was killed"
	}
	return ""
}
