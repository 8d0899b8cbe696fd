package minion_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The error of Run is logged with a remedy, in case the caller ignores it.
func TestRunLogsItsError(t *testing.T) {
	var l logs
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = must(minion.New(memory.New(), minion.Logger(l.logger()))).Run(t.Context(), 3)
	}()
	<-done
	if n := l.count("level=ERROR"); n != 1 {
		t.Errorf("%d errors are logged", n)
	}
	for _, part := range []string{"Run has failed", "no task is registered", "remedy=", "call Run of a new minion"} {
		if !strings.Contains(l.String(), part) {
			t.Errorf("the log lacks %q: %s", part, l.String())
		}
	}
}

// Abandoned handlers and a closed broker are logged, too.
func TestRunLogsItsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		free := make(chan struct{})
		c := r.crew(1, func(context.Context, args) (int, error) { <-free; return 0, nil }, minion.DrainTimeout(0))
		r.send(1)
		settled()
		if err := c.stop(); !errors.Is(err, minion.ErrAbandoned) {
			t.Error(err)
		}
		if r.logs.count("level=ERROR") != 1 || r.logs.count("let the named handlers return") != 1 {
			t.Errorf("log:\n%s", r.logs)
		}
		close(free)
		settled()
		c = r.crew(1, func(context.Context, args) (int, error) { return 0, nil })
		settled()
		_ = r.b.Close()
		<-c.done
		if r.logs.count("level=ERROR") != 2 || r.logs.count("close the broker after its minions") != 1 {
			t.Errorf("log:\n%s", r.logs)
		}
	})
}

// An ordinary end of Run is not logged as an error: the end of its context, Stop, Close,
// and Stop before Run.
func TestRunLogsNoOrdinaryEnd(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, stop := range []func(c *crew){
			func(c *crew) { c.halt() },
			func(c *crew) { _ = c.Stop(t.Context()) },
			func(c *crew) { _ = c.Close() },
		} {
			c := r.crew(1, func(context.Context, args) (int, error) { return 0, nil })
			settled()
			stop(c)
			<-c.done
			if c.err != nil {
				t.Error(c.err)
			}
		}
		m := must(minion.New(r.b, minion.Logger(r.logs.logger())))
		if err := task.Handle(m, work, nothing); err != nil {
			t.Fatal(err)
		}
		_ = m.Stop(t.Context())
		if err := m.Run(t.Context(), 1); !errors.Is(err, task.ErrClosed) {
			t.Error(err)
		}
		if n := r.logs.count("level=ERROR"); n != 0 {
			t.Errorf("log:\n%s", r.logs)
		}
	})
}
