package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The outcome of a flow, and the notice in its inbox.
var flowEndTests = []test{
	{"EndOnce", flowEndOnce, 0},
	{"EndTwoAtOnce", flowEndTwoAtOnce, 0},
	{"EndEveryOutcome", flowEndEveryOutcome, 0},
	{"EndNobodyWaits", flowEndNobodyWaits, 0},
	{"EndInvalid", flowEndInvalid, 0},
	{"EndIsOfTheCaller", flowEndBelongs, 0},
	{"AfterItsEnd", flowAfterItsEnd, 0},
	{"LookUp", flowLookUp, 0},
	{"LookUpAmongTasks", flowLookUpAmongTasks, 0},
	{"CancelDoesNotKnowFlows", flowCancelUnknown, 0},
	{"Retention", flowRetention, 0},
	{"Retention0", flowRetention0, 0},
	{"RetentionPerFlow", flowRetentionPerFlow, 0},
	{"RetentionOfHours", flowRetentionHours, needJump},
	{"TombstoneLastsTenMinutes", flowTombstone, needJump},
}

func toInbox(id broker.ID) func(*broker.Flow) { return func(f *broker.Flow) { f.Inbox = id } }

func keptFor(d time.Duration) func(*broker.Flow) { return func(f *broker.Flow) { f.Retention = d } }

func flowEndOnce(r *rig) {
	mail := r.mail()
	f, ids := r.opened(1, toInbox(mail.id))
	r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateSucceeded))
	mail.none()
	o := endedAs(f.ID, broker.StateSucceeded)
	r.end(f, o)
	r.equal(*r.progress(f).Outcome, o)
	l := mail.take(1)[0]
	if l.ID != f.ID {
		r.Fatalf("the inbox got a notice of %s, want one of the flow %s", l.ID, f.ID)
	}
	r.equal(l.Outcome, o)
	for _, state := range finals { // the first outcome stays
		r.end(f, endedAs(f.ID, state))
		r.equal(*r.progress(f).Outcome, o)
	}
	mail.none()
}

func flowEndTwoAtOnce(r *rig) {
	mail, other := r.mail(), r.other()
	for range 5 {
		f, _ := r.opened(1, toInbox(mail.id))
		together(many(4, func(i int) {
			o := endedAs(f.ID, finals[i])
			if err := r.flowsAt([]broker.Broker{r.Broker, other}[i%2]).EndFlow(r.ctx, f.ID, &o); err != nil {
				r.Errorf("EndFlow: %v", err)
			}
		})...)
		l := mail.take(1)[0]
		r.equal(l.Outcome, *r.progress(f).Outcome)
		r.equal(l.Outcome, endedAs(f.ID, l.Outcome.State))
		mail.none()
	}
}

func flowEndEveryOutcome(r *rig) {
	mail := r.mail()
	at := time.UnixMilli(r.Now().UnixMilli()).UTC()
	for _, o := range []broker.Outcome{
		{State: broker.StateSucceeded, Codec: "json"},
		{State: broker.StateSucceeded, Codec: "json", Name: "group", Result: []byte("\x00\xff"), Enqueued: at.Add(-time.Hour), Finished: at},
		{State: broker.StateSucceeded, Codec: "json", Result: make([]byte, r.Broker.Limits().Result)},
		{State: broker.StateFailed, Codec: "json", Err: &broker.Failure{Type: "t", Message: "m", Chain: []string{"a"}, Codes: []string{"c"}, Final: true, Seal: []byte{0, 255}}},
		{State: broker.StateCanceled, Codec: "json"},
		{State: broker.StateExpired, Codec: "json", Finished: at},
	} {
		f, _ := r.opened(1, toInbox(mail.id))
		r.end(f, o)
		r.equal(*r.progress(f).Outcome, o)
		r.equal(r.outcome(f.ID), o)
		r.equal(mail.take(1)[0].Outcome, o)
	}
}

func flowEndNobodyWaits(r *rig) {
	f, _ := r.opened(1)
	o := endedAs(f.ID, broker.StateFailed)
	r.end(f, o)
	r.equal(*r.progress(f).Outcome, o)
	// An inbox that is not open is no reason to fail.
	f, _ = r.opened(1, toInbox(broker.NewID(broker.KindParty, "", 0)))
	r.end(f, o)
	r.equal(*r.progress(f).Outcome, o)
}

