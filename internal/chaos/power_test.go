//go:build unix

package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/redistest"
)

// meter watches how a server's append-only file grows. A process that is killed
// loses nothing that it has written, for the kernel has it; so a power failure
// takes from the file what may not have been on disk yet: some of what the last
// second has brought, to the byte.
type meter struct {
	dir  string
	mu   sync.Mutex
	name string // of the file
	seen []size // oldest first
}

type size struct {
	at time.Time
	n  int64
}

const (
	// syncs is how often a server with everysec syncs its file.
	syncs = time.Second
	// looks is how often the file's size is noted, and remember for how long.
	looks    = 20 * time.Millisecond
	remember = 5 * time.Second
)

func startMeter(t *testing.T, server *redistest.Server) *meter {
	m := &meter{dir: filepath.Join(server.Dir(), "appendonlydir")}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			m.look()
			select {
			case <-over:
				return
			case <-time.After(looks):
			}
		}
	}()
	t.Cleanup(func() { close(over); <-ended })
	return m
}

// file returns the file that grows, and its size. A replica begins a new one when
// it has got everything from its master.
func (m *meter) file() (name string, n int64, err error) {
	for seq := 1; ; seq++ {
		next := filepath.Join(m.dir, fmt.Sprintf("appendonly.aof.%d.incr.aof", seq))
		info, missing := os.Stat(next)
		switch {
		case missing == nil:
			name, n = next, info.Size()
		case name != "":
			return name, n, nil
		case seq > 10:
			return "", 0, missing
		}
	}
}

func (m *meter) look() {
	now := time.Now() // before the size is read: what was written by then is in it
	name, n, err := m.file()
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if name != m.name {
		m.name, m.seen = name, nil
	}
	m.seen = append(m.seen, size{now, n})
	for len(m.seen) > 1 && now.Sub(m.seen[1].at) > remember {
		m.seen = m.seen[1:]
	}
}

// cut takes the end of the file of a server that has just been killed. It returns
// since when what was done may be lost: a write waits for a sync that takes long,
// and so what the file lacks may have been done before it grew the last time.
func (m *meter) cut() (since time.Time, told string, err error) {
	killed := time.Now()
	name, n, err := m.file()
	if err != nil {
		return since, "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	safe := int64(0)
	for _, s := range m.seen {
		if killed.Sub(s.at) >= syncs {
			safe = s.n
		}
	}
	keep := safe + rand.Int64N(n-safe+1)
	for i := 1; i < len(m.seen) && m.seen[i].n <= keep; i++ {
		if m.seen[i].n > m.seen[i-1].n {
			since = m.seen[i-1].at
		}
	}
	if since.IsZero() { // it has not grown since we look
		since = killed.Add(-remember)
	}
	if err := os.Truncate(name, keep); err != nil {
		return since, "", err
	}
	m.seen = nil
	return since, fmt.Sprintf("%d bytes, of the last %v", n-keep, killed.Sub(since).Round(time.Millisecond)), nil
}
