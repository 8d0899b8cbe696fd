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

	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// meter watches how the append-only file of a server grows. A process that is killed loses nothing
// that it has written, because the kernel has it. So a simulated power failure cuts off a part of
// the file that may not have been on disk: some of the bytes of the last second.
//
// The meter also stores the time in the server again and again. When the server is back, the time
// that it still has shows what it may have forgotten: everything since then. The growth of the file
// would not show that, since a server delays writes while a sync takes long, and a long write is
// seen in part.
type meter struct {
	dir    string
	server *redistest.Server
	mu     sync.Mutex
	name   string // name of the file
	seen   []size // sizes of the file, oldest first
	began  time.Time
	marks  sync.Mutex // held while the marker is stored, and from a cut until the marker is read
}

// marker is the key in which a meter stores the time. No key of the system looks like it.
const marker = "chaos:marker"

type size struct {
	at time.Time
	n  int64
}

const (
	// syncs is the interval at which a server with everysec syncs its file.
	syncs = time.Second
	// looks is the interval at which the size of the file is recorded, and remember is how long a
	// size is kept.
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

// mark stores the time. The time is taken before the write, so everything until that time precedes
// the marker. A server that is down does not stop the meter.
func (m *meter) mark(ctx context.Context, admin *goredis.Client) {
	if !m.marks.TryLock() {
		return
	}
	defer m.marks.Unlock()
	within, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = admin.Set(within, marker, time.Now().UnixNano(), 0).Err()
}

// file returns the name and size of the file that grows. A replica begins a new file after a full
// sync with its master.
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
	now := time.Now() // before the size is read, so the size includes everything until then
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

// cut cuts the end off the file of a server that has just been killed, and returns the number of
// removed bytes. The caller must call since when the server is back. No marker is stored until
// then.
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

// since returns the time from which on a server may have forgotten data after a cut. The server
// must be back.
func (m *meter) since(ctx context.Context) (time.Time, error) {
	defer m.marks.Unlock()
	// A client that has failed to connect too often fails at once for a while, so this is a new
	// client.
	at, err := m.server.Client().Get(ctx, marker).Int64()
	if errors.Is(err, goredis.Nil) {
		return m.began, nil
	}
	return time.Unix(0, at), err
}