func flowEndInvalid(r *rig) {
	f, _ := r.opened(1)
	for _, state := range []broker.State{broker.StateUnknown, broker.StatePending, broker.StateRunning, broker.StateBlocked} {
		o := endedAs(f.ID, state)
		r.is(r.flows().EndFlow(r.ctx, f.ID, &o), broker.ErrInvalid)
	}
	r.is(r.flows().EndFlow(r.ctx, f.ID, nil), broker.ErrInvalid)
	o := endedAs(f.ID, broker.StateSucceeded)
	o.Result = make([]byte, r.Broker.Limits().Result+1)
	r.is(r.flows().EndFlow(r.ctx, f.ID, &o), broker.ErrTooLarge)
	if p := r.progress(f); p.Outcome != nil {
		r.Fatalf("the flow has ended as %s after a refused EndFlow", p.Outcome.State)
	}
}

func flowEndBelongs(r *rig) {
	f, _ := r.opened(1)
	o := endedAs(f.ID, broker.StateSucceeded)
	r.end(f, o)
	clear(o.Result)
	for range 2 {
		got := r.progress(f).Outcome
		r.equal(*got, endedAs(f.ID, broker.StateSucceeded))
		clear(got.Result)
		clear(r.outcome(f.ID).Result)
	}
}

// Members, marks and arrivals that are stored after the end do not change the flow.
func flowAfterItsEnd(r *rig) {
	f, ids := r.opened(2)
	r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateFailed))
	o := endedAs(f.ID, broker.StateFailed)
	r.end(f, o)
	r.equal(*r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateFailed)).Outcome, o)
	r.equal(*r.arrive(f, arrivalOf(f, ids[1], 1, broker.StateSucceeded)).Outcome, o)
	r.open(f, ids)
	if err := r.flows().MarkFlow(r.ctx, f.ID, broker.MarkKilled); err != nil {
		r.Fatalf("MarkFlow: %v", err)
	}
	r.equal(*r.progress(f).Outcome, o)
	r.equal(r.outcome(f.ID), o)
}

func flowLookUp(r *rig) {
	f, ids := r.group(2), newIDs(2)
	r.in(broker.StateUnknown, f.ID)
	r.opens(f, 0, ids[:1])
	r.in(broker.StatePending, f.ID)
	r.opens(f, 1, ids[1:])
	r.in(broker.StatePending, f.ID)
	r.arrive(f, arrivalOf(f, ids[1], 1, broker.StateFailed))
	r.in(broker.StateRunning, f.ID)
	r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateSucceeded))
	r.in(broker.StateRunning, f.ID)
	o := endedAs(f.ID, broker.StateExpired)
	r.end(f, o)
	r.in(broker.StateExpired, f.ID)
	r.equal(r.outcome(f.ID), o)
}

func flowLookUpAmongTasks(r *rig) {
	task, f := r.task(), r.group(1)
	f.ID = broker.NewID(broker.KindPipe, "", 0)
	r.enqueue(task)
	r.open(f, newIDs(1))
	ended, _ := r.opened(1)
	r.end(ended, endedAs(ended.ID, broker.StateFailed))
	ids := []broker.ID{f.ID, task.ID, r.group(1).ID, ended.ID, newIDs(1)[0], f.ID}
	want := []broker.State{
		broker.StatePending, broker.StatePending, broker.StateUnknown, broker.StateFailed, broker.StateUnknown, broker.StatePending,
	}
	for i, st := range r.lookup(ids...) {
		if st.State != want[i] {
			r.Fatalf("Lookup says that id %d is %s, want %s", i, st.State, want[i])
		}
	}
}

func flowCancelUnknown(r *rig) {
	f, ids := r.opened(2)
	r.canceled(f.ID, broker.CancelUnknown)
	r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateSucceeded))
	r.canceled(f.ID, broker.CancelUnknown)
	p := r.progress(f)
	r.counted(p, 1, 0)
	if p.Marks != 0 || p.Outcome != nil {
		r.Fatalf("a cancel of the id of the flow changed the flow: %+v", *p)
	}
}

