package client

import (
	"strconv"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

func newID() broker.ID { return broker.NewID(broker.KindTask, "q", 0) }

// written returns the record of a successful outcome.
func written(result string) []byte { return wire.AppendOutcome(nil, succeeded(result)) }

func succeeded(result string) *broker.Outcome {
	return &broker.Outcome{State: broker.StateSucceeded, Result: []byte(result)}
}

func testTable() (*table, *Client) {
	c := &Client{table: newTable()}
	return &c.table, c
}

func TestTableKeepsAndForgets(t *testing.T) {
	tab, c := testTable()
	tab.maxIdle = 10
	now := time.Unix(0, 0)
	var ids []broker.ID
	for range 30 {
		id := newID()
		ids = append(ids, id)
		tab.expect(id, "t", "q", false, now)
		tab.sent(id, true, now)
		tab.deliver(id, written("x"), now)
	}
	if tab.entries.len() != 10 || tab.idle.Len() != 10 {
		t.Fatalf("%d entries, %d idle, want 10", tab.entries.len(), tab.idle.Len())
	}
	if _, ok := tab.take(ids[19]); ok {
		t.Error("the oldest was not forgotten")
	}
	a, ok := tab.take(ids[20])
	a.read()
	if !ok || string(a.Outcome.Result) != "x" || a.Queue != "q" || !a.Own {
		t.Errorf("take: %+v, %v", a, ok)
	}
	if _, ok := tab.take(ids[20]); ok {
		t.Error("a result was taken twice")
	}
	// A task that was dropped is looked up at once.
	tab.wait(ids[0], newWatch(c), now)
	if tab.levels[levelNow].Len() != 1 {
		t.Error("a forgotten task is not looked up at once")
	}
}

func TestTableBoundsBytes(t *testing.T) {
	tab, _ := testTable()
	tab.maxBytes = 10_000
	now := time.Unix(0, 0)
	for range 100 {
		id := newID()
		tab.expect(id, "t", "q", false, now)
		tab.deliver(id, written(string(make([]byte, 1000))), now)
		if tab.bytes > tab.maxBytes {
			t.Fatalf("%d bytes are kept", tab.bytes)
		}
	}
	for e := range tab.idle.All() {
		tab.take(e.id)
	}
	if tab.bytes != 0 || tab.idle.Len() != 0 {
		t.Errorf("%d bytes in %d entries after all were taken", tab.bytes, tab.idle.Len())
	}
}

func TestTableWaitersAreNotForgotten(t *testing.T) {
	tab, c := testTable()
	tab.maxIdle = 1
	now := time.Unix(0, 0)
	first := newID()
	tab.expect(first, "t", "q", false, now)
	w, w2 := newWatch(c), newWatch(c)
	tab.wait(first, w, now)
	tab.wait(first, w2, now)
	for range 5 {
		tab.expect(newID(), "t", "q", false, now)
	}
	tab.deliver(first, written("x"), now)
	if len(w.ready) != 1 || len(w2.ready) != 1 {
		t.Errorf("%d and %d completions, want 1 and 1", len(w.ready), len(w2.ready))
	}
	if tab.entries.len() != 1 {
		t.Errorf("%d entries are left, want 1", tab.entries.len())
	}
}

func TestTableUnwait(t *testing.T) {
	tab, c := testTable()
	now := time.Unix(0, 0)
	own, foreign := newID(), newID()
	tab.expect(own, "t", "q", false, now)
	ws := []*Watch{newWatch(c), newWatch(c), newWatch(c)}
	for _, w := range ws {
		tab.wait(own, w, now)
		tab.wait(foreign, w, now)
	}
	for i := range ws {
		tab.unwait(own, ws[(i+1)%3])
		tab.unwait(foreign, ws[(i+1)%3])
	}
	if _, ok := tab.nextDue(); ok {
		t.Error("something is to be looked up though nobody waits")
	}
	if tab.entries.get(own) == nil || tab.entries.get(foreign) != nil {
		t.Error("want the entry of the own task kept, and of the other dropped")
	}
	tab.unwait(foreign, ws[0]) // has no effect
}

func TestTablePace(t *testing.T) {
	tab, c := testTable()
	now := time.Unix(0, 0)
	pending := &broker.Status{State: broker.StatePending}
	steps := func(id broker.ID, n int) (list []time.Duration) {
		for range n {
			at, ok := tab.nextDue()
			if !ok {
				t.Fatal("nothing is due")
			}
			list = append(list, at.Sub(now))
			now = at
			if ids := tab.due(nil, 10, now, true); len(ids) != 1 || ids[0] != id {
				t.Fatalf("due: %v", ids)
			}
			tab.found(id, pending, now)
		}
		return list
	}
	check := func(what string, got []time.Duration, want ...time.Duration) {
		t.Helper()
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s is looked up after %v, want %v", what, got, want)
			}
		}
	}
	s := time.Second
	w := newWatch(c)
	own := newID()
	tab.expect(own, "t", "q", false, now)
	tab.sent(own, true, now)
	tab.wait(own, w, now)
	check("an own task", steps(own, 7), 3*s, 6*s, 12*s, 24*s, 30*s, 30*s, 30*s)
	tab.unwait(own, w)

	foreign := newID()
	tab.wait(foreign, w, now)
	check("a foreign task", steps(foreign, 6), 0, s/2, s, 2*s, 2*s, 2*s)
	tab.unwait(foreign, w)

	again := newID()
	for _, repeat := range []bool{false, true} {
		tab.expect(again, "t", "q", repeat, now)
		tab.sent(again, true, now)
	}
	tab.wait(again, w, now)
	check("a task sent again", steps(again, 3), 0, 3*s, 6*s)
	tab.unwait(again, w)

	shared := newID() // perhaps another client sent it first, and its outcome is pushed there
	tab.expect(shared, "t", "q", true, now)
	tab.sent(shared, true, now)
	tab.wait(shared, w, now)
	check("a task that others may have sent before", steps(shared, 3), 0, s/2, s)
}

