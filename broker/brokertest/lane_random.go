package brokertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// Random operations on a few lanes and limits, each compared with a model that is written from the
// contract. What must hold at every step:
//
//   - No limit is exceeded, and no two tasks of a sequence run.
//   - Of one key in one priority, the oldest task that may be handed out comes first.
//   - A task of a lower priority is handed out only for the share of the lower priorities.
//   - A Dequeue that returns nothing has left no task that may be handed out.
//
// In the end all tasks end.
var laneRandomTests = []test{
	{"RandomOperations", laneRandom, 0},
}

// randomLanes are the lanes that the tasks have. Those that use a limit use the same of it.
var randomLanes = []func(*broker.Lane){
	using(),
	using("a"),
	using("b"),
	using("a", "b"),
	using("b", "c", "a"),
	usingKey("k", "one", 2),
	usingKey("k", "two", 2),
	func(l *broker.Lane) { using("c")(l); usingKey("k", "one", 2)(l) },
}

// randomKinds are kinds of programs. Each has its lanes, keys, and tasks that are submitted at once.
var randomKinds = []struct {
	lanes []func(*broker.Lane)
	keys  int
	most  int
}{
	{randomLanes, 3, 3},
	{randomLanes[:4], 60, 20}, // many keys at a limit
	{manyLanes(40), 2, 20},    // many limits that share one
	{manyLanes(4), 30, 20},
	{costLanes(), 3, 8},
}

// costLanes returns lanes that use different costs of the same limits.
func costLanes() (lanes []func(*broker.Lane)) {
	for cost := range uint32(4) {
		lanes = append(lanes, usingCost("a", cost+1), usingKey("k", "one", cost+1), func(l *broker.Lane) {
			usingCost("b", 4-cost)(l)
			usingCost("a", cost+1)(l)
		})
	}
	return lanes
}

// manyLanes returns lanes that each use a limit of their own, and one of two that they share.
func manyLanes(n int) []func(*broker.Lane) {
	lanes := make([]func(*broker.Lane), n)
	for i := range lanes {
		lanes[i] = func(l *broker.Lane) {
			using([]string{"a", "b"}[i%2])(l)
			usingKey("k", itoa(i), 1)(l)
		}
	}
	return lanes
}

// rlimit names a limit and a key.
type rlimit struct{ name, key string }

var randomLimits = []rlimit{{"a", ""}, {"b", ""}, {"c", ""}, {"k", ""}, {"k", "one"}}

// rtask is a task in the model.
type rtask struct {
	*broker.Task
	n     int // its number in the history, and its place in the order of submission
	state broker.State
	d     *broker.Delivery // the last one
	owner *minion          // while it runs
	ran   bool             // it was handed out, so it holds its sequence until it ends
	halts bool             // it halts its sequence
}

// lanesModel is the model, and the broker that it is compared with.
type lanesModel struct {
	*rig
	account account
	rng     *rand.Rand
	kind    int
	queue   string
	tasks   []*rtask
	byID    map[broker.ID]*rtask
	limits  map[rlimit]broker.Limit
	given   int // hand-outs
	lower   int // hand-outs of a lower priority, while a higher one had a task that might be handed out
	minions []*minion
}

func laneRandom(r *rig) {
	rounds, steps := 40, 80
	if r.light {
		rounds = 8
	}
	for seed := range rounds {
		x := &lanesModel{
			rig: r, rng: rand.New(rand.NewPCG(uint64(seed), 12)), kind: seed % len(randomKinds), queue: fmt.Sprint("random", seed),
			byID: map[broker.ID]*rtask{}, limits: map[rlimit]broker.Limit{}, minions: make([]*minion, 3),
		}
		for range steps {
			x.step()
		}
		x.end()
	}
}

// wrong fails the test with the history.
func (x *lanesModel) wrong(format string, args ...any) {
	x.Helper()
	x.Fatalf("%s\n     %s", &x.account, fmt.Sprintf(format, args...))
}

