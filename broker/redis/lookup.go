package redis

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// A look-up tells the state of tasks by their ids alone. It works in up to three steps.
//
// First, status.lua reads the states of all asked tasks of a partition from the hash state.
// That hash knows each stored task as either open or final; a final one has its outcome
// there, and nothing more is to be read.
//
// Second, locate.lua finds out where open tasks are: in the hash later (scheduled, blocked,
// retrying or parked), with a minion (running), or else in a list (pending). Lists are not
// searched, so a task that is nowhere else must be there. The script must see the tasks of every minion
// at one moment, and a script in a cluster may only use keys that it is given. So the caller
// names the minions, none at first. If the queue has others the script does nothing and
// returns all of them, and the caller repeats the call.
//
// Third, a task can end between the two scripts. Its state is then read again.
//
// Flows have keys of their own, see lookupFlows. The ids of tasks name no queue, but have a
// hash of its name, so few queues have to be asked for each (see queue_list.go).

// Lookup implements [broker.Broker].
func (b *Broker) Lookup(ctx context.Context, ids []broker.ID) ([]broker.Status, error) {
	ids = slices.Clone(ids)
	return ask(ctx, func() ([]broker.Status, error) { return b.lookupNow(ctx, ids) })
}

func (b *Broker) lookupNow(ctx context.Context, ids []broker.ID) ([]broker.Status, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	out := make([]broker.Status, len(ids))
	for i, id := range ids {
		out[i].ID = id
	}
	if err := b.lookupFlows(ctx, ids, out); err != nil {
		return nil, err
	}
	var wrongType error // the last error of a queue that has a key of the wrong type
	err := b.queues.each(ctx, ids, func(k *keys, positions []int) ([]bool, error) {
		args := make([]any, len(positions))
		for i, p := range positions {
			args[i] = ids[p][:]
		}
		values, metas, err := b.statesAndMeta(ctx, k, args)
		if isWrongType(err) { // tasks of other queues can be looked up all the same
			wrongType = err
			setWrongType(out, positions, err)
			return make([]bool, len(positions)), nil
		}
		if err != nil {
			return nil, err
		}
		for i, meta := range metas {
			st := &out[positions[i]]
			if st.Meta, err = wire.ParseMeta([]byte(meta)); err != nil {
				b.logUnreadable(st.ID, "metadata", err)
			}
		}
		found := make([]bool, len(positions))
		var open []int // positions of the tasks that are to be located
		for i, v := range values {
			st := &out[positions[i]]
			if v == "" {
				continue
			}
			if len(v) < finalSize || !readFinal(st, v) { // open; or unreadable, and then it may still be located
				open = append(open, positions[i])
			}
			found[i] = true
			st.Queue = k.queue
		}
		if err := b.locate(ctx, k, open, out); isWrongType(err) {
			wrongType = err
			setWrongType(out, open, err)
		} else if err != nil {
			return nil, err
		}
		return found, nil
	})
	if err != nil {
		return nil, err
	}
	if wrongType != nil && !slices.ContainsFunc(out, func(st broker.Status) bool { return !isWrongType(st.Err) }) {
		return nil, wrongType // no task has any other answer
	}
	return out, nil
}

// setWrongType sets the error of the tasks at some positions: a key of their queue is of the
// wrong type.
func setWrongType(out []broker.Status, positions []int, err error) {
	for _, p := range positions {
		out[p].Err = fmt.Errorf("task %s: %w", out[p].ID, err)
	}
}

// states returns the values that status.lua tells of tasks, "" for an unknown one. Large
// outcomes take several calls of the script.
func (b *Broker) states(ctx context.Context, k *keys, ids []any) ([]string, error) {
	values, _, err := b.statesAndMeta(ctx, k, ids)
	return values, err
}

