package broker

import (
	"context"
	"fmt"
	"time"
)

// Flow is a group or a pipe: tasks that are counted in one place as they
// become final, and what follows from that. A flow's members are tasks or other
// flows, known by their places from 0. Who drives it is in internal/flow; the
// broker stores and counts.
type Flow struct {
	ID        ID            // KindGroup: members in any order; KindPipe: one after the other
	Size      int           // how many members there are; none is an empty flow
	Need      int           // how many of them must succeed; once fewer can, the others are cancelled
	Callback  ID            // blocked until all members are final and Need of them succeeded; zero is none
	Finalizer ID            // blocked until all else is final; zero is none
	Group     ID            // the flow that this one is a member of; zero is none
	Step      uint32        // its place there
	Inbox     ID            // where its outcome is pushed; zero if nobody waits for it
	Retention time.Duration // how long it is kept once it has ended
	Seal      string        // of who sends it, over the rest and the members; empty if its codec does not seal
}

// MaxSeal is the longest [Flow.Seal], in bytes.
const MaxSeal = 1 << 10

// Places in a flow of what is no member.
const (
	StepCallback  uint32 = 1<<32 - 1
	StepFinalizer uint32 = 1<<32 - 2
	MaxMembers           = 10_000_000
)

// How long a flow is kept in which nothing happens.
//
// A member can be put off for MaxDuration by its delay, a retry or a snooze, or wait for
// minions that nobody starts. FlowPatience is longer than that, so whatever a member does
// later finds its flow. Until all members of a flow are listed none of them can run:
// OpenPatience is for one whose submitter died half-way.
const (
	FlowPatience = MaxDuration + OpenPatience
	OpenPatience = 30 * 24 * time.Hour
)

// Check reports whether the flow makes sense. The error wraps [ErrInvalid].
func (f *Flow) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("flow %s: %w: %s", f.ID, ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case f.ID.Kind() != KindGroup && f.ID.Kind() != KindPipe:
		return bad("its id is not one of a group or pipe")
	case f.Size < 0 || f.Size > MaxMembers:
		return bad("%d members, want 0 to %d", f.Size, MaxMembers)
	case f.Need < 0 || f.Need > f.Size:
		return bad("%d of %d members must succeed", f.Need, f.Size)
	case f.ID.Kind() == KindPipe && f.Need != f.Size:
		return bad("all steps of a pipe must succeed")
	case f.Retention < 0 || f.Retention > MaxDuration:
		return bad("retention of %v, want 0 to %v", f.Retention, MaxDuration)
	case len(f.Seal) > MaxSeal:
		return bad("a seal of %d bytes, the limit is %d", len(f.Seal), MaxSeal)
	}
	return nil
}

