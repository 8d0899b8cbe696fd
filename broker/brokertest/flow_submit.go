package brokertest

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Tasks that are submitted with a settlement are stored together with it, or not at all.
var flowSubmitTests = []test{
	{"Submit", flowSubmit, 0},
	{"SubmitOnlyOfSucceeded", flowSubmitOnlySucceeded, 0},
	{"SubmitAllOrNothing", flowSubmitAllOrNothing, 0},
	{"SubmitAgain", flowSubmitAgain, 0},
	{"SubmitOfAMember", flowSubmitOfMember, 0},
	{"SubmitAMember", flowSubmitAMember, 0},
	{"SubmitNotifiesConsumers", flowSubmitNotified, needLapse},
	{"SubmitMany", flowSubmitMany, 0},
	{"SubmitIsOfTheCaller", flowSubmitBelongs, 0},
}

// isSubmission checks that an arrival in queue "q" submits the task.
func (r *rig) isSubmission(a broker.Arrival, task *broker.Task) {
	r.Helper()
	if a.Submit == nil || a.Queue != "q" || a.Task != task.ID || !a.Flow.IsZero() {
		r.Fatalf("the arrival is %+v, want a submission of task %s", a, task.ID)
	}
	if diff := diffTask(*a.Submit, *task); diff != "" {
		r.Fatalf("the submitted task differs: %s", diff)
	}
	if a.Submit.Delay != task.Delay || a.Submit.Deadline != task.Deadline || a.Submit.Flow.Blocked != task.Flow.Blocked {
		r.Fatalf("the submitted task has delay %v, deadline %v, blocked %v; want %v, %v, %v",
			a.Submit.Delay, a.Submit.Deadline, a.Submit.Flow.Blocked, task.Delay, task.Deadline, task.Flow.Blocked)
	}
}

// bySubmit returns the submissions among arrivals, by the ids of their tasks.
func bySubmit(all []broker.Arrival) map[broker.ID]broker.Arrival {
	m := map[broker.ID]broker.Arrival{}
	for _, a := range all {
		if a.Submit != nil {
			m[a.Task] = a
		}
	}
	return m
}

func flowSubmit(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	all, small, later, waits := full(r), r.task(onQueue("elsewhere")), r.task(after(1500*time.Millisecond), within(time.Hour)), r.task(blocked)
	s := m.succeed(m.take1())
	s.Submit = []*broker.Task{all, small, later, waits}
	m.settle(s)
	r.equal(r.outcome(task.ID), s.Outcome)
	got := bySubmit(r.arrivals("q", 4))
	for _, t := range s.Submit {
		r.isSubmission(got[t.ID], t)
		r.in(broker.StateUnknown, t.ID) // whoever gets the arrival enqueues the task
	}
	r.arrivals("elsewhere", 0)
	m.none()
	for range 2 {
		r.enqueue(got[all.ID].Submit, got[small.ID].Submit)
	}
	r.confirm(got[all.ID], got[small.ID])
	m.equals(m.take1(), all)
	m.none()
	r.minion("elsewhere").equals(r.minion("elsewhere").take1(), small)
	r.arrivals("q", 2)
}

func flowSubmitOnlySucceeded(r *rig) {
	m := r.minion()
	task := r.task()
	r.enqueue(task)
	d := m.take1()
	for _, s := range []broker.Settlement{
		m.finish(d, broker.StateFailed), m.finish(d, broker.StateCanceled), m.finish(d, broker.StateExpired),
		retry(d, 0), snooze(d, time.Hour), giveBack(d),
	} {
		s.Submit = r.batch(1)
		r.is(m.settled(s)[0], broker.ErrInvalid)
		r.in(broker.StateRunning, task.ID)
		r.arrivals("q", 0)
	}
	m.settle(m.succeed(d))
	r.arrivals("q", 0)
}

func flowSubmitAllOrNothing(r *rig) {
	m := r.minion()
	tasks := r.batch(2)
	r.enqueue(tasks...)
	ds := m.take(2)
	for name, spoil := range map[string]func(*broker.Task){
		"a name":    func(t *broker.Task) { t.Name = "a b" },
		"no id":     func(t *broker.Task) { t.ID = broker.ID{} },
		"the queue": func(t *broker.Task) { t.Queue = strings.Repeat("q", broker.MaxName+1) },
		"a payload": func(t *broker.Task) { t.Payload = make([]byte, r.Broker.Limits().Payload+1) },
		"a delay":   func(t *broker.Task) { t.Delay = broker.MaxDuration + 1 },
	} {
		s := m.succeed(ds[0])
		s.Submit = r.batch(3)
		spoil(s.Submit[1])
		if err := m.settled(s)[0]; !errors.Is(err, broker.ErrInvalid) {
			r.Fatalf("a submitted task with an invalid value for %s: Settle returned %v", name, err)
		}
		r.in(broker.StateRunning, tasks[0].ID)
		r.arrivals("q", 0)
	}
	many := m.succeed(ds[0])
	many.Submit = r.batch(broker.MaxBatch + 1)
	r.is(m.settled(many)[0], broker.ErrInvalid)
	r.arrivals("q", 0)

	// The other settlements of the batch are accepted.
	bad, good := m.succeed(ds[0]), m.succeed(ds[1])
	bad.Submit, good.Submit = r.batch(2), r.batch(1)
	bad.Submit[1].Name = ""
	errs := m.settled(bad, good)
	if errs[0] == nil || errs[1] != nil {
		r.Fatalf("Settle returned %v, want an error for the first settlement only", errs)
	}
	r.in(broker.StateSucceeded, tasks[1].ID)
	r.isSubmission(r.arrivals("q", 1)[0], good.Submit[0])
	bad.Submit = bad.Submit[:1]
	m.settle(bad)
	r.arrivals("q", 2)
}

