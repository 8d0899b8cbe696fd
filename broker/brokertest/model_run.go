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

// runModel compares a broker with the model over random programs. Rapid runs outside of bubbles,
// and each program runs inside of one. So a program returns its fault as a value. A program that
// fails while the machine stalls is repeated, like other tests.
func runModel(t *testing.T, cfg Config) {
	budget := cfg.ModelTime
	if budget == 0 {
		budget = 2 * time.Second
	}
	var spent time.Duration
	runs, found := 0, false
	rapid.Check(t, func(rt *rapid.T) {
		var program []op // drawn in several parts, because rapid mostly draws short slices
		for range 8 {
			program = append(program, rapid.SliceOfN(rapid.Custom(drawOp), 0, 12).Draw(rt, "part")...)
		}
		if spent > budget && !found { // after a fault, the time is not bounded, so that rapid can shrink the program
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
			t.Logf("the machine stalled for %v during this failure, so the program is repeated. The failure was:\n%s", stalled, fault)
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

// runProgram runs a program on a fresh broker. It returns the history if there is a fault, and the
// longest stall of the machine.
func runProgram(t testing.TB, cfg Config, program []op) (fault string, stalled time.Duration) {
	c := &catcher{TB: t}
	ctx, cancel := context.WithCancel(t.Context())
	defer c.cleanup()
	defer cancel()
	r := rigOn(ctx, c, cfg)
	x := &execution{
		rig:   r,
		model: &model{ready: map[string][]*mtask{}, keys: map[place]*mkey{}, slack: r.Slack, strict: cfg.Bubble != nil},
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
	_, x.ruled = can[broker.Uniques](r.Broker)
	x.janitor = r.minion("a", "b")
	for _, o := range program {
		x.step(o)
	}
	x.finish()
	return "", 0 // the deferred function has set the results
}

// catcher is a testing.TB that turns a failure into a panic with its text. It runs the clean-ups
// when cleanup is called.
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

// execution is a program that runs on a broker and on the model.
type execution struct {
	*rig
	account account
	model   *model
	byID    map[broker.ID]*mtask
	mail    *mailbox
	flow    broker.ID // some tasks are members of it; zero if the broker has no Flows
	ruled   bool      // the broker has Uniques
	janitor *minion   // serves every queue and takes no task; its heartbeats recover the tasks of dead minions
	open    []*minion // indexed by op.who; nil if closed
	hands   []*hand   // all deliveries so far
}

// hand is a delivery and the minion that got it.
type hand struct {
	*broker.Delivery
	to   *minion
	task *mtask
	left bool // the minion closed or died
	done *broker.Settlement
}
