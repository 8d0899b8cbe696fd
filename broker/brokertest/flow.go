package brokertest

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Groups, pipes, and tasks that wait for others or follow from them.
func flowTests() []test {
	tests := slices.Concat(flowOpenTests, flowCountTests, flowEndTests, flowBlockedTests, flowReleaseTests,
		flowArrivalTests, flowCancelTests, flowTellTests, flowSubmitTests)
	for i := range tests {
		tests[i].needs |= needFlows
	}
	return tests
}

func (r *rig) flows() broker.Flows { return r.flowsAt(r.Broker) }

// group returns a valid flow, changed by the options.
func (r *rig) group(size int, with ...func(*broker.Flow)) *broker.Flow {
	f := &broker.Flow{
		ID: broker.NewID(broker.KindGroup, "", 0), Size: size, Need: size, Retention: time.Hour,
	}
	for _, opt := range with {
		opt(f)
	}
	return f
}

// fullFlow returns a flow whose every field is set.
func (r *rig) fullFlow(size int) *broker.Flow {
	return r.group(size, func(f *broker.Flow) {
		f.Need = size - 1
		f.Callback, f.Finalizer = newIDs(1)[0], newIDs(1)[0]
		f.Group, f.Step = broker.NewID(broker.KindPipe, "", 0), 70_000
		f.Inbox = broker.NewID(broker.KindParty, "", 0)
		f.Retention = 90 * time.Minute
		f.Seal = "codec\x00seal \xff"
	})
}

// newIDs returns ids of tasks.
func newIDs(n int) []broker.ID {
	ids := make([]broker.ID, n)
	for i := range ids {
		ids[i] = broker.NewID(broker.KindTask, "q", 0)
	}
	return ids
}

// open opens a flow with all its members, in parts, which must succeed.
func (r *rig) open(f *broker.Flow, members []broker.ID) {
	r.Helper()
	for from := 0; from < len(members); from += broker.MaxBatch {
		r.opens(f, from, members[from:min(from+broker.MaxBatch, len(members))])
	}
}

// opens must open a part.
func (r *rig) opens(f *broker.Flow, from int, part []broker.ID) {
	r.Helper()
	if err := r.flows().OpenFlow(r.ctx, f, from, part); err != nil {
		r.Fatalf("OpenFlow from place %d: %v", from, err)
	}
}

// opened returns an open group with so many members, which are ids only.
func (r *rig) opened(size int, with ...func(*broker.Flow)) (*broker.Flow, []broker.ID) {
	r.Helper()
	f, ids := r.group(size, with...), newIDs(size)
	r.open(f, ids)
	return f, ids
}

// team returns an open group, and its members, which are not enqueued yet.
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
	return func(t *broker.Task) { t.Group, t.Step = f.ID, step }
}

func blocked(t *broker.Task) { t.Blocked = true }

// came returns an arrival at a place, as if the task with that id had ended.
func came(f *broker.Flow, id broker.ID, step int, state broker.State) broker.Arrival {
	return broker.Arrival{Queue: "q", Task: id, Flow: f.ID, Step: uint32(step), Outcome: endedAs(id, state)}
}

// endedAs returns an outcome that tells the states and the tasks apart.
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

// arrive must count arrivals.
func (r *rig) arrive(f *broker.Flow, arrivals ...broker.Arrival) *broker.Progress {
	r.Helper()
	p, err := r.flows().Arrive(r.ctx, f.ID, arrivals)
	if err != nil {
		r.Fatalf("Arrive: %v", err)
	}
	return p
}

// counted checks what has arrived in a flow.
func (r *rig) counted(p *broker.Progress, succeeded, failed int) {
	r.Helper()
	if p.Succeeded != succeeded || p.Failed != failed || p.Arrived() != succeeded+failed {
		r.Fatalf("%d have succeeded and %d failed, want %d and %d", p.Succeeded, p.Failed, succeeded, failed)
	}
}

// progress looks a flow up.
func (r *rig) progress(f *broker.Flow) *broker.Progress {
	r.Helper()
	p, err := r.flows().LookupFlow(r.ctx, f.ID)
	if err != nil {
		r.Fatalf("LookupFlow: %v", err)
	}
	if p.Flow != *f {
		r.Fatalf("the flow is %+v, want %+v", p.Flow, *f)
	}
	return p
}

// noFlow checks that a flow is not kept.
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
			r.Fatalf("Members from place %d: %v", len(all), err)
		}
		if len(part) > page {
			r.Fatalf("Members returned %d, the limit was %d", len(part), page)
		}
		if len(part) == 0 {
			break
		}
		for i, m := range part {
			if (m.Outcome != nil) != m.State.Final() || (m.Outcome != nil && m.Outcome.State != m.State) {
				r.Fatalf("member %d is %s, its outcome: %v", len(all)+i, m.State, m.Outcome)
			}
		}
		all = append(all, part...)
	}
	r.briefly(f, page, all)
	return all
}

// briefly checks what Members says of a flow without the outcomes.
func (r *rig) briefly(f *broker.Flow, page int, want []broker.Member) {
	r.Helper()
	for at := 0; ; {
		part, err := r.flows().Members(r.ctx, f.ID, at, page, false)
		if err != nil {
			r.Fatalf("Members from place %d, without outcomes: %v", at, err)
		}
		if len(part) == 0 {
			if at != len(want) {
				r.Fatalf("without outcomes there are %d members, want %d", at, len(want))
			}
			return
		}
		for _, m := range part {
			if at >= len(want) || m.ID != want[at].ID || m.State != want[at].State || m.Outcome != nil {
				r.Fatalf("without outcomes member %d is %+v", at, m)
			}
			at++
		}
	}
}

// end must end a flow.
func (r *rig) end(f *broker.Flow, o broker.Outcome) {
	r.Helper()
	if err := r.flows().EndFlow(r.ctx, f.ID, &o); err != nil {
		r.Fatalf("EndFlow: %v", err)
	}
}

// releases must release tasks.
func (r *rig) releases(tasks ...*broker.Task) {
	r.Helper()
	if err := r.flows().Release(r.ctx, tasks); err != nil {
		r.Fatalf("Release: %v", err)
	}
}

// waiting returns what is stored of blocked tasks.
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
			r.Fatalf("Blocked returned task %s for %s", t.ID, ids[i])
		}
	}
	return tasks
}
