package arbiter_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/task"
)

// attacks are changes through the contract of brokers, by an attacker without the key; see attacker_test.go.
var attacks = []struct {
	name string
	try  func(v *victim)
}{
	{"ResultAsArguments", resultAsArguments},
	{"OtherName", otherName},
	{"OtherMeta", otherMeta},
	{"Again", again},
	{"EmptySuccess", emptySuccess},
	{"NoneSuccess", noneSuccess},
	{"OtherTasksResult", otherTasksResult},
	{"ArgumentsAsResult", argumentsAsResult},
	{"ForgedFailure", forgedFailure},
	{"OtherTasksFailure", otherTasksFailure},
	{"ForgedDeath", forgedDeath},
	{"EndWithFailure", endWithFailure},
	{"EndWithResult", endWithResult},
	{"ForgedReason", forgedReason},
	{"OwnPipe", ownPipe},
	{"OtherResultInPipe", otherResultInPipe},
	{"StepOfOtherPipe", stepOfOtherPipe},
	{"MembersSwapped", membersSwapped},
	{"MemberFailureForged", memberFailureForged},
	{"FlowResultForged", flowResultForged},
	{"FlowSuccessEmpty", flowSuccessEmpty},
	{"EventOfOtherTopic", eventOfOtherTopic},
	{"ResultAsEvent", resultAsEvent},
}

type echoArgs struct {
	N int `arbiter:"n"`
}

var (
	echoTask = task.Define[echoArgs, map[string]int]("echo") // its result has the form of work's arguments
	execTask = task.Define[args, int]("exec", task.Queue("safe"))
)

// TestAttacks checks that no attack makes a task run, and that none forges a result, a failure or an event.
func TestAttacks(t *testing.T) {
	attack := func(t *testing.T, open func(t *testing.T, namespace string) broker.Broker) {
		for _, c := range keyed(t) {
			for _, a := range attacks {
				t.Run(a.name+"/"+c.Name(), func(t *testing.T) {
					b := open(t, a.name+c.Name()[:4])
					a.try(&victim{attacked: newAttacked(t, b, c), flows: b.(broker.Flows)})
				})
			}
		}
	}
	t.Run("memory", func(t *testing.T) {
		attack(t, func(*testing.T, string) broker.Broker { return memory.New() })
	})
	t.Run("redis", func(t *testing.T) {
		path := redistest.Path(t)
		if path == "" {
			return
		}
		url := redistest.Start(t, path).URL()
		attack(t, func(t *testing.T, namespace string) broker.Broker {
			return (&redisStore{T: t, namespace: namespace}).open(url)
		})
	})
}

// safe is the queue of the minion, and unserved a queue that only the attacker serves.
var safe, unserved = task.Queue("safe"), task.Queue("unserved")

func resultAsArguments(v *victim) {
	v.run()
	echoed := v.outcome(send(v, echoTask.With(safe).Bind(echoArgs{7})).ID())
	v.refused(v.put(broker.Task{Name: "exec", Queue: "safe", Codec: echoed.Codec, Payload: echoed.Result, Retries: -1, Retention: time.Hour, DeadFor: time.Hour}), "exec")
}

func otherName(v *victim) {
	send(v, work.With(safe).Bind(args{7}))
	_, got := v.steal(1)
	t := got[0].Task
	t.Name = "exec"
	id := v.put(t)
	v.run()
	v.refused(id, "exec")
}

func otherMeta(v *victim) {
	send(v, work.With(safe, task.Meta("user", "bob")).Bind(args{7}))
	_, got := v.steal(1)
	t := got[0].Task
	t.Meta = map[string]string{"user": "root"}
	id := v.put(t)
	v.run()
	v.refused(id, "work")
}

func again(v *victim) {
	send(v, work.With(safe).Bind(args{7}))
	_, got := v.steal(1)
	id := v.put(got[0].Task)
	v.run()
	v.refused(id, "work")
}

