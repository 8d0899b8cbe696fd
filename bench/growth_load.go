package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// drainPending measures the rate at which the first tasks of a long queue are executed. A short
// queue is filled and drained several times, so that the number of tasks is the same for every
// length. Then the start-up time of the minion has the same weight.
func drainPending(pending int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		filler := *t
		filler.limit = extra
		var done int
		var took time.Duration
		for done < t.n && took < t.limit {
			n, _, err := filler.fill(ctx, pending)
			if err != nil {
				return nil, err
			}
			m := newMeter(min(n, t.n))
			stop, err := t.sys.Work(ctx, pipelineSlots, m.add)
			if err != nil {
				return nil, err
			}
			ran, d := m.wait(ctx, t.limit)
			stop()
			if done, took = done+ran, took+d; ran < int(m.target) || ctx.Err() != nil {
				break
			}
		}
		return t.rate(done, t.n, took)
	}
}

// payloads are the sizes of arguments, in bytes.
var payloads = []int{100, 1 << 10, 16 << 10, 64 << 10, 256 << 10}

// maxMoved bounds the total payload of a trial, in bytes.
const maxMoved = 64 << 20

func moved(t *trial, size int) (n, batch int) {
	return max(min(t.n, maxMoved/size), 1), min(bulkBatch, broker.MaxBatchBytes/2/size)
}

type blobArgs struct {
	Data []byte `arbiter:"data"`
}

var blobTask = task.Define[blobArgs, task.None]("blob")

// movePayload stores tasks with large arguments, then executes them.
func movePayload(size int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		s, ok := t.sys.(*ours)
		if !ok {
			return nil, errNone
		}
		n, batch := moved(t, size)
		data := []byte(strings.Repeat("x", size))
		meter := newMeter(n)
		m, err := minion.New(s.b)
		if err != nil {
			return nil, err
		}
		err = task.Handle(m, blobTask, func(_ context.Context, a blobArgs) (task.None, error) {
			meter.add(len(a.Data), 0)
			return task.None{}, nil
		})
		if err != nil {
			return nil, err
		}
		filler := *t
		filler.limit = extra
		began := time.Now()
		_, _, err = filler.spread(ctx, bulkCallers, batch, n, func(ctx context.Context, n int) error {
			calls := make([]task.Call[task.None], n)
			for i := range calls {
				calls[i] = blobTask.Bind(blobArgs{data})
			}
			_, err := task.SendAll(ctx, s.arb, calls...)
			return err
		})
		if err != nil {
			return nil, err
		}
		go func() { _ = m.Run(ctx, pipelineSlots) }()
		done, _ := meter.wait(ctx, extra)
		took := time.Since(began)
		_ = m.Close()
		return megabytes(done, n, size, took)
	}
}

// moveList pushes and pops the same number of bytes.
func moveList(size int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		n, batch := moved(t, size)
		began := time.Now()
		filler := *t
		filler.limit = extra
		_, _, err := filler.spread(ctx, bulkCallers, batch, n, pushList(t.srv.client, strings.Repeat("x", size)))
		if err != nil {
			return nil, err
		}
		for left := n; left > 0; left -= batch {
			if err := t.srv.client.LPopCount(ctx, listKey, min(left, batch)).Err(); err != nil {
				return nil, err
			}
		}
		return megabytes(n, n, size, time.Since(began))
	}
}

// moveCalls is a list too, but with one command for each element: many callers push, and then as
// many pop.
func moveCalls(size int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		n, _ := moved(t, size)
		began := time.Now()
		filler := *t
		filler.limit = extra
		for _, do := range []func(context.Context, int) error{
			pushList(t.srv.client, strings.Repeat("x", size)),
			func(ctx context.Context, n int) error { return t.srv.client.LPopCount(ctx, listKey, n).Err() },
		} {
			if _, _, err := filler.spread(ctx, manyCallers, 1, n, do); err != nil {
				return nil, err
			}
		}
		return megabytes(n, n, size, time.Since(began))
	}
}

func megabytes(done, n, size int, took time.Duration) ([]float64, error) {
	if done < n {
		return nil, fmt.Errorf("only %d of %d tasks were done within the time limit", done, n)
	}
	return []float64{float64(n) * float64(size) / 1e6 / took.Seconds()}, nil
}

// drainQueues measures the rate at which one minion executes the tasks of many queues.
func drainQueues(queues int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		s, ok := t.sys.(*ours)
		if !ok {
			return nil, errNone
		}
		names := queueNames(queues)
		each := max(t.n/queues, 1)
		for _, name := range names {
			handle := addTask.With(task.Queue(name))
			for left := each; left > 0; left -= bulkBatch {
				calls := make([]task.Call[int], min(left, bulkBatch))
				for i := range calls {
					calls[i] = handle.Bind(addArgs{i, i + 1})
				}
				if _, err := task.SendAll(ctx, s.arb, calls...); err != nil {
					return nil, err
				}
			}
		}
		meter := newMeter(each * queues)
		m, err := minion.New(s.b, minion.Queues(names...))
		if err != nil {
			return nil, err
		}
		if err := registerAdd(m, meter.add); err != nil {
			return nil, err
		}
		go func() { _ = m.Run(ctx, pipelineSlots) }()
		done, took := meter.wait(ctx, t.limit)
		_ = m.Close()
		return t.rate(done, each*queues, took)
	}
}

// idleQueues counts the commands of an idle minion with many queues.
func idleQueues(queues int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		s, ok := t.sys.(*ours)
		if !ok {
			return nil, errNone
		}
		m, err := minion.New(s.b, minion.Queues(queueNames(queues)...))
		if err != nil {
			return nil, err
		}
		if err := registerAdd(m, func(x, y int) int { return x + y }); err != nil {
			return nil, err
		}
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx, latencySlots) }()
		if err := pause(ctx, 2*time.Second); err != nil {
			return nil, err
		}
		n, err := t.srv.commands(ctx, t.idle)
		_ = m.Close()
		if failed := <-ended; err == nil && failed != nil && !errors.Is(failed, context.Canceled) {
			err = failed
		}
		return []float64{float64(n) / t.idle.Seconds()}, err
	}
}

func queueNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("q%d", i)
	}
	return names
}