// Flows is an optional capability: what groups, pipes and tasks that follow
// from a settlement need. [FlowsOf] tells whether a Broker has it. Every method may
// be repeated, by anybody and at once with others: what was done before is not done
// again. A limit of less than 1, and a place of less than 0, are ErrInvalid.
//
// A task with a Group is a member of that flow. The moment it becomes final, by
// a settlement or a cancel, its [Arrival] is stored with that in its own queue,
// and stays until it is confirmed. Whoever finds it counts it with Arrive, does
// what follows, and confirms: if that party dies in between, another one does
// it again.
//
// A flow is kept until its retention after its end is over. One that has not ended is
// kept for FlowPatience after its last change, which is longer than any member can wait
// for its time; or for OpenPatience while not all members are listed and none has arrived.
// From then on it is ErrNotFound. The
// id of one that has ended is remembered until its retention is over, and for at
// least MinTombstone: OpenFlow of it again is nil until then, and begins nothing
// anew.
// [Broker.Lookup] finds a flow too: in the state of its outcome, with that; or
// running once a member has arrived; or pending. [Broker.Cancel] does not know
// flows: whoever kills one marks it and cancels its members.
type Flows interface {
	// OpenFlow stores a flow, and the ids of its members from a place on. The
	// first call has place 0; a large flow is opened by several calls, each of
	// up to MaxBatch members. An empty flow is opened by one call without members,
	// and so may any other be begun. Whoever opens it stores its tasks afterwards.
	// Places that are left out are ErrInvalid; a *DuplicateError says that the id
	// belongs to another flow, or a place to another member.
	OpenFlow(ctx context.Context, f *Flow, from int, members []ID) error

	// LookupFlow returns how far a flow is; ErrNotFound if there is none.
	LookupFlow(ctx context.Context, id ID) (*Progress, error)

	// Members returns up to limit members from a place on, their outcomes only if
	// outcomes is true: they can be large. What has not arrived has StateUnknown. It
	// may return fewer than there are, as much as one operation may move; none says
	// that there are no more.
	Members(ctx context.Context, id ID, from, limit int, outcomes bool) ([]Member, error)

	// Arrivals returns up to limit arrivals of a queue, in no order. An empty
	// queue stands for those queues where a Cancel through this Broker made some, or
	// tasks expired; see Mail.Arrivals.
	// It may return fewer than there are; none says that there are no more.
	Arrivals(ctx context.Context, queue string, limit int) ([]Arrival, error)

	// Arrive counts members, each once: the first outcome of a place stays.
	// ErrNotFound says that the flow is not kept any more. What is not final or
	// not at a place of the flow is ErrInvalid, and then none of them is counted.
	Arrive(ctx context.Context, id ID, arrivals []Arrival) (*Progress, error)

	// Confirm forgets arrivals. Of each it reads Queue, Task and whether it is one
	// that submits: a task can have both at the same time. Of one with Kill set it reads
	// Queue and Flow, and the members of the flow are handed out from there again.
	Confirm(ctx context.Context, arrivals []Arrival) error

	// Blocked returns what is stored of blocked tasks; nil for those that are
	// not blocked, or not any more. The error is a *BatchError if some can't be read,
	// and then the others are returned all the same; theirs wraps ErrMalformed or
	// ErrVersion.
	Blocked(ctx context.Context, ids []ID) ([]*Task, error)

	// Release makes blocked tasks pending, as they are given here: their
	// arguments may be complete by now. They come to stand behind what is pending.
	// A task that is not blocked stays as it is. Of one that is, its queue, unique
	// key, inbox, flow and deadline stay, and it is recognised by its content at
	// the first enqueue. The error is a *BatchError, as of Enqueue: one that can't
	// be stored as it is given stays blocked.
	Release(ctx context.Context, tasks []*Task) error

	// MarkFlow sets MarkKilled and MarkSwept. They never go away.
	MarkFlow(ctx context.Context, id ID, marks Marks) error

	// EndFlow gives a flow its outcome, which is kept for its retention and
	// pushed to its inbox. The first outcome stays. A flow with a retention of 0
	// is gone with that: tell the flow that it is a member of first.
	EndFlow(ctx context.Context, id ID, o *Outcome) error
}

// Marks are notes on a flow.
type Marks uint8

// The marks.
const (
	MarkKilled  Marks = 1 << iota // somebody killed it: what has not started never does
	MarkSwept                     // all members were cancelled since it could not succeed any more
	MarkStarted                   // a squad that was decided to start; only [Squads.Decide] sets it
	MarkDropped                   // a squad that was decided not to; the same
)

// Progress is how far a flow is.
type Progress struct {
	Flow      Flow
	Listed    int // how many members are listed; fewer than Size while it is opened
	Succeeded int
	Failed    int   // members that are final and did not succeed
	First     int   // the place of the one of them that was counted first; of no meaning while Failed is 0, -1 if it is not known
	Callback  State // StateUnknown until it is final
	Finalizer State // the same
	Marks     Marks
	Outcome   *Outcome // once it has ended
}

// Arrived returns how many members are final.
func (p *Progress) Arrived() int { return p.Succeeded + p.Failed }

// Doomed reports whether too few members can still succeed.
func (p *Progress) Doomed() bool { return p.Flow.Size-p.Failed < p.Flow.Need }

// Member is one member of a flow.
type Member struct {
	ID      ID
	State   State    // StateUnknown until it has arrived
	Outcome *Outcome // nil until then, or if it was not asked for
}

// Arrival tells that a member of a flow is final, that a task was submitted with
// the settlement of another one, or that the kill of a flow was not finished.
type Arrival struct {
	Queue   string // where it is stored
	Task    ID     // the member, or the task that was submitted
	Flow    ID     // whose member it is; zero for a submitted task
	Step    uint32 // its place in the flow, StepCallback or StepFinalizer
	Outcome Outcome
	Submit  *Task // a task that is to be enqueued; nil for a member
	Kill    bool  // the flow is halted and to be killed, see Halter; Task is zero
}
