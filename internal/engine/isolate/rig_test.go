package isolate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-arbiter/arbiter/task"
)

// envSlow is how long a child takes to start.
const envSlow = "ARBITER_TEST_SLOW"

func TestMain(m *testing.M) {
	if os.Getenv("GORACE") == "" { // otherwise a process under the race detector takes a second to exit
		_ = os.Setenv("GORACE", "atexit_sleep_ms=50")
	}
	c, err := Attach()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if c != nil {
		slow, _ := time.ParseDuration(os.Getenv(envSlow))
		time.Sleep(slow)
		c.Serve(obedient, func(text []byte) error { return errors.New(string(text)) })
	}
	goleak.VerifyTestMain(m)
}

// obedient runs the job that its body names, in the children.
func obedient(ctx context.Context, w *Work) []byte {
	what, text, _ := strings.Cut(string(w.Body), " ")
	n, _ := strconv.Atoi(text)
	switch what {
	case "exit":
		os.Exit(n)
	case "ignore":
		time.Sleep(time.Hour)
	case "flood": // n calls at once, whose answers may come after the job has ended
		fmt.Println("flood")
		for range n {
			go func() { _, _ = w.Call(context.WithoutCancel(ctx), nil, 0) }()
		}
		<-ctx.Done()
		return []byte(context.Cause(ctx).Error())
	case "ask": // n calls at once
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() { _, _ = w.Call(ctx, nil, 0) })
		}
		wg.Wait()
		if err := context.Cause(ctx); err != nil {
			return []byte(err.Error())
		}
	}
	return []byte(strconv.Itoa(os.Getpid()))
}

// newTestPool returns a pool that is closed at the end of the test.
func newTestPool(t *testing.T, cfg Config) *Pool {
	t.Helper()
	if cfg.Cause == nil {
		cfg.Cause = func(ctx context.Context) []byte { return []byte(context.Cause(ctx).Error()) }
	}
	p := New(cfg)
	t.Cleanup(p.Close)
	return p
}

// says returns a Body of that text.
func says(body string) func() []byte { return func() []byte { return []byte(body) } }

// do runs a job without calls.
func (p *Pool) do(ctx context.Context, body string) (string, error) {
	out, err := p.Run(ctx, Job{Body: says(body)})
	return string(out), err
}

// crashOf returns the CrashError in an error.
func crashOf(t *testing.T, err error) *task.CrashError {
	t.Helper()
	var crash *task.CrashError
	if !errors.As(err, &crash) {
		t.Fatalf("error %v, want a CrashError", err)
	}
	return crash
}
