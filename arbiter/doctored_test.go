package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// doctored is a group whose records in Redis an attacker without the key changes; see attacker_test.go. It has the results 1
// and 2 and a callback that gets them. The attacker also uses another group with the same codec, whose members are done with
// the results 666 and 667.
type doctored struct {
	attacked
	store       redisStore
	flows       broker.Flows
	mine, other *arbiter.GroupFuture[int]
	callback    *task.Future[int]

	mu  sync.Mutex
	got map[task.ID][]int // the arguments of each callback that ran
	ran map[task.ID]int   // the finalizers that ran
}

var doctorings = []struct {
	name string
	do   func(v *doctored)
	says string // a part of the group's error
}{
	{"MembersSwapped", func(v *doctored) { v.members(func(m, _ []broker.ID) { m[0], m[1] = m[1], m[0] }) }, "the record of the group or pipe"},
	{"MemberOfAnotherFlow", func(v *doctored) { v.members(func(m, o []broker.ID) { m[1] = o[1] }) }, "the record of the group or pipe"},
	{"AllMembersOfAnotherFlow", func(v *doctored) { v.members(func(m, o []broker.ID) { copy(m, o) }) }, "the record of the group or pipe"},
	{"OtherCallback", func(v *doctored) { v.record(func(f, o *broker.Flow) { f.Callback = o.Callback }) }, "the record of the group or pipe"},
	{"NoCallback", func(v *doctored) { v.record(func(f, _ *broker.Flow) { f.Callback = broker.ID{} }) }, "the record of the group or pipe"},
	{"NoFinalizer", func(v *doctored) { v.record(func(f, _ *broker.Flow) { f.Finalizer = broker.ID{} }) }, "the record of the group or pipe"},
	{"SmallerQuorum", func(v *doctored) { v.record(func(f, _ *broker.Flow) { f.Quorum = 1 }) }, "the record of the group or pipe"},
	{"SealOfAnotherFlow", func(v *doctored) { v.record(func(f, o *broker.Flow) { f.Seal = o.Seal }) }, "the record of the group or pipe"},
	{"NoSeal", func(v *doctored) { v.record(func(f, _ *broker.Flow) { f.Seal = "" }) }, "the record of the group or pipe"},
	{"ResultOfAnotherFlow", resultOfAnotherFlow, "the result before it is missing: parameter upstream: result: "},
	{"FewerThanNeeded", fewerThanNeeded, "1 members have succeeded, and 2 must"},
	{"ArgumentsOfAnotherStep", argumentsOfAnotherStep, "the bytes were made without the key, were changed, or belong elsewhere"},
	{"StepOfAnotherFlow", stepOfAnotherFlow, "the task was not sent to get this result"},
	{"StepInAnotherQueue", stepInAnotherQueue, "the callback"},
}

// TestDoctoredFlows checks that no task runs with the attacker's data, and that the error of the group names the part
// that was changed.
func TestDoctoredFlows(t *testing.T) {
	t.Parallel()
	on := func(t *testing.T, url string) {
		client := redisClient(t, url)
		for _, c := range keyed(t) {
			for _, d := range doctorings {
				t.Run(d.name+"/"+c.Name(), func(t *testing.T) {
					v := newDoctored(t, url, client, d.name+c.Name()[:4], c)
					d.do(v)
					v.ends(d.says)
				})
			}
		}
	}
	path := redistest.Path(t)
	if path == "" || testform.Long() { // the short form needs one of the two
		t.Run("miniredis", func(t *testing.T) {
			t.Parallel()
			on(t, "redis://"+miniredis.RunT(t).Addr())
		})
	}
	if path != "" {
		t.Run("redis", func(t *testing.T) {
			t.Parallel()
			on(t, redistest.Start(t, path).URL())
		})
	}
}