// statesAndMeta returns the states like states, and the records of metadata by the index of their
// task, for the tasks that have metadata.
func (b *Broker) statesAndMeta(ctx context.Context, k *keys, ids []any) (values []string, metas map[int]string, err error) {
	values = make([]string, 0, len(ids))
	for len(values) < len(ids) {
		reply, err := scriptStatus.run(ctx, b, []string{k.state, k.about, k.deadlines}, ids[len(values):]...)
		if err != nil {
			return nil, nil, err
		}
		list := toList(reply)
		b.expiry.learn(k, item(list, 2), toInt(item(list, 3)))
		some, pairs := toStrings(item(list, 0)), toList(item(list, 1))
		if len(some) == 0 || len(some) > len(ids)-len(values) {
			return nil, nil, fmt.Errorf("redis status: %w: a reply for %d tasks", broker.ErrMalformed, len(some))
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			if metas == nil {
				metas = make(map[int]string)
			}
			metas[len(values)+int(toInt(pairs[i]))-1] = toString(pairs[i+1])
		}
		values = append(values, some...)
	}
	return values, metas, nil
}

// The sizes of the parts of a value in the hash state.
const (
	originSize = 20                     // digest (4) and inbox (16): all there is of an open task
	finalSize  = originSize + 1 + 6 + 4 // and the final state, until when it may be read, and the attempt
)

// unreadableState returns the error for a value of the hash state that can't be read. See
// block.lua for the value that stands for an unreadable block.
func unreadableState(v string) error {
	if len(v) == 2 && v[0] == '?' && v[1] != 1 {
		return fmt.Errorf("%w: its block of states is of version %d, this build knows 1", broker.ErrVersion, v[1])
	}
	return fmt.Errorf("%w: a state of %d bytes", broker.ErrMalformed, len(v))
}

// readFinal reads the value of a final task into st. If it can't be read, readFinal sets
// only st.Err and returns false.
func readFinal(st *broker.Status, v string) bool {
	st.Err = nil
	if len(v) < finalSize || !broker.State(v[originSize]).Final() {
		st.Err = fmt.Errorf("task %s: %w", st.ID, unreadableState(v))
		return false
	}
	var o *broker.Outcome
	if rest := v[finalSize:]; len(rest) > 4 {
		read, err := wire.ParseOutcome([]byte(rest[4:]))
		if err != nil {
			st.Err = fmt.Errorf("task %s: its outcome: %w", st.ID, err)
			return false
		}
		o = &read
	}
	st.State = broker.State(v[originSize])
	if o != nil {
		st.Outcome, st.Name, st.Attempt = o, o.Name, o.Attempts
	}
	return true
}

// locateBatch is how many tasks one run of the script locates at most. With many minions it
// is fewer, see ownedAtOnce.
const locateBatch = 100

// locate fills in the states of the tasks at some positions of out. They were not final
// when their states were read.
func (b *Broker) locate(ctx context.Context, k *keys, positions []int, out []broker.Status) error {
	var minions []string // those that are known of the queue
	for len(positions) > 0 {
		tries := 0 // for this part of the tasks
	again:
		n := ownedAtOnce(len(minions), min(len(positions), locateBatch))
		names := []string{k.due, k.scheduled, k.minions, k.state, k.about}
		args := []any{len(minions)}
		for _, m := range minions {
			names = append(names, k.flight(m), k.claim(m))
			args = append(args, m)
		}
		args = append(args, wire.NameWithin)
		for _, p := range positions[:n] {
			args = append(args, out[p].ID[:])
		}
		reply, err := scriptLocate.run(ctx, b, names, args...)
		if err != nil {
			return err
		}
		list := toList(reply)
		if item(list, 0) == nil { // the queue has a minion that is not among those
			minions = toStrings(item(list, 1))
			if tries++; tries < minionRetries {
				goto again
			}
			return fmt.Errorf("redis look-up: %w: minions of queue %s come and go", broker.ErrUnavailable, k.queue)
		}
		var done, large []int // positions of tasks that have ended, and of stubs, which have no name
		for i, e := range toList(item(list, 0)) {
			st, location := &out[positions[i]], toList(e)
			switch {
			case !b.readLocation(st, location):
				done = append(done, positions[i])
			case st.Name == "" && isStub(toString(item(location, 2))):
				large = append(large, positions[i])
			}
		}
		if err := b.readNames(ctx, k, large, out); err != nil {
			return err
		}
		if err := b.readDone(ctx, k, done, out); err != nil {
			return err
		}
		positions = positions[n:]
	}
	return nil
}

