package main

import (
	"context"
	"time"

	redis8 "github.com/go-redis/redis/v8"
	"github.com/vmihailenco/taskq/v3"
	"github.com/vmihailenco/taskq/v3/redisq"
)

// taskqSystem is vmihailenco/taskq on Redis streams. It has one worker for each slot, without its
// automatic tuning. It reserves 100 messages at a time instead of the default of 10, since it was
// fastest like that. It has neither results nor a bulk submission.
type taskqSystem struct {
	client *redis8.Client
	tasks  taskq.TaskMap
	add    *taskq.Task
	do     work
	send   taskq.Queue
}

func openTaskq(_ context.Context, srv *server) (system, error) {
	s := &taskqSystem{client: redis8.NewClient(&redis8.Options{Addr: srv.addr, PoolSize: 128})}
	add, err := s.tasks.Register(&taskq.TaskOptions{
		Name:    "simple_add",
		Handler: func(x, y int) error { s.do(x, y); return nil },
	})
	if err != nil {
		return nil, err
	}
	s.add = add
	s.send = s.queue(1)
	return s, nil
}

func (s *taskqSystem) queue(slots int) taskq.Queue {
	return redisq.NewQueue(&taskq.QueueOptions{
		Name: "default", Redis: s.client, Handler: &s.tasks,
		MinNumWorker: int32(slots), MaxNumWorker: int32(slots),
		ReservationSize: 100, BufferSize: 100,
	})
}

func (s *taskqSystem) Enqueue(ctx context.Context, x, y int) error {
	return s.send.Add(s.add.WithArgs(ctx, x, y))
}

func (s *taskqSystem) Work(ctx context.Context, slots int, do work) (func(), error) {
	s.do = do
	q := s.queue(slots)
	c := q.Consumer()
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	return func() {
		_ = c.StopTimeout(5 * time.Second)
		_ = q.Close()
	}, nil
}

func (s *taskqSystem) Close() {
	_ = s.send.Close()
	_ = s.client.Close()
}
