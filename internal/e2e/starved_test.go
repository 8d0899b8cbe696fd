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
	"github.com/go-arbiter/arbiter/internal/proc"
	"github.com/go-arbiter/arbiter/internal/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// spin is a task whose handler computes without a pause, until its process is killed.
var spin = task.Define[args, answer]("spin")

// starvedRole is a minion on one processor, all of whose slots compute.
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
	m := minion.New(b, minion.Logger(log), minion.DrainTimeout(0))
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

// Handlers that compute on the only processor do not cost the minion its lease. It
// names its own delay, and does not blame the broker.
func TestStarvedMinion(t *testing.T) {
	t.Parallel()
	// Each handler computes for 10 ms until it is another one's turn. A heartbeat that
	// waited for its turn twice, as for two replies, would be too late in both forms.
	forms := []starved{{lease: time.Second, slots: 24}}
	if raceDetector {
		// A goroutine that wakes in the time of another one has what is left of its 10 ms.
		// With the race detector a heartbeat needs more, and waits for its turn at times.
		forms[0] = starved{lease: 2500 * time.Millisecond, slots: 30}
	}
	if testform.Long() {
		forms = append(forms, starved{lease: redis.DefaultLease, slots: 300})
	}
	addr := miniredis.RunT(t).Addr()
	for _, f := range forms {
		t.Run(f.lease.String(), func(t *testing.T) {
			t.Parallel()
			// A machine that gives the minion less than its one processor may end a lease,
			// too. That says nothing about the lease, but the broker is not blamed even so.
			for try := 1; ; try++ {
				// Each try has a namespace of its own: tasks that an earlier one left would
				// have the minion record their starts, by requests that wait for their turn.
				f.namespace = fmt.Sprintf("%s-%d", namespace(t), try)
				r := newRig(t, "redis://"+addr, redis.Lease(f.lease), redis.Namespace(f.namespace))
				out, share := r.starve(f)
				switch lost := strings.Contains(out, "lease lost"); {
				case strings.Contains(out, "broker out of reach"):
					t.Fatalf("the broker is blamed:\n%s", out)
				case lost && share > 0.9:
					t.Fatalf("the lease was lost:\n%s", out)
				case !lost || try == 3:
					return
				}
			}
		})
	}
}

// starved is a minion on one processor.
type starved struct {
	lease     time.Duration
	slots     int
	namespace string
}

var ownDelay = regexp.MustCompile(`msg="this process is short of processor time[^"]*" delay=\S*[1-9]`)

// starve runs a minion whose handlers compute. It returns what the minion said, and
// which part of the time it had a processor.
func (r *rig) starve(f starved) (out string, share float64) {
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
	p.WaitFor(r, "all compute\n")
	began := r.minionBeat()
	r.eventually("the lease is renewed for longer than it lasts and the delay is named, or it is lost", func() bool {
		out = p.Output()
		return r.minionBeat().Sub(began) > f.lease && ownDelay.MatchString(out) || strings.Contains(out, "lease lost")
	})
	p.Kill()
	return out, float64(p.CPU()) / float64(time.Since(start))
}

// minionBeat returns when the youngest minion was last heard of.
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
