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
// value. A program that fails while the machine stalls runs again, as other tests
// do.
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
		var stalled time.Duration
		for try := 1; ; try++ {
			cfg.guarded(t, func(t *testing.T, cfg Config) { fault, stalled = runProgram(t, cfg, program) })
			if fault == "" || stalled < spoils || try == tries {
				break
			}
			t.Logf("the machine stalled for %v, so the program runs again. It failed:\n%s", stalled, fault)
		}
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
// is a fault, and the longest stall of the machine meanwhile.
func runProgram(t testing.TB, cfg Config, program []op) (fault string, stalled time.Duration) {
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
		stalled = r.stalled()
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
	return "", 0 // the stall is set above
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
