package client

import (
	"slices"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// A failure that arrived before anybody waited is looked up before it is returned, since the
// task may have been requeued. The same holds for any outcome of a task that was sent again.
func TestTableStale(t *testing.T) {
	now := time.Unix(0, 0)
	failure := wire.AppendOutcome(nil, &broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "first"}})
	second := &broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "second"}}
	for _, tt := range []struct {
		name  string
		first []byte
		again bool // it is sent again
		then  func(tab *table, id broker.ID, w *Watch)
		want  string // message of the failure, or the result
	}{
		{"it is the outcome", failure, false, func(tab *table, id broker.ID, _ *Watch) {
			o, _ := wire.ParseOutcome(failure)
			tab.found(id, &broker.Status{State: broker.StateFailed, Outcome: &o}, now)
		}, "first"},
		{"requeued, and failed again", failure, false, func(tab *table, id broker.ID, _ *Watch) {
			tab.found(id, &broker.Status{State: broker.StateFailed, Outcome: second}, now)
		}, "second"},
		{"requeued, and done later", failure, false, func(tab *table, id broker.ID, w *Watch) {
			tab.found(id, &broker.Status{State: broker.StatePending}, now)
			if tab.giveKept(w); len(w.ready) > 0 {
				t.Error("an outdated failure was returned")
			}
			tab.deliver(id, written("done"), now)
		}, "done"},
		{"requeued, and pushed before it is looked up", failure, false, func(tab *table, id broker.ID, _ *Watch) {
			tab.deliver(id, written("done"), now)
		}, "done"},
		{"its outcome is not kept", failure, false, func(tab *table, id broker.ID, _ *Watch) {
			tab.found(id, &broker.Status{}, now)
		}, "first"},
		{"the wait ends before it is looked up", failure, false, func(tab *table, _ broker.ID, w *Watch) { tab.giveKept(w) }, "first"},
		{"sent again, and a new task", written("old"), true, func(tab *table, id broker.ID, _ *Watch) {
			tab.found(id, &broker.Status{State: broker.StateRunning}, now)
			tab.deliver(id, written("new"), now)
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
		tab.deliver(id, tt.first, now)
		if tt.again {
			tab.expect(id, "t", "q", true, now)
			tab.sent(id, true, now)
		}
		if _, ok := tab.take(id); ok {
			t.Errorf("%s: the first outcome was returned without a look-up", tt.name)
			continue
		}
		tab.wait(id, w, now)
		if ids := tab.due(nil, 1, now, false); len(ids) != 1 {
			t.Errorf("%s: it is not looked up at once", tt.name)
		}
		tt.then(tab, id, w)
		if len(w.ready) != 1 {
			t.Errorf("%s: %d completions", tt.name, len(w.ready))
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
		if tab.entries.len() != 0 || tab.bytes != 0 {
			t.Errorf("%s: %d entries and %d bytes are left", tt.name, tab.entries.len(), tab.bytes)
		}
	}

	// Neither a group nor a task that did not fail can be requeued.
	tab, _ := testTable()
	for _, record := range [][]byte{written("x"), wire.AppendOutcome(nil, &broker.Outcome{State: broker.StateExpired})} {
		id := newID()
		tab.expect(id, "t", "q", false, now)
		tab.deliver(id, record, now)
		if _, ok := tab.take(id); !ok {
			t.Error("an outcome that can't change was not returned")
		}
	}
	group := broker.NewID(broker.KindGroup, "", 0)
	tab.expect(group, "", "", false, now)
	tab.deliver(group, failure, now)
	if _, ok := tab.take(group); !ok {
		t.Error("the failure of a group was not returned")
	}
}

// The push of a failure may arrive after a requeue that the waiting goroutine knows of. So a
// failure is looked up even if somebody waits for it. Any other outcome is returned at once.
func TestTableStaleWhileAwaited(t *testing.T) {
	now := time.Unix(0, 0)
	failure := &broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "first"}}
	record := wire.AppendOutcome(nil, failure)
	canceled := wire.AppendOutcome(nil, &broker.Outcome{State: broker.StateCanceled})
	running := &broker.Status{State: broker.StateRunning}
	failed := &broker.Status{State: broker.StateFailed, Outcome: failure}
	for _, tt := range []struct {
		name     string
		lossless bool // the broker loses no push
		then     func(tab *table, id broker.ID, due func() int)
		arrives  bool // the wait gets an outcome
		looks    bool // the task is to be looked up
	}{
		{"a success", false, func(tab *table, id broker.ID, _ func() int) { tab.deliver(id, written("x"), now) }, true, false},
		{"canceled", false, func(tab *table, id broker.ID, _ func() int) { tab.deliver(id, canceled, now) }, true, false},
		{"a failure", false, func(tab *table, id broker.ID, _ func() int) { tab.deliver(id, record, now) }, false, true},
		{"a failure that counts", false, func(tab *table, id broker.ID, due func() int) {
			tab.deliver(id, record, now)
			due()
			tab.found(id, failed, now)
		}, true, false},
		{"a failure of before a requeue", true, func(tab *table, id broker.ID, due func() int) {
			tab.deliver(id, record, now)
			due()
			tab.found(id, running, now)
		}, false, false},
		{"a failure that came after the question", true, func(tab *table, id broker.ID, due func() int) {
			tab.gap(now)
			tab.move(tab.entries.get(id), levelNow, now)
			due()
			tab.deliver(id, record, now)
			tab.found(id, running, now)
		}, false, true},
		{"a wait that began after the question", false, func(tab *table, id broker.ID, due func() int) {
			tab.move(tab.entries.get(id), levelNow, now)
			due()
			tab.wait(id, newWatch(nil), now)
			tab.found(id, failed, now)
		}, false, true},
	} {
		tab, c := testTable()
		tab.lossless = tt.lossless
		id, w := newID(), newWatch(c)
		w.ids = []broker.ID{id}
		tab.expect(id, "t", "q", false, now)
		tab.sent(id, true, now)
		tab.wait(id, w, now)
		due := func() int { return len(tab.due(nil, 10, now, false)) }
		tt.then(tab, id, due)
		if arrived := len(w.ready) == 1; arrived != tt.arrives {
			t.Errorf("%s: arrived: %t, want %t", tt.name, arrived, tt.arrives)
		}
		if looks := due() == 1; looks != tt.looks {
			t.Errorf("%s: to be looked up: %t, want %t", tt.name, looks, tt.looks)
		}
	}
}

