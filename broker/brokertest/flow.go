package brokertest

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Groups, pipes, blocked tasks, and tasks that are submitted with a settlement.
func flowTests() []test {
	tests := slices.Concat(flowOpenTests, flowCountTests, flowEndTests, flowBlockedTests, flowReleaseTests,
		flowArrivalTests, flowCancelTests, flowNotifyTests, flowSubmitTests)
	for i := range tests {
		tests[i].needs |= needFlows
	}
	return tests
}

func (r *rig) flows() broker.Flows { return r.flowsAt(r.Broker) }

// group returns a valid group. The options change it.
func (r *rig) group(size int, with ...func(*broker.Flow)) *broker.Flow {
	f := &broker.Flow{
		ID: broker.NewID(broker.KindGroup, "", 0), Size: size, Quorum: size, Retention: time.Hour,
	}
	for _, opt := range with {
		opt(f)
	}
	return f
}

// fullFlow returns a flow whose every field is set.
func (r *rig) fullFlow(size int) *broker.Flow {
	return r.group(size, func(f *broker.Flow) {
		f.Quorum = size - 1
		f.Callback, f.Finalizer = newIDs(1)[0], newIDs(1)[0]
		f.Group, f.Step = broker.NewID(broker.KindPipe, "", 0), 70_000
		f.Inbox = broker.NewID(broker.KindParty, "", 0)
		f.Retention = 90 * time.Minute
		f.Seal = "codec\x00seal \xff"
	})
}

// newIDs returns n new ids of tasks.
func newIDs(n int) []broker.ID {
	ids := make([]broker.ID, n)
	for i := range ids {
		ids[i] = broker.NewID(broker.KindTask, "q", 0)
	}
	return ids
}

// open opens a flow with all its members, in batches of MaxBatch, which must succeed.
func (r *rig) open(f *broker.Flow, members []broker.ID) {
	r.Helper()
	for from := 0; from < len(members); from += broker.MaxBatch {
		r.opens(f, from, members[from:min(from+broker.MaxBatch, len(members))])
	}
}

// opens opens one batch of members, which must succeed.
func (r *rig) opens(f *broker.Flow, from int, part []broker.ID) {
	r.Helper()
	if err := r.flows().OpenFlow(r.ctx, f, from, part); err != nil {
		r.Fatalf("OpenFlow from position %d: %v", from, err)
	}
}

// opened returns an open group with size members. The members are ids only: no tasks are enqueued.
func (r *rig) opened(size int, with ...func(*broker.Flow)) (*broker.Flow, []broker.ID) {
	r.Helper()
	f, ids := r.group(size, with...), newIDs(size)
	r.open(f, ids)
	return f, ids
}

// team returns an open group, and its members. The members are not enqueued yet.
func (r *rig) team(size int, with ...func(*broker.Task)) (*broker.Flow, []*broker.Task) {
	r.Helper()
	f := r.group(size)
	tasks := r.batch(size, with...)
	for i, t := range tasks {
		memberOf(f, uint32(i))(t)
	}
	r.open(f, idsOf(tasks))
	return f, tasks
}

func memberOf(f *broker.Flow, step uint32) func(*broker.Task) {
	return func(t *broker.Task) { t.Flow.ID, t.Flow.Step = f.ID, step }
}

func blocked(t *broker.Task) { t.Flow.Blocked = true }

// arrivalOf returns an arrival at position step, as if the task with that id had ended.
func arrivalOf[N int | uint32](f *broker.Flow, id broker.ID, step N, state broker.State) broker.Arrival {
	return broker.Arrival{Queue: "q", Task: id, Flow: f.ID, Step: uint32(step), Outcome: endedAs(id, state)}
}

// endedAs returns an outcome that is different for each state and task.
func endedAs(id broker.ID, state broker.State) broker.Outcome {
	o := broker.Outcome{
		State: state, Codec: "json", Name: "test.task", Attempts: 2, Retried: 1, Minion: id,
		Started: time.UnixMilli(1_700_000_000_123).UTC(), Finished: time.UnixMilli(1_700_000_001_123).UTC(),
	}
	if state == broker.StateSucceeded {
		o.Result = fmt.Appendf(nil, "%q", id)
	} else {
		o.Err = &broker.Failure{Type: "*test.Error", Message: state.String() + " " + id.String(), Chain: []string{"a", "b"}}
	}
	return o
}

