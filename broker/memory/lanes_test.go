package memory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/go-arbiter/arbiter/broker"
)

type ranking struct{ rank, index int32 }

func (r *ranking) before(other *ranking) bool { return r.rank < other.rank }
func (r *ranking) place() *int32              { return &r.index }

// The first value of a heap is a smallest one, whatever is done with the heap.
func TestRanked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var heap ranked[ranking, *ranking]
		var model []*ranking
		pick := func(t *rapid.T) int {
			if len(model) == 0 {
				v := &ranking{}
				heap.add(v)
				model = append(model, v)
			}
			return rapid.IntRange(0, len(model)-1).Draw(t, "which")
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "how many") {
					v := &ranking{rank: rapid.Int32Range(0, 30).Draw(t, "rank")}
					heap.add(v)
					model = append(model, v)
				}
			},
			"remove": func(t *rapid.T) {
				i := pick(t)
				heap.remove(model[i])
				if model[i].index != 0 {
					t.Fatalf("a value that was removed has the place %d", model[i].index)
				}
				model = slices.Delete(model, i, i+1)
			},
			"change": func(t *rapid.T) {
				v := model[pick(t)]
				v.rank = rapid.Int32Range(0, 30).Draw(t, "rank")
				heap.fix(v)
			},
			"": func(t *rapid.T) {
				if heap.len() != len(model) {
					t.Fatalf("the heap has %d values, want %d", heap.len(), len(model))
				}
				for i, v := range heap.values {
					if v.index != int32(i+1) || i > 0 && v.before(heap.values[(i-1)/2]) {
						t.Fatalf("the value at index %d has the place %d", i, v.index)
					}
				}
				first := heap.first()
				if len(model) == 0 && first == nil {
					return
				}
				if least := slices.MinFunc(model, func(a, b *ranking) int { return cmp.Compare(a.rank, b.rank) }); first.rank != least.rank {
					t.Fatalf("the first value has the rank %d, want %d", first.rank, least.rank)
				}
			},
		})
	})
}

// lanesLeft counts what is left of lanes.
func lanesLeft(b *Broker, queue string) map[string]int {
	out := map[string]int{}
	add := func(what string, n int) {
		if n != 0 {
			out[what] += n
		}
	}
	q := b.known(queue)
	q.lock(b.clock.now())
	defer q.unlock()
	x := q.lanes
	if x == nil {
		return out
	}
	add("waiting tasks", x.waiting)
	add("open classes", x.opened)
	add("classes", x.classes.Len())
	add("sequences", x.sequences.Len())
	add("limits", len(x.limits))
	add("weights", len(x.weights))
	add("times", x.times.len())
	for i := range x.levels {
		add("keys", x.levels[i].keys.Len())
	}
	for _, l := range x.limits {
		add("definitions", len(l.rules))
		add("accounts", l.accounts.Len())
	}
	return out
}

func same(t *testing.T, got map[string]int, want string) {
	t.Helper()
	if s := fmt.Sprint(got); s != want {
		t.Errorf("what is left is %s, want %s", s, want)
	}
}

// When no task with a lane exists any more, only definitions and weights are left, and what a rate
// has still to remember. The queue is forgotten when these are gone.
func TestNothingOfLanesIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Lease(100 * time.Hour))
		defer func() { _ = b.Close() }()
		ctx := t.Context()
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		c, err := b.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 100})
		check(err)
		check(b.SetLimit(ctx, "q", broker.Limit{Name: "most", Most: 3}))
		check(b.SetLimit(ctx, "q", broker.Limit{Name: "rate", Rate: 60, Per: time.Minute, Burst: 5}))
		check(b.SetWeight(ctx, "q", "k3", 7))
		var tasks []*broker.Task
		for i := range 300 {
			x := &broker.Task{ID: broker.NewID(broker.KindTask, "q", 0), Name: "t", Queue: "q", Codec: "json", DeadFor: time.Hour}
			x.Lane = &broker.Lane{Priority: uint8(i % 10), Key: fmt.Sprint("k", i%7)}
			switch i % 5 {
			case 0:
				x.Lane.Sequence = fmt.Sprint("s", i%3)
			case 1:
				x.Lane.Limits = []broker.Charge{{Limit: "most", Cost: 1}, {Limit: "undefined", Key: fmt.Sprint(i), Cost: 2}}
			case 2:
				x.Lane.Limits = []broker.Charge{{Limit: "rate", Key: fmt.Sprint(i % 4), Cost: 1}, {Limit: "most", Key: "k", Cost: 1}}
			case 3:
				x.Delay = time.Duration(i) * time.Second
				x.Deadline = time.Duration(i) * 2 * time.Second
			}
			tasks = append(tasks, x)
		}
		check(b.Enqueue(ctx, tasks))
		check(b.CloseLimit(ctx, "q", "undefined", "1", 10*time.Minute))
		check(b.CloseLimit(ctx, "q", "nobody", "", 20*time.Hour))
		_, err = b.Cancel(ctx, []broker.ID{tasks[5].ID, tasks[11].ID, tasks[17].ID, tasks[23].ID})
		check(err)
		for idle, n := 0, 0; idle < 15; {
			got, err := c.Dequeue(ctx, []string{"q"}, 10, time.Minute)
			check(err)
			if len(got) == 0 {
				idle++
			}
			for _, d := range got {
				s := broker.Settlement{Delivery: d, Outcome: broker.Outcome{State: broker.StateSucceeded}}
				switch n++; n % 6 {
				case 1:
					s.Outcome.State, s.Outcome.Err = broker.StateFailed, &broker.Failure{Message: "no"}
				case 2:
					s = broker.Settlement{Delivery: d, Verb: broker.VerbRetry, Delay: time.Second}
				case 3:
					s = broker.Settlement{Delivery: d, Verb: broker.VerbGiveBack}
				}
				errs, err := c.Settle(ctx, []broker.Settlement{s})
				check(errors.Join(err, errs[0]))
			}
		}
		infos, err := b.Queues(ctx)
		check(err)
		if i := infos[0]; i.Pending+i.Running+i.Scheduled > 0 {
			t.Fatalf("the queue is %+v, want no task that has not ended", i)
		}
		same(t, lanesLeft(b, "q"), "map[accounts:1 definitions:2 limits:3 times:1 weights:1]") // one limit is still closed
		time.Sleep(20 * time.Hour)
		same(t, lanesLeft(b, "q"), "map[definitions:2 limits:2 weights:1]")
		check(b.RemoveLimit(ctx, "q", "most", ""))
		check(b.RemoveLimit(ctx, "q", "rate", ""))
		check(b.SetWeight(ctx, "q", "k3", 1))
		if b.known("q").lanes != nil {
			t.Errorf("the queue still has lanes")
		}
		check(c.Close(ctx))
		time.Sleep(4 * time.Hour)
		if b.known("q") != nil {
			t.Errorf("the queue is still known")
		}
	})
}

