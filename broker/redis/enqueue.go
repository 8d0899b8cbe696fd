package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Enqueue implements [broker.Broker].
func (b *Broker) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	return do(ctx, func() error { return b.enqueueNow(ctx, tasks) })
}

func (b *Broker) enqueueNow(ctx context.Context, tasks []*broker.Task) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	failed := failures{of: len(tasks)}
	var parts []*part
	var open map[destination]*part // the last part for each, if there are several
	var seen ids
	if len(tasks) > 1 {
		seen = idSets.Get().(ids)
		defer seen.free()
	}
	var q *queue
	var p *part
	for i, t := range tasks {
		err := t.Check(b.cfg.limits)
		if err == nil && (q == nil || q.name != t.Queue) {
			q, err = b.queues.open(ctx, t.Queue)
		}
		var k *keys
		if err == nil {
			k, err = q.place(t)
		}
		if err != nil {
			failed.set(i, err)
			continue
		}
		to := destination{k, ordinary(t)}
		if p != nil && p.destination != to {
			if open == nil {
				open = make(map[destination]*part)
			}
			open[p.destination] = p
			p = open[to]
		}
		size := t.Size()
		if p == nil || p.size+size > broker.MaxBatchBytes || p.count() == broker.MaxBatch || p.cut(t, len(tasks)-i) {
			p = &part{destination: to, cfg: &b.cfg, simple: true, in: newScratch()}
			defer p.free()
			parts = append(parts, p)
		}
		p.size += size
		p.add(i, t, len(tasks)-i)
		p.simple = p.simple && p.field(t, seen)
	}
	b.sendParts(ctx, parts, tasks, &failed)
	return broker.NewBatchError(failed.errs)
}

// failures are the errors of a batch. None take no memory.
type failures struct {
	of   int // how many are in the batch
	errs []error
}

func (f *failures) set(i int, err error) {
	if f.errs == nil {
		f.errs = make([]error, f.of)
	}
	f.errs[i] = err
}

// destination is what the tasks of a part have in common. What is not ordinary is apart,
// so that it keeps no others from the simple script.
type destination struct {
	keys     *keys
	ordinary bool
}

// ordinary reports whether a task is ready at once and needs nothing but its message.
func ordinary(t *broker.Task) bool {
	return t.Delay <= 0 && t.Deadline == 0 && t.Unique == "" && t.Group.IsZero() && !t.Blocked
}

// part is what one run of an enqueue script stores.
type part struct {
	destination
	cfg    *config
	simple bool // enqueue_plain can do it: nothing is in other, and no id twice
	size   int
	in     *scratch // its bytes are the records of plain, one behind the other
	places []int    // of plain in the batch
	plain  []int    // where each ends in bytes
	apart  []int    // which of plain are kept apart
	fields []field  // of the state hash, for plain
	last   []int    // of other
	other  []any
	others []stored      // records of other that are kept apart
	notes  []note        // metadata of all
	limit  time.Duration // until the first of their deadlines; 0 if none has one
}

func (p *part) count() int { return len(p.places) + len(p.last) }

// add adds a task; left says how many may still come.
func (p *part) add(place int, t *broker.Task, left int) {
	if p.ordinary {
		if p.plain == nil {
			p.plain = slices.Grow(p.in.ends, min(left, broker.MaxBatch))
			p.places = slices.Grow(p.in.places, min(left, broker.MaxBatch))
		}
		apart := p.cfg.keptApart(t)
		if apart {
			if len(p.apart) == 0 { // large ones shall not be copied as it grows
				p.in.bytes = slices.Grow(p.in.bytes, min(left*(t.Size()+64), broker.MaxBatchBytes))
			}
			p.apart = append(p.apart, len(p.plain))
		}
		from := len(p.in.bytes)
		p.in.bytes = broker.AppendRecord(p.in.bytes, t)
		p.plain = append(p.plain, len(p.in.bytes))
		p.places = append(p.places, place)
		p.note(t, p.in.bytes[from:], true, apart)
		return
	}
	p.simple = false
	msg := broker.AppendRecord(nil, t)
	record, apart := msg, p.cfg.keptApart(t)
	if apart {
		p.others = append(p.others, stored{p.keys.record(t.ID), msg})
		msg = appendEntry(nil, msg)
	}
	var ref []byte
	if !t.Group.IsZero() {
		ref = broker.AppendFlowRef(nil, t)
	}
	blocked := 0
	if t.Blocked {
		blocked = 1
	}
	p.other = append(p.other, msg, millis(t.Delay), t.DeadlineMillis(), t.Unique, ref, blocked)
	p.last = append(p.last, place)
	if t.Deadline != 0 {
		if left := max(t.Deadline, time.Millisecond); p.limit == 0 || left < p.limit {
			p.limit = left
		}
	}
	p.note(t, record, false, apart)
}

// free gives back the memory of the part. The scripts have run.
func (p *part) free() {
	if p.plain != nil {
		p.in.ends, p.in.places = p.plain, p.places
	}
	p.in.free()
}

