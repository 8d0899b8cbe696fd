package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// This file defines limits and weights of lanes. The work is done by scripts: lane.lua has the
// data and how tasks wait, lane_take.lua hands them out, and limit.lua changes definitions. All
// of it is in the first partition of a queue.

// laneCost returns how much work a task is for a script that puts it in line or hands it out, compared
// with a task without a lane. A script gets tasks that cost at most broker.MaxBatch together, so that
// it stays short: the server does nothing else meanwhile.
func laneCost(t *broker.Task) int {
	if t.Lane == nil {
		return 1
	}
	cost := 2 + 2*len(t.Lane.Limits)
	if t.Lane.Sequence != "" {
		cost++
	}
	return cost
}

// SetLimit implements [broker.Lanes].
func (b *Broker) SetLimit(ctx context.Context, queue string, l broker.Limit) error {
	if err := l.Check(); err != nil {
		return err
	}
	_, err := b.changeLimit(ctx, queue, "define", limitName(l.Name, l.Key), definition(l))
	return err
}

// AddLimit implements [broker.Lanes].
func (b *Broker) AddLimit(ctx context.Context, queue string, l broker.Limit) (broker.Limit, error) {
	if err := l.Check(); err != nil {
		return broker.Limit{}, err
	}
	use := limitName(l.Name, l.Key)
	def, err := b.changeLimit(ctx, queue, "add", use, definition(l))
	if err != nil || def == "" {
		return l, err
	}
	stored, ok := parseLimit(use, def)
	if !ok {
		return broker.Limit{}, fmt.Errorf("limit %s of queue %s: %w: its definition can't be read; SetLimit replaces it", l.Name, queue, broker.ErrMalformed)
	}
	return stored, nil
}

// definition returns the text of a definition that is stored.
func definition(l broker.Limit) string {
	gap := 0.0 // how many us a cost of 1 takes of a rate
	if l.Rate > 0 {
		gap = float64(l.Per.Microseconds()) / float64(l.Rate)
	}
	paused := 0
	if l.Paused {
		paused = 1
	}
	// The script reads the first four, and appends the time at which it stores them. The others are for
	// LimitsIn.
	return fmt.Sprintf("%d %s %d %d %d %d %d", l.Most, strconv.FormatFloat(gap, 'f', -1, 64), l.Bursts(), paused, l.Rate, l.Per.Nanoseconds(), l.Burst)
}

// RemoveLimit implements [broker.Lanes].
func (b *Broker) RemoveLimit(ctx context.Context, queue, name, key string) error {
	if err := (&broker.Limit{Name: name, Key: key, Paused: true}).Check(); err != nil {
		return err
	}
	_, err := b.changeLimit(ctx, queue, "remove", limitName(name, key), "")
	return err
}

// CloseLimit implements [broker.Lanes].
func (b *Broker) CloseLimit(ctx context.Context, queue, name, key string, d time.Duration) error {
	if err := (&broker.Limit{Name: name, Key: key, Paused: true}).Check(); err != nil {
		return err
	}
	if d > broker.MaxDuration {
		return fmt.Errorf("limit %s: %w: closed for %v, the longest time is %v", name, broker.ErrInvalid, d, broker.MaxDuration)
	}
	ms := max(d, 0).Milliseconds()
	if d > 0 {
		ms = max(ms, 1)
	}
	_, err := b.changeLimit(ctx, queue, "close", limitName(name, key), strconv.FormatInt(ms, 10))
	return err
}

// SetWeight implements [broker.Lanes].
func (b *Broker) SetWeight(ctx context.Context, queue, key string, weight int) error {
	if len(key) > broker.MaxLaneKey || weight < 1 || weight > broker.MaxWeight {
		return fmt.Errorf("weight of key %.40q: %w: %d, want 1 to %d, and a key of at most %d bytes", key, broker.ErrInvalid, weight, broker.MaxWeight, broker.MaxLaneKey)
	}
	_, err := b.changeLimit(ctx, queue, "weigh", key, strconv.Itoa(weight))
	return err
}

// ResumeSequence implements [broker.Lanes].
func (b *Broker) ResumeSequence(ctx context.Context, queue, sequence string) error {
	if sequence == "" || len(sequence) > broker.MaxLaneKey {
		return fmt.Errorf("sequence %.40q: %w: want 1 to %d bytes", sequence, broker.ErrInvalid, broker.MaxLaneKey)
	}
	_, err := b.changeLimit(ctx, queue, "resume", limitName("", sequence), "")
	return err
}

// limitName returns the name of a limit and key in scripts; of a sequence the name is empty.
func limitName(name, key string) string {
	out := append([]byte{byte(len(name))}, name...)
	return string(append(append(out, byte(len(key))), key...))
}

// changeLimit runs the script limit until it is done. It returns the definition that was there already,
// if one was to be added.
func (b *Broker) changeLimit(ctx context.Context, queue, what, use, value string) (string, error) {
	if err := broker.CheckName("queue", queue); err != nil {
		return "", err
	}
	return ask(ctx, func() (string, error) {
		what, use, value := what, use, value
		if err := b.alive(ctx); err != nil {
			return "", err
		}
		q, err := b.queues.open(ctx, queue)
		if err != nil {
			return "", err
		}
		first := use
		for tries := 0; ; {
			k := q.parts[0]
			reply, err := scriptLimit.run(ctx, b, append([]string{k.ready, k.checked, k.watch, k.scheduled, k.meta}, k.lanes...), k.wake, what, use, value)
			if err != nil {
				return "", err
			}
			switch v := reply.(type) {
			case nil: // the queue is not registered (any more)
				if tries++; tries > 3 {
					return "", fmt.Errorf("redis limit: %w: the registration of queue %s is lost again and again", broker.ErrUnavailable, queue)
				}
				if q, err = b.queues.register(ctx, queue); err != nil {
					return "", err
				}
			case []any:
				return toString(item(v, 0)), nil
			case int64:
				return "", fmt.Errorf("sequence %q of queue %s: %w: it is not halted", use[2:], queue, broker.ErrNotFound)
			default:
				if toString(v) == "" {
					return "", nil
				}
				what, use, value = "open", toString(v), first
			}
		}
	})
}

