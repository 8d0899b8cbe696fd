package redis

import (
	"context"
	"strconv"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Enqueue implements [broker.Broker].
func (b *Broker) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	errs := make([]error, len(tasks))
	parts := make(map[string]*part)
	var full []*part
	for i, t := range tasks {
		if errs[i] = t.Check(b.cfg.limits); errs[i] != nil {
			continue
		}
		p := parts[t.Queue]
		if p == nil || p.size+t.Size() > broker.MaxBatchBytes || len(p.places)+len(p.last) == broker.MaxBatch {
			p = &part{keys: b.queues.get(t.Queue)}
			parts[t.Queue] = p
			full = append(full, p)
		}
		p.add(i, t)
	}
	b.sendParts(ctx, full, tasks, errs)
	return broker.NewBatchError(errs)
}

// part is what one run of the enqueue script stores.
type part struct {
	keys   *keys
	places []int // in the batch: plain ones first
	size   int
	plain  []any
	other  []any
	last   []int // places of other
}

func (p *part) add(place int, t *broker.Task) {
	msg := broker.AppendRecord(make([]byte, 0, t.Size()), t)
	p.size += t.Size()
	if t.Delay <= 0 && t.Deadline <= 0 && t.Unique == "" && t.Group.IsZero() && !t.Blocked {
		p.plain = append(p.plain, msg)
		p.places = append(p.places, place)
		return
	}
	var ref []byte
	if !t.Group.IsZero() {
		ref = broker.AppendFlowRef(nil, t)
	}
	blocked := 0
	if t.Blocked {
		blocked = 1
	}
	p.other = append(p.other, msg, millis(t.Delay), millis(t.Deadline), t.Unique, ref, blocked)
	p.last = append(p.last, place)
}

func (p *part) call() *call {
	k := p.keys
	args := make([]any, 0, 2+len(p.plain)+len(p.other))
	args = append(args, k.wake, len(p.plain))
	args = append(append(args, p.plain...), p.other...)
	return &call{
		script: scriptEnqueue,
		keys:   []string{k.ready, k.held, k.state, k.due, k.later, k.unique, k.meta, k.watch, k.flows},
		args:   args,
	}
}

// sendParts stores the parts in one round trip, or two where a queue has to be
// registered.
func (b *Broker) sendParts(ctx context.Context, parts []*part, tasks []*broker.Task, errs []error) {
	for try := 0; len(parts) > 0; try++ {
		calls := make([]*call, len(parts))
		for i, p := range parts {
			calls[i] = p.call()
		}
		runAll(ctx, b.rdb, calls)
		var again []*part
		for i, p := range parts {
			places := append(p.places[:len(p.places):len(p.places)], p.last...)
			err := calls[i].err
			if err == nil && calls[i].reply == nil { // not registered
				if err = b.queues.register(ctx, p.keys); err == nil && try == 0 {
					again = append(again, p)
					continue
				}
				if err == nil {
					err = broker.ErrUnavailable // the store is emptied while we use it
				}
			}
			if err != nil {
				for _, place := range places {
					errs[place] = err
				}
				continue
			}
			refused, _ := calls[i].reply.([]any)
			for j := 0; j+1 < len(refused); j += 2 {
				place := places[toInt(refused[j])-1]
				e := &broker.DuplicateError{ID: tasks[place].ID, Holder: toID(refused[j+1])}
				if e.Holder != e.ID {
					e.Key = tasks[place].Unique
				}
				errs[place] = e
			}
		}
		parts = again
	}
}

// millis returns a duration in ms, rounded up: a short one must not become 0,
// which means none.
func millis(d time.Duration) string {
	if d <= 0 {
		return "0"
	}
	return strconv.FormatInt(int64((d+time.Millisecond-1)/time.Millisecond), 10)
}
