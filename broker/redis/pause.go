package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// This file pauses the hand-out of tasks. lua/paused.lua says how pauses are stored and what becomes
// of the tasks; pause.lua begins and ends them. Each partition of a queue has all pauses of the queue.

var _ broker.Pauser = (*Broker)(nil)

// Pause implements [broker.Pauser].
func (b *Broker) Pause(ctx context.Context, queue string, p broker.Pause) error {
	return b.changePause(ctx, queue, p, true)
}

// Resume implements [broker.Pauser].
func (b *Broker) Resume(ctx context.Context, queue string, p broker.Pause) error {
	return b.changePause(ctx, queue, p, false)
}

// pauseField returns the field of a pause in the hash of pauses.
func pauseField(p broker.Pause) string {
	switch {
	case p.Task != "":
		return "t" + p.Task
	case p.Key != "":
		return "k" + p.Key
	}
	return ""
}

// readPause reads a field of the hash of pauses. ok is false for a field that is no pause.
func readPause(field string) (p broker.Pause, ok bool) {
	switch {
	case field == "":
		return p, true
	case len(field) > 1 && field[0] == 't':
		return broker.Pause{Task: field[1:]}, true
	case len(field) > 1 && field[0] == 'k':
		return broker.Pause{Key: field[1:]}, true
	}
	return p, false
}

// changePause runs the script pause in each partition. Both changes may be repeated after an error.
func (b *Broker) changePause(ctx context.Context, queue string, p broker.Pause, begins bool) error {
	if err := broker.CheckName("queue", queue); err != nil {
		return err
	}
	if err := p.Check(); err != nil {
		return err
	}
	return do(ctx, func() error {
		if err := b.alive(ctx); err != nil {
			return err
		}
		q, err := b.queues.find(ctx, queue)
		if err == nil && q == nil && begins {
			q, err = b.queues.register(ctx, queue)
		}
		if err != nil || q == nil {
			return err
		}
		for at, tries := 0, 0; at < len(q.parts); {
			k := q.parts[at]
			reply, err := scriptPause.run(ctx, b,
				[]string{k.paused, k.ready, k.checked, k.watch, k.meta, k.aside, k.back, k.halt, k.lanes[lanesLined], k.canceled},
				k.wake, pauseField(p), flag(begins))
			switch {
			case err != nil:
				return err
			case reply != nil:
				at++
			case tries == 3: // the queue is not registered (any more)
				return fmt.Errorf("redis pause: %w: the registration of queue %s is lost again and again", broker.ErrUnavailable, queue)
			default:
				if q, err = b.queues.register(ctx, queue); err != nil {
					return err
				}
				at, tries = 0, tries+1
			}
		}
		return nil
	})
}

// Pauses implements [broker.Pauser]. A pause that has begun in a part of the partitions only is one.
func (b *Broker) Pauses(ctx context.Context, queue string) ([]broker.PauseInfo, error) {
	return ask(ctx, func() ([]broker.PauseInfo, error) { return b.pausesNow(ctx, queue) })
}

func (b *Broker) pausesNow(ctx context.Context, queue string) ([]broker.PauseInfo, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	if err := broker.CheckName("queue", queue); err != nil {
		return nil, err
	}
	q, err := b.queues.find(ctx, queue)
	if err != nil || q == nil {
		return nil, err
	}
	pipe := b.rdb.Pipeline()
	replies := make([]*redis.MapStringStringCmd, len(q.parts))
	for i, k := range q.parts {
		replies[i] = pipe.HGetAll(ctx, k.paused)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, b.fault("pauses of queue "+queue, err)
	}
	since := make(map[broker.Pause]time.Time)
	for _, reply := range replies {
		for field, ms := range reply.Val() {
			p, ok := readPause(field)
			if !ok {
				continue
			}
			n, _ := strconv.ParseInt(ms, 10, 64)
			if at := time.UnixMilli(n); since[p].IsZero() || at.Before(since[p]) {
				since[p] = at
			}
		}
	}
	out := make([]broker.PauseInfo, 0, len(since))
	for p, at := range since {
		out = append(out, broker.PauseInfo{Pause: p, Since: at})
	}
	slices.SortFunc(out, func(i, j broker.PauseInfo) int { return i.Compare(j.Pause) })
	return out, nil
}
