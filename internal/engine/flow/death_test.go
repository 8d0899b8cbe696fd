package flow_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// group returns a group of the members.
func group(s request.GroupSettings, members ...task.Bound) task.Bound {
	requests := make([]*request.Request, len(members))
	for i, m := range members {
		requests[i] = m.Request()
	}
	return request.Group(requests, s)
}

// finals returns the settings of a group with finalizers.
func finals(n ...int) request.GroupSettings {
	requests := make([]*request.Request, len(n))
	for i := range n {
		requests[i] = num(n[i]).Request()
	}
	return request.GroupSettings{
		Finalizer: request.Group(requests, request.GroupSettings{}), Timeouts: make([]time.Duration, len(n)),
	}
}

// num returns a task whose result is n. It fails if n is negative.
func num(n int) task.Call[int] { return work.Bind(numArgs{n}) }

type callFunc = func() task.Bound

// script is a flow with its expected outcome and the tasks that have run by then.
type script struct {
	name string
	call callFunc
	want string
	ran  map[string]int
}

// scenarios are the flows that the tests of this package run under faults.
var scenarios = []script{
	{
		name: "pipe",
		call: func() task.Bound { return task.Then(task.Then(num(1), plus(10)), plus(100)) },
		want: `succeeded 111 ""`,
		ran:  map[string]int{"work 1": 1, "add 11": 1, "add 111": 1},
	},
	{
		name: "pipe that fails",
		call: func() task.Bound { return task.Then(task.Then(num(-1), plus(10)), plus(100)) },
		want: `failed <nil> "member 0 (work) failed: negative"`,
		ran:  map[string]int{"work -1": 1},
	},
	{
		name: "group with callback and finalizer in two queues",
		call: func() task.Bound {
			return group(request.GroupSettings{Quorum: 3, Callback: sum().Unbound(), Finalizer: num(7).Request()},
				num(1), other.Bind(numArgs{2}), num(3))
		},
		want: `succeeded 6 ""`,
		ran:  map[string]int{"work 1": 1, "work 2": 1, "work 3": 1, "sum 6": 1, "work 7": 1},
	},
	{
		name: "group that fails",
		call: func() task.Bound {
			return group(request.GroupSettings{Quorum: 2, Callback: sum().Unbound(), Finalizer: num(7).Request()},
				num(-1), task.Then(other.Bind(numArgs{2}), plus(1)))
		},
		want: `failed <nil> "member 0 (work) failed: negative"`,
		ran:  map[string]int{"work -1": 1, "work 2": 1, "work 7": 1}, // 2 is under way by then
	},
	{
		name: "group that collects",
		call: func() task.Bound {
			return group(request.GroupSettings{Callback: other.Bind(numArgs{9}).Request()}, num(-1), num(2))
		},
		want: `succeeded 9 ""`,
		ran:  map[string]int{"work -1": 1, "work 2": 1, "work 9": 1},
	},
	{
		name: "flows in flows",
		call: func() task.Bound {
			inner := task.Then(task.All(num(1), task.Then(num(2), plus(20))), sum())
			forked := task.Then(inner, task.Fork(plus(100), task.Chain(plus(200), plus(1000))))
			return group(request.GroupSettings{Quorum: 2, Callback: task.Chain(task.Fork(sum(), sum()), sum()).Unbound(), Finalizer: num(7).Request()},
				task.Then(forked, sum()), num(5))
		},
		want: `succeeded 2702 ""`,
		ran: map[string]int{
			"work 1": 1, "work 2": 1, "add 22": 1, "sum 23": 1, "add 123": 1, "add 223": 1, "add 1223": 1,
			"sum 1346": 1, "work 5": 1, "sum 1351": 2, "sum 2702": 1, "work 7": 1,
		},
	},
	{
		name: "group with several finalizers",
		call: func() task.Bound {
			s := finals(-7, 8, 9)
			s.Quorum, s.Callback = 1, sum().Unbound()
			return group(s, num(1))
		},
		want: `succeeded 1 ""`,
		ran:  map[string]int{"work 1": 1, "sum 1": 1, "work -7": 1, "work 8": 1, "work 9": 1},
	},
	{
		name: "group with several finalizers in one that fails",
		call: func() task.Bound {
			return group(finals(7, 8), num(-1), group(finals(9, 10), task.Then(num(-2), plus(1))))
		},
		want: `succeeded [<nil> [<nil>]] ""`,
		ran:  map[string]int{"work -1": 1, "work -2": 1, "work 7": 1, "work 8": 1, "work 9": 1, "work 10": 1},
	},
	{
		name: "empty group",
		call: func() task.Bound { return task.All[int]() },
		want: `succeeded [] ""`,
	},
	{
		name: "empty pipe",
		call: func() task.Bound { return request.Pipe(nil) },
		want: `succeeded <nil> ""`,
	},
	{
		name: "empty group with callback and finalizer",
		call: func() task.Bound {
			return group(request.GroupSettings{Callback: sum().Unbound(), Finalizer: num(7).Request()})
		},
		want: `succeeded 0 ""`,
		ran:  map[string]int{"sum 0": 1, "work 7": 1},
	},
	{
		name: "empty group with a finalizer",
		call: func() task.Bound { return group(request.GroupSettings{Finalizer: num(7).Request()}) },
		want: `succeeded [] ""`,
		ran:  map[string]int{"work 7": 1},
	},
	{
		name: "empty groups at each position of a pipe",
		call: func() task.Bound {
			first := task.Then(task.All[int](), sum())                // 0
			second := task.Then(first, task.Fork[int, int]())         // []
			third := task.Then(task.Then(second, sum()), plus(3))     // 3
			return task.Then(third, task.Fork(task.Fork[int, int]())) // [[]]
		},
		want: `succeeded [[]] ""`,
		ran:  map[string]int{"sum 0": 2, "add 3": 1},
	},
	{
		name: "empty groups as members and callbacks",
		call: func() task.Bound {
			inner := task.All(task.All[int](), task.All[int]())
			last := group(request.GroupSettings{Quorum: 1, Callback: task.Fork[[]any, int]().Unbound(), Finalizer: num(8).Request()}, task.All[int]())
			return group(request.GroupSettings{Quorum: 4, Callback: task.Chain(task.Fork[[]any, int](), sum()).Unbound(), Finalizer: num(7).Request()},
				inner, num(1), last, task.Then(num(2), task.Fork[int, int]()))
		},
		want: `succeeded 0 ""`,
		ran:  map[string]int{"work 1": 1, "work 2": 1, "work 8": 1, "sum 0": 1, "work 7": 1},
	},
	{
		name: "pipe that fails before empty groups",
		call: func() task.Bound {
			end := group(request.GroupSettings{Callback: sum().Unbound(), Finalizer: num(8).Request()})
			return group(request.GroupSettings{Finalizer: num(7).Request()},
				request.Pipe([]*request.Request{num(-1).Request(), task.All[int]().Request(), end.Request(), task.All(task.All[int]()).Request()}))
		},
		want: `succeeded [<nil>] ""`,
		ran:  map[string]int{"work -1": 1, "work 8": 1, "work 7": 1},
	},
}

