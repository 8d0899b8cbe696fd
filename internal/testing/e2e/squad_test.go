//go:build unix

package e2e

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/task"
)

var squadCount = flag.Int("squads", testform.Pick(40, 400), "how many squads race in TestSquadRace")

// squadSenders is the number of processes that send squads.
var squadSenders = testform.Pick(4, 8)

// besideOthers lets a test run in parallel with others. In the long form so many processes send squads
// that they leave no processor time for the tests beside them, so there the test runs alone.
func besideOthers(t *testing.T) {
	if !testform.Long() {
		t.Parallel()
	}
}

// squadMinions starts three minions with ten slots together: 4 of queue a, 3 of queue b, and 3 of both
// queues.
func (r *rig) squadMinions() {
	r.Helper()
	c := squadConfig{config: r.cfg}
	for _, m := range []struct {
		slots  int
		queues []string
	}{{4, []string{"a"}}, {3, []string{"a", "b"}}, {3, []string{"b"}}} {
		c.Slots, c.Queues = m.slots, m.queues
		proc.Start(r, "squad minion", c).WaitFor(r, "ready\n")
	}
	r.workers(3)
}

// squadSender starts a process that sends squads.
func (r *rig) squadSender(i, squads, atOnce int, wait time.Duration) *proc.Process {
	r.Helper()
	c := squadConfig{config: r.cfg, Name: fmt.Sprint("sender", i), Squads: squads, AtOnce: atOnce, Wait: wait}
	p := proc.Start(r, "squad sender", c)
	p.WaitFor(r, "ready\n")
	return p
}

// squadsRun checks the ledger: no more than ten members ran at a time, each member once, and no
// squad in part. It returns the sizes of the squads that ran.
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
		r.Errorf("%d members ran at a time, want at most 10; %d have not ended", most, running)
	}
	r.Logf("%d squads ran, at most %d members at a time", len(started), most)
	return sizes
}

// allFree checks that all ten slots are free, at least after a short time.
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
		r.Errorf("a squad that needs all slots: %v", err)
	}
}

// Several processes send squads that race for ten slots. Never more than ten members run, no squad
// runs in part, and every squad ends.
func TestSquadRace(t *testing.T) {
	besideOthers(t)
	r, _ := onServer(t)
	if r == nil {
		return
	}
	r.squadMinions()
	began := time.Now()
	var all []*proc.Process
	for i := range squadSenders {
		all = append(all, r.squadSender(i, *squadCount/squadSenders, 5, 10*time.Minute))
	}
	ran := 0
	for _, p := range all {
		if status := p.Wait(t); status != 0 {
			t.Errorf("a process that sends squads ended with status %d", status)
		}
		ran += strings.Count(p.Output(), "ran ")
	}
	r.allFree()
	if n := len(r.squadsRun()) - 1; ran != *squadCount/squadSenders*squadSenders || n != ran {
		t.Errorf("%d squads have ended and %d ran, want %d", ran, n, *squadCount/squadSenders*squadSenders)
	}
	t.Logf("%d squads ran in %v", ran, time.Since(began).Round(time.Millisecond))
}

// The same with squads that do not wait. Some are refused.
func TestSquadRush(t *testing.T) {
	besideOthers(t)
	r, _ := onServer(t)
	if r == nil {
		return
	}
	r.squadMinions()
	var all []*proc.Process
	for i := range squadSenders {
		all = append(all, r.squadSender(i, *squadCount/squadSenders, 2, 0))
	}
	ran, short := 0, 0
	for _, p := range all {
		if status := p.Wait(t); status != 0 {
			t.Errorf("a process that sends squads ended with status %d", status)
		}
		ran += strings.Count(p.Output(), "ran ")
		short += strings.Count(p.Output(), "short ")
	}
	r.allFree()
	if n := len(r.squadsRun()) - 1; n != ran || ran+short != *squadCount/squadSenders*squadSenders || ran == 0 {
		t.Errorf("%d squads have ended, %d ran and %d were refused", ran, n, short)
	}
	t.Logf("%d squads ran, %d were refused", ran, short)
}

// The same on a cluster, where each queue and each squad has its own hash slot.
func TestSquadsOnCluster(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	r := newRig(t, redistest.StartCluster(t, path, 3).URL())
	r.squadMinions()
	a, b := r.squadSender(0, 10, 3, patience), r.squadSender(1, 10, 3, patience)
	if a.Wait(t) != 0 || b.Wait(t) != 0 {
		t.Error("a process that sends squads has failed")
	}
	if n := len(r.squadsRun()); n != 20 {
		t.Errorf("%d squads ran, want all", n)
	}
}

// Processes that send squads are killed in the middle. Their squads do not run in part, and hold no
// slot afterwards.
func TestSquadSendersKilled(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	r := newRig(t, redistest.Start(t, path).URL())
	r.squadMinions()
	for i := range testform.Pick(3, 6) {
		p := r.squadSender(i, 1000, 5, patience)
		p.WaitFor(t, "ran ") // it has sent some of its squads
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
