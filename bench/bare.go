package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// barePing is go-redis with the smallest command, PING. No call that needs Redis can be faster.
var barePing = map[string]func(context.Context, *trial) ([]float64, error){
	"enqueue-1":   pingRate(1),
	"enqueue-100": pingRate(manyCallers),
	"pickup":      pingLatency,
	"roundtrip":   pingLatency,
}

func pingRate(callers int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		done, took, err := t.spread(ctx, callers, 1, t.n, func(ctx context.Context, _ int) error {
			return t.srv.client.Ping(ctx).Err()
		})
		return t.rateOr(done, t.n, took, err)
	}
}

func pingLatency(ctx context.Context, t *trial) ([]float64, error) {
	return t.sample(ctx, func() (time.Duration, error) {
		began := time.Now()
		err := t.srv.client.Ping(ctx).Err()
		return time.Since(began), err
	})
}

// bareList is go-redis with a list. It shows the speed of Redis for a queue without guarantees. An
// element is as long as a small message of Arbiter.
var bareList = map[string]func(context.Context, *trial) ([]float64, error){
	"enqueue-bulk": func(ctx context.Context, t *trial) ([]float64, error) {
		done, took, err := t.spread(ctx, bulkCallers, bulkBatch, t.n, pushList(t.srv.client, listElement))
		return t.rateOr(done, t.n, took, err)
	},
	"drain-10":  drainList(10),
	"drain-100": drainList(100),
	"drain-500": drainList(500),
	"bytes-pending": func(ctx context.Context, t *trial) ([]float64, error) {
		t.sys = &listSystem{t.srv.client}
		return bytesPending(ctx, t)
	},
}

const listKey = "bench:list"

var listElement = strings.Repeat("x", 64)

func pushList(c *redis.Client, element string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		elements := make([]any, n)
		for i := range elements {
			elements[i] = element
		}
		return c.RPush(ctx, listKey, elements...).Err()
	}
}

// drainList pops batch elements at a time.
func drainList(batch int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		for left := t.n; left > 0; left -= bulkBatch {
			if err := pushList(t.srv.client, listElement)(ctx, min(left, bulkBatch)); err != nil {
				return nil, err
			}
		}
		done, took, err := t.spread(ctx, 1, batch, t.n, func(ctx context.Context, n int) error {
			got, err := t.srv.client.LPopCount(ctx, listKey, n).Result()
			if err == nil && len(got) != n {
				err = fmt.Errorf("popped %d elements, want %d", len(got), n)
			}
			return err
		})
		return t.rateOr(done, t.n, took, err)
	}
}

// listSystem is a list as a system. It can only enqueue.
type listSystem struct{ c *redis.Client }

func (s *listSystem) Enqueue(ctx context.Context, _, _ int) error {
	return s.EnqueueAll(ctx, 1)
}

func (s *listSystem) EnqueueAll(ctx context.Context, n int) error {
	return pushList(s.c, listElement)(ctx, n)
}

func (s *listSystem) Work(context.Context, int, work) (func(), error) {
	return nil, errors.New("a bare list has no workers")
}

func (s *listSystem) Close() {}