func emptySuccess(v *victim) {
	fut := send(v, work.With(safe).Bind(args{7}))
	thief, got := v.steal(1)
	v.end(thief, got[0], broker.Outcome{State: broker.StateSucceeded})
	_, err := fut.Result(v.ctx())
	v.forged("the result", err)
	st, err := v.arb.Status(v.ctx(), fut.ID())
	if err != nil || st.State == broker.StateSucceeded {
		v.Errorf("the status: %+v, %v", st, err)
	}
	v.forged("the status", st.Err())
}

func noneSuccess(v *victim) {
	fut := send(v, noteTask.With(safe).Bind(args{7}))
	thief, got := v.steal(1)
	v.end(thief, got[0], broker.Outcome{State: broker.StateSucceeded})
	_, err := fut.Result(v.ctx())
	v.forged("no result", err)
}

func otherTasksResult(v *victim) {
	v.run()
	other := v.stolen(666)
	fut := send(v, work.With(unserved).Bind(args{7}))
	thief, got := v.stealFrom("unserved", 1)
	v.end(thief, got[0], *other)
	n, err := fut.Result(v.ctx())
	v.forged("the result", err)
	if n != 0 {
		v.Errorf("the result is %d, want none", n)
	}
}

func argumentsAsResult(v *victim) {
	fut := send(v, echoTask.With(safe).Bind(echoArgs{7}))
	thief, got := v.steal(1)
	v.end(thief, got[0], broker.Outcome{State: broker.StateSucceeded, Result: got[0].Payload})
	_, err := fut.Result(v.ctx())
	v.forged("the result", err)
}

func forgedFailure(v *victim) {
	fut := send(v, work.With(safe).Bind(args{7}))
	thief, got := v.steal(1)
	v.end(thief, got[0], broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "made up"}})
	_, err := fut.Result(v.ctx())
	v.forged("the failure", err)
	if errors.As(err, new(*task.RemoteError)) {
		v.Errorf("the forged failure is taken for a handler's: %v", err)
	}
}

func otherTasksFailure(v *victim) {
	v.run()
	other := v.stolen(0)
	fut := send(v, work.With(unserved).Bind(args{7}))
	thief, got := v.stealFrom("unserved", 1)
	v.end(thief, got[0], *other)
	_, err := fut.Result(v.ctx())
	v.forged("the failure", err)
}

// forgedDeath forges the outcome with which a minion gives up a task that has killed other minions.
func forgedDeath(v *victim) {
	fut := send(v, work.With(safe).Bind(args{7}))
	thief, got := v.steal(1)
	v.end(thief, got[0], broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "made up", Codes: []string{"minion died"}}})
	_, err := fut.Result(v.ctx())
	v.forged("the failure", err)
	if errors.Is(err, task.ErrMinionDied) || strings.Contains(err.Error(), "made up") {
		v.Errorf("the forged failure is believed: %v", err)
	}
}

// endWithFailure cancels or expires tasks, which needs no key, with a forged failure in the outcome.
func endWithFailure(v *victim) {
	for state, want := range map[broker.State]error{broker.StateCanceled: task.ErrCanceled, broker.StateExpired: task.ErrExpired} {
		fut := send(v, work.With(safe).Bind(args{7}))
		thief, got := v.steal(1)
		v.end(thief, got[0], broker.Outcome{State: state, Err: &broker.Failure{Message: "made up", Stack: "made up", Codes: []string{"panic", "unknown task"}}})
		_, err := fut.Result(v.ctx())
		if !errors.Is(err, want) || errors.Is(err, task.ErrPanic) || errors.Is(err, task.ErrUnknownTask) || strings.Contains(err.Error(), "made up") {
			v.Errorf("%s: error %v, want only %v", state, err, want)
		}
		if st, err := v.arb.Status(v.ctx(), fut.ID()); err != nil || st.Err() != nil && strings.Contains(st.Err().Error(), "made up") {
			v.Errorf("%s: the status is %+v, %v", state, st, err)
		}
		_ = thief.Close(v.ctx())
	}
}