func flowRetention(r *rig) {
	const keep = time.Second
	m := r.minion()
	f, ids := r.opened(2, keptFor(keep))
	r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateSucceeded))
	r.pass(keep/2, m) // the retention counts from the end of the flow
	o := endedAs(f.ID, broker.StateSucceeded)
	end := r.Now().Add(keep)
	r.end(f, o)
	r.pass(keep/2, m)
	r.before(end, func() {
		r.equal(*r.progress(f).Outcome, o)
		r.end(f, o) // no later call makes the retention longer
		r.open(f, ids)
		r.arrive(f, arrivalOf(f, ids[1], 1, broker.StateSucceeded))
		if err := r.flows().MarkFlow(r.ctx, f.ID, broker.MarkKilled); err != nil {
			r.Fatalf("MarkFlow: %v", err)
		}
	})
	r.pass(keep/2+r.Slack, m)
	r.noFlow(f)
	r.absent(o.State, f.ID)
	r.end(f, o) // a repetition, whose first reply may have been lost
	r.is(r.flows().MarkFlow(r.ctx, f.ID, broker.MarkKilled), broker.ErrNotFound)
	r.noFlow(f)
	r.open(f, ids) // opening it again does not begin a new flow
	r.noFlow(f)
}

func flowRetention0(r *rig) {
	mail := r.mail()
	f, ids := r.opened(2, keptFor(0), toInbox(mail.id))
	r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateSucceeded))
	r.counted(r.progress(f), 1, 0)
	o := endedAs(f.ID, broker.StateSucceeded)
	r.end(f, o)
	r.equal(mail.take(1)[0].Outcome, o)
	for range 2 {
		r.noFlow(f)
		r.absent(o.State, f.ID)
		r.open(f, ids)
		r.end(f, o)
		r.pass(r.Slack)
	}
	mail.none()
}

func flowRetentionPerFlow(r *rig) {
	m := r.minion()
	short, _ := r.opened(1, keptFor(300*time.Millisecond))
	long, _ := r.opened(1)
	open, _ := r.opened(1, keptFor(300*time.Millisecond))
	o := endedAs(short.ID, broker.StateFailed)
	r.end(short, o)
	r.end(long, o)
	r.pass(300*time.Millisecond+r.Slack, m)
	r.noFlow(short)
	r.equal(*r.progress(long).Outcome, o)
	r.counted(r.progress(open), 0, 0)
}

func flowRetentionHours(r *rig) {
	const days = 24 * time.Hour
	flows := map[time.Duration]*broker.Flow{}
	for _, keep := range []time.Duration{time.Hour, 2 * days, 45 * days} {
		flows[keep], _ = r.opened(1, keptFor(keep))
		r.end(flows[keep], endedAs(flows[keep].ID, broker.StateSucceeded))
	}
	passed := time.Duration(0)
	for _, at := range []time.Duration{59 * time.Minute, 61 * time.Minute, 47 * time.Hour, 49 * time.Hour, 44 * days, 46 * days} {
		r.Advance(at - passed)
		passed = at
		for keep, f := range flows {
			if keep < at {
				r.noFlow(f)
				r.in(broker.StateUnknown, f.ID)
			} else {
				r.equal(*r.progress(f).Outcome, endedAs(f.ID, broker.StateSucceeded))
			}
		}
	}
}

// The id of an ended flow is remembered as long as the id of a task.
func flowTombstone(r *rig) {
	ids := newIDs(2)
	var flows []*broker.Flow
	for _, keep := range []time.Duration{0, time.Minute, 4 * time.Minute} {
		f := r.group(2, keptFor(keep))
		r.open(f, ids)
		r.end(f, endedAs(f.ID, broker.StateSucceeded))
		flows = append(flows, f)
	}
	for range 3 {
		r.Advance((broker.MinTombstone - time.Minute) / 3)
	}
	for _, f := range flows {
		r.open(f, ids)
		r.end(f, endedAs(f.ID, broker.StateFailed))
		r.noFlow(f)
	}
	r.Advance(time.Hour)
	for _, f := range flows { // by now the id is forgotten
		o := endedAs(f.ID, broker.StateSucceeded)
		r.is(r.flows().EndFlow(r.ctx, f.ID, &o), broker.ErrNotFound)
		r.open(f, ids)
		r.counted(r.progress(f), 0, 0)
	}
}
