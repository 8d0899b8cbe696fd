package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// trial is one measure of one system while it runs.
type trial struct {
	size
	sys  system
	srv  *server // nil if the system needs none
	note string  // a remark for the report
}

// The numbers of callers that submit at once, and the sizes of their batches.
const (
	manyCallers = 100 // of single tasks
	bulkCallers = 4   // of batches
	bestCallers = 50  // of single tasks, by a system without batches
	bulkBatch   = 1000
	flowBatch   = 500 // a batch of the pipeline
)

var errNone = errors.New("the system does not have this feature")

// pause sleeps for d. It returns an error if ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// spread calls send from several callers, each time for up to batch tasks, until n tasks were sent
// or the time of the trial is over. It returns the number of sent tasks, and the time.
func (t *trial) spread(ctx context.Context, callers, batch, n int, send func(ctx context.Context, n int) error) (int, time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var taken, sent atomic.Int64
	begin := time.Now()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for ctx.Err() == nil && time.Since(begin) < t.limit {
				k := min(batch, n-int(taken.Add(int64(batch)))+batch)
				if k <= 0 {
					return
				}
				if err := send(ctx, k); err != nil {
					cancel(err)
					return
				}
				sent.Add(int64(k))
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	return int(sent.Load()), took, context.Cause(ctx)
}

// fill stores tasks in the fastest way that the system has.
func (t *trial) fill(ctx context.Context, n int) (int, time.Duration, error) {
	if b, ok := t.sys.(bulker); ok {
		return t.spread(ctx, bulkCallers, bulkBatch, n, b.EnqueueAll)
	}
	return t.spread(ctx, bestCallers, 1, n, t.one)
}

func (t *trial) one(ctx context.Context, _ int) error { return t.sys.Enqueue(ctx, 0, 1) }

// rate returns the tasks a second as the value of a measure. It notes if the time was over before
// all tasks were done.
func (t *trial) rate(done, n int, took time.Duration) ([]float64, error) {
	if done == 0 {
		return nil, fmt.Errorf("no task was done within %v", took.Round(time.Millisecond))
	}
	if done < n {
		t.note = fmt.Sprintf("%d of %d tasks within the time limit", done, n)
	}
	return []float64{float64(done) / took.Seconds()}, nil
}

// meter is a work function that counts its calls.
type meter struct {
	target      int64
	count       atomic.Int64
	first, last atomic.Int64  // times of the first call and of the call that reached the target, as Unix ns; 0 if not yet
	begun, done chan struct{} // closed with the first task and with the last
}

func newMeter(target int) *meter {
	return &meter{target: int64(target), begun: make(chan struct{}), done: make(chan struct{})}
}

func (m *meter) add(x, y int) int {
	n := m.count.Add(1)
	if n == 1 {
		m.first.Store(time.Now().UnixNano())
		close(m.begun)
	}
	if n == m.target {
		m.last.Store(time.Now().UnixNano())
		close(m.done)
	}
	return x + y
}

// firstTask is how long a system may take to begin. A system that polls needs up to a few seconds
// for its first task.
const firstTask = 5 * time.Second

// wait waits until the target is reached, and returns the count and the time since the first task.
// It gives up d after the first task, or after firstTask (after d if that is longer) if there is
// none. The time before the first task does not count.
func (m *meter) wait(ctx context.Context, d time.Duration) (int, time.Duration) {
	begin := time.Now()
	timer := time.NewTimer(max(d, firstTask))
	defer timer.Stop()
	select {
	case <-m.begun:
	case <-timer.C:
		return 0, time.Since(begin)
	case <-ctx.Done():
		return 0, time.Since(begin)
	}
	first := time.Unix(0, m.first.Load())
	timer.Reset(time.Until(first.Add(d)))
	select {
	case <-m.done:
		return int(m.target), time.Duration(m.last.Load() - m.first.Load())
	case <-timer.C:
	case <-ctx.Done():
	}
	return int(min(m.count.Load(), m.target)), time.Since(first)
}