// TestFlowsAreNotDoctored checks that the same group succeeds if it is not changed.
func TestFlowsAreNotDoctored(t *testing.T) {
	t.Parallel()
	url := "redis://" + miniredis.RunT(t).Addr()
	v := newDoctored(t, url, redisClient(t, url), "honest", keyed(t)[0])
	v.run("safe", "members")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if n, err := v.callback.Result(ctx); n != 2 || err != nil {
		t.Errorf("the callback: %d, %v", n, err)
	}
	if err := v.mine.Result(ctx, new(int)); err != nil {
		t.Errorf("the group: %v", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if got := v.got[v.mine.Callback()]; !slices.Equal(got, []int{1, 2}) {
		t.Errorf("the callback got %v", got)
	}
}

// newDoctored sends both groups and waits until the members of the other one are done.
func newDoctored(t *testing.T, url string, client *goredis.Client, namespace string, c codec.Codec) *doctored {
	t.Helper()
	store := redisStore{T: t, client: client, namespace: namespace}
	b := store.open(url)
	v := &doctored{attacked: newAttacked(t, b, c), store: store, flows: b, got: map[task.ID][]int{}, ran: map[task.ID]int{}}
	group := func(queue string, a, b int) (*arbiter.GroupFuture[int], *task.Future[int]) {
		one := work.With(task.Queue(queue))
		g, fut, err := arbiter.GroupThen(t.Context(), v.arb, []task.Call[int]{one.Bind(args{a}), one.Bind(args{b})}, task.NewStep[[]int](countTask, "upstream", nil).With(safe),
			arbiter.Finalizer(noteTask.With(safe).Bind(args{a}), 0))
		if err != nil {
			t.Fatal(err)
		}
		return g, fut
	}
	v.mine, v.callback = group("members", 1, 2)
	v.other, _ = group("others", 666, 667)
	v.run("others")
	v.until("the other group's members are done", func() bool {
		n, err := client.HLen(t.Context(), store.flowKey(v.other.ID(), "results")).Result()
		return err == nil && n == 2
	})
	return v
}

// run starts a minion that has the key.
func (v *doctored) run(queues ...string) {
	v.Helper()
	v.serve(2, func(m *minion.Minion) error {
		return errors.Join(
			task.Handle(m, work, func(_ context.Context, a args) (int, error) { return a.N, nil }),
			task.Handle(m, countTask, func(ctx context.Context, a countArgs) (int, error) {
				info, _ := task.FromContext(ctx)
				v.mu.Lock()
				defer v.mu.Unlock()
				v.got[info.ID] = []int{}
				for _, n := range a.Upstream {
					if n == nil {
						n = new(int) // a member that has not succeeded
					}
					v.got[info.ID] = append(v.got[info.ID], *n)
				}
				return len(a.Upstream), nil
			}),
			task.Handle(m, noteTask, func(ctx context.Context, a args) (task.None, error) {
				info, _ := task.FromContext(ctx)
				v.mu.Lock()
				defer v.mu.Unlock()
				v.ran[info.ID] = a.N
				return task.None{}, nil
			}),
		)
	}, queues...)
}

// until waits until is returns true.
func (v *doctored) until(what string, is func() bool) {
	v.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			v.Fatalf("timed out waiting until %s", what)
		}
	}
}

// members changes the stored list of the group's members.
func (v *doctored) members(change func(mine, other []broker.ID)) {
	v.Helper()
	mine := v.store.members(v.mine.ID())
	change(mine, v.store.members(v.other.ID()))
	v.store.setMembers(v.mine.ID(), mine)
}

// record changes the stored record of the group.
func (v *doctored) record(change func(mine, other *broker.Flow)) {
	v.Helper()
	mine, other := v.store.flow(v.mine.ID()), v.store.flow(v.other.ID())
	change(&mine, &other)
	v.store.setFlow(v.mine.ID(), &mine)
}

// resultOfAnotherFlow stores a result for a member that has none yet. The group counts it.
func resultOfAnotherFlow(v *doctored) {
	index := string([]byte{0, 0, 0, 0})
	result, err := v.store.client.HGet(v.Context(), v.store.flowKey(v.other.ID(), "results"), index).Result()
	v.must(err)
	v.must(v.store.client.HSet(v.Context(), v.store.flowKey(v.mine.ID(), "results"), index, result).Err())
	v.must(v.store.client.HIncrBy(v.Context(), v.store.flowKey(v.mine.ID(), "flow"), "ok", 1).Err())
}

