//go:build unix

package e2e

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// peak counts the slots of the handlers that run, and remembers the most.
type peak struct{ now, most atomic.Int64 }

func (p *peak) enter(n int64) (leave func()) {
	now := p.now.Add(n)
	for m := p.most.Load(); now > m && !p.most.CompareAndSwap(m, now); m = p.most.Load() {
	}
	return func() { p.now.Add(-n) }
}

// crowd is a minion with the tasks mail, render and film, in this process.
type crowd struct {
	renders, slots peak
	mails          atomic.Int64
	release        chan struct{} // closed to let renders end
}

var (
	mailTask   = task.Define[args, task.None]("mail")
	renderTask = task.Define[args, task.None]("render")
	filmTask   = task.Define[args, task.None]("film", task.Slots(3))
)

func (r *rig) crowd(slots int, opts ...minion.Option) *crowd {
	r.Helper()
	b, err := redis.Open(r.Context(), r.cfg.URL, redis.Lease(lease), redis.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = b.Close() })
	m, err := minion.New(b, append(opts, minion.Logger(r.logs.logger()), minion.DrainTimeout(0))...)
	if err != nil {
		r.Fatal(err)
	}
	c := &crowd{release: make(chan struct{})}
	err = errors.Join(
		task.Handle(m, mailTask, func(context.Context, args) (task.None, error) {
			defer c.slots.enter(1)()
			time.Sleep(time.Millisecond)
			c.mails.Add(1)
			return task.None{}, nil
		}),
		task.Handle(m, renderTask, func(ctx context.Context, _ args) (task.None, error) {
			defer c.slots.enter(1)()
			defer c.renders.enter(1)()
			select {
			case <-c.release:
				time.Sleep(time.Millisecond)
				return task.None{}, nil
			case <-ctx.Done():
				return task.None{}, ctx.Err()
			}
		}),
		task.Handle(m, filmTask, func(context.Context, args) (task.None, error) {
			defer c.slots.enter(3)()
			time.Sleep(2 * time.Millisecond)
			return task.None{}, nil
		}))
	if err != nil {
		r.Fatal(err)
	}
	go func() { _ = m.Run(context.Background(), slots) }()
	r.Cleanup(func() { _ = m.Close() })
	return c
}

// sendTo sends n calls of a task.
func sendTo(r *rig, t task.Task[args, task.None], n int) []*task.Future[task.None] {
	r.Helper()
	calls := make([]task.Call[task.None], n)
	for i := range calls {
		calls[i] = t.Bind(args{N: i})
	}
	futs, err := task.SendAll(r.Context(), r.arb, calls...)
	if err != nil {
		r.Fatal(err)
	}
	return futs
}

// Renders whose limit is reached do not hold up the mails behind them, and go to a minion that
// has room. Each of them runs once.
func TestAtMost(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	const renders, most = 1500, 2
	futs := sendTo(r, renderTask, renders)
	sendTo(r, mailTask, 10)
	first := r.crowd(10, minion.AtMost("render", most))
	r.eventually("the mails have run", func() bool { return first.mails.Load() == 10 })
	if n := first.renders.now.Load(); n != most {
		t.Errorf("%d renders run, want %d", n, most)
	}
	second := r.crowd(20)
	r.eventually("the other minion runs renders in all slots", func() bool { return second.renders.now.Load() == 20 })
	close(first.release)
	close(second.release)
	for _, fut := range futs {
		ctx, cancel := context.WithTimeout(t.Context(), 3*patience) // some are due again only after a minute or two
		if _, err := fut.Result(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		if st, err := r.arb.Status(t.Context(), fut.ID()); err != nil || st.Attempts != 1 || st.Retried != 0 {
			t.Fatalf("a render is %s after %d attempts and %d retries: %v", st.State, st.Attempts, st.Retried, err)
		}
	}
	if n := first.renders.most.Load(); n != most {
		t.Errorf("up to %d renders ran at once, want %d", n, most)
	}
}

// Heavy tasks take their slots together, also where the queue is full of smaller ones.
func TestHeavyTasks(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	mails := sendTo(r, mailTask, 500)
	films := sendTo(r, filmTask, 50)
	mails = append(mails, sendTo(r, mailTask, 500)...)
	c := r.crowd(4)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, fut := range append(films, mails...) {
		if _, err := fut.Result(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.slots.most.Load(); n != 4 {
		t.Errorf("up to %d slots were taken, want 4", n)
	}
}
