package brokertest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// broker.Lanes: priorities, keys that take turns, limits and sequences.
func laneTests() []test {
	tests := slices.Concat(laneOrderTests, laneLimitTests, laneRateTests, laneEndTests, laneSequenceTests, laneWaitTests, laneInputTests, laneRandomTests)
	for i := range tests {
		tests[i].needs |= needLanes
	}
	return tests
}

func (r *rig) lanes() broker.Lanes {
	return &watchedLanes{raw(r.Broker).(broker.Lanes), r.dog}
}

type watchedLanes struct {
	b   broker.Lanes
	dog *watchdog
}

func (l *watchedLanes) SetLimit(ctx context.Context, queue string, limit broker.Limit) error {
	return l.dog.do("SetLimit", func() error { return l.b.SetLimit(ctx, queue, limit) })
}

func (l *watchedLanes) AddLimit(ctx context.Context, queue string, limit broker.Limit) (broker.Limit, error) {
	return ask(l.dog, "AddLimit", func() (broker.Limit, error) { return l.b.AddLimit(ctx, queue, limit) })
}

func (l *watchedLanes) RemoveLimit(ctx context.Context, queue, name, key string) error {
	return l.dog.do("RemoveLimit", func() error { return l.b.RemoveLimit(ctx, queue, name, key) })
}

func (l *watchedLanes) LimitsIn(ctx context.Context, queue string) ([]broker.LimitInfo, error) {
	return ask(l.dog, "LimitsIn", func() ([]broker.LimitInfo, error) { return l.b.LimitsIn(ctx, queue) })
}

func (l *watchedLanes) CloseLimit(ctx context.Context, queue, name, key string, d time.Duration) error {
	return l.dog.do("CloseLimit", func() error { return l.b.CloseLimit(ctx, queue, name, key, d) })
}

func (l *watchedLanes) SetWeight(ctx context.Context, queue, key string, weight int) error {
	return l.dog.do("SetWeight", func() error { return l.b.SetWeight(ctx, queue, key, weight) })
}

func (l *watchedLanes) Weights(ctx context.Context, queue string) (map[string]int, error) {
	return ask(l.dog, "Weights", func() (map[string]int, error) { return l.b.Weights(ctx, queue) })
}

func (l *watchedLanes) ResumeSequence(ctx context.Context, queue, sequence string) error {
	return l.dog.do("ResumeSequence", func() error { return l.b.ResumeSequence(ctx, queue, sequence) })
}

// lane gives a task a lane of the default priority. The options change it.
func lane(with ...func(*broker.Lane)) func(*broker.Task) {
	return func(t *broker.Task) {
		t.Lane = &broker.Lane{Priority: broker.DefaultPriority}
		for _, opt := range with {
			opt(t.Lane)
		}
	}
}

func priority(p uint8) func(*broker.Lane)    { return func(l *broker.Lane) { l.Priority = p } }
func fair(key string) func(*broker.Lane)     { return func(l *broker.Lane) { l.Key = key } }
func inSequence(s string) func(*broker.Lane) { return func(l *broker.Lane) { l.Sequence = s } }
func stopping(s string) func(l *broker.Lane) {
	return func(l *broker.Lane) { l.Sequence, l.StopOnFailure = s, true }
}

// using lets a task use a cost of 1 of limits without a key.
func using(limits ...string) func(*broker.Lane) {
	return func(l *broker.Lane) {
		for _, name := range limits {
			usingCost(name, 1)(l)
		}
	}
}

func usingCost(limit string, cost uint32) func(*broker.Lane) { return usingKey(limit, "", cost) }

func usingKey(limit, key string, cost uint32) func(*broker.Lane) {
	return func(l *broker.Lane) { l.Limits = append(l.Limits, broker.Charge{Limit: limit, Key: key, Cost: cost}) }
}

// define defines a limit of queue "q", which must succeed.
func (r *rig) define(l broker.Limit) {
	r.Helper()
	if err := r.lanes().SetLimit(r.ctx, "q", l); err != nil {
		r.Fatalf("SetLimit(%+v): %v", l, err)
	}
}

// undefine removes the definition of a limit of queue "q", which must succeed.
func (r *rig) undefine(name, key string) {
	r.Helper()
	if err := r.lanes().RemoveLimit(r.ctx, "q", name, key); err != nil {
		r.Fatalf("RemoveLimit of %s %q: %v", name, key, err)
	}
}

