package client

import (
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A failure that nobody took is looked up before it is given: the task may have been
// requeued. So is whatever came of a task that was sent again.
func TestTableStale(t *testing.T) {
	now := time.Unix(0, 0)
	failure := broker.AppendOutcome(nil, &broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "first"}})
	second := &broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "second"}}
	for _, tt := range []struct {
		name  string
		first []byte
		again bool // it is sent again
		then  func(tab *table, id broker.ID, w *Watch)
		want  string // message of the failure, or the result
	}{
		{"it is the outcome", failure, false, func(tab *table, id broker.ID, _ *Watch) {
			o, _ := broker.ParseOutcome(failure)
			tab.found(id, &broker.Status{State: broker.StateFailed, Outcome: &o}, now)
		}, "first"},
		{"requeued, and failed again", failure, false, func(tab *table, id broker.ID, _ *Watch) {
			tab.found(id, &broker.Status{State: broker.StateFailed, Outcome: second}, now)
		}, "second"},
		{"requeued, and done later", failure, false, func(tab *table, id broker.ID, w *Watch) {
			tab.found(id, &broker.Status{State: broker.StatePending}, now)
			if tab.settle(w); len(w.ready) > 0 {
				t.Error("a failure was given that does not count any more")
			}
			tab.deliver(id, written("done"))
		}, "done"},
		{"requeued, and pushed before it is looked up", failure, false, func(tab *table, id broker.ID, _ *Watch) {
			tab.deliver(id, written("done"))
		}, "done"},
		{"its outcome is not kept", failure, false, func(tab *table, id broker.ID, _ *Watch) {
			tab.found(id, &broker.Status{}, now)
		}, "first"},
		{"the wait ends before it is looked up", failure, false, func(tab *table, _ broker.ID, w *Watch) { tab.settle(w) }, "first"},
		{"sent again, and a new task", written("old"), true, func(tab *table, id broker.ID, _ *Watch) {
			tab.found(id, &broker.Status{State: broker.StateRunning}, now)
			tab.deliver(id, written("new"))
		}, "new"},
		{"sent again, and the same", written("old"), true, func(tab *table, id broker.ID, _ *Watch) {
			tab.found(id, &broker.Status{State: broker.StateSucceeded, Outcome: succeeded("old")}, now)
		}, "old"},
	} {
		tab, c := testTable()
		id, w := newID(), newWatch(c)
		w.ids = []broker.ID{id}
		tab.expect(id, "t", "q", false, now)
		tab.sent(id, true, now)
		tab.deliver(id, tt.first)
		if tt.again {
			tab.expect(id, "t", "q", true, now)
			tab.sent(id, true, now)
		}
		if _, ok := tab.take(id); ok {
			t.Errorf("%s: what came first was given without a look", tt.name)
			continue
		}
		tab.wait(id, w, now)
		if ids := tab.due(nil, 1, now, false); len(ids) != 1 {
			t.Errorf("%s: it is not looked up at once", tt.name)
		}
		tt.then(tab, id, w)
		if len(w.ready) != 1 {
			t.Errorf("%s: %d arrivals", tt.name, len(w.ready))
			continue
		}
		a := w.ready[0]
		if a.read(); a.Outcome == nil {
			t.Errorf("%s: no outcome", tt.name)
			continue
		}
		got := string(a.Outcome.Result)
		if a.Outcome.Err != nil {
			got = a.Outcome.Err.Message
		}
		if got != tt.want {
			t.Errorf("%s: %q arrived, want %q", tt.name, got, tt.want)
		}
		if tab.entries.n != 0 || tab.bytes != 0 {
			t.Errorf("%s: %d entries and %d bytes are left", tt.name, tab.entries.n, tab.bytes)
		}
	}

	// Nobody can requeue what did not fail, nor a group.
	tab, _ := testTable()
	for _, record := range [][]byte{written("x"), broker.AppendOutcome(nil, &broker.Outcome{State: broker.StateExpired})} {
		id := newID()
		tab.expect(id, "t", "q", false, now)
		tab.deliver(id, record)
		if _, ok := tab.take(id); !ok {
			t.Error("an outcome that stays was not given")
		}
	}
	group := broker.NewID(broker.KindGroup, "", 0)
	tab.expect(group, "", "", false, now)
	tab.deliver(group, failure)
	if _, ok := tab.take(group); !ok {
		t.Error("the failure of a group was not given")
	}
}
