//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/task"
)

// groupsRole sends groups with callback and finalizer, and waits until it is killed.
func groupsRole(ctx context.Context, text json.RawMessage) error {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	b, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	arb, err := arbiter.New(b, arbiter.Logger(log))
	if err != nil {
		return err
	}
	for i := range c.Tasks {
		g, err := arb.Group(ctx, members(i), arbiter.Callback(work.Bind(args{N: 1000 + i})), arbiter.Finalizer(work.Bind(args{N: 2000 + i}), 0))
		if err != nil {
			return err
		}
		fmt.Printf("group %s\n", g.ID())
	}
	fmt.Println("sent")
	<-ctx.Done()
	return nil
}

// membersOf is the number of members of each group.
const membersOf = 5

func members(i int) []task.Bound {
	var calls []task.Bound
	for k := range membersOf {
		calls = append(calls, work.Bind(args{N: i*membersOf + k, For: 50 * time.Millisecond}))
	}
	return calls
}

// groupsOf starts groupsRole, kills it when it has sent its groups, and returns their ids.
func groupsOf(r *rig, n int) (ids []task.ID) {
	r.Helper()
	c := r.cfg
	c.Tasks = n
	p := proc.Start(r, "groups", c)
	p.WaitFor(r, "sent\n")
	p.Kill()
	for line := range strings.Lines(p.Output()) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "group "); ok {
			id, err := task.ParseID(text)
			if err != nil {
				r.Fatal(err)
			}
			ids = append(ids, id)
		}
	}
	if len(ids) != n {
		r.Fatalf("%d groups were sent, want %d", len(ids), n)
	}
	return ids
}

// ended checks that a group has ended, that all of it has succeeded, and that callback and
// finalizer have started no more often than allowed.
func ended(r *rig, id task.ID, starts map[string][]line) {
	r.Helper()
	st, err := r.arb.Status(r.Context(), id)
	if err != nil || st.Flow == nil || st.Flow.Callback == nil || st.Flow.Finalizer == nil {
		r.Fatalf("status of group %s: %+v, %v", id, st, err)
	}
	if st.Flow.Succeeded != membersOf || st.State != broker.StateSucceeded {
		r.Errorf("group %s has %s, and %d of its members have succeeded", id, st.State, st.Flow.Succeeded)
	}
	for what, s := range map[string]*arbiter.Status{"callback": st.Flow.Callback, "finalizer": st.Flow.Finalizer} {
		if s.State != broker.StateSucceeded || len(starts[s.ID.String()]) == 0 {
			r.Errorf("the %s of group %s has %s and was started %d times", what, id, s.State, len(starts[s.ID.String()]))
		}
	}
}

func allEnded(r *rig, ids []task.ID) {
	r.Helper()
	r.eventually("all groups have ended", func() bool {
		for _, id := range ids {
			if st, err := r.arb.Status(r.Context(), id); err != nil || !st.State.Final() {
				return false
			}
		}
		return true
	})
}

// The arbiter is killed right after it has sent groups. Members, callbacks and finalizers run all
// the same, each once.
func TestGroupsWithoutTheirArbiter(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	const n = 10
	ids := groupsOf(r, n)
	r.minion()
	allEnded(r, ids)
	r.cfg.Ledger.once(t, n*(membersOf+2))
	starts := r.cfg.Ledger.check(t)
	for _, id := range ids {
		ended(r, id, starts)
	}
}

// All minions are killed again and again while groups run, and new minions start. Each callback and
// each finalizer has one result, and no attempt starts twice.
func TestGroupsWithoutTheirMinions(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	const n = 20
	ids := groupsOf(r, n)
	for round := range 3 {
		var crew []*proc.Process
		for range 2 {
			crew = append(crew, r.process(func(c *config) { c.Slots = 4 }))
		}
		want := (round + 1) * n * membersOf / 6
		r.eventually("the minions have started enough tasks", func() bool { return r.cfg.Ledger.starts(r, 0) >= want })
		for _, p := range crew {
			p.Kill()
		}
	}
	r.minion()
	allEnded(r, ids)
	starts := r.cfg.Ledger.check(t)
	for _, id := range ids {
		ended(r, id, starts)
	}
	if len(starts) != n*(membersOf+2) {
		t.Errorf("%d tasks were started, want %d", len(starts), n*(membersOf+2))
	}
}
