package main

import (
	"context"
	"fmt"
	"time"

	"github.com/RichardKnop/machinery/v2"
	backend "github.com/RichardKnop/machinery/v2/backends/redis"
	"github.com/RichardKnop/machinery/v2/backends/result"
	broker "github.com/RichardKnop/machinery/v2/brokers/redis"
	machineryconfig "github.com/RichardKnop/machinery/v2/config"
	lock "github.com/RichardKnop/machinery/v2/locks/eager"
	"github.com/RichardKnop/machinery/v2/tasks"
)

// machinerySystem is RichardKnop/machinery v2 with its go-redis broker and backend, set up as in
// its example. Results are always on, and are stored for an hour like those of Arbiter. A submitter
// has to poll for a result, here every millisecond. It has no bulk submission.
type machinerySystem struct {
	server *machinery.Server
}

func openMachinery(_ context.Context, srv *server) (system, error) {
	cnf := &machineryconfig.Config{
		DefaultQueue:    "default",
		ResultsExpireIn: 3600,
		NoUnixSignals:   true,
		Redis: &machineryconfig.RedisConfig{
			MaxIdle: 3, IdleTimeout: 240, ReadTimeout: 15, WriteTimeout: 15, ConnectTimeout: 15,
			NormalTasksPollPeriod: 1000, DelayedTasksPollPeriod: 500,
		},
	}
	return &machinerySystem{machinery.NewServer(cnf,
		broker.NewGR(cnf, []string{srv.addr}, 0), backend.NewGR(cnf, []string{srv.addr}, 0), lock.New())}, nil
}

func (s *machinerySystem) Enqueue(ctx context.Context, x, y int) error {
	_, err := s.send(ctx, x, y)
	return err
}

func (s *machinerySystem) send(ctx context.Context, x, y int) (*result.AsyncResult, error) {
	return s.server.SendTaskWithContext(ctx, &tasks.Signature{
		Name: "simple_add",
		Args: []tasks.Arg{{Type: "int64", Value: int64(x)}, {Type: "int64", Value: int64(y)}},
	})
}

func (s *machinerySystem) Work(_ context.Context, slots int, do work) (func(), error) {
	err := s.server.RegisterTask("simple_add", func(x, y int64) (int64, error) {
		return int64(do(int(x), int(y))), nil
	})
	if err != nil {
		return nil, err
	}
	w := s.server.NewWorker("bench", slots)
	ended := make(chan error, 8)
	w.LaunchAsync(ended)
	return w.Quit, nil
}

func (s *machinerySystem) Start(ctx context.Context, _ int) (results, error) {
	r, err := s.send(ctx, 0, 1)
	return machineryResult{r}, err
}

type machineryResult struct{ *result.AsyncResult }

func (r machineryResult) Await(ctx context.Context) error {
	for {
		values, err := r.Touch()
		if err != nil {
			return err
		}
		if len(values) == 1 {
			return checkSum(0, int(values[0].Int()))
		}
		if len(values) > 1 {
			return fmt.Errorf("%d results", len(values))
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// Close does nothing: the clients of machinery can only be closed by ending a worker.
func (s *machinerySystem) Close() {}
