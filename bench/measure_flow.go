package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// enqueueOne is one caller that submits one task after the other.
func enqueueOne(ctx context.Context, t *trial) ([]float64, error) {
	done, took, err := t.spread(ctx, 1, 1, t.n, t.one)
	return t.rateOr(done, t.n, took, err)
}

// enqueueMany is 100 callers that do the same.
func enqueueMany(ctx context.Context, t *trial) ([]float64, error) {
	done, took, err := t.spread(ctx, manyCallers, 1, t.n, t.one)
	return t.rateOr(done, t.n, took, err)
}

// enqueueBulk submits in the best way that the system has.
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
		t.note = "" // a rate of single calls is what it is
	}
	return values, err
}

// drain executes what was queued before, in so many slots, from the start of
// the first task to the end of the last.
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

// pipelineSlots is how many tasks a pipeline executes at once.
const pipelineSlots = 100

// pipeline submits and executes at once; whoever submits has every result, as
// far as the system has results. It also gives the CPU time that 100,000 tasks
// took in Redis and in this process.
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

// memFlow returns the rate of what flow does, and the CPU time that 100,000
// tasks took: unlike the rate it hardly depends on what else the machine does.
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

// flow sends tasks through the system and returns how many came out.
func (t *trial) flow(ctx context.Context) (int, time.Duration, error) {
	m := newMeter(t.n)
	stop, err := t.sys.Work(ctx, pipelineSlots, m.add)
	if err != nil {
		return 0, 0, err
	}
	defer stop()
	if err := pause(ctx, 50*time.Millisecond); err != nil { // until it has connected
		return 0, 0, err
	}
	r, ok := t.sys.(resulter)
	if !ok { // count what was executed instead
		began := time.Now()
		if _, _, err := t.spread(ctx, manyCallers, 1, t.n, t.one); err != nil {
			return 0, 0, err
		}
		done, _ := m.wait(ctx, t.limit-time.Since(began))
		return done, time.Since(began), nil
	}
	if _, ok := t.sys.(bulker); !ok { // each caller waits for its result
		return t.spread(ctx, manyCallers, 1, t.n, func(ctx context.Context, _ int) error {
			res, err := r.Start(ctx, 1)
			if err != nil {
				return err
			}
			return res.Await(ctx)
		})
	}
	return t.stream(ctx, r)
}

// stream submits batches, and awaits them beside that.
func (t *trial) stream(ctx context.Context, r resulter) (int, time.Duration, error) {
	const ahead = 16 // batches that are not awaited yet
	sent := make(chan results, ahead)
	var done atomic.Int64
	fail := make(chan error, 1)
	go func() {
		var err error
		for res := range sent {
			if err == nil {
				err = res.Await(ctx)
			}
			done.Add(flowBatch)
		}
		fail <- err
	}()
	began := time.Now()
	n, _, err := t.spread(ctx, 2, flowBatch, t.n, func(ctx context.Context, n int) error {
		res, err := r.Start(ctx, n)
		if err == nil {
			sent <- res
		}
		return err
	})
	close(sent)
	select {
	case failed := <-fail:
		if err == nil {
			err = failed
		}
	case <-time.After(t.limit):
		err = fmt.Errorf("%d of %d results within twice the time limit", done.Load(), n)
	}
	return n, time.Since(began), err
}