func TestTableFound(t *testing.T) {
	tab, c := testTable()
	now := time.Unix(0, 0)
	unknown := &broker.Status{}
	bare := &broker.Status{State: broker.StateSucceeded}
	full := &broker.Status{State: broker.StateSucceeded, Queue: "q", Outcome: succeeded("x")}
	for _, c2 := range []struct {
		name    string
		own     bool
		sending bool
		st      *broker.Status
		times   int // until it arrives
	}{
		{"foreign, unknown", false, false, unknown, 1},
		{"foreign, not kept", false, false, bare, 1},
		{"foreign, done", false, false, full, 1},
		{"own, unknown: its push may be on the way", true, false, unknown, 2},
		{"own, not kept: its push may be on the way", true, false, bare, 2},
		{"own, done", true, false, full, 1},
	} {
		id := newID()
		w := newWatch(c)
		if c2.own {
			tab.expect(id, "t", "q", false, now)
			tab.sent(id, true, now)
		}
		tab.wait(id, w, now)
		for n := 1; ; n++ {
			tab.found(id, c2.st, now)
			if len(w.ready) > 0 {
				if n != c2.times {
					t.Errorf("%s: arrived after %d look-ups, want %d", c2.name, n, c2.times)
				}
				break
			}
			if n > 5 {
				t.Fatalf("%s: never arrived", c2.name)
			}
		}
		if a := w.ready[0]; a.Own != c2.own || a.State != c2.st.State || (a.Err() == nil) != (a.Outcome != nil) {
			t.Errorf("%s: %+v", c2.name, a)
		}
	}

	// While a task is being sent, a broker that does not know it says nothing about it.
	id, w := newID(), newWatch(c)
	tab.expect(id, "t", "q", false, now)
	tab.wait(id, w, now)
	for range 5 {
		tab.found(id, unknown, now)
	}
	if len(w.ready) > 0 {
		t.Error("a task that is being sent was given up")
	}
	tab.sent(id, false, now)
	tab.found(id, unknown, now)
	if len(w.ready) != 1 {
		t.Error("a task that could not be sent was not given up")
	}
	if tab.entries.len() != 0 {
		t.Errorf("%d entries are left", tab.entries.len())
	}
}

func TestTableGap(t *testing.T) {
	tab, c := testTable()
	now := time.Unix(0, 0)
	idle, waited, arrived := newID(), newID(), newID()
	for _, id := range []broker.ID{idle, waited, arrived} {
		tab.expect(id, "t", "q", false, now)
		tab.sent(id, true, now)
	}
	tab.deliver(arrived, written("x"), now)
	w := newWatch(c)
	tab.wait(waited, w, now)
	tab.gap(now)
	if ids := tab.due(nil, 10, now, false); len(ids) != 1 || ids[0] != waited {
		t.Errorf("to look up after a gap: %v", ids)
	}
	tab.wait(idle, w, now)
	if ids := tab.due(nil, 10, now, false); len(ids) != 2 {
		t.Errorf("to look up when somebody waits after a gap: %v", ids)
	}
	if _, ok := tab.take(arrived); !ok {
		t.Error("an outcome that had arrived was dropped")
	}
}

// A broker may leave out the name of a task that was cancelled. The client that sent it adds
// the name.
func TestTableKnowsNames(t *testing.T) {
	tab, _ := testTable()
	now := time.Unix(0, 0)
	canceled := &broker.Outcome{State: broker.StateCanceled}
	for _, read := range []bool{true, false} {
		id := newID()
		e := tab.expect(id, "simple_add", "q", false, now)
		tab.sent(id, true, now)
		a := e.fromStatus(broker.StateCanceled, &broker.Outcome{State: broker.StateCanceled})
		if read {
			tab.deliver(id, wire.AppendOutcome(nil, canceled), now)
			a, _ = tab.take(id)
			a.read()
		}
		if err := Error(id, a.Outcome); err.Error() != "task simple_add ("+id.String()+"): canceled" {
			t.Error(err)
		}
	}
	id := newID()
	if err := Error(id, canceled); err.Error() != "task "+id.String()+": canceled" {
		t.Error(err)
	}
	for i := range 3 * maxLabels { // their number is bounded, and none is wrong
		k := tab.labels.get("a", strconv.Itoa(i))
		if again := tab.labels.get("a", strconv.Itoa(i)); again != k || k.Queue != strconv.Itoa(i) || len(tab.labels.all) > maxLabels {
			t.Fatalf("%+v, %+v of %d", k, again, len(tab.labels.all))
		}
	}
}