func (x *lanesModel) must(err error) {
	x.Helper()
	if err != nil {
		x.wrong("%v", err)
	}
}

// who returns a random minion of the queue.
func (x *lanesModel) who() *minion {
	i := x.rng.IntN(len(x.minions))
	if x.minions[i] == nil {
		x.minions[i] = x.minion(x.queue)
	}
	return x.minions[i]
}

// pick returns a random task in a state, or nil.
func (x *lanesModel) pick(states ...broker.State) *rtask {
	var some []*rtask
	for _, t := range x.tasks {
		if slices.Contains(states, t.state) {
			some = append(some, t)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[x.rng.IntN(len(some))]
}

// step carries out one random operation.
func (x *lanesModel) step() {
	for _, m := range x.minions {
		if m != nil {
			m.keep()
		}
	}
	switch n := x.rng.IntN(20); {
	case n < 5:
		x.submit(1 + x.rng.IntN(randomKinds[x.kind].most))
	case n < 10:
		x.dequeue(x.who(), 1+x.rng.IntN(randomKinds[x.kind].most+1))
	case n < 15:
		if t := x.pick(broker.StateRunning); t != nil {
			x.settles(t)
		}
	case n < 16:
		if t := x.pick(broker.StatePending, broker.StateRunning); t != nil {
			x.cancels(t)
		}
	case n < 18:
		x.redefine()
	case n < 19:
		x.resumes()
	default:
		x.leaves()
	}
}

func (x *lanesModel) submit(n int) {
	var tasks []*broker.Task
	for range n {
		t := &rtask{n: len(x.tasks) + 1, state: broker.StatePending}
		kind, s := randomKinds[x.kind], x.rng.IntN(8)
		t.Task = x.task(onQueue(x.queue), lane(kind.lanes[x.rng.IntN(len(kind.lanes))], func(l *broker.Lane) {
			l.Priority = []uint8{9, 5, 5, 1}[x.rng.IntN(4)]
			if n := x.rng.IntN(kind.keys); n > 0 {
				l.Key = itoa(n)
			}
			if s < 2 {
				l.Sequence, l.StopOnFailure = itoa(s), x.rng.IntN(2) == 0
			}
		}))
		x.account.add("task %d is submitted with %+v", t.n, *t.Lane)
		x.tasks = append(x.tasks, t)
		x.byID[t.ID] = t
		tasks = append(tasks, t.Task)
	}
	x.enqueue(tasks...)
}

// rule returns the definition that holds for a limit and key, and whether there is one.
func (x *lanesModel) rule(l rlimit) (broker.Limit, bool) {
	d, ok := x.limits[l]
	if !ok {
		d, ok = x.limits[rlimit{l.name, ""}]
	}
	return d, ok
}

// room reports whether a task may be handed out as far as its limits are concerned.
func (x *lanesModel) room(t *rtask) bool {
	for _, u := range t.Lane.Limits {
		l := rlimit{u.Limit, u.Key}
		d, ok := x.rule(l)
		if !ok {
			continue
		}
		used := x.used(l)
		if d.Paused || used > 0 && used+int(u.Cost) > d.Most {
			return false
		}
	}
	return true
}

// used returns what is in use of a limit.
func (x *lanesModel) used(l rlimit) (sum int) {
	for _, t := range x.tasks {
		if t.state != broker.StateRunning {
			continue
		}
		for _, u := range t.Lane.Limits {
			if u.Limit == l.name && u.Key == l.key {
				sum += int(u.Cost)
			}
		}
	}
	return sum
}

// turn reports whether it is the turn of a task in its sequence.
func (x *lanesModel) turn(t *rtask) bool {
	if t.Lane.Sequence == "" {
		return true
	}
	for _, o := range x.tasks {
		if o == t || o.Lane.Sequence != t.Lane.Sequence {
			continue
		}
		open := !o.state.Final()
		if open && o.ran || o.n < t.n && (o.halts || open && !t.ran) {
			return false
		}
	}
	return true
}

// may reports whether a task may be handed out.
func (x *lanesModel) may(t *rtask) bool {
	return t.state == broker.StatePending && (t.ran && t.Lane.Sequence != "" || x.turn(t)) && x.room(t)
}

func (x *lanesModel) dequeue(m *minion, most int) {
	x.account.add("minion %d takes up to %d:", slices.Index(x.minions, m), most)
	for got := 0; got < most; {
		ds, err := m.Dequeue(x.ctx, m.queues, most-got, 0)
		x.must(err)
		m.check(ds, m.queues, most-got)
		got += len(ds)
		for _, d := range ds {
			x.handed(x.byID[d.ID], m, d)
		}
		if len(ds) > 0 {
			continue
		}
		for _, t := range x.tasks {
			if x.may(t) {
				x.wrong("Dequeue did not return task %d, which may be handed out", t.n)
			}
		}
		return
	}
}

// handed checks a hand-out.
func (x *lanesModel) handed(t *rtask, m *minion, d *broker.Delivery) {
	x.account.more(" task %d", t.n)
	if t.state != broker.StatePending {
		x.wrong("task %d was handed out while it was %s", t.n, t.state)
	}
	if !x.may(t) {
		x.wrong("task %d was handed out, but has to wait for its limits or its sequence", t.n)
	}
	m.equals(d, t.Task)
	above := false
	for _, o := range x.tasks {
		if o == t || !x.may(o) {
			continue
		}
		above = above || o.Lane.Priority > t.Lane.Priority
		if o.n < t.n && o.Lane.Priority == t.Lane.Priority && o.Lane.Key == t.Lane.Key {
			x.wrong("task %d was handed out before task %d of the same key", t.n, o.n)
		}
	}
	x.given++
	if above {
		x.lower++
	}
	if x.lower > x.given/broker.LowerShare+1 {
		x.wrong("%d of %d hand-outs went to a lower priority, want one of %d", x.lower, x.given, broker.LowerShare)
	}
	t.state, t.owner, t.d, t.ran = broker.StateRunning, m, d, true
}

// settles ends an attempt in a random way.
func (x *lanesModel) settles(t *rtask) {
	var s broker.Settlement
	switch n := x.rng.IntN(10); {
	case n < 4:
		s = t.owner.succeed(t.d)
	case n < 6:
		s = t.owner.finish(t.d, broker.StateFailed)
	case n < 7:
		s = t.owner.finish(t.d, broker.StateExpired)
	case n < 8:
		s = giveBack(t.d)
	case n < 9:
		s = retry(t.d, 0)
	default:
		s = snooze(t.d, 0)
	}
	x.settleAs(t, s)
}

func (x *lanesModel) settleAs(t *rtask, s broker.Settlement) {
	word := map[broker.Verb]string{broker.VerbGiveBack: "give back", broker.VerbRetry: "retry", broker.VerbSnooze: "snooze"}[s.Verb]
	if s.Verb == broker.VerbFinish {
		word = s.Outcome.State.String()
	}
	x.account.add("task %d is settled: %s", t.n, word)
	repeats := 1 + x.rng.IntN(2)
	for i := range repeats {
		errs, err := t.owner.Settle(x.ctx, []broker.Settlement{s})
		x.must(err)
		if i == 0 || !errors.Is(errs[0], broker.ErrLeaseLost) {
			x.must(errs[0])
		}
	}
	if s.Verb != broker.VerbFinish {
		t.state = broker.StatePending
		return
	}
	x.ends(t, s.Outcome.State)
}

// ends makes a task final.
func (x *lanesModel) ends(t *rtask, state broker.State) {
	t.state = state
	switch {
	case state == broker.StateSucceeded:
		t.halts = false
	case t.Lane.StopOnFailure && state != broker.StateCanceled:
		t.halts = true
	}
}

func (x *lanesModel) cancels(t *rtask) {
	x.account.add("task %d is cancelled while it is %s", t.n, t.state)
	got := x.cancel(t.ID)[0]
	if t.state == broker.StatePending {
		if got != broker.CancelPrevented {
			x.wrong("the verdict is %q", got)
		}
		x.ends(t, broker.StateCanceled)
		return
	}
	if got != broker.CancelRequested {
		x.wrong("the verdict is %q", got)
	}
	x.settleAs(t, t.owner.finish(t.d, broker.StateCanceled))
}

// redefine changes a definition at random.
func (x *lanesModel) redefine() {
	l := randomLimits[x.rng.IntN(len(randomLimits))]
	n := x.rng.IntN(6)
	if n == 0 {
		x.account.add("limit %v is removed", l)
		x.must(x.lanes().RemoveLimit(x.ctx, x.queue, l.name, l.key))
		delete(x.limits, l)
		return
	}
	d := broker.Limit{Name: l.name, Key: l.key, Most: n, Paused: n == 5}
	x.account.add("limit %v is defined as %+v", l, d)
	x.must(x.lanes().SetLimit(x.ctx, x.queue, d))
	x.limits[l] = d
}

// resumes resumes a sequence, or requeues a dead letter that halts one.
func (x *lanesModel) resumes() {
	s := itoa(x.rng.IntN(2))
	var halting []*rtask
	for _, t := range x.tasks {
		if t.halts && t.Lane.Sequence == s {
			halting = append(halting, t)
		}
	}
	_, inspects := can[broker.Inspector](x.Broker)
	if len(halting) == 1 && halting[0].state == broker.StateFailed && inspects && x.rng.IntN(2) == 0 {
		t := halting[0]
		x.account.add("task %d, which halts sequence %s, is requeued", t.n, s)
		requeue(x.rig, t.ID)
		t.state, t.ran = broker.StatePending, false
		return
	}
	x.account.add("sequence %s is resumed", s)
	err := x.lanes().ResumeSequence(x.ctx, x.queue, s)
	if len(halting) == 0 {
		x.is(err, broker.ErrNotFound)
		return
	}
	x.must(err)
	for _, t := range halting {
		t.halts = false
	}
}

// leaves closes a minion. Its tasks are pending again.
func (x *lanesModel) leaves() {
	i := x.rng.IntN(len(x.minions))
	m := x.minions[i]
	if m == nil {
		return
	}
	x.account.add("minion %d closes", i)
	x.minions[i] = nil
	m.close()
	for _, t := range x.tasks {
		if t.state == broker.StateRunning && t.owner == m {
			t.state = broker.StatePending
		}
	}
}

// end ends all tasks, and checks that nothing is in use afterwards.
func (x *lanesModel) end() {
	x.account.add("the end begins")
	for l, d := range x.limits {
		if d.Paused {
			d.Paused = false
			x.must(x.lanes().SetLimit(x.ctx, x.queue, d))
			x.limits[l] = d
		}
	}
	last := x.minion(x.queue)
	x.minions = append(x.minions, last)
	open := func(t *rtask) bool { return !t.state.Final() }
	for tries := 0; slices.ContainsFunc(x.tasks, open); tries++ {
		if tries > 2*len(x.tasks) {
			x.wrong("some tasks do not end")
		}
		for _, m := range x.minions {
			if m != nil {
				m.keep()
			}
		}
		for _, s := range []string{"0", "1"} {
			err := x.lanes().ResumeSequence(x.ctx, x.queue, s)
			if err != nil {
				x.is(err, broker.ErrNotFound)
			}
			for _, t := range x.tasks {
				if t.Lane.Sequence == s {
					t.halts = false
				}
			}
		}
		x.dequeue(last, 1+x.rng.IntN(5))
		for _, t := range x.tasks {
			if t.state == broker.StateRunning {
				x.settleAs(t, t.owner.succeed(t.d))
			}
		}
	}
	for _, info := range x.rig.limits(x.queue) {
		if info.InUse != 0 || info.Waiting != 0 {
			x.wrong("all tasks have ended, but LimitsIn returned %+v", info)
		}
	}
	for _, m := range x.minions {
		if m != nil {
			m.close()
		}
	}
}
