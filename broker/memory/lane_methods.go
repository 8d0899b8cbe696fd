package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var _ broker.Lanes = (*Broker)(nil)

// SetLimit defines a limit of a queue; see [broker.Lanes].
func (b *Broker) SetLimit(ctx context.Context, queue string, l broker.Limit) error {
	return b.changeLanes(ctx, queue, true, l.Check(), func(x *lanes) {
		x.define(l.Name, l.Key, newRule(l))
	})
}

// AddLimit defines a limit of a queue, unless it is defined; see [broker.Lanes].
func (b *Broker) AddLimit(ctx context.Context, queue string, l broker.Limit) (stored broker.Limit, err error) {
	err = b.changeLanes(ctx, queue, true, l.Check(), func(x *lanes) {
		if r := x.limit(l.Name).rules[l.Key]; r != nil {
			stored = r.Limit
			return
		}
		stored = l
		x.define(l.Name, l.Key, newRule(l))
	})
	return stored, err
}

// RemoveLimit removes the definition of a limit; see [broker.Lanes].
func (b *Broker) RemoveLimit(ctx context.Context, queue, name, key string) error {
	return b.changeLanes(ctx, queue, false, checkLimit(name, key), func(x *lanes) {
		x.define(name, key, nil)
	})
}

// CloseLimit closes a limit for a time; see [broker.Lanes].
func (b *Broker) CloseLimit(ctx context.Context, queue, name, key string, d time.Duration) error {
	bad := checkLimit(name, key)
	if bad == nil && d > broker.MaxDuration {
		bad = fmt.Errorf("limit %s: %w: closed for %v, at most %v is allowed", name, broker.ErrInvalid, d, broker.MaxDuration)
	}
	return b.changeLanes(ctx, queue, d > 0, bad, func(x *lanes) {
		a := x.account(name, key)
		a.closed = 0
		if d > 0 {
			a.closed = x.now.plus(d)
		}
		x.refresh(a)
	})
}

// checkLimit reports whether the name and the key of a limit are valid.
func checkLimit(name, key string) error {
	l := broker.Limit{Name: name, Key: key, Paused: true}
	return l.Check()
}

// LimitsIn returns the definitions of a queue; see [broker.Lanes].
func (b *Broker) LimitsIn(ctx context.Context, queue string) (out []broker.LimitInfo, err error) {
	err = b.changeLanes(ctx, queue, false, nil, func(x *lanes) {
		for _, l := range x.limits {
			for _, r := range l.rules {
				out = append(out, x.info(l, r))
			}
		}
	})
	slices.SortFunc(out, func(i, j broker.LimitInfo) int {
		return cmp.Or(cmp.Compare(i.Name, j.Name), cmp.Compare(i.Key, j.Key))
	})
	return out, err
}

// info returns a definition with its use.
func (x *lanes) info(l *limit, r *rule) broker.LimitInfo {
	info := broker.LimitInfo{Limit: r.Limit}
	a, ok := l.accounts.Get(r.Key)
	if !ok {
		return info
	}
	info.InUse = int(a.inUse)
	if a.closed > x.now {
		info.Closed = x.q.b.clock.wall(a.closed)
	}
	for _, w := range a.lists {
		if w.index == 0 {
			info.Waiting += w.pool.lines
		}
	}
	return info
}

// SetWeight sets the weight of a key; see [broker.Lanes].
func (b *Broker) SetWeight(ctx context.Context, queue, key string, weight int) error {
	var bad error
	switch {
	case len(key) > broker.MaxLaneKey:
		bad = fmt.Errorf("weight of a key: %w: the key has %d bytes, the limit is %d", broker.ErrInvalid, len(key), broker.MaxLaneKey)
	case weight < 1 || weight > broker.MaxWeight:
		bad = fmt.Errorf("weight of key %q: %w: %d, want 1 to %d", key, broker.ErrInvalid, weight, broker.MaxWeight)
	}
	return b.changeLanes(ctx, queue, weight > 1, bad, func(x *lanes) {
		if weight == 1 {
			delete(x.weights, key)
		} else {
			x.weights[key] = weight
		}
	})
}

// Weights returns the weights of the keys of a queue; see [broker.Lanes].
func (b *Broker) Weights(ctx context.Context, queue string) (out map[string]int, err error) {
	out = map[string]int{}
	err = b.changeLanes(ctx, queue, false, nil, func(x *lanes) { maps.Copy(out, x.weights) })
	return out, err
}

// ResumeSequence ends the halt of a sequence; see [broker.Lanes].
func (b *Broker) ResumeSequence(ctx context.Context, queue, name string) error {
	var bad error
	if name == "" || len(name) > broker.MaxLaneKey {
		bad = fmt.Errorf("sequence: %w: its key has %d bytes, want 1 to %d", broker.ErrInvalid, len(name), broker.MaxLaneKey)
	}
	halted := false
	err := b.changeLanes(ctx, queue, false, bad, func(x *lanes) {
		if s, ok := x.sequences.Get(name); ok && len(s.halts) > 0 {
			halted, s.halts = true, nil
			x.advance(s)
		}
	})
	if err == nil && !halted {
		err = fmt.Errorf("sequence %q of queue %s: %w: no failure halts it", name, queue, broker.ErrNotFound)
	}
	return err
}

// changeLanes begins a method for the lanes of a queue. It calls fn with the queue locked,
// unless bad is set, which is what is wrong with the arguments. A queue without lanes gets
// them if create is set. Otherwise it has nothing that fn could read or change.
func (b *Broker) changeLanes(ctx context.Context, name string, create bool, bad error, fn func(*lanes)) error {
	return b.withQueue(ctx, name, create, bad, func(q *queue, _ instant) {
		if q.lanes != nil || create {
			fn(q.withLanes())
		}
	})
}
