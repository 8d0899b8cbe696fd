// Package ctxtest tests that methods obey their contexts.
package ctxtest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/stall"
)

const (
	ends = 100 * time.Millisecond  // when the contexts end
	soon = 1500 * time.Millisecond // when each method must have returned, on a machine without stalls
)

// EndsAll calls every method twice, all at the same time: with a context that reaches its deadline, and with one that is
// canceled. Each call must return soon after the end of its context, with an error that wraps the error of the context.
// EndsAll returns when all calls have returned. The caller has made sure that no method can do its work.
func EndsAll(t testing.TB, busy *stall.Watch, methods map[string]func(ctx context.Context) error) {
	t.Helper()
	var all sync.WaitGroup
	for name, call := range methods {
		for _, want := range []error{context.DeadlineExceeded, context.Canceled} {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), ends)
				if want == context.Canceled {
					ctx, cancel = context.WithCancel(t.Context())
					time.AfterFunc(ends, cancel)
				}
				defer cancel()
				start := time.Now()
				err := call(ctx)
				if took := time.Since(start); took > busy.Late(soon) {
					t.Errorf("%s returned only %v after its call", name, took)
				}
				if !errors.Is(err, want) {
					t.Errorf("%s returned %v, want an error that wraps %v", name, err, want)
				}
			})
		}
	}
	all.Wait()
}
