//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/task"
)

// ledger is a file to which the handlers of all processes append what they do.
type ledger string

func newLedger(t testing.TB) ledger {
	t.Helper()
	return ledger(filepath.Join(t.TempDir(), "ledger"))
}

// line is a line of a ledger.
type line struct {
	Event   string // start or end
	ID      string
	Attempt int
	PID     int
	At      time.Time
}

// note appends a line. A line is short enough to be written in one piece.
func (l ledger) note(event string, info task.Info) error {
	f, err := os.OpenFile(string(l), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %s %d %d %d\n", event, info.ID, info.Attempt, os.Getpid(), time.Now().UnixNano())
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// read returns all lines in the order of their writing. A process may be writing at the same
// time.
func (l ledger) read(t testing.TB) []line {
	t.Helper()
	data, err := os.ReadFile(string(l))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var all []line
	for text := range strings.Lines(string(data)) {
		if !strings.HasSuffix(text, "\n") {
			break // the line is not complete yet
		}
		var e line
		var ns int64
		if _, err := fmt.Sscan(text, &e.Event, &e.ID, &e.Attempt, &e.PID, &ns); err != nil {
			t.Fatalf("the ledger has the line %q: %v", text, err)
		}
		e.At = time.Unix(0, ns)
		all = append(all, e)
	}
	return all
}

// starts returns how many attempts were started, by any process if pid is 0, or by one.
func (l ledger) starts(t testing.TB, pid int) int {
	t.Helper()
	n := 0
	for _, e := range l.read(t) {
		if e.Event == "start" && (pid == 0 || e.PID == pid) {
			n++
		}
	}
	return n
}

// startsOf returns the tasks that a process has started, in order.
func (l ledger) startsOf(t testing.TB, pid int) []string {
	t.Helper()
	var ids []string
	for _, e := range l.read(t) {
		if e.Event == "start" && e.PID == pid {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// check fails the test if an attempt was started twice. It returns the started attempts of each
// task.
func (l ledger) check(t testing.TB) map[string][]line {
	t.Helper()
	byID := make(map[string][]line)
	for _, e := range l.read(t) {
		if e.Event != "start" {
			continue
		}
		for _, old := range byID[e.ID] {
			if old.Attempt == e.Attempt {
				t.Errorf("task %s: attempt %d was started twice, by processes %d and %d", e.ID, e.Attempt, old.PID, e.PID)
			}
		}
		byID[e.ID] = append(byID[e.ID], e)
	}
	return byID
}

// once fails the test unless exactly n tasks were started, each once.
func (l ledger) once(t testing.TB, n int) {
	t.Helper()
	byID := l.check(t)
	if len(byID) != n {
		t.Errorf("%d tasks were started, want %d", len(byID), n)
	}
	for id, starts := range byID {
		if len(starts) > 1 {
			t.Errorf("task %s was started %d times: %v", id, len(starts), starts)
		}
	}
}
