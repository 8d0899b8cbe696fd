package main

import (
	"context"

	gocraft "github.com/gocraft/work"
	"github.com/gomodule/redigo/redis"
)

// gocraftSystem is gocraft/work with its defaults, and with a pool of connections that is large
// enough for all callers and slots. It has neither results nor a bulk submission. Its idle workers
// poll with pauses that grow up to 5 s.
type gocraftSystem struct {
	pool *redis.Pool
	enq  *gocraft.Enqueuer
}

const gocraftSpace = "bench"

func openGocraft(_ context.Context, srv *server) (system, error) {
	pool := &redis.Pool{
		MaxIdle: 1024,
		Dial:    func() (redis.Conn, error) { return redis.Dial("tcp", srv.addr) },
	}
	return &gocraftSystem{pool, gocraft.NewEnqueuer(gocraftSpace, pool)}, nil
}

func (s *gocraftSystem) Enqueue(_ context.Context, x, y int) error {
	_, err := s.enq.Enqueue("simple_add", gocraft.Q{"x": x, "y": y})
	return err
}

func (s *gocraftSystem) Work(_ context.Context, slots int, do work) (func(), error) {
	wp := gocraft.NewWorkerPool(struct{}{}, uint(slots), gocraftSpace, s.pool)
	wp.Job("simple_add", func(job *gocraft.Job) error {
		x, y := job.ArgInt64("x"), job.ArgInt64("y")
		if err := job.ArgError(); err != nil {
			return err
		}
		do(int(x), int(y))
		return nil
	})
	wp.Start()
	return wp.Stop, nil
}

func (s *gocraftSystem) Close() { _ = s.pool.Close() }
