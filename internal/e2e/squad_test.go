//go:build unix

package e2e

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/internal/proc"
	"github.com/go-arbiter/arbiter/internal/redistest"
	"github.com/go-arbiter/arbiter/internal/testform"
	"github.com/go-arbiter/arbiter/task"
)

var squadCount = flag.Int("squads", testform.Pick(40, 400), "how many squads race in TestSquadRace")

// rivals are the processes that send squads.
var rivals = testform.Pick(4, 8)

// garrison starts minions with ten slots in all: 4 of queue a, 3 of queue b, and 3
// of both.
func (r *rig) garrison() {
	r.Helper()
	c := rivalConfig{config: r.cfg}
	for _, m := range []struct {
		slots  int
		queues []string
	}{{4, []string{"a"}}, {3, []string{"a", "b"}}, {3, []string{"b"}}} {
		c.Slots, c.Queues = m.slots, m.queues
		proc.Start(r, "garrison", c).WaitFor(r, "ready\n")
	}
	r.workers(3)
}

// rival starts a process that sends squads.
func (r *rig) rival(i, squads, atOnce int, wait time.Duration) *proc.Process {
	r.Helper()
	c := rivalConfig{config: r.cfg, Name: fmt.Sprint("rival", i), Squads: squads, AtOnce: atOnce, Wait: wait}
	p := proc.Start(r, "rival", c)
	p.WaitFor(r, "ready\n")
	return p
}

// squadsRun checks the ledger: no more than ten members ran at a time, each once,
// and no squad in part. It returns the sizes of the squads that ran.
func (r *rig) squadsRun() map[string]int {
	r.Helper()
	running, most := 0, 0
	sizes := make(map[string]int)
	started := make(map[string]map[string]bool)
	for _, e := range r.cfg.Ledger.read(r) {
		what, name, _ := strings.Cut(e.Event, "/")
		if what == "end" {
			running--
			continue
		}
		running++
		most = max(most, running)
		var size int
		name, text, _ := strings.Cut(name, "/")
		if _, err := fmt.Sscan(text, &size); err != nil {
			r.Fatal(err)
		}
		if started[name] == nil {
			started[name] = make(map[string]bool)
		}
		if started[name][e.ID] {
			r.Errorf("squad %s: member %s was started twice", name, e.ID)
		}
		started[name][e.ID], sizes[name] = true, size
	}
	for name, ids := range started {
		if len(ids) != sizes[name] {
			r.Errorf("squad %s: %d of %d members were started", name, len(ids), sizes[name])
		}
	}
	if most > 10 || running != 0 {
		r.Errorf("%d members ran at a time, %d do not end", most, running)
	}
	r.Logf("%d squads ran, at most %d members at a time", len(started), most)
	return sizes
}

// allFree checks that all ten slots are free, or are soon.
func (r *rig) allFree() {
	r.Helper()
	var calls []task.Bound
	for i := range 10 {
		q := "a"
		if i >= 5 {
			q = "b"
		}
		calls = append(calls, memberOf("last", q, 10))
	}
	g, err := r.arb.Squad(r.Context(), calls, arbiter.WaitForWorkers(patience))
	if err == nil {
		err = g.Result(r.Context(), nil)
	}
	if err != nil {
		r.Errorf("a squad of all slots: %v", err)
	}
}

// Squads race for ten slots from several processes: never more than ten members
// run, no squad runs in part, and none is stuck.
func TestSquadRace(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	r.garrison()
	began := time.Now()
	var all []*proc.Process
	for i := range rivals {
		all = append(all, r.rival(i, *squadCount/rivals, 5, 10*time.Minute))
	}
	ran := 0
	for _, p := range all {
		if status := p.Wait(t); status != 0 {
			t.Errorf("a rival ended with status %d", status)
		}
		ran += strings.Count(p.Output(), "ran ")
	}
	r.allFree()
	if n := len(r.squadsRun()) - 1; ran != *squadCount/rivals*rivals || n != ran {
		t.Errorf("%d squads have ended, %d ran, want %d", ran, n, *squadCount/rivals*rivals)
	}
	t.Logf("%d squads in %v", ran, time.Since(began).Round(time.Millisecond))
}

// The same for squads that do not wait: some are refused.
func TestSquadRush(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	r.garrison()
	var all []*proc.Process
	for i := range rivals {
		all = append(all, r.rival(i, *squadCount/rivals, 2, 0))
	}
	ran, short := 0, 0
	for _, p := range all {
		if status := p.Wait(t); status != 0 {
			t.Errorf("a rival ended with status %d", status)
		}
		ran += strings.Count(p.Output(), "ran ")
		short += strings.Count(p.Output(), "short ")
	}
	r.allFree()
	if n := len(r.squadsRun()) - 1; n != ran || ran+short != *squadCount/rivals*rivals || ran == 0 {
		t.Errorf("%d squads have ended, %d ran, %d were refused", ran, n, short)
	}
	t.Logf("%d squads ran, %d were refused", ran, short)
}

// The same on a cluster, where the queues and each squad are in slots of their own.
func TestSquadsOnCluster(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	r := newRig(t, redistest.StartCluster(t, path, 3).URL())
	r.garrison()
	a, b := r.rival(0, 10, 3, time.Minute), r.rival(1, 10, 3, time.Minute)
	if a.Wait(t) != 0 || b.Wait(t) != 0 {
		t.Error("a rival has failed")
	}
	if n := len(r.squadsRun()); n != 20 {
		t.Errorf("%d squads ran", n)
	}
}

// Rivals are killed in the middle. What they left does not run in part, and keeps
// no slot.
func TestSquadRivalsKilled(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	r := newRig(t, redistest.Start(t, path).URL())
	r.garrison()
	for i := range testform.Pick(3, 6) {
		p := r.rival(i, 1000, 5, time.Minute)
		p.WaitFor(t, "ran ") // it is in the middle
		time.Sleep(time.Duration(37*i) * time.Millisecond)
		p.Kill()
	}
	r.allFree()
	r.eventually("all members have ended", func() bool {
		starts, ends := 0, 0
		for _, e := range r.cfg.Ledger.read(t) {
			if strings.HasPrefix(e.Event, "start") {
				starts++
			} else {
				ends++
			}
		}
		return starts == ends
	})
	r.squadsRun()
}
