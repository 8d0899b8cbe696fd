package redis

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// This file has the operations for operators: counts of all queues, lists of dead letters, and the
// requeue of some.
//
// Counts are read with plain commands in pipelines, one pipeline for each partition. They
// are corrected for tokens, which are list elements that are no tasks (see push.lua), and
// for cancelled messages that still stand in a list (see cancel.lua).
//
// Dead letters are listed with HSCAN over the hash of each partition in turn. A cursor is
// text with the partition and the position of HSCAN; letterCursor says why it sometimes
// has an id, too. Each page is matched with the states of its tasks, so that a dead letter
// whose retention has ended is not listed, though its message may not be swept yet.
//
// A requeue is a script, up to two rounds of it: a unique key stands in the body of a
// message, which scripts do not open, so the first round returns the message of a task
// that has a key, and the second round is told the key.

// Queues implements [broker.Inspector]. The counts of one queue are read by several
// commands, so they may be of slightly different moments.
func (b *Broker) Queues(ctx context.Context) ([]broker.QueueInfo, error) {
	return ask(ctx, func() ([]broker.QueueInfo, error) { return b.queuesNow(ctx) })
}

func (b *Broker) queuesNow(ctx context.Context) ([]broker.QueueInfo, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	all, err := b.queues.all(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]broker.QueueInfo, len(all))
	for i, q := range all {
		out[i].Name = q.name
		for _, k := range q.parts {
			if err := b.inspect(ctx, k, &out[i]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// inspect adds the counts of one partition to info.
func (b *Broker) inspect(ctx context.Context, k *keys, info *broker.QueueInfo) error {
	// The first round trip counts waiting tasks, and the second one those of minions, since only
	// the first one tells which minions there are.
	pipe := b.rdb.Pipeline()
	ready, head := pipe.LLen(ctx, k.ready), pipe.LIndex(ctx, k.ready, 0)
	checked, canceled := pipe.LLen(ctx, k.checked), pipe.SCard(ctx, k.canceled)
	alone := pipe.LIndex(ctx, k.checked, 0)
	due, dead, unreadable := pipe.ZCard(ctx, k.due), pipe.HLen(ctx, k.dead), pipe.LLen(ctx, k.unreadable)
	parked, halt := pipe.ZCard(ctx, k.parked), pipe.Exists(ctx, k.halt)
	lined := pipe.ZCard(ctx, k.lanes[lanesLined])
	aside, back := pipe.ZCard(ctx, k.aside), pipe.ZCard(ctx, k.back)
	bound := pipe.Get(ctx, k.bound)
	paused, whole := pipe.Exists(ctx, k.paused), pipe.HExists(ctx, k.paused, "")
	minions := pipe.ZRange(ctx, k.minions, 0, -1)
	if _, err := pipe.Exec(ctx); err != nil && err != redis.Nil {
		return b.fault("inspect queue "+k.queue, err)
	}
	info.Pending += int(ready.Val() + checked.Val() - canceled.Val())
	if head.Val() == "!" { // a token
		info.Pending--
	}
	info.Pending += int(lined.Val() + aside.Val() + back.Val())
	info.Paused = info.Paused || whole.Val()
	if _, all, ok := strings.Cut(bound.Val(), " "); ok {
		info.Bound, _ = strconv.Atoi(all)
	}
	// While a flow is halted, tasks are in line or something is paused, the list of checked messages
	// has a token, too. It may stay alone for a moment after that.
	if (halt.Val() > 0 || lined.Val() > 0 || paused.Val() > 0 || back.Val() > 0 || alone.Val() == "!") && checked.Val() > 0 {
		info.Pending--
	}
	info.Scheduled += int(due.Val() - parked.Val()) // parked tasks are in both sets
	info.Parked += int(parked.Val())
	info.Dead += int(dead.Val())
	info.Unreadable += int(unreadable.Val())
	if len(minions.Val()) == 0 {
		return nil
	}
	pipe = b.rdb.Pipeline()
	var counts []*redis.IntCmd
	var tokens []*redis.IntSliceCmd
	for _, m := range minions.Val() {
		counts = append(counts, pipe.HLen(ctx, k.flight(m)), pipe.LLen(ctx, k.claim(m)))
		tokens = append(tokens, pipe.LPosCount(ctx, k.claim(m), "!", 0, redis.LPosArgs{})) // a blocking move may have taken some
	}
	_, _ = pipe.Exec(ctx) // a minion that has just left has no list; its LLEN and LPOS fail, and count as 0
	for _, c := range counts {
		info.Running += int(c.Val())
	}
	for _, c := range tokens {
		info.Running -= len(c.Val())
	}
	return nil
}

// DeadLetters implements [broker.Inspector].
func (b *Broker) DeadLetters(ctx context.Context, queue, after string, limit int) ([]broker.DeadLetter, string, error) {
	type page struct {
		letters []broker.DeadLetter
		next    string
	}
	p, err := ask(ctx, func() (page, error) {
		letters, next, err := b.deadLetters(ctx, queue, after, limit)
		return page{letters, next}, err
	})
	return p.letters, p.next, err
}

// deadLetters reads one page of one partition's dead letters. The next cursor is in the same
// partition, or at the beginning of the next one.
func (b *Broker) deadLetters(ctx context.Context, queue, after string, limit int) ([]broker.DeadLetter, string, error) {
	if err := b.alive(ctx); err != nil {
		return nil, "", err
	}
	if err := broker.CheckName("queue", queue); err != nil {
		return nil, "", err
	}
	if limit < 1 {
		return nil, "", fmt.Errorf("dead letters of %s: %w: a limit of %d, want 1 or more", queue, broker.ErrInvalid, limit)
	}
	at, ok := readLetterCursor(after)
	if !ok {
		return nil, "", fmt.Errorf("dead letters of %s: %w cursor %.40q", queue, broker.ErrInvalid, after)
	}
	q, err := b.queues.find(ctx, queue)
	if err != nil {
		return nil, "", err
	}
	if q == nil || at.part >= len(q.parts) {
		return nil, "", nil
	}
	k := q.parts[at.part]
	page, next, err := b.rdb.HScan(ctx, k.dead, at.scan, "", int64(limit)).Result()
	if err != nil {
		return nil, "", b.fault("dead letters", err)
	}
	page, at = at.cut(page, next, limit)
	var letters []broker.DeadLetter
	var ids []any
	var msgs []string
	for i := 1; i < len(page); i += 2 {
		msgs = append(msgs, page[i])
	}
	records, err := b.largeRecords(ctx, k, msgs)
	if err != nil {
		return nil, "", err
	}
	// Read the messages. One that can't be read is listed with its id, if it has one.
	for i := 0; i+1 < len(page); i += 2 {
		var d broker.Delivery
		d.Queue = queue
		if err := b.parse(&d, page[i+1], recordAt(records, i/2), 0); err != nil && d.ID.IsZero() && len(page[i]) == len(d.ID) {
			d.ID = toID(page[i]) // listed all the same, so that an operator sees it
		}
		letters = append(letters, broker.DeadLetter{Task: d.Task})
		ids = append(ids, page[i])
	}
	// Match the letters with the states of their tasks. A letter without an id is left out below.
	for from := 0; from < len(ids); from += broker.MaxBatch {
		chunk := ids[from:min(from+broker.MaxBatch, len(ids))]
		values, err := b.states(ctx, k, chunk)
		if err != nil {
			return nil, "", err
		}
		for i, v := range values {
			l := &letters[from+i]
			st := broker.Status{ID: l.Task.ID}
			switch {
			case v == "" || len(v) == originSize:
				l.Task.ID = broker.ID{} // its retention is over, or it was requeued
			case !readFinal(&st, v):
				l.Outcome = unreadableOutcome("its outcome can't be read", st.Err)
			case st.Outcome == nil:
				l.Task.ID = broker.ID{} // its retention is over
			default:
				l.Outcome = *st.Outcome
			}
		}
	}
	letters = slices.DeleteFunc(letters, func(l broker.DeadLetter) bool { return l.Task.ID.IsZero() })
	if at.part == len(q.parts) {
		return letters, "", nil
	}
	return letters, at.String(), nil
}

// letterCursor is a position among the dead letters of a queue.
type letterCursor struct {
	part  int    // index of the partition
	scan  uint64 // the cursor of HSCAN in its hash
	after string // if HSCAN returns the whole hash at once: the last id that was listed
}

// readLetterCursor reads the text that String has made; "" is the beginning.

func readLetterCursor(text string) (c letterCursor, ok bool) {
	if text == "" {
		return c, true
	}
	part, rest, _ := strings.Cut(text, "/")
	scan, last, _ := strings.Cut(rest, "/")
	var err1, err2, err3 error
	var after []byte
	c.part, err1 = strconv.Atoi(part)
	c.scan, err2 = strconv.ParseUint(scan, 10, 64)
	after, err3 = hex.DecodeString(last)
	c.after = string(after)
	return c, err1 == nil && err2 == nil && err3 == nil && c.part >= 0
}

// String returns partition and scan position in decimal, and the id in hexadecimal, with
// slashes between them.
func (c letterCursor) String() string {
	text := fmt.Sprintf("%d/%d", c.part, c.scan)
	if c.after != "" {
		text += "/" + hex.EncodeToString([]byte(c.after))
	}
	return text
}

// cut returns the part of a page that is to be listed, and the cursor behind it. The page
// alternates ids and messages; next is the cursor that HSCAN returned with it.
//
// The server keeps a small hash in one piece, and HSCAN returns such a hash as a whole,
// however small the limit. How large "small" is depends on the server's configuration, so
// the page can be much longer than the limit. Then cut sorts it by id and lists limit
// of them, from the first id after c.after. The order of ids stays the same when some
// letters are requeued between two calls, so that no other letter is skipped.
func (c letterCursor) cut(page []string, next uint64, limit int) ([]string, letterCursor) {
	if next != 0 {
		return page, letterCursor{part: c.part, scan: next}
	}
	end := letterCursor{part: c.part + 1}
	if c.scan != 0 || c.after == "" && len(page) <= 4*limit {
		return page, end
	}
	pairs := slices.Collect(slices.Chunk(page, 2))
	pairs = slices.DeleteFunc(pairs, func(p []string) bool { return p[0] <= c.after })
	slices.SortFunc(pairs, func(x, y []string) int { return strings.Compare(x[0], y[0]) })
	if len(pairs) <= limit {
		return slices.Concat(pairs...), end
	}
	pairs = pairs[:limit]
	return slices.Concat(pairs...), letterCursor{part: c.part, after: pairs[limit-1][0]}
}

// unreadableOutcome returns an outcome to list in place of one that can't be read.
func unreadableOutcome(what string, err error) broker.Outcome {
	return broker.Outcome{State: broker.StateFailed, Err: &broker.Failure{Message: what + ": " + err.Error()}}
}

// Requeue implements [broker.Inspector].
func (b *Broker) Requeue(ctx context.Context, ids []broker.ID) ([]error, error) {
	ids = slices.Clone(ids)
	return ask(ctx, func() ([]error, error) { return b.requeueNow(ctx, ids) })
}

// requeueNow calls the script for each partition that the ids may be in, until each letter has
// an answer.
func (b *Broker) requeueNow(ctx context.Context, ids []broker.ID) ([]error, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	errs := make([]error, len(ids))
	for i, id := range ids {
		errs[i] = fmt.Errorf("dead letter %s: %w", id, broker.ErrNotFound)
	}
	err := b.queues.each(ctx, ids, func(k *keys, positions []int) ([]bool, error) {
		found := make([]bool, len(positions))
		open := make([]letter, len(positions))
		for i, p := range positions {
			open[i] = letter{id: ids[p], at: i}
		}
		for len(open) > 0 { // letters without an answer
			reply, err := b.requeue(ctx, k, open)
			if err != nil {
				return nil, err
			}
			var again []letter // to be called again, now that their unique keys are known
			for i, v := range reply {
				l := open[i]
				done, err := l.read(v)
				if !done {
					again = append(again, l)
					continue
				}
				if found[l.at] = !errors.Is(err, broker.ErrNotFound); found[l.at] {
					errs[positions[l.at]] = err
				}
			}
			open = append(again, open[len(reply):]...)
		}
		return found, nil
	})
	if err != nil {
		return nil, err
	}
	return errs, nil
}

// requeueAtOnce is how many dead letters one run of the script requeues at most. The
// script calls more than ten commands for each, more with a lane, and the server does nothing else meanwhile.
const requeueAtOnce = 100

// letter is a dead letter that is to be requeued.
type letter struct {
	id     broker.ID
	unique string // its unique key; "" until its message has been read
	tail   string // what the hash unique has of it behind the times, see keyTail
	at     int    // its index among the ids of this partition
}

// requeue runs the script, which replies for some of the letters, from the first one on,
// or for all.
func (b *Broker) requeue(ctx context.Context, k *keys, letters []letter) ([]any, error) {
	letters = letters[:min(len(letters), requeueAtOnce)]
	names := []string{k.dead, k.state, k.ready, k.checked, k.watch, k.unique, k.deadlines, k.holders, k.scheduled}
	names = append(names, k.lanes...)
	args := []any{k.wake}
	for _, l := range letters {
		names = append(names, k.record(l.id), k.excused(l.id), k.window(l.unique))
		args = append(args, l.id[:], l.unique, l.tail)
	}
	reply, err := scriptRequeue.run(ctx, b, names, args...)
	if err != nil {
		return nil, err
	}
	list := toList(reply)
	if n := len(list); n == 0 || n > len(letters) {
		return nil, fmt.Errorf("redis requeue: %w: %d replies for %d dead letters", broker.ErrMalformed, n, len(letters))
	}
	return list, nil
}

// read reads the script's reply for one letter. If done is true, err is the result of the
// requeue. Otherwise the letter's unique key was in the reply and is noted now, and the
// script is to be called again for this letter.
func (l *letter) read(reply any) (done bool, err error) {
	const idSize = len(broker.ID{})
	switch text, _ := reply.(string); {
	case len(text) > idSize && text[0] == 0xff: // no message begins like this
		return true, duplicate(l.id, toID(text[1:]), l.unique, text[1+idSize:])
	case len(text) > idSize:
		var d broker.Delivery
		if err := wire.ParseRecord(&d, []byte(text), 0); err != nil {
			return true, fmt.Errorf("dead letter %s: its unique key can't be read: %w", l.id, err)
		}
		if d.Unique.Key == "" {
			return true, fmt.Errorf("dead letter %s: %w: it has no unique key, and should", l.id, broker.ErrMalformed)
		}
		l.unique, l.tail = d.Unique.Key, keyTail(&d.Task)
		return false, nil
	}
	switch toInt(reply) {
	case 1:
		return true, nil
	case -2:
		return true, fmt.Errorf("dead letter %s: %w: its message can't be read", l.id, broker.ErrMalformed)
	case -1:
		return true, fmt.Errorf("dead letter %s: %w: the server has no record of its content any more", l.id, broker.ErrMalformed)
	}
	return true, broker.ErrNotFound
}
