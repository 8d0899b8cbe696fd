//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// spin is a task whose handler computes without a pause until its process is killed.
var spin = task.Define[args, answer]("spin")

// starvedRole is a minion on one processor. The handlers in all its slots compute.
func starvedRole(ctx context.Context, text json.RawMessage) error {
	runtime.GOMAXPROCS(1)
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	b, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	m, err := minion.New(b, minion.Logger(log), minion.DrainTimeout(0))
	if err != nil {
		return err
	}
	var spinning atomic.Int64
	err = task.Handle(m, spin, func(context.Context, args) (answer, error) {
		if spinning.Add(1) == int64(c.Slots) {
			fmt.Println("all compute")
		}
		for n := 0; ; n++ {
			if n < 0 { // never
				return answer{}, nil
			}
		}
	})
	if err != nil {
		return err
	}
	return m.Run(ctx, c.Slots)
}

// Handlers compute on the only processor. The minion keeps its lease all the same, and logs that
// its process is short of processor time. It does not report the broker as out of reach.
//
// This test is not parallel: other tests would take processor time from the minion and from the
// broker.
func TestStarvedMinion(t *testing.T) {
	// Each handler computes for 10 ms before the next goroutine runs. If a heartbeat had to wait
	// for all handlers twice, for example for two replies, it would be too late in both forms.
	forms := []starved{{lease: time.Second, slots: 24}}
	if raceDetector {
		// With the race detector a heartbeat needs more time than is left of a 10 ms slice when its
		// goroutine wakes up. So it has to wait for its turn at times.
		forms[0] = starved{lease: 2500 * time.Millisecond, slots: 30}
	}
	if testform.Long() {
		forms = append(forms, starved{lease: redis.DefaultLease, slots: 300})
	}
	addr := miniredis.RunT(t).Addr()
	for _, f := range forms {
		t.Run(f.lease.String(), func(t *testing.T) {
			// If the machine gives the minion less than one processor, or lets the broker wait, the
			// lease may end for that reason. Then the test tries again.
			const tries = 4
			for try := 1; try <= tries; try++ {
				// Each try has its own namespace. For tasks of an earlier try the minion would
				// record starts, and these requests would wait for their turn.
				f.namespace = fmt.Sprintf("%s-%d", namespace(t), try)
				r := newRig(t, "redis://"+addr, redis.Lease(f.lease), redis.Namespace(f.namespace))
				got := r.starve(f)
				fair := got.share > 0.9 && got.slowest < f.lease/10
				lost := strings.Contains(got.out, "lease lost")
				unreachable := strings.Contains(got.out, "broker out of reach")
				switch {
				case !lost && !unreachable:
					return
				case fair && unreachable:
					t.Fatalf("the minion reports the broker as out of reach:\n%s", got.out)
				case fair:
					t.Fatalf("the minion has lost its lease:\n%s", got.out)
				}
				t.Logf("try %d does not count: the minion had %.2f of a processor, and the broker took %v for one answer",
					try, got.share, got.slowest)
			}
		})
	}
}

// starved is the configuration of such a minion.
type starved struct {
	lease     time.Duration
	slots     int
	namespace string
}

// observed is what the test has seen of a starved minion and of its machine.
type observed struct {
	out     string        // the output of the minion
	share   float64       // the part of the time in which the minion had a processor
	slowest time.Duration // the longest time that the broker took to answer this process
}

var ownDelay = regexp.MustCompile(`msg="this process is short of processor time[^"]*" delay=\S*[1-9]`)

// starve runs a minion whose handlers compute, until its lease was renewed for longer than it lasts
// and the delay was logged, or until the lease was lost.
func (r *rig) starve(f starved) (got observed) {
	calls := make([]task.Call[answer], f.slots)
	for i := range calls {
		calls[i] = spin.Bind(args{})
	}
	if _, err := task.SendAll(r.Context(), r.arb, calls...); err != nil {
		r.Fatal(err)
	}
	start := time.Now()
	p := proc.Start(r, "starved", config{URL: r.cfg.URL, Namespace: f.namespace, Lease: f.lease, Slots: f.slots})
	defer p.Kill()
	var began time.Time // the last heartbeat before all slots were in use
	r.eventually("the minion kept its lease and logged its delay, or lost its lease", func() bool {
		asked := time.Now()
		beat := r.minionBeat()
		got.slowest = max(got.slowest, time.Since(asked))
		got.out = p.Output()
		if began.IsZero() && strings.Contains(got.out, "all compute\n") {
			began = beat
		}
		kept := !began.IsZero() && beat.Sub(began) > f.lease && ownDelay.MatchString(got.out)
		return kept || strings.Contains(got.out, "lease lost")
	})
	p.Kill()
	got.share = float64(p.CPU()) / float64(time.Since(start))
	return got
}

// minionBeat returns the time of the last heartbeat of the minion that started last.
func (r *rig) minionBeat() time.Time {
	all, err := r.b.Minions(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	var last broker.MinionInfo
	for _, m := range all {
		if m.Started.After(last.Started) {
			last = m
		}
	}
	return last.Beat
}
