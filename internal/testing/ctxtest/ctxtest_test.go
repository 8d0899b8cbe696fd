package ctxtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/ctxtest"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
)

// recorder is a test that keeps its errors.
type recorder struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func TestEndsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			method func(ctx context.Context) error
			says   string // empty if the method obeys
		}{
			"obeys":      {func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("wrapped: %w", ctx.Err()) }, ""},
			"is late":    {func(ctx context.Context) error { time.Sleep(2 * time.Second); return ctx.Err() }, "is late returned only 2s"},
			"hides why":  {func(ctx context.Context) error { <-ctx.Done(); return errors.New("hidden") }, "hides why returned hidden"},
			"just works": {func(context.Context) error { return nil }, "just works returned <nil>"},
		} {
			r := &recorder{TB: t}
			ctxtest.EndsAll(r, new(stall.Watch), map[string]func(ctx context.Context) error{name: tt.method})
			if tt.says == "" && len(r.said) > 0 || tt.says != "" && (len(r.said) != 2 || !strings.Contains(r.said[0], tt.says)) {
				t.Errorf("%s: %q, want %q for both contexts", name, r.said, tt.says)
			}
		}
	})
}