// shut closes a limit of queue "q" for a time, which must succeed.
func (r *rig) shut(name, key string, d time.Duration) {
	r.Helper()
	if err := r.lanes().CloseLimit(r.ctx, "q", name, key, d); err != nil {
		r.Fatalf("CloseLimit of %s %q: %v", name, key, err)
	}
}

// weigh sets the weight of a key in queue "q", which must succeed.
func (r *rig) weigh(key string, weight int) {
	r.Helper()
	if err := r.lanes().SetWeight(r.ctx, "q", key, weight); err != nil {
		r.Fatalf("SetWeight(%q, %d): %v", key, weight, err)
	}
}

// resume resumes a sequence of queue "q", which must succeed.
func (r *rig) resume(sequence string) {
	r.Helper()
	if err := r.lanes().ResumeSequence(r.ctx, "q", sequence); err != nil {
		r.Fatalf("ResumeSequence: %v", err)
	}
}

// limits returns the definitions of a queue.
func (r *rig) limits(queue string) []broker.LimitInfo {
	r.Helper()
	infos, err := r.lanes().LimitsIn(r.ctx, queue)
	if err != nil {
		r.Fatalf("LimitsIn: %v", err)
	}
	return infos
}

// info returns a definition in queue "q".
func (r *rig) info(name, key string) broker.LimitInfo {
	r.Helper()
	for _, info := range r.limits("q") {
		if info.Name == name && info.Key == key {
			return info
		}
	}
	r.Fatalf("LimitsIn does not return the limit %s with key %q", name, key)
	return broker.LimitInfo{}
}

// inUse checks what the tasks that consumers hold use of a limit of queue "q" without a key.
func (r *rig) inUse(name string, want int) {
	r.Helper()
	if got := r.info(name, "").InUse; got != want {
		r.Fatalf("LimitsIn says that %d of limit %s is in use, want %d", got, name, want)
	}
}

// definitions checks what LimitsIn returns of a queue, without the use.
func (r *rig) definitions(queue string, want ...broker.Limit) {
	r.Helper()
	var got []broker.Limit
	for _, info := range r.limits(queue) {
		got = append(got, info.Limit)
	}
	if !slices.Equal(got, want) {
		r.Fatalf("LimitsIn returned the definitions %+v, want %+v", got, want)
	}
}

// next takes one task after the other, and checks that they come in this order. It settles each as
// succeeded before it takes the next.
func (m *minion) next(tasks ...*broker.Task) {
	m.r.Helper()
	for i, task := range tasks {
		d := m.take1()
		if d.ID != task.ID {
			m.r.Fatalf("task %d of %d is %s with the lane %+v, want %s with %+v", i, len(tasks), d.ID, d.Lane, task.ID, task.Lane)
		}
		m.settle(m.succeed(d))
	}
}

// gets takes one task, and checks that it is this one.
func (m *minion) gets(task *broker.Task) *broker.Delivery {
	m.r.Helper()
	d := m.take1()
	if d.ID != task.ID {
		m.r.Fatalf("task %s with the lane %+v was handed out, want %s with %+v", d.ID, d.Lane, task.ID, task.Lane)
	}
	return d
}

// shares takes n tasks one by one, ends each, and counts them by what of returns.
func (m *minion) shares(n int, of func(d *broker.Delivery) string) map[string]int {
	m.r.Helper()
	counts := map[string]int{}
	for range n {
		d := m.take1()
		counts[of(d)]++
		m.settle(m.succeed(d))
	}
	return counts
}

// ofKey names the key of a task, or "plain".
func ofKey(d *broker.Delivery) string {
	if d.Lane == nil {
		return "plain"
	}
	return fmt.Sprintf("key %q", d.Lane.Key)
}

// ofPriority names the priority of a task.
func ofPriority(d *broker.Delivery) string { return fmt.Sprint(d.Lane.Priority) }

// near checks counts, which may differ by up to off.
func (r *rig) near(got map[string]int, off int, want map[string]int) {
	r.Helper()
	for what, n := range want {
		if got[what] < n-off || got[what] > n+off {
			r.Fatalf("the tasks that were handed out are %v, want about %v", got, want)
		}
	}
	for what := range got {
		if _, ok := want[what]; !ok {
			r.Fatalf("the tasks that were handed out are %v, want about %v", got, want)
		}
	}
}