// fewerThanNeeded cancels a member and makes the group count it as succeeded.
func fewerThanNeeded(v *doctored) {
	ids, err := v.mine.Members(v.Context())
	v.must(err)
	v.must(v.store.client.HSet(v.Context(), v.store.flowKey(v.mine.ID(), "flow"), "ok", 1, "bad", -1).Err())
	verdicts, err := v.b.Cancel(v.Context(), ids[1:])
	v.must(err)
	if verdicts[0] != broker.CancelPrevented {
		v.Fatal(verdicts)
	}
}

func argumentsOfAnotherStep(v *doctored) {
	fut, err := task.Then(work.With(task.Queue("unserved")).Bind(args{1}), plus(5).With(safe)).Send(v.Context(), v.arb)
	v.must(err)
	g, err := v.flows.Members(v.Context(), fut.ID(), 1, 1, false)
	v.must(err)
	step := v.store.blocked("safe", v.mine.Callback())
	step.Payload = v.store.blocked("safe", g[0].ID).Payload
	v.store.setBlocked(&step.Task)
}

// stepOfAnotherFlow replaces the callback by the complete step of another flow.
func stepOfAnotherFlow(v *doctored) {
	fut, err := task.Then(work.With(task.Queue("unserved")).Bind(args{1}), countLike().With(safe)).Send(v.Context(), v.arb)
	v.must(err)
	g, err := v.flows.Members(v.Context(), fut.ID(), 1, 1, false)
	v.must(err)
	step := v.store.blocked("safe", g[0].ID)
	step.ID = v.mine.Callback()
	v.store.setBlocked(&step.Task)
}

// countLike is a step with the name of the callback.
func countLike() task.Step[int, int] { return task.NewStep[int](countTask, "upstream", nil) }

// stepInAnotherQueue makes the callback run in the members' queue and without a result, where no driver looks for it.
func stepInAnotherQueue(v *doctored) {
	id := v.mine.Callback()
	step := v.store.blocked("safe", id)
	field := string(id[:])
	// The queue in which its arrival is stored.
	v.must(v.store.client.HSet(v.Context(), v.store.queueKey("members", "flows"), field, wire.AppendFlowRef(nil, &step.Task)).Err())
	// Blocks of ids are for tasks that were sent together; this one has a state of its own.
	v.must(v.store.client.HSet(v.Context(), v.store.queueKey("members", "state"), field, string(make([]byte, 20))).Err())
	step.Queue, step.Flow.Blocked = "members", false
	v.must(v.store.client.RPush(v.Context(), v.store.queueKey("members", "ready"), wire.AppendRecord(nil, &step.Task)).Err())
	for _, key := range []string{"later", "state"} {
		v.must(v.store.client.HDel(v.Context(), v.store.queueKey("safe", key), field, field[:15]).Err())
	}
	v.must(v.store.client.ZRem(v.Context(), v.store.queueKey("safe", "due"), field).Err())
}

// ends starts minions with the key and checks how the group and its callbacks end.
func (v *doctored) ends(says string) {
	v.Helper()
	v.run("safe", "members")
	ctx, cancel := context.WithTimeout(v.Context(), 2*time.Minute)
	defer cancel()
	err := v.mine.Result(ctx, new(int))
	if err == nil || ctx.Err() != nil {
		v.Errorf("the group: %v", err)
	}
	if err != nil && !strings.Contains(err.Error(), says) {
		v.Errorf("the group's error does not say %q: %v", says, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if got, ran := v.got[v.mine.Callback()]; ran {
		v.Errorf("the callback ran with %v", got)
	}
	for id, got := range v.got {
		if id != v.other.Callback() || !slices.Equal(got, []int{666, 667}) {
			v.Errorf("%s ran with %v", id, got)
		}
	}
	for id, n := range v.ran {
		if id == v.mine.Finalizer() && n != 1 || id == v.other.Finalizer() && n != 666 {
			v.Errorf("the finalizer %s ran with %d", id, n)
		}
	}
	if v.Failed() {
		v.Log(fmt.Sprint("mine ", v.mine.ID(), ", its callback ", v.mine.Callback()))
	}
}