func (p *part) call() *call {
	k := p.keys
	p.in.blobs = slices.Grow(p.in.blobs[:0], len(p.plain)+2*len(p.fields))
	args := append(p.in.args[:0], k.wake)
	if p.simple {
		args = p.appendFields(args)
	} else {
		args = append(args, len(p.plain))
	}
	from, apart := 0, p.apart
	var before []stored
	for i, to := range p.plain {
		msg := p.in.bytes[from:to]
		from = to
		if len(apart) > 0 && apart[0] == i {
			apart = apart[1:]
			before = append(before, stored{k.record(broker.ID(msg[broker.OffsetID:])), msg})
			msg = appendEntry(nil, msg)
		}
		p.in.blobs = append(p.in.blobs, blob{msg})
		args = append(args, &p.in.blobs[len(p.in.blobs)-1])
	}
	before = append(before, p.others...)
	p.in.args = args
	c := &call{args: args, before: before}
	if p.simple {
		c.script = scriptPlain
		c.keys = []string{k.ready, k.held, k.state, k.meta, k.watch}
	} else {
		c.script = scriptEnqueue
		c.keys = []string{k.ready, k.held, k.state, k.due, k.later, k.unique, k.meta, k.watch, k.flows, k.deadlines}
		c.args = append(args, p.other...)
	}
	for _, s := range before {
		c.keys = append(c.keys, s.key)
	}
	if len(p.notes) > 0 {
		c.keys = append(c.keys, k.about)
		c.args = append(c.args, p.metadata())
	}
	return c
}

// sendParts stores the parts in one round trip, or more where the simple script
// does not do or a queue has to be registered.
func (b *Broker) sendParts(ctx context.Context, parts []*part, tasks []*broker.Task, failed *failures) {
	for try := 0; len(parts) > 0; try++ {
		calls := make([]*call, len(parts))
		for i, p := range parts {
			calls[i] = p.call()
		}
		inOrder(parts, calls)
		runAll(ctx, b, calls)
		var again []*part
		for i, p := range parts {
			err, reply := calls[i].err, calls[i].reply
			switch {
			case err != nil:
			case p.simple:
				if toInt(reply) == 0 {
					p.simple = false
					again = append(again, p)
				}
				continue
			case reply == nil: // not registered
				var q *queue
				if q, err = b.queues.register(ctx, p.keys.queue); err == nil && try < 2 {
					if slices.Contains(q.parts, p.keys) {
						again = append(again, p)
					} else {
						b.sendElsewhere(ctx, p, tasks, failed)
					}
					continue
				}
				if err == nil {
					err = broker.ErrUnavailable // the store is emptied while we use it
				}
			case isMissing(reply): // a record
				if err = calls[i].unstored; err == nil && try < storeTries {
					again = append(again, p)
					continue
				}
				if err == nil {
					err = fmt.Errorf("redis enqueue: %w: the records of tasks do not stay at the server", broker.ErrUnavailable)
				}
			}
			p.answer(tasks, failed, toList(reply), err)
			if p.limit > 0 { // also after an error: perhaps they are stored
				b.expiry.expect(p.keys, p.limit)
			}
		}
		parts = again
	}
}

// inOrder sees to it that the parts for one destination are stored in their order.
func inOrder(parts []*part, calls []*call) {
	for i, p := range parts {
		several, first := false, true
		for j, other := range parts {
			if j != i && other.destination == p.destination {
				several = true
				first = first && (j > i || calls[j].script != calls[i].script)
			}
		}
		calls[i].whole = several && first
	}
}

// sendElsewhere stores a part of which the queue was forgotten, and has other
// partitions now.
func (b *Broker) sendElsewhere(ctx context.Context, p *part, tasks []*broker.Task, failed *failures) {
	places := append(p.places[:len(p.places):len(p.places)], p.last...)
	some := make([]*broker.Task, len(places))
	for i, place := range places {
		some[i] = tasks[place]
	}
	var batch *broker.BatchError
	err := b.Enqueue(ctx, some)
	for i, place := range places {
		switch {
		case errors.As(err, &batch):
			if batch.Errs[i] != nil {
				failed.set(place, batch.Errs[i])
			}
		case err != nil:
			failed.set(place, err)
		}
	}
}

// storeTries is how often records are stored: they are missing if their time was
// over, or if others of the same ids were there.
const storeTries = 4

// isMissing says whether an enqueue script has not found a record.
func isMissing(reply any) bool {
	_, is := reply.(int64)
	return is
}

// answer sets the errors of the part's tasks: all alike, or what the script said.
func (p *part) answer(tasks []*broker.Task, failed *failures, refused []any, err error) {
	places := append(p.places[:len(p.places):len(p.places)], p.last...)
	if err != nil {
		for _, place := range places {
			failed.set(place, err)
		}
		return
	}
	for j := 0; j+1 < len(refused); j += 2 {
		place := places[toInt(refused[j])-1]
		if known := toString(refused[j+1]); len(known) != len(broker.ID{}) {
			failed.set(place, fmt.Errorf("task %s: it is known, and what is known can't be read: %w", tasks[place].ID, unreadableState(known)))
			continue
		}
		e := &broker.DuplicateError{ID: tasks[place].ID, Holder: toID(refused[j+1])}
		if e.Holder != e.ID {
			e.Key = tasks[place].Unique
		}
		failed.set(place, e)
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
