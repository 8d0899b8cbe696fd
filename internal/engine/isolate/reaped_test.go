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

// In a program that ignores SIGCHLD, the kernel reaps the children, and nobody knows how they ended.
func TestReapedByOthers(t *testing.T) {
	signal.Ignore(syscall.SIGCHLD)
	defer func() { // Reset does not undo Ignore
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
	if text := crash.Error(); strings.Contains(text, "exit code") || !strings.Contains(text, "unknown") {
		t.Error(text)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := p.do(t.Context(), "echo"); err != nil { // so that a child is ready
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
