package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// This file stores new tasks.
//
// Enqueue divides a batch into parts, one for each run of a script: the tasks of a part go to
// one partition, and are at most broker.MaxBatch tasks and about broker.MaxBatchBytes; fewer if they
// have lanes (see laneCost). All parts are sent in one round trip. There are two scripts. Ordinary tasks, which are ready at
// once, go by enqueue_plain, which only appends messages and states. Tasks with a delay, a
// deadline or a flow, and blocked ones, go by enqueue, which is slower. A
// part of ordinary tasks falls back to enqueue if enqueue_plain does not store it: a task
// may be known already, a record may be missing, or the queue may not be registered. Tasks with
// a unique key go by a third script, after the others; see unique.go. So do the tasks with a lane
// that follow the first one with a unique key, since tasks of a lane must keep their order.
//
// The scripts leave out a task that is stored already with the same content. So Enqueue may be
// repeated after a lost reply, and no task is stored twice.

// Enqueue implements [broker.Broker].
func (b *Broker) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	_, err := askLink(ctx, b, func(ctx context.Context) (struct{}, error) { return struct{}{}, b.enqueueNow(ctx, tasks) })
	return err
}

// enqueueNow checks the tasks, divides them into parts and sends these. A task that is invalid, or
// whose queue can't be registered, gets an error of its own and does not stop the others.
func (b *Broker) enqueueNow(ctx context.Context, tasks []*broker.Task) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	failed := failures{of: len(tasks)}
	var parts []*part
	var open map[destination]*part // the last part for each destination; nil while there is one
	var keyed []*keyedBatch
	var seen ids
	if len(tasks) > 1 {
		seen = idSets.Get().(ids)
		defer seen.free()
	}
	// Successive tasks mostly go to the same part, so q and p are those of the task before.
	var q *queue
	var p *part
	for i, t := range tasks {
		err := t.Check(b.cfg.limits)
		if err == nil && (q == nil || q.name != t.Queue) {
			q, err = b.queues.open(ctx, t.Queue)
		}
		var k *keys
		if err == nil {
			k, err = q.partitionFor(t)
		}
		if err != nil {
			failed.set(i, err)
			continue
		}
		if t.Unique.Key != "" || t.Lane != nil && len(keyed) > 0 {
			at := slices.IndexFunc(keyed, func(kb *keyedBatch) bool { return kb.keys == k })
			if at < 0 {
				at, keyed = len(keyed), append(keyed, &keyedBatch{keys: k})
			}
			keyed[at].positions = append(keyed[at].positions, i)
			continue
		}
		// Continue the last part for the destination of this task.
		to := destination{k, ordinary(t), t.Bounded}
		if p != nil && p.destination != to {
			if open == nil {
				open = make(map[destination]*part)
			}
			open[p.destination] = p
			p = open[to]
		}
		// Begin a new part if there is none, it is full, or a block would be cut in two.
		size := t.Size()
		if p == nil || p.size+size > broker.MaxBatchBytes || p.cost+laneCost(t) > broker.MaxBatch || p.cut(t, len(tasks)-i) {
			p = &part{destination: to, cfg: &b.cfg, simple: !k.bounded.is(), in: newScratch()}
			defer p.free()
			parts = append(parts, p)
		}
		p.size += size
		p.cost += laneCost(t)
		p.add(i, t, len(tasks)-i)
		p.simple = p.simple && p.field(t, seen)
	}
	b.sendParts(ctx, parts, tasks, &failed)
	for _, kb := range keyed {
		b.sendKeyed(ctx, kb, tasks, &failed)
	}
	return broker.NewBatchError(failed.errs)
}

// failures collects the errors of the tasks of a batch. The slice is made with the first error.
type failures struct {
	of   int     // size of the batch
	errs []error // by index in the batch; nil if there is none
}

func (f *failures) set(i int, err error) {
	if f.errs == nil {
		f.errs = make([]error, f.of)
	}
	f.errs[i] = err
}

// destination is what the tasks of a part have in common. Ordinary tasks have parts of their own,
// so that a single other task does not force all of them into the slower script.
type destination struct {
	keys     *keys
	ordinary bool
	bounded  bool // the tasks are refused if the queue is full
}

// ordinary reports whether a task is ready at once and needs no key but the ready list and the
// state hash.
func ordinary(t *broker.Task) bool {
	return t.Delay <= 0 && t.Deadline == 0 && t.Flow.ID.IsZero() && !t.Flow.Blocked && t.Lane == nil
}

