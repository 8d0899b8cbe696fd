package minion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/isolate"
	"github.com/go-arbiter/arbiter/task"
)

// A suspect that is not isolated runs in a process of its own all the same, where the
// program has children: if it kills that, the minion and all that runs there live on, and
// nobody else can have done it.

// newApart returns where suspects run, nil if the program does not call [Child], or calls
// it with other codecs than the minion's. It has no process before there is a suspect.
func newApart(m *Minion, log logger, slots int) *isolate.Pool {
	h := hook.Load()
	if h == nil || m.starter == nil || h.check(&m.cfg) != nil {
		return nil
	}
	iso := m.cfg.isolation
	iso.memory, iso.tasks = 0, 1
	return newChildren(m, log, slots, iso)
}

// runApart runs a suspect in a process of its own. What a child can't run the minion runs:
// Child may register less than the minion does.
func (a *attempt) runApart(ctx context.Context, enc codec.Codec, args, room []byte) ([]byte, error) {
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
		return done.Result, done.Err.unpack()
	case ctx.Err() != nil:
		return nil, err // whatever has happened, it was told to end
	case !handed:
		r.log.failed(slog.LevelWarn, "no process of its own for a task that may kill it; it runs in the minion", a.d, err)
		return a.h.Handler(ctx, enc, args, room)
	case errors.As(err, &crash) && crash.Reason == nil:
		return nil, task.NoRetry(fmt.Errorf("%w: %d times, and then its own process: %w", task.ErrMinionDied, a.d.Recoveries, err))
	}
	return nil, err
}