// limitsOf reads the hash limits of a queue. It is nil if the queue is not known.
func (b *Broker) limitsOf(ctx context.Context, queue string) (*keys, map[string]string, error) {
	if err := broker.CheckName("queue", queue); err != nil {
		return nil, nil, err
	}
	if err := b.alive(ctx); err != nil {
		return nil, nil, err
	}
	q, err := b.queues.open(ctx, queue)
	if err != nil {
		return nil, nil, err
	}
	k := q.parts[0]
	fields, err := b.rdb.HGetAll(ctx, k.lanes[lanesLimits]).Result()
	if err != nil {
		return nil, nil, b.fault("limits of queue "+queue, err)
	}
	return k, fields, nil
}

// Weights implements [broker.Lanes].
func (b *Broker) Weights(ctx context.Context, queue string) (map[string]int, error) {
	return ask(ctx, func() (map[string]int, error) {
		_, fields, err := b.limitsOf(ctx, queue)
		if err != nil {
			return nil, err
		}
		out := make(map[string]int)
		for name, v := range fields {
			if key, is := strings.CutPrefix(name, "w"); is {
				out[key], _ = strconv.Atoi(v)
			}
		}
		return out, nil
	})
}

// LimitsIn implements [broker.Lanes].
func (b *Broker) LimitsIn(ctx context.Context, queue string) ([]broker.LimitInfo, error) {
	return ask(ctx, func() ([]broker.LimitInfo, error) {
		k, fields, err := b.limitsOf(ctx, queue)
		if err != nil {
			return nil, err
		}
		var out []broker.LimitInfo
		var accounts []*redis.StringCmd
		var closed []*redis.StringSliceCmd
		pipe := b.rdb.Pipeline()
		clock := pipe.Time(ctx)
		for field, def := range fields {
			use, is := strings.CutPrefix(field, "d")
			if !is {
				continue
			}
			l, ok := parseLimit(use, def)
			if !ok {
				b.log.Warn("redis: the definition of a limit can't be read and is left out", "queue", queue, "limit", fmt.Sprintf("%.80q", use))
				continue
			}
			out = append(out, broker.LimitInfo{Limit: l})
			accounts = append(accounts, pipe.HGet(ctx, k.lanes[lanesCharges], use))
			closed = append(closed, pipe.ZRangeByLex(ctx, k.lanes[lanesWaits], &redis.ZRangeBy{Min: "[" + use, Max: "[" + use + "\xff"}))
		}
		if len(out) == 0 {
			return nil, nil
		}
		if _, err := pipe.Exec(ctx); err != nil && err != redis.Nil {
			return nil, b.fault("limits of queue "+queue, err)
		}
		for i := range out {
			var tat, pace float64
			var us int64
			_, _ = fmt.Sscan(accounts[i].Val(), &out[i].InUse, &tat, &pace, &us)
			if at := time.UnixMicro(us); at.After(clock.Val()) {
				out[i].Closed = at
			}
			if out[i].Waiting, err = b.waiting(ctx, k, closed[i].Val()); err != nil {
				return nil, err
			}
		}
		slices.SortFunc(out, func(x, y broker.LimitInfo) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Key, y.Key)) })
		return out, nil
	})
}

// waiting counts the lines below some waitlists; see lane_tree.lua.
func (b *Broker) waiting(ctx context.Context, k *keys, waitlists []string) (int, error) {
	if len(waitlists) == 0 {
		return 0, nil
	}
	const turn = 23 // length of the turn between a node and its child
	open := k.lanes[lanesOpen]
	pipe := b.rdb.Pipeline()
	children := make([]*redis.StringSliceCmd, len(waitlists))
	for i, w := range waitlists {
		children[i] = pipe.ZRangeByLex(ctx, open, &redis.ZRangeBy{Min: "[\x02" + w, Max: "[\x02" + w + "\xff"})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, b.fault("limits of queue "+k.queue, err)
	}
	pipe = b.rdb.Pipeline()
	var counts []*redis.IntCmd
	for i, w := range waitlists {
		for _, member := range children[i].Val() {
			child := member[min(1+len(w)+turn, len(member)):] // a class, or '\3' and the key of a group
			if key, is := strings.CutPrefix(child, "\x03"); is {
				child = "\x03\x02" + w + key
			}
			counts = append(counts, pipe.ZLexCount(ctx, open, "["+child, "["+child+"\xff"))
		}
	}
	if len(counts) == 0 {
		return 0, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, b.fault("limits of queue "+k.queue, err)
	}
	n := 0
	for _, c := range counts {
		n += int(c.Val())
	}
	return n, nil
}

// parseLimit reads a definition as SetLimit has written it.
func parseLimit(use, def string) (l broker.Limit, ok bool) {
	if len(use) < 2 || len(use) < 2+int(use[0]) {
		return l, false
	}
	l.Name, l.Key = use[1:1+int(use[0])], use[2+int(use[0]):]
	var gap float64
	var burst, paused int
	n, err := fmt.Sscanf(def, "%d %f %d %d %d %d %d", &l.Most, &gap, &burst, &paused, &l.Rate, &l.Per, &l.Burst)
	l.Paused = paused == 1
	return l, err == nil && n == 7
}
