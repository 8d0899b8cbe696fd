//go:build unix

package isolate

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// A program that ignores SIGCHLD has the kernel wait for its children, and how
// they ended is known to nobody.
func TestReapedByOthers(t *testing.T) {
	signal.Ignore(syscall.SIGCHLD)
	defer func() { // Reset would not end what Ignore has begun
		back := make(chan os.Signal, 1)
		signal.Notify(back, syscall.SIGCHLD)
		signal.Stop(back)
	}()
	p := newTestPool(t, Config{Slots: 1})
	_, err := p.do(t.Context(), "exit 3")
	crash := crashOf(t, err)
	if crash.PID == 0 || crash.ExitCode != -1 || crash.Signal != "" || crash.Reason != nil {
		t.Errorf("%+v", crash)
	}
	if text := crash.Error(); strings.Contains(text, "exit code") || !strings.Contains(text, "not known") {
		t.Error(text)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := p.do(t.Context(), "echo"); err != nil { // a child is there
		t.Fatal(err)
	}
	_, err = p.do(ctx, "ignore")
	crash = crashOf(t, err)
	if crash.ExitCode != -1 || crash.Signal != "" || !errors.Is(err, why) {
		t.Errorf("%+v", crash)
	}
	if text := crash.Error(); strings.Contains(text, "was killed") || !strings.Contains(text, "enough") {
		t.Error(text)
	}
}
