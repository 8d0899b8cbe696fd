package memory

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/shrinkmap"
)

// Flows and arrivals free their memory: the members when they can no longer be found, and
// the rest when the id is forgotten, whether or not the flow has ended.
func TestFlowsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New()
		defer func() { _ = b.Close() }()
		const n = 200
		var flows []*broker.Flow
		for i := range n {
			f := &broker.Flow{
				ID: broker.NewID(broker.KindGroup, "", 0), Size: 2, Quorum: 1,
				Retention: []time.Duration{0, time.Minute, 3 * time.Hour, time.Hour}[i%4],
			}
			ids := []broker.ID{broker.NewID(broker.KindTask, "q", 0), broker.NewID(broker.KindTask, "q", 0)}
			if err := b.OpenFlow(t.Context(), f, 0, ids); err != nil {
				t.Fatal(err)
			}
			flows = append(flows, f)
			if i%4 == 3 { // does not end
				continue
			}
			if err := b.EndFlow(t.Context(), f.ID, &broker.Outcome{State: broker.StateSucceeded}); err != nil {
				t.Fatal(err)
			}
		}
		check := func(after time.Duration, wantFlows, wantParts, wantNotes int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			kept, parts, notes := 0, 0, 0
			for i := range b.index.shards {
				s := &b.index.shards[i]
				s.mu.Lock()
				kept += s.flows.Len()
				for _, f := range s.flows.All() {
					parts += len(f.parts)
				}
				for _, keys := range s.expiry.keys {
					for _, page := range *keys {
						notes += len(page)
					}
				}
				s.mu.Unlock()
			}
			if kept != wantFlows || parts != wantParts || notes > wantNotes {
				t.Errorf("%d flows, members of %d, %d notes; want %d, %d, at most %d", kept, parts, notes, wantFlows, wantParts, wantNotes)
			}
		}
		check(0, n, n*3/4, 2*n)
		check(3*time.Minute, n, n/2, 2*n)
		check(9*time.Minute, n/2, n/2, 2*n)
		check(50*time.Minute, n/2, n/2, n/2)
		check(2*time.Hour, n/4, n/4, n/4)
		check(broker.FlowPatience-24*time.Hour, n/4, n/4, n/4)
		check(2*24*time.Hour, 0, 0, 0)
		if _, err := b.LookupFlow(t.Context(), flows[3].ID); err == nil {
			t.Error("a flow was found that should have been forgotten")
		}
	})
}

// A large flow takes little more memory than its members, and a confirmed arrival takes
// none.
func TestLargeFlow(t *testing.T) {
	b := New()
	defer func() { _ = b.Close() }()
	const n = 20_000
	f := &broker.Flow{ID: broker.NewID(broker.KindGroup, "", 0), Size: n, Quorum: n, Retention: time.Hour}
	ids := make([]broker.ID, n)
	for i := range ids {
		ids[i] = broker.NewID(broker.KindTask, "q", 0)
	}
	for from := 0; from < n; from += broker.MaxBatch {
		if err := b.OpenFlow(t.Context(), f, from, ids[from:from+broker.MaxBatch]); err != nil {
			t.Fatal(err)
		}
	}
	stored := b.index.shard(f.ID).flow(f.ID, b.clock.now())
	room := 0
	for _, part := range stored.parts {
		room += cap(part)
	}
	if room > n+memberPart {
		t.Errorf("room for %d members, there are %d", room, n)
	}
	q := b.queue("q")
	for from := 0; from < n; from += broker.MaxBatch {
		tasks := make([]*broker.Task, broker.MaxBatch)
		for i := range tasks {
			tasks[i] = &broker.Task{
				ID: ids[from+i], Name: "t", Queue: "q", Flow: broker.TaskFlow{ID: f.ID, Step: uint32(from + i), Blocked: true}, Retention: time.Hour,
			}
		}
		if err := b.Enqueue(t.Context(), tasks); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Cancel(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
	for q.arrivals.Len() > 0 {
		all, err := b.Arrivals(t.Context(), "", broker.MaxBatch)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Arrive(t.Context(), f.ID, all); err != nil {
			t.Fatal(err)
		}
		if err := b.Confirm(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.LookupFlow(t.Context(), f.ID)
	if err != nil || p.Failed != n {
		t.Fatalf("%+v, %v; want %d that failed", p, err, n)
	}
	if q.arrivals.Peak() > 2*shrinkmap.Slack || q.scheduled.Len() != 0 || q.orphans.Load() != 0 {
		t.Errorf("after all were confirmed: a table of %d arrivals, %d asleep, %d orphans", q.arrivals.Peak(), q.scheduled.Len(), q.orphans.Load())
	}
}
