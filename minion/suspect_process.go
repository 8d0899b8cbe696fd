package minion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/isolate"
	"github.com/go-arbiter/arbiter/task"
)

// A suspect is a task that may have killed its minion (see blame.go). If the program
// calls Child, a suspect runs in a process of its own even when its handler is not
// isolated. A crash then ends that process only: the minion and its other tasks go on,
// and the crash proves which task caused it.

// newSuspectPool returns the pool of processes for suspects. It is nil if the program does not
// call [Child], if Child has other codecs than the minion, or if the broker can't record
// starts. The pool starts its first process with the first suspect.
func newSuspectPool(m *Minion, log logger, slots int) *isolate.Pool {
	h := hook.Load()
	if h == nil || m.starter == nil || h.check(&m.cfg) != nil {
		return nil
	}
	iso := m.cfg.isolation
	iso.memory, iso.tasks = 0, 1
	return newChildren(m, log, slots, iso)
}

// runSuspect runs a suspect in a process of its own. Child may register fewer handlers
// than the minion; a suspect that the child can't run, it runs in the minion.
func (a *attempt) runSuspect(ctx context.Context, enc codec.Codec, args, room []byte) ([]byte, error) {
	r := a.s.r
	if _, unfit := r.unfit.Load(a.d.Name); unfit {
		return a.h.Handler(ctx, enc, args, room)
	}
	handed := false
	done, err := a.runChild(ctx, func() { handed = true })
	var crash *task.CrashError
	switch {
	case err == nil && done.Unfit:
		r.unfit.Store(a.d.Name, nil)
		return a.h.Handler(ctx, enc, args, room)
	case err == nil:
		return done.Result, done.Err.Unpack()
	case ctx.Err() != nil:
		return nil, err // the context has ended, so the error is not evidence of a crash
	case !handed:
		r.log.failed(slog.LevelWarn, "no child process for a task that may kill the minion; it runs in the minion", a.d, err)
		return a.h.Handler(ctx, enc, args, room)
	case errors.As(err, &crash) && crash.Reason == nil:
		return nil, task.NoRetry(fmt.Errorf("%w: %d times, and then the process of its own: %w", task.ErrMinionDied, a.d.Recoveries, err))
	}
	return nil, err
}