// endWithResult cancels or expires tasks with a forged result, which their group would use.
func endWithResult(v *victim) {
	v.run()
	other := v.stolen(666)
	groups := map[broker.State]*task.Future[int]{}
	for _, state := range []broker.State{broker.StateCanceled, broker.StateExpired} {
		fut := send(v, work.With(unserved).Bind(args{7}))
		groups[state] = send(v, task.Then(task.Collect(work.With(unserved).Bind(args{1})), countStep().With(safe)))
		thief, got := v.stealFrom("unserved", 2)
		for _, d := range got {
			v.end(thief, d, broker.Outcome{State: state, Result: other.Result})
		}
		_ = thief.Close(v.ctx())
		if n, err := fut.Result(v.ctx()); err == nil {
			v.Errorf("%s: the result is %d", state, n)
		}
		st, err := v.arb.Status(v.ctx(), fut.ID())
		if raw, _ := st.Result(); err != nil || raw != nil {
			v.Errorf("%s: the status is %+v, %v", state, st, err)
		}
	}
	v.drive()
	for state, group := range groups {
		if n, err := group.Result(v.ctx()); n != -1 || err != nil { // the member is nil
			v.Errorf("%s: the group: %d, %v", state, n, err)
		}
	}
}

// forgedReason stores a forged reason why a step has no result of the step before.
func forgedReason(v *victim) {
	send(v, work.With(safe).Bind(args{7}))
	_, got := v.steal(1)
	t := got[0].Task
	t.Flow.Upstream, t.Meta = "upstream", map[string]string{"arbiter.upstream": "made up"}
	id := v.put(t)
	v.run()
	_, err := task.NewFuture[int](v.arb, id).Result(v.ctx())
	if !errors.Is(err, task.ErrNoUpstream) {
		v.Errorf("error %v, want ErrNoUpstream", err)
	}
	if err != nil && strings.Contains(err.Error(), "made up") {
		v.Errorf("the minion reports the forged reason: %v", err)
	}
}

// ownPipe stores a pipe that no process with the key has sent. The driver, which has the key, must not seal its steps.
func ownPipe(v *victim) {
	v.run()
	other := v.stolen(666)
	send(v, plusTask.With(unserved).Bind(addArgs{1, 2}))
	_, got := v.stealFrom("unserved", 1)
	args := got[0].Task
	pipe := broker.NewID(broker.KindPipe, "", 0)
	first := broker.Task{ID: broker.NewTaskID("unserved", ""), Name: "work", Queue: "unserved", Codec: other.Codec, Flow: broker.TaskFlow{ID: pipe}, Retries: -1, Retention: time.Hour}
	step := args
	step.ID, step.Queue, step.Flow.ID, step.Flow.Step, step.Flow.Blocked, step.Flow.Upstream = broker.NewTaskID("safe", ""), "safe", pipe, 1, true, "more"
	f := broker.Flow{ID: pipe, Size: 2, Quorum: 2, Retention: time.Hour}
	err := errors.Join(v.flows.OpenFlow(v.ctx(), &f, 0, []broker.ID{first.ID, step.ID}),
		v.b.Enqueue(v.ctx(), []*broker.Task{&step, &first}))
	if err != nil {
		v.Fatal(err)
	}
	thief, got := v.stealFrom("unserved", 1)
	v.end(thief, got[0], *other)
	v.drive()
	v.outcome(pipe)
	v.never("add")
	end, err := v.b.Lookup(v.ctx(), []broker.ID{step.ID})
	if err != nil || end[0].Outcome != nil && end[0].Outcome.Err != nil && strings.Contains(end[0].Outcome.Err.Message, "more") && strings.Contains(end[0].Outcome.Err.Message, "unknown parameter") {
		v.Errorf("the driver has put a result among the arguments: %+v, %v", end, err)
	}
}

