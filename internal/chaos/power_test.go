//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/internal/redistest"
)

// meter watches how a server's append-only file grows. A process that is killed
// loses nothing that it has written, for the kernel has it; so a power failure
// takes from the file what may not have been on disk yet: some of what the last
// second has brought, to the byte.
//
// The meter also stores the time, again and again. What the server still knows of it
// when it is back tells what it may have forgotten: all that was done since. The growth
// of the file would not tell. A server puts a write off while a sync takes long, and a
// long write is seen in part.
type meter struct {
	dir    string
	server *redistest.Server
	mu     sync.Mutex
	name   string // of the file
	seen   []size // oldest first
	began  time.Time
	marks  sync.Mutex // held while the marker is stored, and from a cut until it is read
}

// marker is the key in which a meter stores the time. No name of the system is like it.
const marker = "chaos:marker"

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
	m := &meter{dir: filepath.Join(server.Dir(), "appendonlydir"), server: server, began: time.Now()}
	admin := server.Client()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, do := range []func(){m.look, func() { m.mark(ctx, admin) }} {
		all.Go(func() {
			for ctx.Err() == nil {
				do()
				select {
				case <-ctx.Done():
				case <-time.After(looks):
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	return m
}

// mark stores the time. It is taken before: what was done by then comes before the
// marker. A server that is down is no reason to stop.
func (m *meter) mark(ctx context.Context, admin *goredis.Client) {
	if !m.marks.TryLock() {
		return
	}
	defer m.marks.Unlock()
	within, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = admin.Set(within, marker, time.Now().UnixNano(), 0).Err()
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

// cut takes the end of the file of a server that has just been killed, and returns how
// many bytes that were. Call since when the server is back: no marker is stored until then.
func (m *meter) cut() (bytes int64, err error) {
	killed := time.Now()
	m.marks.Lock()
	name, n, err := m.file()
	if err != nil {
		return 0, err
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
	m.seen = nil
	return n - keep, os.Truncate(name, keep)
}

// since returns from which time on the server may have forgotten what was done, once it
// is back after a cut.
func (m *meter) since(ctx context.Context) (time.Time, error) {
	defer m.marks.Unlock()
	// One that has failed to connect too often fails at once for a while.
	at, err := m.server.Client().Get(ctx, marker).Int64()
	if errors.Is(err, goredis.Nil) {
		return m.began, nil
	}
	return time.Unix(0, at), err
}
