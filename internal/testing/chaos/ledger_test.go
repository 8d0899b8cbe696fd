package chaos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The ledgers of several processes are read together. Half a line at the end is left by a process
// that was killed while it wrote. Half a line in the middle is an error.
func TestLedger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	before := time.Now().UnixNano()
	for _, name := range []string{"s0.1", "m0.1"} {
		l, err := OpenLedger(dir, name, 0)
		if err != nil {
			t.Fatal(err)
		}
		l.Note(Event{Kind: Start, Key: "a", Attempt: 1, Up: []string{"x"}}, Event{Kind: Return, Key: "a", At: 7})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	add := func(text string) {
		f, err := os.OpenFile(filepath.Join(dir, "m0.1.ledger"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	add(`{"at":9,"ki`)
	all, err := ReadLedgers(dir)
	if err != nil || len(all) != 4 {
		t.Fatalf("ReadLedgers returned %d events, %v", len(all), err)
	}
	if e := all[0]; e.Proc != "m0.1" || e.Kind != Start || e.Attempt != 1 || e.Up[0] != "x" || e.At < before {
		t.Errorf("%+v", e)
	}
	if e := all[3]; e.Proc != "s0.1" || e.At != 7 {
		t.Errorf("%+v", e)
	}
	add("\n")
	if _, err := ReadLedgers(dir); err == nil || !strings.Contains(err.Error(), "m0.1.ledger line 3") {
		t.Errorf("half a line in the middle: the error is %v", err)
	}
}
