package redis

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// Settle ends attempts, up to a thousand in one run of settle.lua; fewer if their tasks have lanes. This file turns a batch of
// settlements into the arguments of that script, as few and as short as possible: at high
// rates a minion and the server spend most of their time on settling.
//
// The settlements of one partition become a settling, which is one call of the script; a
// large batch becomes several. Within it, settlements that are alike (the same verb, state,
// delay, retention and so on) form a group. A group has its common values once, and for each
// of its tasks a notice: id, length and record of the outcome. The notices of a group are one
// argument, and the script publishes them to the inbox as they are. Values that only some tasks have
// (a large record, a reason for a failure) are in further arguments of the group,
// which are empty if no task has one.
//
// Before that, an arrangement (block.go) sorts the batch so that tasks of one block of ids
// follow each other: the script can then store the states of neighbours as one field.
//
// All calls share a round trip. The reply of the script lists only the refused settlements,
// by their positions in the call.

// Settle implements [broker.Consumer].
func (c *consumer) Settle(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	return askLink(ctx, c.b, func(ctx context.Context) ([]error, error) { return c.settleNow(ctx, batch) })
}

// settleNow settles a batch: it checks each settlement, sorts them by block, distributes them
// over calls, runs all calls in one round trip, and reads the replies.
func (c *consumer) settleNow(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	if err := c.b.alive(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	closed, large, stepped := c.closed, c.largeOf(batch), c.steppedOf(batch)
	c.mu.Unlock()
	if closed {
		return nil, c.errClosed()
	}
	errs := make([]error, len(batch))
	var order []*settling             // all calls, in the order in which they are sent
	open := make(map[*keys]*settling) // the call of each partition that still has room
	sorted := arrangement{size: len(batch), in: newScratch()}
	defer sorted.free()
	var twice []int // indexes of settlements whose task is in the batch before
	for i := range batch {
		s := &batch[i]
		if errs[i] = s.Check(c.b.cfg.limits); errs[i] != nil {
			continue
		}
		q := c.queues[s.Delivery.Queue]
		if q == nil || s.Delivery.Minion != c.id {
			errs[i] = lost(s.Delivery)
			continue
		}
		if s.Verb == broker.VerbPark {
			// From now on this consumer takes no parked task with the same need.
			c.able.Park(s.Delivery.Need())
		}
		if !sorted.add(i, s) { // a call of the script must not have a task twice
			twice = append(twice, i)
		}
	}
	positions := sorted.positions()
	for n, i := range positions {
		s := &batch[i]
		k := c.queues[s.Delivery.Queue].partition(s.Delivery.ID)
		st := open[k]
		if st == nil || st.full() {
			st = &settling{keys: k, atLeast: c.b.cfg.atLeast, groups: make(map[group]*members), in: newScratch()}
			defer st.free()
			open[k] = st
			order = append(order, st)
		}
		st.add(i, s, len(positions)-n, large != nil && large[i])
		st.stepped = st.stepped || stepped != nil && stepped[i]
	}
	calls := make([]*call, len(order))
	for i, st := range order {
		calls[i] = st.call(c.minion, c.b.space.inboxes)
	}
	// If ended tasks are due to be forgotten, a sweep goes along in the same round trip, so that
	// sweeping is as fast as settling (see sweep.go).
	var sweeps []*sweep
	if c.b.sweeper.busy() {
		for _, st := range order {
			if sw := c.b.sweeper.afterSettling(st.keys, st.count); sw != nil {
				sweeps, calls = append(sweeps, sw), append(calls, &sw.call) //nolint:makezero // the calls before it are set
			}
		}
	}
	if len(calls) > 0 {
		runAll(ctx, c.b, calls)
	}
	for _, sw := range sweeps {
		c.b.sweeper.done(sw)
	}
	var failed error
	for i, st := range order {
		if err := calls[i].err; isWrongType(err) {
			// An error of this queue alone, which must not delay the settlements of others.
			c.logWrongType(ctx, st.keys, err)
			for _, position := range st.positions {
				errs[position] = err
			}
			continue
		} else if err != nil {
			// The results of the other calls are dropped: when the caller settles the whole
			// batch again it gets them again.
			failed = err
			continue
		}
		c.settled(st, toList(calls[i].reply), batch, errs)
	}
	if failed != nil {
		return nil, failed
	}
	if len(twice) > 0 {
		return errs, c.settleAgain(ctx, batch, twice, errs)
	}
	return errs, nil
}

// settleAgain settles the second and further settlements of the same tasks in a batch, after
// the first ones were settled.
func (c *consumer) settleAgain(ctx context.Context, batch []broker.Settlement, positions []int, errs []error) error {
	again := make([]broker.Settlement, len(positions))
	for i, position := range positions {
		again[i] = batch[position]
	}
	answers, err := c.settleNow(ctx, again)
	for i, answer := range answers {
		errs[positions[i]] = answer
	}
	return err
}

// settled takes over the reply to one call: it sets errs for refused settlements, and drops
// all tasks of the call from those that the consumer holds.
func (c *consumer) settled(st *settling, reply []any, batch []broker.Settlement, errs []error) {
	switch due := item(reply, 0); due {
	case "":
	case "lost": // the minion is not registered: whatever it ran from now on could not be settled
		if !c.isUnreachable(st.keys) {
			_ = c.lose()
		}
	default: // a task of the call waits for its time, and Dequeue must not sleep longer than that
		c.soon(st.keys, time.Duration(toInt(due)+1)*time.Millisecond)
	}
	if toInt(item(reply, 1)) > 0 {
		c.arrived(st.keys)
	}
	if len(reply) > 2 {
		for _, p := range reply[2:] {
			position := st.positions[toInt(p)-1]
			errs[position] = lost(batch[position].Delivery)
		}
	}
	// Refused or not, the consumer does not hold these attempts any more. A later attempt at the
	// same task, which it may have been handed meanwhile, stays.
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, position := range st.positions {
		d := batch[position].Delivery
		if h, ok := c.held.get(d.ID); ok && h.attempt == d.Attempt {
			c.held.drop(d.ID)
		}
		if len(c.recorded) > 0 {
			delete(c.recorded, d.ID)
		}
		if len(c.stepped) > 0 {
			delete(c.stepped, d.ID)
		}
	}
}

// largeOf reports for each settlement whether its task has a large record; nil if
// none is. It is false for a task that the consumer does not hold, which the script refuses.
// The caller holds c.mu.
func (c *consumer) largeOf(batch []broker.Settlement) []bool {
	if c.held.large == 0 {
		return nil
	}
	out := make([]bool, len(batch))
	for i := range batch {
		if d := batch[i].Delivery; d != nil {
			h, _ := c.held.get(d.ID)
			out[i] = h.large
		}
	}
	return out
}

// steppedOf reports for each settlement whether its task may have saved state; nil if none may. The
// caller holds c.mu.
func (c *consumer) steppedOf(batch []broker.Settlement) []bool {
	if len(c.stepped) == 0 {
		return nil
	}
	out := make([]bool, len(batch))
	for i := range batch {
		if d := batch[i].Delivery; d != nil {
			_, out[i] = c.stepped[d.ID]
		}
	}
	return out
}

// lost returns the error for an attempt that the consumer does not own.
func lost(d *broker.Delivery) error {
	return fmt.Errorf("task %s %s, attempt %d: %w", d.Name, d.ID, d.Start, broker.ErrLeaseLost)
}

// settling is one run of settle.lua, while its arguments are collected.
type settling struct {
	keys      *keys
	atLeast   time.Duration // how long an id is remembered at least
	in        *scratch      // the first group uses its bytes, heads and positions
	groups    map[group]*members
	order     []group  // the groups in the order of the call
	like      traits   // of the last settlement that was added,
	same      *members // and its group; nil if the next one must not join it
	positions []int    // the positions in the batch, in the order of the call; set by call
	largeKeys []string // the keys of large records
	parks     bool     // a task is parked
	limited   bool     // a task has a deadline
	laned     bool     // a task has a lane
	about     bool     // the hash about may have to change, see described
	keyed     bool     // a task has a unique key
	stepped   bool     // a task may have saved state
	count     int      // of settlements
	cost      int      // of their tasks, see laneCost
	size      int      // of the arguments in bytes, about
}

// group has the values that settlements must have in common to form a group.
type group struct {
	verb    string        // as the script reads it: with a "-" behind it if no handler was started
	a       int64         // of a finish the state, of others the delay in ms
	class   string        // the retention class
	read    time.Duration // how long the outcome can be read
	sweep   time.Duration // how long the id is remembered
	inbox   broker.ID
	attempt uint32 // of a finish; 0 for others, so that tasks that are given back keep their order, whatever their attempts
	alone   int    // the position in the batch of a settlement that submits tasks, which is a group alone; else -1
}

// traits are the values of a settlement from which its group follows. A settlement mostly
// has the same ones as the one before it, and then the group need not be looked up.
type traits struct {
	verb      broker.Verb
	state     broker.State
	delay     time.Duration
	retention time.Duration
	deadFor   time.Duration
	inbox     broker.ID
	attempt   uint32
	unstarted bool
}

// members are the settlements of one group. The slices of bytes are arguments of the script;
// settle.lua has their formats.
type members struct {
	positions []int     // positions in the batch
	notices   []byte    // the notices
	attempts  []byte    // 4 bytes each
	keyed     bool      // a task has a unique key
	records   []byte    // which key of the call has the task's record; nil if none has one
	runs      []byte    // how many tasks follow each other that are of one block of ids
	block     broker.ID // the block of the last of runs
	submits   []any     // ids and records of tasks to submit
	failures  []any     // ids of retried tasks and records of why they failed
	parked    []any     // ids of parked tasks and their needs
	awaited   []any     // ids of snoozed tasks and the signals that they wait for
}

// full reports whether the call is large enough, so that the next settlement begins another.
func (st *settling) full() bool {
	return st.cost >= broker.MaxBatch || st.size >= broker.MaxBatchBytes
}

var verbs = [...]string{
	broker.VerbFinish: "finish", broker.VerbRetry: "retry",
	broker.VerbSnooze: "snooze", broker.VerbGiveBack: "giveback", broker.VerbPark: "park",
}

// noticeSize is about how many bytes a notice takes.
const noticeSize = 112

// settleKeys is how many keys each call of the script has; those of large records follow.
const settleKeys = 16

// add adds the settlement at a position of the batch. Left is how many settlements may
// still come, and large says whether the task has a large record.
func (st *settling) add(position int, s *broker.Settlement, left int, large bool) {
	d := s.Delivery
	like := traits{s.Verb, s.Outcome.State, s.Delay, d.Retention, d.DeadFor, d.Inbox, d.Attempt, s.Unstarted}
	m := st.same
	if m == nil || like != st.like || len(s.Submit) > 0 {
		m = st.group(position, s, left)
		st.like, st.same = like, m
		if len(s.Submit) > 0 {
			st.same = nil // no other joins its group
		}
	}
	outcome := &s.Outcome
	if s.Verb != broker.VerbFinish {
		// The script ends the task with this outcome if it was cancelled meanwhile.
		canceled := *outcome
		canceled.State, canceled.Result, canceled.Err = broker.StateCanceled, nil, nil
		canceled.Name, canceled.Attempts, canceled.Retried = d.Name, s.Starts(), d.Retried
		outcome = &canceled
	}
	st.limited = st.limited || d.Left != broker.NoDeadline
	st.laned = st.laned || d.Lane != nil
	// The arrangement puts settlements of blocks first, so runs describe the first tasks of the
	// group, and the other tasks have no entry in it.
	if inBlock(s) {
		m.extendRun(d.ID)
	}
	was := len(m.notices)
	m.attempts = binary.BigEndian.AppendUint32(m.attempts, d.Attempt)
	m.notices = append(m.notices, d.ID[:]...)
	m.notices = appendFrame(m.notices, outcome)
	if d.Unique.Key != "" {
		m.keyed, st.keyed = true, true
	}
	if large && m.records == nil {
		m.records = make([]byte, 2*len(m.positions)) // 0 for the tasks before: they have no record
	}
	if m.records != nil {
		n := 0
		if large {
			st.largeKeys = append(st.largeKeys, st.keys.record(d.ID))
			n = settleKeys + len(st.largeKeys)
		}
		m.records = binary.BigEndian.AppendUint16(m.records, uint16(n))
	}
	if st.about = st.about || described(s); st.about {
		if why := s.LastFailure(); why != nil {
			record := wire.AppendLastFailure(nil, d.Name, why)
			st.size += len(record)
			m.failures = append(m.failures, d.ID[:], record)
		}
	}
	if s.Await != "" {
		st.stepped = true
		st.size += len(s.Await)
		m.awaited = append(m.awaited, d.ID[:], s.Await)
	}
	if s.Verb == broker.VerbPark {
		need := appendNeed(nil, d.Need())
		st.parks = true
		st.size += len(need)
		m.parked = append(m.parked, d.ID[:], need)
	}
	st.count++
	st.cost += laneCost(&d.Task)
	st.size += len(m.notices) - was + 6
	m.positions = append(m.positions, position)
	for _, t := range s.Submit {
		record := wire.AppendSubmit(nil, t)
		st.size += len(record)
		m.submits = append(m.submits, t.ID[:], record)
	}
}

// group returns the members of the settlement's group, which it adds if it is new.
func (st *settling) group(position int, s *broker.Settlement, left int) *members {
	d := s.Delivery
	g := group{verb: verbs[s.Verb], alone: -1, inbox: d.Inbox}
	if s.Unstarted {
		g.verb += "-"
	}
	if len(s.Submit) > 0 {
		g.alone = position
	}
	dead := false // whether a dead letter is kept
	switch {
	case s.Verb == broker.VerbFinish:
		g.a, g.attempt = int64(s.Outcome.State), d.Attempt
		dead = s.Outcome.State == broker.StateFailed && d.DeadFor > 0
	case s.Verb != broker.VerbGiveBack && s.Delay > 0:
		g.a = int64((s.Delay + time.Millisecond - 1) / time.Millisecond) // rounded up
	}
	g.class, g.read, g.sweep = retention(st.atLeast, d.Retention, d.DeadFor, dead)
	m := st.groups[g]
	if m == nil {
		m = &members{}
		if len(st.groups) == 0 { // most calls have one group, which gets the pooled memory
			m.notices = slices.Grow(st.in.bytes, noticeSize*min(left, broker.MaxBatch))
			m.attempts = slices.Grow(st.in.heads, 4*min(left, broker.MaxBatch))
			m.positions = slices.Grow(st.in.positions, min(left, broker.MaxBatch))
		}
		st.groups[g] = m
		st.order = append(st.order, g)
	}
	return m
}

// appendFrame appends the record of an outcome with its length (4 bytes) in front.
func appendFrame(dst []byte, o *broker.Outcome) []byte {
	at := len(dst)
	dst = wire.AppendOutcome(append(dst, 0, 0, 0, 0), o)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// retention returns the retention class of a task that ends, how long its outcome can be
// read, and how long its id is remembered. The last is at least atLeast, so that a repeated
// Enqueue or Settle is recognized.
//
// All tasks of a class are remembered equally long, in whole minutes. So the list of a class
// is sorted by when its tasks are due to be swept, without any sorting. The name of a class
// is "r", or "d" for dead letters, and its minutes.
func retention(atLeast, keep, deadFor time.Duration, dead bool) (class string, read, sweep time.Duration) {
	prefix := "r"
	if dead {
		prefix, keep = "d", max(keep, deadFor)
	}
	sweep = max(keep, atLeast)
	unit, suffix := time.Minute, ""
	if sweep < time.Minute { // only in tests that shorten atLeast
		unit, suffix = time.Second, "s"
	}
	if r := sweep % unit; r > 0 {
		sweep += unit - r
	}
	return prefix + strconv.FormatInt(int64(sweep/unit), 10) + suffix, keep, sweep
}

// free puts the memory of the first group back into the pool. The script has run.
func (st *settling) free() {
	if len(st.order) > 0 {
		m := st.groups[st.order[0]]
		st.in.bytes, st.in.heads, st.in.positions = m.notices, m.attempts, m.positions
	}
	st.in.free()
}

// call returns the call of the script, and sets st.positions.
func (st *settling) call(minion, inboxes string) *call {
	k := st.keys
	keys := []string{
		k.flight(minion), k.claim(minion), k.minions, k.state, k.due, k.scheduled, k.dead,
		k.unique, k.stop, k.retention, k.ready, k.checked, k.watch, k.unreadable, k.flows, k.outbox,
	}
	keys = append(keys, st.largeKeys...)
	lists := make(map[string]int) // by class, which of keys its list is, from 1
	args := []any{minion, k.wake, len(st.order), nil}
	for _, g := range st.order {
		if _, ok := lists[g.class]; !ok {
			keys = append(keys, k.ended(g.class))
			lists[g.class] = len(keys)
		}
	}
	if st.parks {
		keys = append(keys, k.parked, k.needs)
	}
	for _, g := range st.order {
		at := lists[g.class]
		m := st.groups[g]
		inbox := ""
		if !g.inbox.IsZero() {
			inbox = channel(inboxes, g.inbox)
		}
		args = append(args, g.verb, g.a, at, g.class, g.read.Milliseconds(), g.sweep.Milliseconds(), inbox, len(m.positions))
		attempts := m.attempts
		if bytes.Equal(attempts[4:], attempts[:len(attempts)-4]) {
			attempts = attempts[:4] // all attempts have the same number
		}
		keyed := ""
		if m.keyed {
			keyed = "1"
		}
		args = append(args, m.notices, attempts, keyed, m.records, m.runs)
		more := m.submits
		switch {
		case len(m.failures) > 0: // a group of retries, which submit nothing
			more = m.failures
		case len(m.awaited) > 0:
			more = m.awaited
		case len(m.parked) > 0:
			more = append([]any{len(keys) - 1, k.park}, m.parked...)
		}
		args = append(append(args, len(more)/2), more...)
		if len(st.order) == 1 {
			st.positions = m.positions
		} else {
			st.positions = append(st.positions, m.positions...)
		}
	}
	optional := ""
	if st.keyed {
		keys, optional = append(keys, k.holders), "h"
	}
	if st.stepped {
		keys, optional = append(keys, k.steps), optional+"s"
	}
	if st.about {
		keys, optional = append(keys, k.about), optional+"a"
	}
	if st.limited {
		keys, optional = append(keys, k.deadlines), optional+"d"
	}
	if st.laned || st.keyed { // a task that takes over a key may have a lane
		keys, optional = append(keys, k.lanes...), optional+"l"
	}
	args[3] = optional
	return &call{script: scriptSettle, keys: keys, args: args}
}