// part is the tasks that one run of an enqueue script stores. They are either all plain, which
// is the word here for the messages of ordinary tasks, or all other.
type part struct {
	destination
	cfg       *config
	simple    bool          // whether enqueue_plain can store it: no other messages, and no id twice
	size      int           // of the records, in bytes
	cost      int           // of the tasks, see laneCost
	in        *scratch      // in.bytes has the records of the plain messages, one behind the other
	positions []int         // index in the batch of each plain message
	plain     []int         // where each plain message ends in in.bytes
	large     []int         // indices in plain of those with a large record
	fields    []field       // fields of the state hash for the plain messages
	last      []int         // index in the batch of each other message
	other     []any         // arguments of the other messages, five for each; of tasks with a unique key twelve
	others    []largeRecord // large records of the other messages
	notes     []note        // metadata of all messages
	limit     time.Duration // time until the first deadline; 0 if no task has one
}

// count returns how many tasks the part has.
func (p *part) count() int { return len(p.positions) + len(p.last) }

// add adds a task. position is its index in the batch; left is how many tasks of the batch remain,
// with this one, and sizes the memory.
func (p *part) add(position int, t *broker.Task, left int) {
	if p.ordinary {
		if p.plain == nil {
			p.plain = slices.Grow(p.in.ends, min(left, broker.MaxBatch))
			p.positions = slices.Grow(p.in.positions, min(left, broker.MaxBatch))
		}
		large := p.cfg.hasLargeRecord(t)
		if large {
			if len(p.large) == 0 { // grow once, since growing step by step would copy large records
				p.in.bytes = slices.Grow(p.in.bytes, min(left*(t.Size()+64), broker.MaxBatchBytes))
			}
			p.large = append(p.large, len(p.plain))
		}
		from := len(p.in.bytes)
		p.in.bytes = wire.AppendRecord(p.in.bytes, t)
		p.plain = append(p.plain, len(p.in.bytes))
		p.positions = append(p.positions, position)
		p.note(t, p.in.bytes[from:], true, large)
		return
	}
	// A task that is not ordinary has five arguments for the enqueue script.
	p.simple = false
	msg := wire.AppendRecord(nil, t)
	record, large := msg, p.cfg.hasLargeRecord(t)
	if large {
		p.others = append(p.others, largeRecord{p.keys.record(t.ID), msg})
		msg = appendStub(nil, msg)
	}
	var ref []byte
	if !t.Flow.ID.IsZero() {
		ref = wire.AppendFlowRef(nil, t)
	}
	p.other = append(p.other, msg, millis(t.Delay), t.DeadlineMillis(), ref, flag(t.Flow.Blocked))
	p.last = append(p.last, position)
	p.expires(t)
	p.note(t, record, false, large)
}

// expires notes the deadline of a task, if it has one.
func (p *part) expires(t *broker.Task) {
	if t.Deadline != 0 {
		if left := max(t.Deadline, time.Millisecond); p.limit == 0 || left < p.limit {
			p.limit = left
		}
	}
}

// free gives the memory of the part back to the pool. No script may be under way with it.
func (p *part) free() {
	if p.plain != nil {
		p.in.ends, p.in.positions = p.plain, p.positions
	}
	p.in.free()
}