// scenario returns the scenario with a name.
func scenario(name string) script {
	for _, s := range scenarios {
		if s.name == name {
			return s
		}
	}
	panic("no scenario " + name)
}

func TestScenarios(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 0, false)
				defer w.close()
				if got := text(w.outcome(w.send(s.call()))); got != s.want {
					t.Errorf("outcome %s, want %s", got, s.want)
				}
				w.same(s.ran)
			})
		})
	}
}

// If a driver dies before or after any of its calls, another one goes on. The outcome is the
// same, and no task runs twice.
func TestDeathAtEachCall(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			for _, after := range []bool{false, true} {
				for lethal := 1; ; lethal++ {
					died := false
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t, lethal, after)
						defer w.close()
						if got := text(w.outcome(w.send(s.call()))); got != s.want {
							t.Errorf("death at call %d (after it: %v): outcome %s, want %s", lethal, after, got, s.want)
						}
						w.same(s.ran)
						died = w.deaths > 0
					})
					if t.Failed() || !died {
						t.Logf("%d deaths", lethal-1)
						break
					}
				}
			}
		})
	}
}

// If the process of a kill dies at any of its calls, and the kill is done again, only the
// finalizers start after it, each once.
func TestKillDiesAtEachCall(t *testing.T) {
	for name, finals := range map[string][]string{
		"flows in flows":                                  {"work 7"},
		"group with several finalizers":                   {"work -7", "work 8", "work 9"},
		"group with several finalizers in one that fails": {"work 7", "work 8", "work 9", "work 10"},
		"empty groups as members and callbacks":           {"work 7", "work 8"},
		"pipe that fails before empty groups":             {"work 7", "work 8"},
	} {
		t.Run(name, func(t *testing.T) {
			for lethal := 1; ; lethal++ {
				died := false
				synctest.Test(t, func(t *testing.T) { died = killDies(t, name, finals, lethal) })
				if t.Failed() || !died && lethal > 10 {
					t.Logf("%d deaths", lethal-1)
					return
				}
			}
		})
	}
}

// killDies kills a scenario, with a death at call number lethal. died reports whether there
// were that many calls.
func killDies(t *testing.T, name string, finals []string, lethal int) (died bool) {
	w := newWorld(t, lethal, lethal%2 == 0)
	defer w.close()
	id := w.send(scenario(name).call())
	if lethal%3 > 0 { // not only at the beginning
		w.run()
	}
	before := w.ran
	for try := 0; ; try++ {
		err := w.driver.Kill(context.Background(), id, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, errDead) || try > 2 {
			t.Fatal(err)
		}
		died = true
		w.reborn()
	}
	w.ran = make(map[string]int)
	want := make(map[string]int)
	for _, f := range finals {
		w.ran[f] = before[f]
		want[f] = 1
	}
	if got := text(w.outcome(id)); got != `canceled <nil> ""` {
		t.Errorf("death at call %d: outcome %s", lethal, got)
	}
	w.same(want)
	return died
}