// A sequence that a failure has halted is remembered without a task, for the tasks that come later.
// So is a limit that is closed for long.
func TestHaltsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Lease(100 * time.Hour))
		defer func() { _ = b.Close() }()
		ctx := t.Context()
		dequeue := func(c broker.Consumer, want int) []*broker.Delivery {
			t.Helper()
			got, err := c.Dequeue(ctx, []string{"q"}, 10, 0)
			if err != nil || len(got) != want {
				t.Fatalf("%d tasks, %v, want %d", len(got), err, want)
			}
			return got
		}
		submit := func(l broker.Lane) {
			t.Helper()
			x := &broker.Task{ID: broker.NewID(broker.KindTask, "q", 0), Name: "t", Queue: "q", Lane: &l}
			if err := b.Enqueue(ctx, []*broker.Task{x}); err != nil {
				t.Fatal(err)
			}
		}
		consume := func() broker.Consumer {
			t.Helper()
			c, err := b.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		c := consume()
		submit(broker.Lane{Sequence: "s", StopOnFailure: true})
		s := broker.Settlement{Delivery: dequeue(c, 1)[0], Outcome: broker.Outcome{State: broker.StateExpired}}
		if errs, err := c.Settle(ctx, []broker.Settlement{s}); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		if err := b.CloseLimit(ctx, "q", "l", "", 60*time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Hour)
		c = consume()
		submit(broker.Lane{Sequence: "s"})
		submit(broker.Lane{Limits: []broker.Charge{{Limit: "l", Cost: 1}}})
		dequeue(c, 0)
		time.Sleep(10 * time.Hour)
		dequeue(c, 1)
		if err := b.ResumeSequence(ctx, "q", "s"); err != nil {
			t.Fatal(err)
		}
		dequeue(c, 1)
	})
}

// The burst and the rate of a limit hold exactly, also for rates that are no whole number of
// nanoseconds, and at times far from the start of the broker.
func TestRates(t *testing.T) {
	for _, tt := range []broker.Limit{
		{Rate: 3, Per: time.Second, Burst: 2},
		{Rate: 7, Per: time.Millisecond, Burst: 10},
		{Rate: 1, Per: 24 * time.Hour},
		{Rate: broker.MaxLimit, Per: broker.MaxDuration, Burst: 1},
	} {
		t.Run(fmt.Sprint(tt.Rate, " in ", tt.Per), func(t *testing.T) {
			a := &account{limit: &limit{}, rule: newRule(tt), full: point{at: longAgo}}
			start := instant(200 * 24 * time.Hour)
			now, sum := start, 0
			for i := range 5000 {
				cost := uint32(1 + i%min(tt.Bursts(), 3))
				now = max(now, a.freeAt(cost))
				if at := a.freeAt(cost); at > now {
					t.Fatalf("there is room at %v, which was said to come at %v", at, now)
				}
				a.take(cost, now)
				sum += int(cost)
				passed := float64(now - start)
				if most := float64(tt.Bursts()) + float64(tt.Rate)*passed/float64(tt.Per); float64(sum) > most+1e-6 {
					t.Fatalf("a cost of %d was handed out in %v, want at most %v", sum, time.Duration(passed), most)
				}
			}
			least := float64(sum-tt.Bursts()) * float64(tt.Per) / float64(tt.Rate)
			if passed := float64(now - start); passed > least*(1+1e-12)+2 {
				t.Errorf("a cost of %d took %v, want %v", sum, time.Duration(passed), time.Duration(least))
			}
		})
	}
}
