package main

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// ours is Arbiter with its defaults, on either broker.
type ours struct {
	b   broker.Broker
	arb *arbiter.Arbiter
}

func openArbiter(ctx context.Context, srv *server) (system, error) {
	b, err := redis.Open(ctx, srv.url())
	if err != nil {
		return nil, err
	}
	return newOurs(b)
}

func openMemory(context.Context, *server) (system, error) { return newOurs(memory.New()) }

func newOurs(b broker.Broker) (*ours, error) {
	arb, err := arbiter.New(b)
	return &ours{b, arb}, err
}

func (s *ours) Enqueue(ctx context.Context, x, y int) error {
	_, err := addTask.Apply(ctx, s.arb, addArgs{x, y})
	return err
}

func (s *ours) EnqueueAll(ctx context.Context, n int) error {
	_, err := task.SendAll(ctx, s.arb, bind(n)...)
	return err
}

func (s *ours) Start(ctx context.Context, n int) (results, error) {
	futs, err := task.SendAll(ctx, s.arb, bind(n)...)
	return futures(futs), err
}

func bind(n int) []task.Call[int] {
	calls := make([]task.Call[int], n)
	for i := range calls {
		calls[i] = addTask.Bind(addArgs{i, i + 1})
	}
	return calls
}

type futures []*task.Future[int]

func (f futures) Await(ctx context.Context) error {
	for i, fut := range f {
		sum, err := fut.Result(ctx)
		if err != nil {
			return err
		}
		if err := checkSum(i, sum); err != nil {
			return err
		}
	}
	return nil
}

// checkSum checks the result of the i-th task of a submission.
func checkSum(i, sum int) error {
	if sum != 2*i+1 {
		return fmt.Errorf("simple_add(%d, %d) = %d", i, i+1, sum)
	}
	return nil
}

func (s *ours) Work(ctx context.Context, slots int, do work) (func(), error) {
	m, err := minion.New(s.b)
	if err != nil {
		return nil, err
	}
	if err := registerAdd(m, do); err != nil {
		return nil, err
	}
	go func() { _ = m.Run(ctx, slots) }()
	return func() { _ = m.Close() }, nil
}

func (s *ours) Close() {
	_ = s.arb.Close()
	_ = s.b.Close()
}