// arrive counts arrivals, which must succeed.
func (r *rig) arrive(f *broker.Flow, arrivals ...broker.Arrival) *broker.Progress {
	r.Helper()
	p, err := r.flows().Arrive(r.ctx, f.ID, arrivals)
	if err != nil {
		r.Fatalf("Arrive: %v", err)
	}
	return p
}

// counted checks how many members have succeeded and failed.
func (r *rig) counted(p *broker.Progress, succeeded, failed int) {
	r.Helper()
	if p.Succeeded != succeeded || p.Failed != failed || p.Arrived() != succeeded+failed {
		r.Fatalf("%d members have succeeded and %d have failed, want %d and %d", p.Succeeded, p.Failed, succeeded, failed)
	}
}

// progress looks a flow up, which must succeed.
func (r *rig) progress(f *broker.Flow) *broker.Progress {
	r.Helper()
	p, err := r.flows().LookupFlow(r.ctx, f.ID)
	if err != nil {
		r.Fatalf("LookupFlow: %v", err)
	}
	if p.Flow != *f {
		r.Fatalf("LookupFlow returned the flow %+v, want %+v", p.Flow, *f)
	}
	return p
}

// noFlow checks that a flow is not stored.
func (r *rig) noFlow(f *broker.Flow) {
	r.Helper()
	_, err := r.flows().LookupFlow(r.ctx, f.ID)
	r.is(err, broker.ErrNotFound)
	_, err = r.flows().Members(r.ctx, f.ID, 0, 10, true)
	r.is(err, broker.ErrNotFound)
	_, err = r.flows().Arrive(r.ctx, f.ID, nil)
	r.is(err, broker.ErrNotFound)
}

// members reads all members of a flow in pages.
func (r *rig) members(f *broker.Flow, page int) []broker.Member {
	r.Helper()
	var all []broker.Member
	for {
		part, err := r.flows().Members(r.ctx, f.ID, len(all), page, true)
		if err != nil {
			r.Fatalf("Members from position %d: %v", len(all), err)
		}
		if len(part) > page {
			r.Fatalf("Members returned %d members, the limit was %d", len(part), page)
		}
		if len(part) == 0 {
			break
		}
		for i, m := range part {
			if (m.Outcome != nil) != m.State.Final() || (m.Outcome != nil && m.Outcome.State != m.State) {
				r.Fatalf("member %d is %s, and its outcome is %v; want an outcome of that state", len(all)+i, m.State, m.Outcome)
			}
		}
		all = append(all, part...)
	}
	r.briefly(f, page, all)
	return all
}

// briefly checks the members that Members returns without outcomes.
func (r *rig) briefly(f *broker.Flow, page int, want []broker.Member) {
	r.Helper()
	for at := 0; ; {
		part, err := r.flows().Members(r.ctx, f.ID, at, page, false)
		if err != nil {
			r.Fatalf("Members from position %d, without outcomes: %v", at, err)
		}
		if len(part) == 0 {
			if at != len(want) {
				r.Fatalf("Members without outcomes returned %d members, want %d", at, len(want))
			}
			return
		}
		for _, m := range part {
			if at >= len(want) || m.ID != want[at].ID || m.State != want[at].State || m.Outcome != nil {
				r.Fatalf("Members without outcomes returned member %d as %+v", at, m)
			}
			at++
		}
	}
}

// end ends a flow, which must succeed.
func (r *rig) end(f *broker.Flow, o broker.Outcome) {
	r.Helper()
	if err := r.flows().EndFlow(r.ctx, f.ID, &o); err != nil {
		r.Fatalf("EndFlow: %v", err)
	}
}

// releases releases tasks, which must succeed.
func (r *rig) releases(tasks ...*broker.Task) {
	r.Helper()
	if err := r.flows().Release(r.ctx, tasks); err != nil {
		r.Fatalf("Release: %v", err)
	}
}

// waiting returns the stored content of blocked tasks.
func (r *rig) waiting(ids ...broker.ID) []*broker.Task {
	r.Helper()
	tasks, err := r.flows().Blocked(r.ctx, ids)
	if err != nil {
		r.Fatalf("Blocked: %v", err)
	}
	if len(tasks) != len(ids) {
		r.Fatalf("Blocked returned %d tasks for %d ids", len(tasks), len(ids))
	}
	for i, t := range tasks {
		if t != nil && t.ID != ids[i] {
			r.Fatalf("Blocked returned task %s for the id %s", t.ID, ids[i])
		}
	}
	return tasks
}
