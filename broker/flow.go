package broker

import (
	"context"
	"fmt"
	"time"
)

// Flow is a group or a pipe. It counts its members as they become final. Members are tasks
// or other flows, and have positions from 0. The broker stores the flow and counts. The
// code that decides what follows from the counts is in internal/engine/flow.
type Flow struct {
	ID        ID            // its kind is KindGroup if the members run in any order, KindPipe if they run one after the other
	Size      int           // number of members; 0 is an empty flow
	Quorum    int           // how many members must succeed; once fewer can, the others are cancelled; equal to Size for a pipe
	Callback  ID            // task or flow that is blocked until all members are final and Quorum of them succeeded; zero is none
	Finalizer ID            // task or flow that is blocked until all else is final; zero is none
	Group     ID            // the flow that this one is a member, the callback or the finalizer of; zero is none
	Step      uint32        // its position there, StepCallback or StepFinalizer
	Inbox     ID            // where its outcome is pushed; zero if nobody waits for it
	Retention time.Duration // how long it is kept once it has ended; 0 is not at all
	Seal      string        // the sender's seal over the rest and the members; empty if its codec does not seal
}

// TaskFlow is the part of a [Task] that concerns flows: [Task].Flow. It is zero for a task of
// its own.
type TaskFlow struct {
	ID       ID     // the flow that the task is a member, the callback or the finalizer of; zero is none
	Step     uint32 // its position in the flow, StepCallback or StepFinalizer
	Blocked  bool   // it waits for [Flows.Release], and with a Delay for that time at most; ErrUnsupported without Flows
	Squad    bool   // it starts with others or not at all: a consumer that dequeues it asks [Squads.Decide] first; ErrUnsupported without Squads
	Upstream string // name of the parameter that gets the result of the task before it; "" is none
}

// FlowsConfig is the part of a [ConsumerConfig] that concerns [Flows]: [ConsumerConfig].Flows.
type FlowsConfig struct {
	// OnArrivals is called if a queue of the consumer has arrivals. It is called soon after
	// a settlement of this consumer has left some, and with each heartbeat while there are
	// any, also if another consumer left them.
	OnArrivals func(queue string)
}

// FlowsMail is the part of a [Mail] that concerns [Flows]: [Mail].Flows.
type FlowsMail struct {
	// Arrivals says that members of flows have expired, and that this Broker had no
	// consumer to tell. [Flows.Arrivals] of the empty queue returns their arrivals.
	Arrivals bool
}

// MaxSeal is the longest [Flow.Seal], in bytes.
const MaxSeal = 1 << 10

// The positions in a flow. A callback and a finalizer are not members, and have a Step of
// their own. Members have the positions from 0. MaxMembers is the largest [Flow.Size].
const (
	StepCallback  uint32 = 1<<32 - 1
	StepFinalizer uint32 = 1<<32 - 2
	MaxMembers           = 10_000_000
)

// A flow that has not ended is forgotten when nothing has happened in it for one of these
// times.
//
// A delay, a retry or a snooze can put off a member for MaxDuration, and a member can wait
// for minions that nobody starts. FlowPatience is longer than MaxDuration, so a member
// finds its flow whenever it ends. OpenPatience is for a flow whose submitter died before
// it had listed all members: none of them can run until all are listed.
const (
	FlowPatience = MaxDuration + OpenPatience
	OpenPatience = 30 * 24 * time.Hour
)

