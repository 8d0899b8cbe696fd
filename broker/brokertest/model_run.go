package brokertest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/go-arbiter/arbiter/broker"
)

// runModel compares a broker with the model over random programs. Rapid runs
// outside of bubbles, a program inside of one, and its fault comes out as a
// value.
func runModel(t *testing.T, cfg Config) {
	budget := cfg.ModelTime
	if budget == 0 {
		budget = 2 * time.Second
	}
	var spent time.Duration
	runs, found := 0, false
	rapid.Check(t, func(rt *rapid.T) {
		var program []op // of several parts, or most would be short
		for range 8 {
			program = append(program, rapid.SliceOfN(rapid.Custom(drawOp), 0, 12).Draw(rt, "part")...)
		}
		if spent > budget && !found { // once there is a fault, shrinking takes its time
			return
		}
		start := time.Now()
		var fault string
		cfg.guarded(t, func(t *testing.T, cfg Config) { fault = runProgram(t, cfg, program) })
		spent += time.Since(start)
		runs++
		if fault != "" {
			found = true
			rt.Fatalf("%s", fault)
		}
	})
	t.Logf("%d programs", runs)
}

// runProgram runs a program on a fresh broker and returns its history if there
// is a fault.
func runProgram(t testing.TB, cfg Config, program []op) (fault string) {
	c := &catcher{TB: t}
	ctx, cancel := context.WithCancel(t.Context())
	defer c.cleanup()
	defer cancel()
	r := rigOn(c, ctx, cfg)
	x := &execution{
		rig:   r,
		model: &model{ready: map[string][]*mtask{}, slack: r.Slack, strict: cfg.Bubble != nil},
		byID:  map[broker.ID]*mtask{},
		mail:  r.mail(),
		open:  make([]*minion, len(opNames)),
	}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case fatal:
			fault = fmt.Sprintf("%s\n     %s", &x.account, p)
		default:
			panic(p)
		}
	}()
	if _, ok := can[broker.Flows](r.Broker); ok {
		x.flow = broker.NewID(broker.KindGroup, "", 0)
	}
	x.janitor = r.minion("a", "b")
	for _, o := range program {
		x.step(o)
	}
	x.finish()
	return ""
}

// catcher is a testing.TB that turns a failure into a panic with its text, and
// cleans up when it is told to.
type catcher struct {
	testing.TB
	cleanups []func()
}

type fatal string

func (c *catcher) Fatalf(format string, args ...any) { panic(fatal(fmt.Sprintf(format, args...))) }

func (c *catcher) Cleanup(fn func()) { c.cleanups = append(c.cleanups, fn) }

func (c *catcher) cleanup() {
	for _, fn := range slices.Backward(c.cleanups) {
		fn()
	}
}

// execution is a program at work on a broker and the model.
type execution struct {
	*rig
	account account
	model   *model
	byID    map[broker.ID]*mtask
	mail    *mailbox
	flow    broker.ID // whose members some tasks are; zero if the broker has no Flows
	janitor *minion   // serves every queue, but takes nothing: it buries the dead
	open    []*minion // by name; nil is closed
	hands   []*hand   // everything that was ever handed out
}

// hand is a delivery in the hands of a minion.
type hand struct {
	*broker.Delivery
	to   *minion
	task *mtask
	gone bool // the minion closed or died
	done *broker.Settlement
}
