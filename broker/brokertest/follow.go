package brokertest

import (
	"context"
	"errors"

	"github.com/go-arbiter/arbiter/broker"
)

// broker.Follower: an inbox can follow tasks and flows, and gets a notice of the end of each.
func followTests() []test {
	tests := []test{
		{"EveryEnd", followEveryEnd, 0},
		{"Once", followOnce, 0},
		{"SeveralInboxes", followSeveral, 0},
		{"LateIsNotPushed", followLate, 0},
		{"EndsWithTheInbox", followEnds, 0},
		{"Flow", followFlow, needFlows},
		{"AfterClose", followAfterClose, 0},
	}
	for i := range tests {
		tests[i].needs |= needFollower
	}
	return tests
}

func (r *rig) follow(inbox broker.ID, ids ...broker.ID) {
	r.Helper()
	if err := r.follower().Follow(r.ctx, inbox, ids); err != nil {
		r.Fatalf("Follow: %v", err)
	}
}

// An inbox gets a notice of every end of a task that it follows: by any settlement, and by a
// cancel.
func followEveryEnd(r *rig) {
	m, mail := r.minion(), r.mail()
	for _, state := range finals {
		task := r.task()
		r.follow(mail.id, task.ID) // the task need not be stored yet
		r.enqueue(task)
		s := m.finish(m.take1(), state)
		m.settle(s)
		l := mail.take(1)[0]
		r.same([]broker.ID{l.ID}, []broker.ID{task.ID})
		r.equal(l.Outcome, s.Outcome)
	}
	waits := r.task()
	r.enqueue(waits)
	r.follow(mail.id, waits.ID)
	if _, err := r.Broker.Cancel(r.ctx, []broker.ID{waits.ID}); err != nil {
		r.Fatal(err)
	}
	if l := mail.take(1)[0]; l.ID != waits.ID || l.Outcome.State != broker.StateCanceled {
		r.Errorf("the notice of a cancelled task is %+v", l)
	}
	mail.none()
}

// An inbox gets one notice of a task, even if it follows the task twice or is the inbox of the task
// itself.
func followOnce(r *rig) {
	m, mail := r.minion(), r.mail()
	own, other := r.task(inbox(mail.id)), r.task()
	r.enqueue(own, other)
	r.follow(mail.id, own.ID, other.ID, other.ID)
	r.follow(mail.id, other.ID)
	for range 2 {
		m.settle(m.finish(m.take1(), broker.StateSucceeded))
	}
	mail.take(2)
	mail.none()
}

func followSeveral(r *rig) {
	m := r.minion()
	first, second, third := r.mail(), r.mail(), r.mail()
	task := r.task(inbox(first.id))
	r.enqueue(task)
	r.follow(second.id, task.ID)
	r.follow(third.id, task.ID)
	m.settle(m.finish(m.take1(), broker.StateSucceeded))
	for _, mail := range []*mailbox{first, second, third} {
		if l := mail.take(1)[0]; l.ID != task.ID {
			r.Errorf("the inbox got a notice of %s, want one of the followed task", l.ID)
		}
	}
}

func followLate(r *rig) {
	m, mail := r.minion(), r.mail()
	task := r.task()
	r.enqueue(task)
	m.settle(m.finish(m.take1(), broker.StateSucceeded))
	r.follow(mail.id, task.ID, r.task().ID)
	mail.none()
}

func followEnds(r *rig) {
	m, mail := r.minion(), r.mail()
	task := r.task()
	r.enqueue(task)
	r.follow(mail.id, task.ID)
	if err := mail.Close(); err != nil {
		r.Fatal(err)
	}
	r.follow(mail.id, task.ID) // following for a closed inbox has no effect, and is no error
	again, err := r.Broker.Inbox(r.ctx, mail.id)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = again.Close() })
	m.settle(m.finish(m.take1(), broker.StateSucceeded))
	ctx, cancel := context.WithTimeout(r.ctx, r.Slack)
	defer cancel()
	if got, err := again.Receive(ctx); err == nil {
		r.Errorf("the inbox that was opened again got %+v, want nothing", got)
	}
}

func followFlow(r *rig) {
	mail := r.mail()
	f := r.group(1)
	r.follow(mail.id, f.ID)
	if err := r.flows().OpenFlow(r.ctx, f, 0, newIDs(1)); err != nil {
		r.Fatal(err)
	}
	if err := r.flows().EndFlow(r.ctx, f.ID, &broker.Outcome{State: broker.StateSucceeded}); err != nil {
		r.Fatal(err)
	}
	if l := mail.take(1)[0]; l.ID != f.ID {
		r.Errorf("the inbox got a notice of %s, want one of the flow", l.ID)
	}
}

func followAfterClose(r *rig) {
	if err := r.Broker.Close(); err != nil {
		r.Fatal(err)
	}
	if err := r.follower().Follow(r.ctx, newIDs(1)[0], newIDs(1)); !errors.Is(err, broker.ErrClosed) {
		r.Errorf("Follow after Close returned %v, want an error that wraps ErrClosed", err)
	}
}