// readLocation reads the reply of locate.lua for one task. It returns false if the task has
// become final since its state was read.
func (b *Broker) readLocation(st *broker.Status, location []any) (found bool) {
	head := toString(item(location, 2))
	var d broker.Delivery
	if len(head) >= wire.HeadSize {
		// The error is about the missing body. All fields of the head are set before that.
		_ = wire.ParseRecord(&d, withHead(head[:wire.HeadSize], nil), 0)
		st.Name = wire.RecordName([]byte(head))
	}
	if failure := toString(item(location, 3)); failure != "" {
		if name, last, err := wire.ParseLastFailure([]byte(failure)); err == nil {
			st.Name, st.Failed = name, &last
		} else {
			b.logUnreadable(st.ID, "last failure", err)
		}
	}
	st.Attempt = d.Start
	defer func() {
		if found { // it was found where open tasks are, so it is not final, even if its state was unreadable
			st.Err = nil
		}
	}()
	switch toString(item(location, 0)) {
	case "later":
		st.State, st.Due = broker.StateScheduled, toTime(toInt(item(location, 1)))
		st.Attempt = max(st.Attempt, 1) - 1 // the message has the number of the next attempt
		switch {
		case d.Flow.Blocked:
			st.State = broker.StateBlocked
		case toString(item(location, 1)) == "" && !d.Overdue: // it waits in a line, with no time
			st.State, st.Due = broker.StatePending, time.Time{}
		case d.Overdue: // FlagParked, which in a message that was handed out means overdue
			st.State = broker.StateParked
		case d.Attempt > 1:
			st.State = broker.StateRetrying
		}
	case "running":
		st.State, st.Minion = broker.StateRunning, toID(item(location, 1))
	case "ready":
		st.State = broker.StatePending
	default:
		return false
	}
	return true
}

// logUnreadable logs that a part of a status can't be read, perhaps because a newer build wrote
// it. The status is returned without it: a caller that waits for the task must not fail
// because of that.
func (b *Broker) logUnreadable(id broker.ID, what string, err error) {
	b.log.Warn("redis: a part of a task's status can't be read and is left out", "task.id", id, "part", what, "error", err)
}

// readNames reads the names of tasks whose records are large, from the beginnings of
// the records. A task that has ended meanwhile has no record; its name stays empty.
func (b *Broker) readNames(ctx context.Context, k *keys, positions []int, out []broker.Status) error {
	if len(positions) == 0 {
		return nil
	}
	pipe := b.rdb.Pipeline()
	cmds := make([]*redis.StringCmd, len(positions))
	for i, p := range positions {
		cmds[i] = pipe.GetRange(ctx, k.record(out[p].ID), 0, wire.NameWithin-1)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, p := range positions {
		head, err := cmds[i].Bytes()
		if isWrongType(err) { // the key is of the wrong type, so the task has no name to tell
			head, err = nil, nil
		}
		if err != nil {
			err = b.fault("read a record", err)
			b.relearn(ctx, err)
			return err
		}
		out[p].Name = wire.RecordName(head)
	}
	return nil
}

// readDone reads again the states of tasks that have become final since the first time.
func (b *Broker) readDone(ctx context.Context, k *keys, positions []int, out []broker.Status) error {
	if len(positions) == 0 {
		return nil
	}
	args := make([]any, len(positions))
	for i, p := range positions {
		args[i] = out[p].ID[:]
	}
	values, err := b.states(ctx, k, args)
	if err != nil {
		return err
	}
	for i, v := range values {
		st := &out[positions[i]]
		if st.Err = nil; v != "" && len(v) != originSize {
			readFinal(st, v)
		}
	}
	return nil
}
