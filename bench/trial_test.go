package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestSpreadSendsEachTaskOnce(t *testing.T) {
	tr := &trial{size: size{limit: time.Minute}}
	for _, c := range []struct{ callers, batch, n int }{{1, 1, 5}, {4, 7, 100}, {50, 1, 7}, {3, 100, 50}} {
		var sum atomic.Int64
		done, _, err := tr.spread(t.Context(), c.callers, c.batch, c.n, func(_ context.Context, n int) error {
			if n < 1 || n > c.batch {
				t.Errorf("send was called for %d tasks, want at most %d", n, c.batch)
			}
			sum.Add(int64(n))
			return nil
		})
		if err != nil || done != c.n || sum.Load() != int64(c.n) {
			t.Errorf("%+v: spread returned %d, %d tasks were sent, error %v", c, done, sum.Load(), err)
		}
	}
}

func TestSpreadEnds(t *testing.T) {
	tr := &trial{size: size{limit: time.Millisecond}}
	done, _, err := tr.spread(t.Context(), 2, 1, 1_000_000_000, func(context.Context, int) error {
		return nil
	})
	if err != nil || done == 0 || done == 1_000_000_000 {
		t.Errorf("with the time over spread returned %d, %v", done, err)
	}
	bad := errors.New("bad")
	if _, _, err = tr.spread(t.Context(), 2, 1, 10, func(context.Context, int) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("spread returned %v, want the error of send", err)
	}
}

func TestMeter(t *testing.T) {
	for _, n := range []int{1, 2, 10} {
		m := newMeter(n)
		for range n + 1 {
			if got := m.add(2, 3); got != 5 {
				t.Fatalf("2 + 3 = %d", got)
			}
		}
		if got, _ := m.wait(t.Context(), time.Minute); got != n {
			t.Errorf("counted %d of %d", got, n)
		}
	}
	m := newMeter(3)
	m.add(1, 1)
	if got, took := m.wait(t.Context(), time.Millisecond); got != 1 || took < time.Millisecond {
		t.Errorf("counted %d in %v, want 1 within the limit", got, took)
	}
}

// A system that polls begins late. Its time counts from its first task. A system that never begins
// is given up after a fixed time.
func TestMeterBeginsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(2)
		time.AfterFunc(3*time.Second, func() { m.add(1, 1) })
		time.AfterFunc(3*time.Second+50*time.Millisecond, func() { m.add(1, 1) })
		if got, took := m.wait(t.Context(), 200*time.Millisecond); got != 2 || took != 50*time.Millisecond {
			t.Errorf("a late system: %d in %v, want 2 in 50ms", got, took)
		}
		if got, took := newMeter(2).wait(t.Context(), 200*time.Millisecond); got != 0 || took != firstTask {
			t.Errorf("a system that never begins: %d in %v, want 0 in %v", got, took, firstTask)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, took := newMeter(2).wait(ctx, 200*time.Millisecond); got != 0 || took != time.Second {
			t.Errorf("a trial that ends: %d in %v, want 0 in 1s", got, took)
		}
	})
}
