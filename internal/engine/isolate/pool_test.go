package isolate

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// census counts the processes of a pool, including those that start or end, until stop is called. stop returns the maximum.
func census(p *Pool) (stop func() int) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	most := 0
	wg.Go(func() {
		for {
			p.mu.Lock()
			most = max(most, len(p.all))
			p.mu.Unlock()
			select {
			case <-end:
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
	})
	return func() int {
		close(end)
		wg.Wait()
		return most
	}
}

// A process whose job could not wait for its start is used for the next job.
func TestPoolSlowStarts(t *testing.T) {
	t.Setenv(envSlow, "500ms")
	p := newTestPool(t, Config{Slots: 1})
	stop := census(p)
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := p.do(ctx, "echo")
		cancel()
		if err == nil || !strings.Contains(err.Error(), "deadline") {
			t.Fatal(err)
		}
	}
	if _, err := p.do(t.Context(), "echo"); err != nil {
		t.Error(err)
	}
	if most := stop(); most > 1 {
		t.Errorf("%d processes at once", most)
	}
}

// A worn-out process has ended before another one is started for it.
func TestPoolWorn(t *testing.T) {
	t.Parallel()
	p := newTestPool(t, Config{Slots: 2, Jobs: 1})
	stop := census(p)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 10 {
				if _, err := p.do(t.Context(), "echo"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if most := stop(); most > 2 {
		t.Errorf("%d processes at once", most)
	}
}

// A job that waits for others makes room for one more process, which is kept while the job may wait again.
func TestPoolLend(t *testing.T) {
	t.Parallel()
	p := newTestPool(t, Config{Slots: 1})
	stop := census(p)
	pids := make(map[string]int)
	ask := func(ctx context.Context, _ []byte) []byte {
		defer p.Lend("first")()
		for range 10 {
			pid, err := p.do(ctx, "echo")
			if err != nil {
				t.Error(err)
			}
			pids[pid]++
		}
		return nil
	}
	for range 2 {
		if _, err := p.Run(t.Context(), Job{Body: says("ask 1"), Tag: "first", Call: ask}); err != nil {
			t.Error(err)
		}
	}
	if _, err := p.do(t.Context(), "echo"); err != nil {
		t.Error(err)
	}
	if most := stop(); most != 2 {
		t.Errorf("%d processes at once", most)
	}
	if len(pids) > 2 {
		t.Errorf("the other jobs ran in the processes %v, want at most 2", pids)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		n := len(p.all)
		p.mu.Unlock()
		if n == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d processes are left", n)
		}
	}
}

// A job that waits for a process ends with its context or with the pool.
func TestPoolFull(t *testing.T) {
	t.Parallel()
	p := newTestPool(t, Config{Slots: 1})
	began := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := p.Run(t.Context(), Job{Body: says("ask 1"), Call: func(ctx context.Context, _ []byte) []byte {
			close(began)
			<-ctx.Done()
			return nil
		}})
		if !errors.Is(err, broker.ErrClosed) {
			t.Error(err)
		}
	})
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.do(ctx, "echo"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	wg.Go(func() {
		if _, err := p.do(t.Context(), "echo"); !errors.Is(err, broker.ErrClosed) {
			t.Error(err)
		}
	})
	p.Close()
	wg.Wait()
}
