package arbiter_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/redistest"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The attacks of somebody who can read and write everything in the broker, and lacks the key. Arbiter and minion have
// the key.

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

// victim is a broker that an attacker can read and write.
type victim struct {
	*testing.T
	b     broker.Broker
	flows broker.Flows
	c     codec.Codec
	arb   *arbiter.Arbiter

	mu  sync.Mutex
	ran []string // the handlers that were called, with their arguments
}

type echoArgs struct {
	N int `arbiter:"n"`
}

var (
	echoTask = task.Define[echoArgs, map[string]int]("echo") // its result has the form of work's arguments
	execTask = task.Define[args, int]("exec", task.Queue("safe"))
)

func TestAttacks(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	signed, err := codec.Sign(codec.JSON(), key)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := codec.Encrypt(codec.Msgpack(), key)
	if err != nil {
		t.Fatal(err)
	}
	attack := func(t *testing.T, open func(t *testing.T, name string) broker.Broker) {
		for _, c := range []codec.Codec{signed, encrypted} {
			for _, a := range attacks {
				t.Run(a.name+"/"+c.Name(), func(t *testing.T) {
					b := open(t, a.name+c.Name()[:4])
					v := &victim{T: t, b: b, flows: b.(broker.Flows), c: c}
					v.arb, err = arbiter.New(b, arbiter.Codec(c), arbiter.Logger(silent))
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = v.arb.Close() }()
					a.try(v)
				})
			}
		}
	}
	t.Run("memory", func(t *testing.T) {
		attack(t, func(t *testing.T, _ string) broker.Broker {
			b := memory.New()
			t.Cleanup(func() { _ = b.Close() })
			return b
		})
	})
	t.Run("redis", func(t *testing.T) {
		path := redistest.Path(t)
		if path == "" {
			return
		}
		url := redistest.Start(t, path).URL()
		attack(t, func(t *testing.T, name string) broker.Broker {
			b, err := redis.Open(t.Context(), url, redis.Namespace(name), redis.Logger(silent))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Close() })
			return b
		})
	})
}

// run starts the minion, which has the key. Only it serves its queue.
func (v *victim) run() {
	v.Helper()
	m := minion.New(v.b, minion.Codec(v.c), minion.Logger(silent), minion.DrainTimeout(0), minion.Queue("safe"))
	note := func(name string) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.ran = append(v.ran, name)
	}
	err := errors.Join(
		task.Handle(m, work, func(_ context.Context, a args) (int, error) {
			note("work")
			if a.N == 0 {
				return 0, task.NoRetry(errBad)
			}
			return a.N, nil
		}),
		task.Handle(m, execTask, func(context.Context, args) (int, error) { note("exec"); return 0, nil }),
		task.Handle(m, echoTask, func(_ context.Context, a echoArgs) (map[string]int, error) {
			return map[string]int{"n": a.N}, nil
		}),
		task.Handle(m, plusTask, func(_ context.Context, a addArgs) (int, error) { note("add"); return a.Upstream + a.N, nil }),
		task.Handle(m, sumTask, func(_ context.Context, a sumArgs) (int, error) { note("sum"); return len(a.Upstream), nil }),
		task.Handle(m, countTask, func(_ context.Context, a countArgs) (int, error) {
			if len(a.Upstream) == 1 && a.Upstream[0] == nil {
				return -1, nil
			}
			return len(a.Upstream), nil
		}),
		task.Handle(m, noteTask, func(context.Context, args) (task.None, error) { note("note"); return task.None{}, nil }),
	)
	if err != nil {
		v.Fatal(err)
	}
	go func() { _ = m.Run(context.Background(), 2) }()
	v.Cleanup(func() { _ = m.Close() })
}

// never checks that a handler was not called.
func (v *victim) never(name string) {
	v.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if slices.Contains(v.ran, name) {
		v.Errorf("%s ran: %v", name, v.ran)
	}
}

// forged checks that an error wraps codec.ErrForged.
func (v *victim) forged(what string, err error) {
	v.Helper()
	if !errors.Is(err, codec.ErrForged) {
		v.Errorf("%s: %v, want codec.ErrForged", what, err)
	}
}

func (v *victim) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	v.Cleanup(cancel)
	return ctx
}

func send[R any](v *victim, call task.Call[R]) *task.Future[R] {
	v.Helper()
	fut, err := call.Send(v.ctx(), v.arb)
	if err != nil {
		v.Fatal(err)
	}
	return fut
}

// steal takes n tasks from the queue, as its minion would.
func (v *victim) steal(n int) (broker.Consumer, []*broker.Delivery) {
	v.Helper()
	return v.stealFrom("safe", n)
}

func (v *victim) stealFrom(queue string, n int) (broker.Consumer, []*broker.Delivery) {
	v.Helper()
	thief, err := v.b.Consume(v.ctx(), broker.ConsumerConfig{Queues: []string{queue}, Slots: 10})
	if err != nil {
		v.Fatal(err)
	}
	v.Cleanup(func() { _ = thief.Close(context.Background()) })
	var got []*broker.Delivery
	for len(got) < n {
		more, err := thief.Dequeue(v.ctx(), []string{queue}, n-len(got), time.Second)
		if err != nil {
			v.Fatal(err)
		}
		got = append(got, more...)
	}
	return thief, got
}