// Check reports whether the flow can be stored. The error wraps [ErrInvalid].
func (f *Flow) Check() error {
	if f == nil {
		return fmt.Errorf("flow: %w: it is nil", ErrInvalid)
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("flow %s: %w: %s", f.ID, ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case f.ID.Kind() != KindGroup && f.ID.Kind() != KindPipe:
		return bad("its id is not one of a group or pipe")
	case f.Size < 0 || f.Size > MaxMembers:
		return bad("%d members, want 0 to %d", f.Size, MaxMembers)
	case f.Quorum < 0 || f.Quorum > f.Size:
		return bad("%d of %d members must succeed", f.Quorum, f.Size)
	case f.ID.Kind() == KindPipe && f.Quorum != f.Size:
		return bad("all steps of a pipe must succeed")
	case f.Retention < 0 || f.Retention > MaxDuration:
		return bad("retention of %v, want 0 to %v", f.Retention, MaxDuration)
	case len(f.Seal) > MaxSeal:
		return bad("a seal of %d bytes, the limit is %d", len(f.Seal), MaxSeal)
	}
	return nil
}

// Flows is an optional capability for groups, pipes, and tasks that are submitted with a
// settlement. [FlowsOf] returns the Flows of a Broker. Every method may be repeated, by any
// process and at the same time as others: what was done before is not done again. A limit
// of less than 1 and a position of less than 0 are ErrInvalid. If the record of a flow can't
// be read, the error wraps ErrMalformed or ErrVersion.
//
// A task with a [TaskFlow.ID] is a member of that flow, or by its Step its callback or
// finalizer. When it becomes final, by a settlement, a cancel or an expiry, its [Arrival]
// is stored in its own queue, in the same step. The arrival stays there until it is
// confirmed. A driver finds it, counts it with Arrive, does what follows, and confirms it.
// If the driver dies in between, another driver does the same again.
//
// A flow is kept until its retention after its end is over. A flow that has not ended is
// kept for FlowPatience after its last change, which is longer than any member can wait for
// its time. It is kept for OpenPatience only while members are missing from its list and
// none has arrived. After that it is ErrNotFound. The id of a flow that has ended is
// remembered until its retention is over, and for at least MinTombstone. During that time
// OpenFlow of the same flow and EndFlow return nil and change nothing.
//
// [Broker.Lookup] finds flows too. The state is the outcome's once the flow has
// one; before that it is running if a member has arrived, and pending if none has.
// [Broker.Cancel] does not cancel flows: to kill one, mark it with MarkFlow and cancel its
// members.
type Flows interface {
	// OpenFlow stores a flow, and the ids of its members from a position on. The first call
	// has the position 0. A large flow is opened by several calls, each of up to MaxBatch
	// members. An empty flow is opened by one call without members, and the first call for
	// any other flow may have none too. The caller stores the tasks afterwards.
	//
	// It is ErrInvalid if the flow is nil or [Flow.Check] refuses it, to leave out
	// positions, and to list more than Size members. More than MaxBatch members in one call
	// are ErrTooLarge. A *DuplicateError means that the id belongs to another flow, or a
	// position to another member; both of its ids are the flow's. After the end of the flow
	// a call for it adds no member and returns nil, whatever its members are.
	OpenFlow(ctx context.Context, f *Flow, from int, members []ID) error

	// LookupFlow returns the progress of a flow, or ErrNotFound if there is none.
	LookupFlow(ctx context.Context, id ID) (*Progress, error)

	// Members returns up to limit members from a position on. Outcomes can be large and are
	// included only if outcomes is true. A member that has not arrived has StateUnknown.
	// Members may return fewer than there are, as many as one operation may move. An empty
	// result means that there are no more. ErrNotFound means that the flow is no longer
	// kept.
	Members(ctx context.Context, id ID, from, limit int, outcomes bool) ([]Member, error)

	// Arrivals returns up to limit arrivals of a queue, in no particular order. An empty
	// name stands for all queues in which this Broker has ended members, by a Cancel or by
	// an expiry (see FlowsMail), and which still have arrivals. Arrivals may return
	// fewer than there are. An empty result means that there are no more. A queue that is
	// not known has none.
	Arrivals(ctx context.Context, queue string, limit int) ([]Arrival, error)

	// Arrive counts members, each once: the first outcome at a position stays. ErrNotFound
	// means that the flow is no longer kept. An arrival that is not final, or at whose
	// position no member is listed yet, is ErrInvalid. Then none of them is counted, unless
	// there are more than MaxBatch: these are counted in several parts.
	Arrive(ctx context.Context, id ID, arrivals []Arrival) (*Progress, error)

	// Confirm removes arrivals. It reads Queue, Task and whether Submit is set, since a
	// task can have one arrival of each kind at the same time. Of an arrival with Kill set
	// it reads Queue and Flow, and the members of that flow are handed out from the queue
	// again. An arrival that is not stored is no error.
	Confirm(ctx context.Context, arrivals []Arrival) error

	// Blocked returns the stored tasks of ids that are blocked, and nil for those that are
	// not, or no longer. Their Delay and Deadline have no meaning any more and may differ.
	// If some can't be read, the error is a *BatchError whose entries wrap ErrMalformed or
	// ErrVersion, and the other tasks are returned all the same.
	Blocked(ctx context.Context, ids []ID) ([]*Task, error)

	// Release makes blocked tasks pending, as they are given here: their arguments may be
	// complete by now. They go behind all pending tasks. A task that is not blocked stays
	// as it is. A task that is blocked keeps its queue, unique key, inbox, flow and
	// deadline, and a repeated enqueue is still compared with the content of the first one.
	// Consumers get the metadata that is given here. A look-up still returns that of the
	// enqueue, see [Status].
	// The error is a *BatchError, as of Enqueue: a task that can't be stored as it is given
	// stays blocked.
	Release(ctx context.Context, tasks []*Task) error

	// MarkFlow sets MarkKilled, MarkSwept or both, and ignores other marks. A mark is never
	// removed. ErrNotFound means that the flow is no longer kept, also for a call that sets
	// no mark.
	MarkFlow(ctx context.Context, id ID, marks Marks) error

	// EndFlow gives a flow its outcome, which is kept for its retention and pushed to its
	// inbox. The first outcome stays. A later call returns nil and changes nothing as long
	// as the id is remembered, also when the retention is over: the reply to the first call
	// may have been lost. ErrNotFound means that there is no such flow, or not any more. It
	// is ErrInvalid if the outcome is nil or not final, and ErrTooLarge if its result is. A
	// flow with a retention of 0 is no longer found after that, so tell the flow around it
	// first.
	EndFlow(ctx context.Context, id ID, o *Outcome) error
}

// Marks are facts about a flow that its drivers note.
type Marks uint8

// The marks.
const (
	MarkKilled  Marks = 1 << iota // the flow was killed: members that have not started never start
	MarkSwept                     // the flow could not succeed any more, and all its members that had not ended were cancelled
	MarkStarted                   // the squad was decided to start; only [Squads.Decide] sets it
	MarkDropped                   // the squad was decided not to start; only [Squads.Decide] sets it
)

// Progress is the state of a flow: how many members have arrived, and what was decided.
type Progress struct {
	Flow      Flow
	Listed    int // how many members are listed; fewer than Size while the flow is being opened
	Succeeded int
	Failed    int   // members that are final and did not succeed
	First     int   // the position of the failed member that was counted first; undefined while Failed is 0, -1 if not known
	Callback  State // StateUnknown until the callback is final
	Finalizer State // StateUnknown until the finalizer is final
	Marks     Marks
	Outcome   *Outcome // nil until the flow has ended
}

// Arrived returns how many members are final.
func (p *Progress) Arrived() int { return p.Succeeded + p.Failed }

// Doomed reports whether too few members can still succeed for the flow to succeed.
func (p *Progress) Doomed() bool { return p.Flow.Size-p.Failed < p.Flow.Quorum }

// Member is one member of a flow.
type Member struct {
	ID      ID
	State   State    // StateUnknown until it has arrived
	Outcome *Outcome // nil until it has arrived, or if outcomes were not asked for
}

// Arrival tells that a member of a flow is final and not counted yet. There are two other
// kinds. With Submit set, a task was submitted with the settlement of another one and is to
// be enqueued. With Kill set, the kill of a flow was not finished.
type Arrival struct {
	Queue   string // the queue where it is stored
	Task    ID     // the member, or the submitted task; zero if Kill is set
	Flow    ID     // the flow of the member; zero for a submitted task
	Step    uint32 // the position in the flow, StepCallback or StepFinalizer
	Outcome Outcome
	Submit  *Task // the task that is to be enqueued; nil for a member
	Kill    bool  // the flow is halted and must be killed; see Halter
}