// Tasks that were canceled because of a failure arrive after it, whether somebody waited when
// they came or not, and also if their only record is the push.
func TestTableCauseBeforeEffect(t *testing.T) {
	now := time.Unix(0, 0)
	failure := &broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: "bad"}}
	records := [][]byte{
		wire.AppendOutcome(nil, failure),
		wire.AppendOutcome(nil, &broker.Outcome{State: broker.StateCanceled}),
		wire.AppendOutcome(nil, &broker.Outcome{State: broker.StateCanceled}),
	}
	found := []*broker.Status{
		{State: broker.StateFailed, Outcome: failure},
		{State: broker.StateCanceled, Outcome: &broker.Outcome{State: broker.StateCanceled}},
		{State: broker.StateUnknown},
	}
	for early := range len(records) + 1 { // this many come before somebody waits
		tab, c := testTable()
		w := newWatch(c)
		for range records {
			w.ids = append(w.ids, newID())
		}
		for i, id := range w.ids {
			tab.expect(id, "t", "q", false, now)
			tab.sent(id, true, now)
			if i < early {
				tab.deliver(id, records[i], now)
			}
		}
		for _, id := range w.ids {
			if a, ok := tab.take(id); ok {
				w.put(a)
			} else {
				tab.wait(id, w, now)
			}
		}
		for i := early; i < len(records); i++ {
			tab.deliver(w.ids[i], records[i], now)
		}
		if len(w.ready) > 0 {
			t.Errorf("%d were early: %d arrived before the failure", early, len(w.ready))
		}
		for _, id := range tab.due(nil, 10, now, false) {
			tab.found(id, found[slices.Index(w.ids, id)], now)
		}
		var got []broker.ID
		for _, a := range w.ready {
			got = append(got, a.ID)
		}
		if !slices.Equal(got, w.ids) {
			t.Errorf("%d were early: arrived in the order %v, want %v", early, got, w.ids)
		}
	}
}
