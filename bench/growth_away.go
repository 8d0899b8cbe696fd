package main

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
)

// drainAway is drain by a minion with longer round trips to the server, by ms milliseconds. The
// queue is filled without that delay.
func drainAway(ms int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		line, err := redisproxy.Listen(t.srv.addr)
		if err != nil {
			return nil, err
		}
		defer line.Close()
		line.Slow(time.Duration(ms)*time.Millisecond/2, 0)
		b, err := redis.Open(ctx, line.URL())
		if err != nil {
			return nil, err
		}
		s, err := newOurs(b)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		n, _, err := t.fill(ctx, t.n)
		if err != nil {
			return nil, err
		}
		m := newMeter(n)
		stop, err := s.Work(ctx, pipelineSlots, m.add)
		if err != nil {
			return nil, err
		}
		done, took := m.wait(ctx, t.limit)
		stop()
		return t.rate(done, n, took)
	}
}
