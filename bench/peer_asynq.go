package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

// asynqEager is the polling interval of asynq-eager, which takes part in the measures where a queue
// can be empty. The default is one second. The documentation of asynq warns that a short interval
// loads Redis, which idle-commands shows.
const asynqEager = 10 * time.Millisecond

// asynqSystem is hibiken/asynq with its defaults, except for a pool of connections that is large
// enough for all callers and slots. Arguments are JSON, as in its documentation. It has no bulk
// submission. Results are optional: the handler writes them, and they are stored for an hour like
// those of Arbiter. A submitter has to poll for a result.
type asynqSystem struct {
	opt     asynq.RedisClientOpt
	client  *asynq.Client
	look    *asynq.Inspector
	results bool
	check   time.Duration
}

func openAsynq(results bool, check time.Duration) func(context.Context, *server) (system, error) {
	return func(_ context.Context, srv *server) (system, error) {
		opt := asynq.RedisClientOpt{Addr: srv.addr, PoolSize: 128}
		s := &asynqSystem{opt: opt, client: asynq.NewClient(opt), results: results, check: check}
		if results {
			s.look = asynq.NewInspector(opt)
			return &asynqResults{s}, nil
		}
		return s, nil
	}
}

func (s *asynqSystem) Enqueue(ctx context.Context, x, y int) error {
	_, err := s.enqueue(ctx, x, y)
	return err
}

func (s *asynqSystem) enqueue(ctx context.Context, x, y int) (*asynq.TaskInfo, error) {
	payload, err := json.Marshal(addArgs{x, y})
	if err != nil {
		return nil, err
	}
	var opts []asynq.Option
	if s.results {
		opts = append(opts, asynq.Retention(time.Hour))
	}
	return s.client.EnqueueContext(ctx, asynq.NewTask("simple_add", payload), opts...)
}

func (s *asynqSystem) Work(_ context.Context, slots int, do work) (func(), error) {
	srv := asynq.NewServer(s.opt, asynq.Config{
		Concurrency: slots, LogLevel: asynq.FatalLevel, TaskCheckInterval: s.check,
	})
	err := srv.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		var a addArgs
		if err := json.Unmarshal(t.Payload(), &a); err != nil {
			return err
		}
		sum := do(a.X, a.Y)
		if !s.results {
			return nil
		}
		_, err := t.ResultWriter().Write(binary.BigEndian.AppendUint64(nil, uint64(sum)))
		return err
	}))
	return srv.Shutdown, err
}

func (s *asynqSystem) Close() {
	_ = s.client.Close()
	if s.look != nil {
		_ = s.look.Close()
	}
}

// asynqResults is asynq with results.
type asynqResults struct{ *asynqSystem }

func (s *asynqResults) Start(ctx context.Context, _ int) (results, error) {
	info, err := s.enqueue(ctx, 0, 1)
	return &asynqResult{s, info}, err
}

type asynqResult struct {
	s    *asynqResults
	info *asynq.TaskInfo
}

func (r *asynqResult) Await(ctx context.Context) error {
	for {
		info, err := r.s.look.GetTaskInfo(r.info.Queue, r.info.ID)
		if err != nil {
			return err
		}
		if info.State == asynq.TaskStateCompleted {
			if len(info.Result) != 8 {
				return fmt.Errorf("the result has %d bytes, want some", len(info.Result))
			}
			return checkSum(0, int(binary.BigEndian.Uint64(info.Result)))
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}