// otherResultInPipe stores the result of another task as the argument of a step in a real pipe.
func otherResultInPipe(v *victim) {
	v.run()
	other := v.stolen(666)
	fut := send(v, task.Then(work.With(unserved).Bind(args{1}), plus(1).With(safe)))
	thief, got := v.stealFrom("unserved", 1)
	v.end(thief, got[0], *other)
	v.drive()
	_, err := fut.Result(v.ctx())
	if err == nil {
		v.Error("the pipe has succeeded")
	}
	v.never("add")
}

// stepOfOtherPipe replaces the first step of a pipe by the first step of another.
func stepOfOtherPipe(v *victim) {
	send(v, task.Then(work.With(unserved).Bind(args{666}), plus(1).With(safe)))
	fut := send(v, task.Then(work.With(unserved).Bind(args{1}), plus(1).With(safe)))
	_, got := v.stealFrom("unserved", 2)
	t := got[0].Task
	for _, d := range got {
		if d.Flow.ID == fut.ID() {
			continue
		}
		t = d.Task
	}
	t.Queue, t.Flow.ID = "safe", fut.ID()
	v.run()
	v.refused(v.put(t), "work")
	v.never("add")
}

func membersSwapped(v *victim) {
	v.run()
	other := v.stolen(666)
	fut := send(v, task.Then(task.All(work.With(unserved).Bind(args{1}), work.With(unserved).Bind(args{2})), sumStep().With(safe)))
	thief, got := v.stealFrom("unserved", 2)
	for _, d := range got {
		v.end(thief, d, *other)
	}
	v.drive()
	if n, err := fut.Result(v.ctx()); err == nil {
		v.Errorf("the pipe has succeeded with %d", n)
	}
	v.never("sum")
}

func memberFailureForged(v *victim) {
	fut := send(v, task.All(work.With(unserved).Bind(args{1})))
	thief, got := v.stealFrom("unserved", 1)
	v.end(thief, got[0], broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "made up"}})
	v.drive()
	_, err := fut.Result(v.ctx())
	if err == nil || strings.Contains(err.Error(), "made up") {
		v.Errorf("an arbiter or minion has sealed the forged failure: %v", err)
	}
}

func flowResultForged(v *victim) {
	v.run()
	real := v.outcome(send(v, task.All(work.With(safe).Bind(args{666}))).ID())
	fut := send(v, task.All(work.With(unserved).Bind(args{1})))
	if err := v.flows.EndFlow(v.ctx(), fut.ID(), real); err != nil {
		v.Fatal(err)
	}
	_, err := fut.Result(v.ctx())
	v.forged("the group", err)
}

func flowSuccessEmpty(v *victim) {
	fut := send(v, task.All(work.With(unserved).Bind(args{1})))
	if err := v.flows.EndFlow(v.ctx(), fut.ID(), &broker.Outcome{State: broker.StateSucceeded, Codec: v.c.Name(), Name: "group"}); err != nil {
		v.Fatal(err)
	}
	_, err := fut.Result(v.ctx())
	v.forged("the group", err)
}

func eventOfOtherTopic(v *victim) {
	if err := v.arb.Emit(v.ctx(), "gossip", 5); err != nil {
		v.Fatal(err)
	}
	if err := v.b.Publish(v.ctx(), []broker.Event{{Topic: "orders", Payload: v.raw("gossip")}}); err != nil {
		v.Fatal(err)
	}
	v.forged("the event", v.heard("orders").Decode(new(int)))
	if err := v.heard("gossip").Decode(new(int)); err != nil {
		v.Errorf("the event of its own topic: error %v", err)
	}
}

func resultAsEvent(v *victim) {
	v.run()
	other := v.stolen(7)
	payload := append([]byte{byte(len(other.Codec))}, other.Codec...)
	if err := v.b.Publish(v.ctx(), []broker.Event{{Topic: "orders", Payload: append(payload, other.Result...)}}); err != nil {
		v.Fatal(err)
	}
	v.forged("the event", v.heard("orders").Decode(new(int)))
}