func flowSubmitAgain(r *rig) {
	m, other := r.minion(), r.minion()
	r.enqueue(r.task(), r.task(kept(0, 0)))
	for _, d := range m.take(2) {
		s := m.succeed(d)
		s.Submit = r.batch(2)
		m.settle(s)
		m.settle(s)
		m.settle(s, s)
		r.is(other.settled(s)[0], broker.ErrLeaseLost)
		all := r.arrivals("q", 2)
		for _, t := range s.Submit {
			r.isSubmission(bySubmit(all)[t.ID], t)
		}
		r.confirm(all...)
		m.settle(s)
		r.arrivals("q", 0)
	}
}

func flowSubmitOfMember(r *rig) {
	m := r.minion()
	_, tasks := r.team(1)
	r.enqueue(tasks...)
	s := m.succeed(m.take1())
	s.Submit = r.batch(2)
	m.settle(s)
	all := r.arrivals("q", 3)
	submits := bySubmit(all)
	for _, t := range s.Submit {
		r.isSubmission(submits[t.ID], t)
		r.confirm(submits[t.ID])
	}
	r.arrived(tasks[0], s.Outcome)
}

// A submitted task may be a member, and be final before its submission is confirmed. Then there are
// two arrivals with its id, and neither replaces the other.
func flowSubmitAMember(r *rig) {
	m := r.minion()
	for _, submissionFirst := range []bool{true, false} {
		_, tasks := r.team(1)
		r.enqueue(r.task())
		first := m.succeed(m.take1())
		first.Submit = tasks
		m.settle(first)
		submission := r.arrivals("q", 1)[0]
		r.isSubmission(submission, tasks[0])
		r.enqueue(submission.Submit)
		s := m.succeed(m.take1())
		m.settle(s)
		all := r.arrivals("q", 2)
		member := all[0]
		if member.Submit != nil {
			member = all[1]
		}
		r.isArrival(member, tasks[0])
		if submissionFirst {
			r.confirm(submission)
			r.confirm(submission)
			r.arrived(tasks[0], s.Outcome)
			continue
		}
		r.confirm(member)
		r.confirm(member)
		r.isOne(r.arrivals("q", 1)[0], submission)
		r.confirm(submission)
		r.arrivals("q", 0)
	}
}

func flowSubmitNotified(r *rig) {
	dying, m := r.minion(), r.minion()
	r.enqueue(r.task())
	s := dying.succeed(dying.take1())
	s.Submit = r.batch(1)
	start := time.Now()
	dying.settle(s)
	r.eventually("OnArrivals is called", func() bool { return dying.hears("q") })
	if late := time.Since(start); late > r.prompt() {
		r.Fatalf("OnArrivals was called only after %v", late)
	}
	r.reap([]*minion{m}, dying)
	r.eventually("OnArrivals is called", func() bool { beat(m); return m.hears("q") })
	r.isSubmission(r.arrivals("q", 1)[0], s.Submit[0])
}

func flowSubmitMany(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	s := m.succeed(m.take1())
	s.Submit = r.batch(broker.MaxBatch)
	m.settle(s)
	var got []broker.ID
	for len(got) < broker.MaxBatch {
		part, err := r.flows().Arrivals(r.ctx, "q", broker.MaxBatch)
		if err != nil || len(part) == 0 {
			r.Fatalf("Arrivals returned %d arrivals, %v; %d are not confirmed", len(part), err, broker.MaxBatch-len(got))
		}
		for _, a := range part {
			got = append(got, a.Task)
		}
		r.confirm(part...)
	}
	r.sameSet(got, idsOf(s.Submit))
}

func flowSubmitBelongs(r *rig) {
	m := r.minion()
	r.enqueue(r.task())
	s := m.succeed(m.take1())
	task := full(r)
	given := *task
	given.Payload, given.Meta = slices.Clone(task.Payload), map[string]string{}
	maps.Copy(given.Meta, task.Meta)
	s.Submit = []*broker.Task{&given}
	m.settle(s)
	spoil := func(t *broker.Task) {
		clear(t.Payload)
		t.Meta["empty"] = "changed"
		t.Name = "changed"
	}
	spoil(&given)
	for range 2 {
		a := r.arrivals("q", 1)[0]
		r.isSubmission(a, task)
		spoil(a.Submit)
	}
}
