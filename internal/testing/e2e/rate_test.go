//go:build unix

package e2e

import (
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/limit"
	"github.com/go-arbiter/arbiter/task"
)

var rateFor = flag.Duration("rate.for", testform.Pick(2*time.Second, 10*time.Second), "for how long TestRate runs tasks")

// A rate holds for all minions of a queue together, in each window of time. Nearly all of it is used.
func TestRate(t *testing.T) {
	besideOthers(t)
	r, _ := onServer(t)
	if r == nil {
		return
	}
	const rate, burst, minions = 100, 20, 4
	if err := r.arb.SetLimit(t.Context(), task.DefaultQueue, limit.Rate("mail", rate, time.Second, limit.Burst(burst))); err != nil {
		t.Fatal(err)
	}
	var all []*proc.Process
	for range minions {
		all = append(all, r.process())
	}
	r.workers(minions)
	n := burst + int(rate*rateFor.Seconds())
	r.results(r.send(n, args{}, task.Limit("mail")))

	starts := make([]time.Time, 0, n)
	by := make(map[int]int)
	for _, l := range r.cfg.Ledger.read(t) {
		if l.Event == "start" {
			starts = append(starts, l.At)
			by[l.PID]++
		}
	}
	slices.SortFunc(starts, time.Time.Compare)
	if len(starts) != n {
		t.Fatalf("%d tasks have started, want %d", len(starts), n)
	}
	for _, p := range all {
		if by[p.PID] == 0 {
			t.Errorf("one of the minions has run nothing: %v", by)
		}
	}
	// A task starts some time after it was handed out, which counts for the limit. So a window in which
	// tasks start may be shorter by that time than the one in which they were handed out.
	late := r.busy.Late(50 * time.Millisecond)
	for i, from := range starts {
		for j := i; j < n; j++ {
			window := starts[j].Sub(from) + late
			if most := burst + 1 + int(window.Seconds()*rate); j-i+1 > most {
				t.Fatalf("%d tasks started within %v, want at most %d", j-i+1, starts[j].Sub(from), most)
			}
		}
	}
	took := starts[n-1].Sub(starts[0])
	t.Logf("%d tasks took %v, which is %.1f %% of the limit; by process: %v", n, took, 100*rateFor.Seconds()/took.Seconds(), by)
	if took > r.busy.Late(*rateFor*100/95) {
		t.Errorf("%d tasks took %v, so less than 95 %% of the limit was used", n, took)
	}
}