// call returns the run of the script that stores the part.
func (p *part) call() *call {
	k := p.keys
	p.in.blobs = slices.Grow(p.in.blobs[:0], len(p.plain)+2*len(p.fields))
	args := append(p.in.args[:0], k.wake)
	if p.simple {
		args = p.appendFields(args)
	} else {
		args = append(args, len(p.plain), flag(p.bounded))
	}
	// Large records are stored by commands in front of the script, and the script gets stubs.
	from, large := 0, p.large
	var before []largeRecord
	for i, to := range p.plain {
		msg := p.in.bytes[from:to]
		from = to
		if len(large) > 0 && large[0] == i {
			large = large[1:]
			before = append(before, largeRecord{k.record(broker.ID(msg[wire.OffsetID:])), msg})
			msg = appendStub(nil, msg)
		}
		p.in.blobs = append(p.in.blobs, blob{msg})
		args = append(args, &p.in.blobs[len(p.in.blobs)-1])
	}
	before = append(before, p.others...)
	p.in.args = args
	c := &call{args: args, before: before}
	if p.simple {
		c.script = scriptPlain
		c.keys = []string{k.ready, k.checked, k.state, k.meta, k.watch}
	} else {
		c.script = scriptEnqueue
		c.keys = []string{k.ready, k.checked, k.state, k.due, k.scheduled, k.meta, k.watch, k.flows, k.deadlines}
		c.keys = append(append(c.keys, k.lanes...), k.canceled, k.halt, k.paused, k.back)
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

// sendParts stores the parts. That takes one round trip, and another one for parts that have
// to be sent again: the simple script has not stored them, their queue had to be
// registered first, or a large record was missing.
func (b *Broker) sendParts(ctx context.Context, parts []*part, tasks []*broker.Task, failed *failures) {
	for try := 0; len(parts) > 0; try++ {
		calls := make([]*call, len(parts))
		for i, p := range parts {
			calls[i] = p.call()
		}
		inOrder(parts, calls)
		runAll(ctx, b, calls)
		var again []*part
		// A part whose answer is known ends here; the others are sent again with the next try.
		for i, p := range parts {
			err, reply := calls[i].err, calls[i].reply
			switch {
			case err != nil:
			case p.simple:
				if n := toInt(reply); n != 1 { // not stored: the other script finds out why
					if n == 2 {
						p.keys.bounded.note()
					}
					p.simple = false
					again = append(again, p)
				}
				continue
			case reply == nil: // the queue is not registered
				var q *queue
				if q, err = b.queues.register(ctx, p.keys.queue); err == nil && try < 2 {
					if slices.Contains(q.parts, p.keys) {
						again = append(again, p)
					} else {
						b.sendElsewhere(ctx, p.all(), tasks, failed)
					}
					continue
				}
				if err == nil {
					err = broker.ErrUnavailable // the registration is lost again and again: somebody empties the server
				}
			case isMissing(reply): // a large record is missing
				if err = calls[i].unstored; err == nil && try < storeTries {
					again = append(again, p)
					continue
				}
				if err == nil {
					err = fmt.Errorf("redis enqueue: %w: the server loses the records of large tasks before they are enqueued", broker.ErrUnavailable)
				}
			}
			p.answer(tasks, failed, toList(reply), err)
			if p.limit > 0 { // even after an error, since the tasks may have been stored
				b.expiry.expect(p.keys, p.limit)
			}
		}
		parts = again
	}
}

// inOrder makes sure that several parts for one destination are stored in their order: the
// first run of each script sends the script's text, see call.whole.
func inOrder(parts []*part, calls []*call) {
	// A call sends the text if its part has others with the same destination, and no earlier one of
	// these runs the same script.
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

// sendElsewhere enqueues the tasks at some positions of the batch anew. Their queue was removed
// from the registry, and registered again with another number of partitions, so the partition
// that they were to go to no longer exists.
func (b *Broker) sendElsewhere(ctx context.Context, positions []int, tasks []*broker.Task, failed *failures) {
	some := make([]*broker.Task, len(positions))
	for i, position := range positions {
		some[i] = tasks[position]
	}
	var batch *broker.BatchError
	err := b.Enqueue(ctx, some)
	for i, position := range positions {
		switch {
		case errors.As(err, &batch):
			if batch.Errs[i] != nil {
				failed.set(position, batch.Errs[i])
			}
		case err != nil:
			failed.set(position, err)
		}
	}
}

// storeTries is how often large records are stored before Enqueue fails. A record is missing if it
// expired before the script ran, or if the key had the record of another task.
const storeTries = 4

// isMissing reports whether an enqueue script has found a large record missing. It then
// returns a number.
func isMissing(reply any) bool {
	_, is := reply.(int64)
	return is
}

// all returns the positions in the batch of all tasks of the part.
func (p *part) all() []int { return append(slices.Clip(p.positions), p.last...) }

// answer sets the errors of the part's tasks. If err is not nil all get it. Else refused has
// the tasks that the script refused: for each, its number in the part from 1, and its own id, or
// the state of the task that has its id, if that can't be read, or the mark of a full queue.
func (p *part) answer(tasks []*broker.Task, failed *failures, refused []any, err error) {
	positions := p.all()
	if err != nil {
		for _, position := range positions {
			failed.set(position, err)
		}
		return
	}
	for j := 0; j+1 < len(refused); j += 2 {
		position := positions[toInt(refused[j])-1]
		id := tasks[position].ID
		if full := readFull(p.keys.queue, toString(refused[j+1])); full != nil {
			failed.set(position, full)
			continue
		}
		if known := toString(refused[j+1]); len(known) != len(broker.ID{}) {
			failed.set(position, takenUnreadable(id, known))
			continue
		}
		failed.set(position, &broker.DuplicateError{ID: id, Holder: id})
	}
}

// flag returns 1 if a condition holds, else 0.
func flag(is bool) int {
	if is {
		return 1
	}
	return 0
}

// millis returns a duration in ms as text, rounded up: a short one must not become 0, which
// stands for no duration.
func millis(d time.Duration) string {
	if d <= 0 {
		return "0"
	}
	return strconv.FormatInt(int64((d+time.Millisecond-1)/time.Millisecond), 10)
}