// end settles a stolen task.
func (v *victim) end(thief broker.Consumer, d *broker.Delivery, o broker.Outcome) {
	v.Helper()
	o.Name, o.Codec, o.Attempts = d.Name, d.Codec, d.Attempt
	errs, err := thief.Settle(v.ctx(), []broker.Settlement{{Delivery: d, Outcome: o}})
	if err := errors.Join(append(errs, err)...); err != nil {
		v.Fatal(err)
	}
}

// outcome waits for the end of a task or flow and returns its stored outcome.
func (v *victim) outcome(id task.ID) *broker.Outcome {
	v.Helper()
	for st, err := range v.arb.WaitForTasks(v.ctx(), id) {
		if err != nil {
			v.Fatal(err, st)
		}
	}
	found, err := v.b.Lookup(v.ctx(), []task.ID{id})
	if err != nil || found[0].Outcome == nil {
		v.Fatalf("%+v, %v", found, err)
	}
	return found[0].Outcome
}

// put stores a record as it is, under a new id.
func (v *victim) put(t broker.Task) task.ID {
	v.Helper()
	t.ID = broker.NewTaskID(t.Queue, t.Unique)
	if err := v.b.Enqueue(v.ctx(), []*broker.Task{&t}); err != nil {
		v.Fatal(err)
	}
	return t.ID
}

// refused waits for the end of a task that the minion must refuse.
func (v *victim) refused(id task.ID, handler string) {
	v.Helper()
	_, err := task.NewFuture[int](v.arb, id).Result(v.ctx())
	if !errors.As(err, new(*task.RemoteError)) {
		v.Errorf("%v, want the minion's refusal", err)
	}
	v.never(handler)
}

var safe = task.Queue("safe")

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
	if err != nil || st.Outcome == arbiter.Succeeded {
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

// stolen returns the stored outcome of a task that the minion has run.
func (v *victim) stolen(n int) *broker.Outcome {
	v.Helper()
	return v.outcome(send(v, work.With(safe).Bind(args{n})).ID())
}

// unserved is a queue that only the attacker serves.
var unserved = task.Queue("unserved")

func otherTasksResult(v *victim) {
	v.run()
	other := v.stolen(666)
	fut := send(v, work.With(unserved).Bind(args{7}))
	thief, got := v.stealFrom("unserved", 1)
	v.end(thief, got[0], *other)
	n, err := fut.Result(v.ctx())
	v.forged("the result", err)
	if n != 0 {
		v.Errorf("it is %d", n)
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
		v.Errorf("it is a handler's: %v", err)
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
		v.Errorf("it is believed: %v", err)
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
			v.Errorf("%s: %v", state, err)
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
	t.Upstream, t.Meta = "upstream", map[string]string{"arbiter.upstream": "made up"}
	id := v.put(t)
	v.run()
	_, err := task.NewFuture[int](v.arb, id).Result(v.ctx())
	if !errors.Is(err, task.ErrNoUpstream) {
		v.Errorf("%v, want ErrNoUpstream", err)
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
	first := broker.Task{ID: broker.NewTaskID("unserved", ""), Name: "work", Queue: "unserved", Codec: other.Codec, Group: pipe, Retries: -1, Retention: time.Hour}
	step := args
	step.ID, step.Queue, step.Group, step.Step, step.Blocked, step.Upstream = broker.NewTaskID("safe", ""), "safe", pipe, 1, true, "more"
	f := broker.Flow{ID: pipe, Size: 2, Need: 2, Retention: time.Hour}
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

// drive makes an arbiter with the key handle the arrivals of queues that no minion serves, by killing another task.
func (v *victim) drive() {
	v.Helper()
	fut := send(v, task.All(work.With(task.Queue("unserved")).Bind(args{1})))
	if _, err := v.arb.KillGroup(v.ctx(), fut.ID()); err != nil {
		v.Fatal(err)
	}
	m := minion.New(v.b, minion.Codec(v.c), minion.Logger(silent), minion.DrainTimeout(0), minion.Queue("unserved"))
	if err := task.Handle(m, execTask, func(context.Context, args) (int, error) { return 0, nil }); err != nil {
		v.Fatal(err)
	}
	go func() { _ = m.Run(context.Background(), 1) }()
	v.Cleanup(func() { _ = m.Close() })
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
		if d.Group == fut.ID() {
			continue
		}
		t = d.Task
	}
	t.Queue, t.Group = "safe", fut.ID()
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
		v.Errorf("it has succeeded: %d", n)
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
		v.Errorf("%v, which an arbiter or minion has sealed", err)
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

// heard returns the first event of a topic.
func (v *victim) heard(topic string) arbiter.Event {
	v.Helper()
	for ev, err := range v.arb.Listen(v.ctx(), topic, broker.CursorStart) {
		if err != nil {
			v.Fatal(err)
		}
		return ev
	}
	v.Fatal("no event")
	return arbiter.Event{}
}

func (v *victim) raw(topic string) []byte {
	v.Helper()
	sub, err := v.b.Subscribe(v.ctx(), topic, broker.CursorStart)
	if err != nil {
		v.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	events, _, err := sub.Receive(v.ctx())
	if err != nil || len(events) == 0 {
		v.Fatal(events, err)
	}
	return events[0].Payload
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
		v.Errorf("where it belongs: %v", err)
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
