package brokertest

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A broker carries a request out in full, or refuses it with an *UnsupportedError. It never accepts
// a task and ignores the part that it has no capability for.
var capabilityTests = []test{
	{"SubmitIsStoredOrRefused", capabilitySubmit, 0},
	{"BlockedIsKeptOrRefused", capabilityBlocked, 0},
	{"SquadIsKeptOrRefused", capabilitySquad, 0},
	{"SquadsNeedFlows", capabilitySquadsNeedFlows, 0},
	{"ParkIsDoneOrRefused", capabilityPark, 0},
	{"UniqueRuleIsKeptOrRefused", capabilityUnique, 0},
	{"LaneIsKeptOrRefused", capabilityLane, 0},
	{"AwaitIsDoneOrRefused", capabilityAwait, 0},
}

// unsupported checks that err is an *UnsupportedError about the capability. If the request was
// about a task, the error must name it.
func (r *rig) unsupported(err error, capability string, task *broker.Task) {
	r.Helper()
	var lacks *broker.UnsupportedError
	if !errors.As(err, &lacks) || !errors.Is(err, broker.ErrUnsupported) || lacks.Capability != capability {
		r.Fatalf("error is %v, want an *UnsupportedError about %s: broker.CheckTask and broker.CheckSettlement return it", err, capability)
	}
	r.names(err, task.Name)
}

func capabilitySubmit(r *rig) {
	m := r.minion()
	tasks := r.batch(2)
	r.enqueue(tasks...)
	ds := m.take(2)
	s, other := m.succeed(ds[0]), m.succeed(ds[1])
	s.Submit = r.batch(2)
	errs := m.settled(s, other)
	if errs[1] != nil {
		r.Fatalf("the other settlement of the batch was refused: %v", errs[1])
	}
	if _, ok := can[broker.Flows](r.Broker); ok {
		if errs[0] != nil {
			r.Fatalf("Settle: %v", errs[0])
		}
		r.arrivals("q", 2)
		return
	}
	r.unsupported(errs[0], "Flows", tasks[0])
	r.in(broker.StateRunning, tasks[0].ID) // the refused settlement had no effect
	r.in(broker.StateSucceeded, tasks[1].ID)
	s.Submit = nil
	m.settle(s)
	r.equal(r.outcome(tasks[0].ID), s.Outcome)
}

// refusedOr enqueues a task that needs a capability, between two others. If the broker has the
// capability, the task must be in the given state afterwards. Otherwise that task alone must be
// refused.
func (r *rig) refusedOr(has bool, state broker.State, capability string, task *broker.Task) {
	r.Helper()
	before, after := r.task(), r.task()
	if has {
		r.enqueue(before, task, after)
		r.in(state, task.ID)
		return
	}
	errs := r.refusals([]*broker.Task{before, task, after}, 1)
	r.unsupported(errs[1], capability, task)
	r.in(broker.StateUnknown, task.ID)
	r.same(takenOf(r.minion().take(2)), []broker.ID{before.ID, after.ID})
}

func capabilityBlocked(r *rig) {
	_, has := can[broker.Flows](r.Broker)
	r.refusedOr(has, broker.StateBlocked, "Flows", r.task(blocked))
}

func capabilitySquad(r *rig) {
	_, has := can[broker.Squads](r.Broker)
	squad := func(t *broker.Task) { t.Flow.Squad = true }
	r.refusedOr(has, broker.StatePending, "Squads", r.task(squad))
	r.refusedOr(has, broker.StateBlocked, "Squads", r.task(squad, blocked))
}

func capabilitySquadsNeedFlows(r *rig) {
	_, flows := can[broker.Flows](r.Broker)
	_, squads := can[broker.Squads](r.Broker)
	if squads && !flows {
		r.Fatalf("the broker implements Squads and not Flows; a squad is a flow, so Squads needs Flows")
	}
}

func capabilityLane(r *rig) {
	_, has := can[broker.Lanes](r.Broker)
	r.refusedOr(has, broker.StatePending, "Lanes", r.task(lane()))
	r.refusedOr(has, broker.StatePending, "Lanes", r.task(lane(priority(0), using("l"), inSequence("s"))))
}

func capabilityPark(r *rig) {
	m := r.minion()
	tasks := r.batch(2)
	r.enqueue(tasks...)
	ds := m.take(2)
	errs := m.settled(park(ds[0], time.Hour), m.succeed(ds[1]))
	if errs[1] != nil {
		r.Fatalf("the other settlement of the batch was refused: %v", errs[1])
	}
	if _, ok := can[broker.Parker](r.Broker); ok {
		if errs[0] != nil {
			r.Fatalf("Settle: %v", errs[0])
		}
		r.in(broker.StateParked, tasks[0].ID)
		return
	}
	r.unsupported(errs[0], "Parker", tasks[0])
	r.in(broker.StateRunning, tasks[0].ID) // the refused settlement had no effect
	m.settle(m.succeed(ds[0]))
}

func capabilityUnique(r *rig) {
	_, has := can[broker.Uniques](r.Broker)
	for i, rule := range []func(*broker.Task){heldFor(time.Hour), untilStart, replacing, latest} {
		r.refusedOr(has, broker.StatePending, "Uniques", r.task(keyed("k"+itoa(i)), rule))
	}
}

func capabilityAwait(r *rig) {
	m := r.minion()
	tasks := r.batch(2)
	r.enqueue(tasks...)
	ds := m.take(2)
	errs := m.settled(awaiting(ds[0], time.Hour, "s"), m.succeed(ds[1]))
	if errs[1] != nil {
		r.Fatalf("the other settlement of the batch was refused: %v", errs[1])
	}
	if _, ok := can[broker.Steps](r.Broker); ok {
		if errs[0] != nil {
			r.Fatalf("Settle: %v", errs[0])
		}
		r.in(broker.StateRetrying, tasks[0].ID)
		return
	}
	r.unsupported(errs[0], "Steps", tasks[0])
	r.in(broker.StateRunning, tasks[0].ID) // the refused settlement had no effect
	m.settle(m.succeed(ds[0]))
}
