package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// enqueueOne measures one caller that submits one task after the other.
func enqueueOne(ctx context.Context, t *trial) ([]float64, error) {
	done, took, err := t.spread(ctx, 1, 1, t.n, t.one)
	return t.rateOr(done, t.n, took, err)
}

// enqueueMany measures 100 callers that do the same.
func enqueueMany(ctx context.Context, t *trial) ([]float64, error) {
	done, took, err := t.spread(ctx, manyCallers, 1, t.n, t.one)
	return t.rateOr(done, t.n, took, err)
}

// enqueueBulk measures the fastest way of submission that the system has.
func enqueueBulk(ctx context.Context, t *trial) ([]float64, error) {
	done, took, err := t.fill(ctx, t.n)
	return t.rateOr(done, t.n, took, err)
}

func (t *trial) rateOr(done, n int, took time.Duration, err error) ([]float64, error) {
	if err != nil {
		return nil, err
	}
	values, err := t.rate(done, n, took)
	if done < n {
		t.note = "" // a rate of single calls needs no note
	}
	return values, err
}

// drain executes queued tasks in the given number of slots. It measures from the start of the first
// task to the end of the last one.
func drain(slots int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		n, _, err := t.fill(ctx, t.n)
		if err != nil {
			return nil, err
		}
		m := newMeter(n)
		stop, err := t.sys.Work(ctx, slots, m.add)
		if err != nil {
			return nil, err
		}
		done, took := m.wait(ctx, t.limit)
		stop()
		return t.rate(done, n, took)
	}
}

// pipelineSlots is the number of tasks that a pipeline executes at once.
const pipelineSlots = 100

// pipeline submits and executes at the same time. The submitters await every result if the system
// has results. It also measures the CPU time of 100,000 tasks in Redis and in this process.
func pipeline(ctx context.Context, t *trial) ([]float64, error) {
	redis, err := t.srv.cpu(ctx)
	if err != nil {
		return nil, err
	}
	own, err := processCPU()
	if err != nil {
		return nil, err
	}
	done, took, err := t.flow(ctx)
	if err != nil {
		return nil, err
	}
	redisNow, err := t.srv.cpu(ctx)
	if err != nil {
		return nil, err
	}
	ownNow, err := processCPU()
	if err != nil {
		return nil, err
	}
	values, err := t.rate(done, t.n, took)
	if err != nil {
		return nil, err
	}
	per := 100_000 / float64(done)
	return append(values, (redisNow-redis)*per, (ownNow-own)*per), nil
}

// memPipeline is pipeline without a server.
func memPipeline(ctx context.Context, t *trial) ([]float64, error) {
	return t.memFlow(t.n, func() (int, time.Duration, error) { return t.flow(ctx) })
}

// memFlow returns the rate of flow, and the CPU time of 100,000 tasks. Unlike the rate, the CPU
// time hardly depends on the load of the machine.
func (t *trial) memFlow(n int, flow func() (int, time.Duration, error)) ([]float64, error) {
	before, err := processCPU()
	if err != nil {
		return nil, err
	}
	done, took, err := flow()
	if err != nil {
		return nil, err
	}
	after, err := processCPU()
	if err != nil {
		return nil, err
	}
	values, err := t.rate(done, n, took)
	return append(values, (after-before)*100_000/float64(max(done, 1))), err
}

// flow sends tasks through the system, and returns how many were finished.
func (t *trial) flow(ctx context.Context) (int, time.Duration, error) {
	m := newMeter(t.n)
	stop, err := t.sys.Work(ctx, pipelineSlots, m.add)
	if err != nil {
		return 0, 0, err
	}
	defer stop()
	if err := pause(ctx, 50*time.Millisecond); err != nil { // until the worker has connected
		return 0, 0, err
	}
	r, ok := t.sys.(resulter)
	if !ok { // without results, the executed tasks are counted
		ctx, stopSending := context.WithCancel(ctx)
		defer stopSending()
		sending := make(chan error, 1)
		go func() {
			var sent atomic.Int64
			_, _, err := t.spread(ctx, manyCallers, 1, t.n, func(ctx context.Context, n int) error {
				for sent.Add(1); sent.Load()-m.count.Load() > singleAhead; {
					if err := pause(ctx, time.Millisecond); err != nil {
						return err
					}
				}
				return t.one(ctx, n)
			})
			sending <- err
		}()
		done, took := m.wait(ctx, t.limit)
		stopSending()
		if err := <-sending; !errors.Is(err, context.Canceled) {
			return done, took, err
		}
		return done, took, nil
	}
	if _, ok := t.sys.(bulker); ok {
		return t.stream(ctx, r, stream{callers: 2, batch: flowBatch, ahead: bulkAhead, waiters: 1})
	}
	// For a system that polls for results, each call awaits one result. Results arrive about in the
	// order in which the tasks were sent.
	return t.stream(ctx, r, stream{callers: manyCallers, batch: 1, ahead: singleAhead, waiters: 10})
}

// These bound the tasks of a pipeline that are sent, and not executed or not awaited yet. The tasks
// that are left at the end have cost something too, so there are only as many as keep all slots
// busy.
const (
	bulkAhead   = 8000
	singleAhead = 1000
)

// stream is the shape of a pipeline with results.
type stream struct{ callers, batch, ahead, waiters int }

// stream submits batches, and awaits their results at the same time.
func (t *trial) stream(ctx context.Context, r resulter, s stream) (int, time.Duration, error) {
	type part struct {
		results
		n int
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sent := make(chan part, s.ahead/s.batch)
	var done atomic.Int64
	fail := make(chan error, s.waiters)
	began := time.Now()
	for range s.waiters {
		go func() {
			var err error
			for p := range sent {
				if err == nil {
					if err = p.Await(ctx); err == nil && time.Since(began) < t.limit {
						done.Add(int64(p.n))
					}
				}
				if err != nil || time.Since(began) >= t.limit {
					cancel() // no more submissions are needed
				}
			}
			fail <- err
		}()
	}
	_, _, err := t.spread(ctx, s.callers, s.batch, t.n, func(ctx context.Context, n int) error {
		res, err := r.Start(ctx, n)
		if err == nil {
			sent <- part{res, n}
		}
		return err
	})
	close(sent)
	for range s.waiters {
		if failed := <-fail; err == nil {
			err = failed
		}
	}
	took := time.Since(began)
	if took >= t.limit && errors.Is(err, context.Canceled) {
		err = nil // the time limit has ended it
	}
	return int(done.Load()), min(took, max(t.limit, 1)), err
}
