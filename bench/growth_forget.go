package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/base/remember"
	"github.com/go-arbiter/arbiter/task"
)

// forgetRows returns the rows of forget: the rate, and the memory of Redis when the first tasks are
// past their retention, and at the end. If forgetting keeps pace, both are equal.
func forgetRows(seconds int) []rowKind {
	of := fmt.Sprintf("[seconds=%d]", seconds)
	return []rowKind{{"forget-rate" + of, "tasks/s"}, {"forget-memory" + of, "MB"}, {"forget-memory-end" + of, "MB"}}
}

// forget submits and executes at full speed for that many seconds, with a retention of a twelfth of
// the time.
func forget(seconds int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		length := time.Duration(seconds) * time.Second
		keep := length / 12
		defer remember.Shorten(keep)() // by default an id is remembered for ten minutes
		b, err := redis.Open(ctx, t.srv.url())
		if err != nil {
			return nil, err
		}
		arb, err := arbiter.New(b)
		if err != nil {
			return nil, err
		}
		s := &ours{b, arb}
		defer s.Close()
		stop, err := s.Work(ctx, pipelineSlots, func(x, y int) int { return x + y })
		if err != nil {
			return nil, err
		}
		defer stop()
		used := sampleMemory(ctx, t.srv, length/60)
		filler := *t
		filler.limit = length
		handle := addTask.With(task.Retention(keep))
		done, took, err := filler.spread(ctx, bulkCallers, flowBatch, 1<<40, func(ctx context.Context, n int) error {
			calls := make([]task.Call[int], n)
			for i := range calls {
				calls[i] = handle.Bind(addArgs{i, i + 1})
			}
			futs, err := task.SendAll(ctx, arb, calls...)
			if err != nil {
				return err
			}
			return futures(futs).Await(ctx)
		})
		samples, bad := used()
		if err == nil {
			err = bad
		}
		if err != nil {
			return nil, err
		}
		// A retention class ends up to a second late, and a heartbeat removes it a few seconds
		// later.
		from := len(samples) * int(2*keep+5*time.Second) / int(length)
		from = min(from, len(samples)/2)
		tenth := max(len(samples)/10, 1)
		return []float64{float64(done) / took.Seconds(), mean(samples[from : from+tenth]), mean(samples[len(samples)-tenth:])}, nil
	}
}

// sampleMemory reads the memory of Redis in MB at intervals, until the returned function is called.
// That function returns the samples.
func sampleMemory(ctx context.Context, srv *server, every time.Duration) func() ([]float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	var samples []float64
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pause(ctx, every) == nil {
			bytes, err := srv.info(ctx, "memory", "used_memory")
			if err != nil && ctx.Err() == nil {
				failed = err
				return
			}
			if err == nil {
				samples = append(samples, bytes/1e6)
			}
		}
	}()
	return func() ([]float64, error) {
		cancel()
		<-done
		if failed == nil && len(samples) < 20 {
			failed = fmt.Errorf("got %d samples of the memory, want 20 or more", len(samples))
		}
		return samples, failed
	}
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
