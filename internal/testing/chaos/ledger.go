package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Ledger is a file to which one process appends its events.
type Ledger struct {
	proc string
	skew time.Duration
	mu   sync.Mutex
	file *os.File
}

// OpenLedger opens the ledger of a process in a folder. skew is how far the clock of the process is
// ahead of the other clocks.
func OpenLedger(dir, proc string, skew time.Duration) (*Ledger, error) {
	f, err := os.OpenFile(filepath.Join(dir, proc+".ledger"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &Ledger{proc: proc, skew: skew, file: f}, nil
}

// Now returns the time of the clock that all processes share.
func (l *Ledger) Now() int64 { return l.at(time.Now()) }

func (l *Ledger) at(t time.Time) int64 { return t.Add(-l.skew).UnixNano() }

// Note appends events. An event without a time gets the current one. Note panics if the write
// fails, because a process must not go on with gaps in its ledger.
func (l *Ledger) Note(events ...Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, e := range events {
		e.Proc = l.proc
		if e.At == 0 {
			e.At = l.Now()
		}
		if err := enc.Encode(e); err != nil {
			panic(err)
		}
	}
	if _, err := l.file.Write(lines.Bytes()); err != nil {
		panic(err)
	}
}

// Close closes the file.
func (l *Ledger) Close() error { return l.file.Close() }

// ReadLedgers returns the events of all ledgers in a folder. A process that is killed while it
// writes may leave half a line at the end, which is ignored.
func ReadLedgers(dir string) ([]Event, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.ledger"))
	if err != nil {
		return nil, err
	}
	var all []Event
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for n := 1; ; n++ {
			line, rest, whole := bytes.Cut(data, []byte("\n"))
			if !whole {
				break
			}
			var e Event
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, fmt.Errorf("%s line %d: %w", filepath.Base(name), n, err)
			}
			all, data = append(all, e), rest
		}
	}
	return all, nil
}
