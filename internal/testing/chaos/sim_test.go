//go:build unix

package chaos

import (
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

var seeds = flag.Uint64("seeds", testform.Pick[uint64](50, 600), "the number of seeds of TestSimulation, beginning with -seed; one if only -seed is given")

// given reports whether a flag was on the command line.
func given(name string) (yes bool) {
	flag.Visit(func(f *flag.Flag) { yes = yes || f.Name == name })
	return yes
}

// The whole system runs on the broker in memory, in one bubble for each seed. Requests and
// processes are struck at every step, and the checker finds no broken rule. A seed that fails
// prints its history.
func TestSimulation(t *testing.T) {
	n := *seeds
	alone := given("seed") && !given("seeds")
	if alone {
		n = 1
	}
	began := time.Now()
	var mu sync.Mutex
	var tasks, attempts, hits int
	t.Run("seeds", func(t *testing.T) {
		for s := *seed; s < *seed+n; s++ {
			t.Run(fmt.Sprint(s), func(t *testing.T) {
				t.Parallel()
				w, report := simulate(t, s, func() broker.Broker { return memory.New(memory.Lease(lease)) })
				mu.Lock()
				defer mu.Unlock()
				tasks, attempts, hits = tasks+report.Tasks, attempts+report.Attempts, hits+report.h.total()
				if bad := w.failed(report); bad {
					t.Errorf("%s", w.story(report))
				} else if alone {
					t.Logf("%s", w.story(report))
				}
			})
		}
	})
	took := time.Since(began)
	t.Logf("%d seeds in %v, %.0f a minute: %d tasks, %d attempts, %d faults", n, took.Round(time.Millisecond),
		float64(n)/took.Minutes(), tasks, attempts, hits)
}

// simulate runs a seed in a bubble.
func simulate(t *testing.T, seed uint64, open func() broker.Broker) (w *world, report *Report) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		store := open()
		w = newWorld(seed, store)
		report = w.run()
		_ = store.Close()
	})
	return w, report
}

func (w *world) failed(r *Report) bool { return !r.Passed() || len(w.errs) > 0 }

// story returns the history of a run, and the command that repeats it.
func (w *world) story(r *Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: of 1000 requests %d fail before, %d fail after, %d are carried out twice, %d are slow\n",
		w.seed, w.rates.Before, w.rates.After, w.rates.Twice, w.rates.Slow)
	for _, f := range w.plan {
		fmt.Fprintln(&b, f)
	}
	b.WriteString(Tell(w.rec.Events()))
	for _, err := range w.errs {
		fmt.Fprintf(&b, "audit: %v\n", err)
	}
	fmt.Fprintf(&b, "%v\nrepeat it with: go test ./internal/testing/chaos -run TestSimulation -v -args -seed %d\n", r, w.seed)
	return b.String()
}

// total returns the number of all faults.
func (h *history) total() (n int) {
	for _, hits := range h.hits {
		n += hits
	}
	return n
}
