package minion_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

func TestMain(m *testing.M) {
	if os.Getenv("GORACE") == "" { // under the race detector a process takes a second to exit
		_ = os.Setenv("GORACE", "atexit_sleep_ms=50")
	}
	switch role := os.Getenv("ARBITER_TEST_ROLE"); {
	case roles != nil && role == "unhooked":
		roles()
	case role == "sealed":
		minion.Child(registerIsolated, minion.Codec(sealed)) // the first call of Child counts
	case role == "divided" && os.Getenv("ARBITER_ISOLATED") == "": // its children call Child with the defaults
		minion.Child(registerIsolated, minion.Codec(sealed))
	case role == "unregistered":
		minion.Child(nil)
	}
	minion.Child(registerIsolated)
	if roles != nil {
		roles()
	}
	goleak.VerifyTestMain(m)
}

// roles plays the part of a child process that a test has started, and exits. It is nil on
// systems whose tests start none.
var roles func()

// args are the arguments of the tasks of these tests.
type args struct {
	N int `arbiter:"n"`
}

var work = task.Define[args, int]("work")

// rig is a broker with an arbiter and minions, in a synctest bubble.
type rig struct {
	*testing.T
	b    *faulty.Broker
	arb  *arbiter.Arbiter
	logs *logs
}

// bubble runs f with a new rig in a bubble of fake time.
func bubble(t *testing.T, f func(t *testing.T, r *rig), opts ...memory.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, b: faulty.New(memory.New(opts...)), logs: &logs{}}
		arb, err := arbiter.New(r.b, arbiter.Logger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		r.arb = arb
		defer func() {
			_ = arb.Close()
			_ = r.b.Close()
		}()
		f(t, r)
	})
}

// crew is a running minion.
type crew struct {
	*minion.Minion
	r    *rig
	halt context.CancelFunc
	done chan struct{}
	err  error
}

// crew starts a minion with a handler for work. It stops at the end of the bubble.
func (r *rig) crew(slots int, fn func(context.Context, args) (int, error), opts ...minion.Option) *crew {
	r.Helper()
	opts = append([]minion.Option{minion.Logger(r.logs.logger())}, opts...)
	m := must(minion.New(r.b, opts...))
	if err := task.Handle(m, work, fn); err != nil {
		r.Fatal(err)
	}
	return r.start(m, slots)
}

func (r *rig) start(m *minion.Minion, slots int) *crew {
	ctx, cancel := context.WithCancel(context.Background())
	c := &crew{Minion: m, r: r, halt: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = m.Run(ctx, slots)
	}()
	r.Cleanup(func() { _ = c.stop() })
	return c
}

// stop ends the context of Run and returns its error.
func (c *crew) stop() error {
	c.halt()
	<-c.done
	return c.err
}

func (r *rig) send(n int, opts ...task.Option) *task.Future[int] {
	r.Helper()
	fut, err := work.With(opts...).Apply(context.Background(), r.arb, args{n})
	if err != nil {
		r.Fatal(err)
	}
	return fut
}

// status looks up a task.
func (r *rig) status(id task.ID) arbiter.Status {
	r.Helper()
	st, err := r.arb.Status(context.Background(), id)
	if err != nil {
		r.Fatal(err)
	}
	return st
}

// result waits for a task. The test fails if that takes far too long.
func (r *rig) result(fut *task.Future[int]) (int, error) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 1000*time.Hour)
	defer cancel()
	n, err := fut.Result(ctx)
	if ctx.Err() != nil {
		r.Fatalf("task %s: %v", fut.ID(), err)
	}
	return n, err
}

// want checks how a task has ended.
func (r *rig) want(fut *task.Future[int], state broker.State, attempts, retried int) arbiter.Status {
	r.Helper()
	_, _ = r.result(fut)
	st := r.status(fut.ID())
	if st.State != state || st.Attempts != attempts || st.Retried != retried {
		r.Errorf("the task is %s after attempt %d with %d retries, want %s after %d with %d",
			st.State, st.Attempts, st.Retried, state, attempts, retried)
	}
	return st
}

// dead returns the dead letters of a queue.
func (r *rig) dead(queue string) []broker.DeadLetter {
	r.Helper()
	letters, _, err := r.b.Broker.(broker.Inspector).DeadLetters(context.Background(), queue, "", 1000)
	if err != nil {
		r.Fatal(err)
	}
	return letters
}

// near checks that a time is at most 50 ms longer than it should be.
func (r *rig) near(what string, got, want time.Duration) {
	r.Helper()
	if got < want || got > want+50*time.Millisecond {
		r.Errorf("%s after %v, want %v", what, got, want)
	}
}

// logs collects log lines.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Writer(l), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logs) count(part string) int { return strings.Count(l.String(), part) }

// obey waits for the end of ctx and returns its error, as a good handler does.
func obey(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

var errBad = errors.New("bad")

// must returns a minion that was made with valid options.
func must(m *minion.Minion, err error) *minion.Minion {
	if err != nil {
		panic(err)
	}
	return m
}
