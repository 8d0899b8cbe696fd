//go:build unix

package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/outbox"
	"github.com/go-arbiter/arbiter/task"
)

func TestMain(m *testing.M) {
	proc.Main(map[string]proc.Role{"relay": runRelay})
	code := m.Run()
	postgres.stop()
	mariadb.stop()
	os.Exit(code)
}

// patience is the longest time that a test waits for an event. A test that passes never waits for its end.
const patience = 5 * time.Minute

// quiet is an option for outboxes whose relay meets errors on purpose.
var quiet = outbox.Logger(slog.New(slog.DiscardHandler))

// NoteArgs are the arguments of the task of these tests.
type NoteArgs struct {
	N    int    `arbiter:"n"`
	Text string `arbiter:"text"`
}

// noteTask returns N.
var noteTask = task.Define[NoteArgs, int]("note")

// notes counts how often the tasks of each N have run.
type notes struct {
	mu  sync.Mutex
	ran map[int]int
	sum int // of ran
}

func (n *notes) handle(_ context.Context, args NoteArgs) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ran == nil {
		n.ran = make(map[int]int)
	}
	n.ran[args.N]++
	n.sum++
	return args.N, nil
}

// total returns how often the task has run, whatever N was.
func (n *notes) total() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sum
}

// serve runs a minion with the handlers until the test ends or stop is called, which lets tasks finish.
func serve(t testing.TB, b broker.Broker, opts []minion.Option, handlers ...task.Registration) (stop func()) {
	t.Helper()
	m, err := minion.New(b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Register(handlers...); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Run(context.Background(), 16) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			_ = m.Stop(context.Background())
			if err := <-ended; err != nil && !errors.Is(err, task.ErrClosed) {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// relay runs a relay until the test ends or stop is called.
func relay(t testing.TB, ob *outbox.Outbox, b broker.Broker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ob.Run(ctx, b) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// inTx runs fn in a transaction and commits it.
func (d *database) inTx(t testing.TB, fn func(tx *sql.Tx)) {
	t.Helper()
	tx, err := d.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	fn(tx)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for begun := time.Now(); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// empty waits until no row waits for a relay.
func empty(t testing.TB, ob *outbox.Outbox) {
	t.Helper()
	eventually(t, "the table is empty", func() bool {
		b, err := ob.Backlog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return b.Waiting == 0
	})
}

// hooked is a broker whose Enqueue calls hooks.
type hooked struct {
	broker.Broker
	before func(tasks []*broker.Task) error // its error is that of Enqueue, which stores nothing then
	after  func(tasks []*broker.Task) error // its error is that of Enqueue, which has stored the tasks
}

func (h *hooked) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	if h.before != nil {
		if err := h.before(tasks); err != nil {
			return err
		}
	}
	err := h.Broker.Enqueue(ctx, tasks)
	if err == nil && h.after != nil {
		err = h.after(tasks)
	}
	return err
}

// newBroker returns a broker in memory.
func newBroker(t testing.TB) *memory.Broker {
	t.Helper()
	b := memory.New()
	t.Cleanup(func() { _ = b.Close() })
	return b
}
