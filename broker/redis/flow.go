package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// This file stores flows, which is the word for groups and pipes in code: their records, their
// members, and how far they have come. It implements the part of broker.Flows that is about the
// keys of a flow; arrival.go has the part that is about the queues of its members.
//
// A flow has three keys in one hash slot: the hash flow, with its record, counts, marks and
// outcome; the string members, with the ids of its members; and the hash results, with the
// state and outcome of each member that has arrived. Every operation is one script that checks
// before it writes and can be repeated, so a driver may die at any line and another one goes
// on.

var _ broker.Flows = (*Broker)(nil)

// OpenFlow implements [broker.Flows].
func (b *Broker) OpenFlow(ctx context.Context, f *broker.Flow, from int, members []broker.ID) error {
	members = slices.Clone(members)
	return do(ctx, func() error { return b.openFlowNow(ctx, f, from, members) })
}

// openFlowNow stores the record of a flow, and the ids of its members from position from on. A
// large flow takes several calls, in order.
func (b *Broker) openFlowNow(ctx context.Context, f *broker.Flow, from int, members []broker.ID) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	if err := f.Check(); err != nil {
		return err
	}
	if len(members) > broker.MaxBatch {
		return fmt.Errorf("flow %s: %w: a part of %d members, the limit is %d", f.ID, broker.ErrTooLarge, len(members), broker.MaxBatch)
	}
	if from < 0 || from > f.Size-len(members) {
		return fmt.Errorf("flow %s: %w: members %d to %d of %d", f.ID, broker.ErrInvalid, from, from+len(members), f.Size)
	}
	ids := make([]byte, 0, 16*len(members))
	for _, id := range members {
		ids = append(ids, id[:]...)
	}
	k := newFlowKeys(b.cfg.namespace, f.ID)
	reply, err := scriptFlowOpen.run(ctx, b, []string{k.flow, k.members},
		wire.AppendFlow(nil, f), from, ids, f.Size, broker.FlowPatience.Milliseconds(), broker.OpenPatience.Milliseconds())
	if err != nil {
		return err
	}
	switch toInt(reply) {
	case 0: // the id belongs to another flow, or a position to another member
		return &broker.DuplicateError{ID: f.ID, Holder: f.ID}
	case -1:
		return fmt.Errorf("flow %s: %w: members before %d are missing", f.ID, broker.ErrInvalid, from)
	}
	return nil
}

// LookupFlow implements [broker.Flows].
func (b *Broker) LookupFlow(ctx context.Context, id broker.ID) (*broker.Progress, error) {
	return ask(ctx, func() (*broker.Progress, error) { return b.lookupFlowNow(ctx, id) })
}

func (b *Broker) lookupFlowNow(ctx context.Context, id broker.ID) (*broker.Progress, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	k := newFlowKeys(b.cfg.namespace, id)
	reply, err := scriptFlowLookup.run(ctx, b, []string{k.flow, k.members})
	if err != nil {
		return nil, ofFlow(id, err)
	}
	return readProgress(id, reply)
}

// ofFlow turns the error of a script about one flow into the error of the operation. If a key of
// the flow has the wrong type, this flow alone is damaged: the error then wraps
// broker.ErrMalformed, and the caller can go on with other flows.
func ofFlow(id broker.ID, err error) error {
	if !isWrongType(err) {
		return err
	}
	return fmt.Errorf("flow %s: %w: one of its keys has another type: %s", id, broker.ErrMalformed, errText(err))
}

// readProgress parses the reply of the scripts that include flow_look.lua. A nil reply means that
// the flow does not exist: ErrNotFound.
func readProgress(id broker.ID, reply any) (*broker.Progress, error) {
	if reply == nil {
		return nil, fmt.Errorf("flow %s: %w", id, broker.ErrNotFound)
	}
	list := toList(reply)
	f, err := wire.ParseFlow([]byte(toString(item(list, 0))))
	if err != nil {
		return nil, fmt.Errorf("flow %s: %w", id, err)
	}
	p := &broker.Progress{
		Flow: f, Listed: int(toInt(item(list, 1))),
		Succeeded: int(toInt(item(list, 2))), Failed: int(toInt(item(list, 3))),
		Callback: broker.State(toInt(item(list, 4))), Finalizer: broker.State(toInt(item(list, 5))),
		Marks: broker.Marks(toInt(item(list, 6))), First: int(toInt(item(list, 8))),
	}
	if record := toString(item(list, 7)); record != "" {
		o, err := wire.ParseOutcome([]byte(record))
		if err != nil {
			return nil, fmt.Errorf("flow %s: %w", id, err)
		}
		p.Outcome = &o
	}
	return p, nil
}

// Members implements [broker.Flows].
func (b *Broker) Members(ctx context.Context, id broker.ID, from, limit int, outcomes bool) ([]broker.Member, error) {
	return ask(ctx, func() ([]broker.Member, error) { return b.membersNow(ctx, id, from, limit, outcomes) })
}

// membersNow reads a page of members: their ids, and the state of those that have arrived. With
// outcomes it also reads their outcomes.
func (b *Broker) membersNow(ctx context.Context, id broker.ID, from, limit int, outcomes bool) ([]broker.Member, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	if from < 0 || limit < 1 {
		return nil, fmt.Errorf("flow %s: %w: %d members from %d on", id, broker.ErrInvalid, limit, from)
	}
	limit = min(limit, broker.MaxBatch)
	k := newFlowKeys(b.cfg.namespace, id)
	args := []any{from, 0}
	if outcomes {
		args[1] = 1
	}
	for i := range limit {
		args = append(args, binary.BigEndian.AppendUint32(nil, uint32(from+i)))
	}
	reply, err := scriptMembers.run(ctx, b, []string{k.flow, k.members, k.results}, args...)
	if err != nil {
		return nil, ofFlow(id, err)
	}
	if reply == nil {
		return nil, fmt.Errorf("flow %s: %w", id, broker.ErrNotFound)
	}
	// The reply has the ids, 16 bytes each, and the results: a byte for the state, then the outcome.
	ids, results := toString(item(toList(reply), 0)), toList(item(toList(reply), 1))
	members := make([]broker.Member, len(ids)/16)
	for i := range members {
		members[i].ID = toID(ids[16*i:])
		if v := toString(item(results, i)); v != "" {
			members[i].State = broker.State(v[0])
			if !outcomes {
				continue
			}
			o, err := wire.ParseOutcome([]byte(v[1:]))
			if errors.Is(err, broker.ErrVersion) { // a newer driver can read it, so leave it
				return nil, fmt.Errorf("flow %s, member %d: %w", id, from+i, err)
			} else if err != nil { // no driver can ever read it, so the member counts as failed
				o = unreadableOutcome("its outcome can't be read", err)
			}
			members[i].State, members[i].Outcome = o.State, &o
		}
	}
	return members, nil
}

// Arrive implements [broker.Flows].
func (b *Broker) Arrive(ctx context.Context, id broker.ID, arrivals []broker.Arrival) (*broker.Progress, error) {
	arrivals = slices.Clone(arrivals)
	return ask(ctx, func() (*broker.Progress, error) { return b.arriveNow(ctx, id, arrivals) })
}

// arriveNow counts arrivals, each once, and returns how far the flow has come.
func (b *Broker) arriveNow(ctx context.Context, id broker.ID, arrivals []broker.Arrival) (*broker.Progress, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	for i := range arrivals {
		if a := &arrivals[i]; !a.Outcome.State.Final() {
			return nil, fmt.Errorf("flow %s, position %d: %w: arrived as %s, which is not a final state", id, a.Step, broker.ErrInvalid, a.Outcome.State)
		}
	}
	k := newFlowKeys(b.cfg.namespace, id)
	keys := []string{k.flow, k.members, k.results}
	// A reply is the progress after the arrivals of its script; only that of the last one is returned. It
	// is nil if the flow does not exist, which readProgress reports.
	//
	// Large batches are divided. An arrival counts once, so the caller may repeat all of it.
	for {
		n, size := 0, 0
		args := []any{broker.FlowPatience.Milliseconds()}
		for n < len(arrivals) && n < broker.MaxBatch && size < broker.MaxBatchBytes {
			a := &arrivals[n]
			record := wire.AppendOutcome(nil, &a.Outcome)
			args = append(args, binary.BigEndian.AppendUint32(nil, a.Step), strconv.Itoa(int(a.Outcome.State)), record)
			size += len(record)
			n++
		}
		if n == 0 {
			return b.LookupFlow(ctx, id)
		}
		reply, err := scriptFlowArrive.run(ctx, b, keys, args...)
		if err != nil {
			return nil, ofFlow(id, err)
		}
		if toInt(reply) < 0 {
			return nil, fmt.Errorf("flow %s: %w: an arrival has a position beyond its members", id, broker.ErrInvalid)
		}
		if arrivals = arrivals[n:]; len(arrivals) == 0 || reply == nil {
			return readProgress(id, reply)
		}
	}
}

// MarkFlow implements [broker.Flows].
func (b *Broker) MarkFlow(ctx context.Context, id broker.ID, marks broker.Marks) error {
	return do(ctx, func() error { return b.markFlowNow(ctx, id, marks) })
}

// markFlowNow sets marks of a flow. Marks are never removed.
func (b *Broker) markFlowNow(ctx context.Context, id broker.ID, marks broker.Marks) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	var args []any
	if marks&broker.MarkKilled != 0 {
		args = append(args, "killed", int(broker.MarkKilled))
	}
	if marks&broker.MarkSwept != 0 {
		args = append(args, "swept", int(broker.MarkSwept))
	}
	if len(args) == 0 { // it only has to be known whether there is such a flow
		_, err := b.lookupFlowNow(ctx, id)
		return err
	}
	reply, err := scriptFlowMark.run(ctx, b, []string{newFlowKeys(b.cfg.namespace, id).flow}, args...)
	if err == nil && toInt(reply) == 0 {
		err = fmt.Errorf("flow %s: %w", id, broker.ErrNotFound)
	}
	return ofFlow(id, err)
}

// EndFlow implements [broker.Flows].
func (b *Broker) EndFlow(ctx context.Context, id broker.ID, o *broker.Outcome) error {
	return do(ctx, func() error { return b.endFlowNow(ctx, id, o) })
}

// endFlowNow stores the outcome of a flow, publishes it to the flow's inbox, and lets the keys
// expire. The outcome of a flow that has ended before stays as it is. The keys are kept at least
// for broker.MinTombstone.
func (b *Broker) endFlowNow(ctx context.Context, id broker.ID, o *broker.Outcome) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	switch {
	case o == nil:
		return fmt.Errorf("flow %s: %w: no outcome", id, broker.ErrInvalid)
	case !o.State.Final():
		return fmt.Errorf("flow %s: %w: ended as %s, which is not a final state", id, broker.ErrInvalid, o.State)
	case len(o.Result) > b.cfg.limits.Result:
		return fmt.Errorf("flow %s: %w: result of %d bytes, the limit is %d", id, broker.ErrTooLarge, len(o.Result), b.cfg.limits.Result)
	}
	// The record of the flow has its inbox and its retention.
	k := newFlowKeys(b.cfg.namespace, id)
	p, err := b.lookupFlowNow(ctx, id)
	if errors.Is(err, broker.ErrNotFound) {
		// If it has ended but can't be read any more, this call is a repetition.
		if ended, e := b.rdb.HExists(ctx, k.flow, "outcome").Result(); e != nil || ended {
			return b.fault("end flow", e)
		}
	}
	if err != nil {
		return err
	}
	inbox := ""
	if !p.Flow.Inbox.IsZero() {
		inbox = channel(b.space.inboxes, p.Flow.Inbox)
	}
	keep := max(p.Flow.Retention, broker.MinTombstone)
	reply, err := scriptFlowEnd.run(ctx, b, []string{k.flow, k.members, k.results},
		wire.AppendOutcome(nil, o), p.Flow.Retention.Milliseconds(), keep.Milliseconds(), inbox, id[:])
	if err == nil && toInt(reply) < 0 {
		err = fmt.Errorf("flow %s: %w", id, broker.ErrNotFound)
	}
	return ofFlow(id, err)
}

// lookupFlows fills in the status of those ids that are flows. out has the same indices as ids. A
// flow that is damaged gets an error in its status.
func (b *Broker) lookupFlows(ctx context.Context, ids []broker.ID, out []broker.Status) error {
	var calls []*call
	var positions []int
	for i, id := range ids {
		if kind := id.Kind(); kind == broker.KindGroup || kind == broker.KindPipe {
			k := newFlowKeys(b.cfg.namespace, id)
			calls = append(calls, &call{script: scriptFlowLookup, keys: []string{k.flow, k.members}})
			positions = append(positions, i)
		}
	}
	if len(calls) == 0 {
		return nil
	}
	runAll(ctx, b, calls)
	for i, c := range calls {
		id, st := ids[positions[i]], &out[positions[i]]
		if isWrongType(c.err) {
			st.Err = ofFlow(id, c.err)
			continue
		} else if c.err != nil {
			return c.err
		}
		if c.reply == nil {
			continue
		}
		p, err := readProgress(id, c.reply)
		if err != nil { // it concerns this flow alone
			st.Err = err
			continue
		}
		// A flow runs as soon as a member has arrived.
		switch {
		case p.Outcome != nil:
			st.State, st.Outcome = p.Outcome.State, p.Outcome
		case p.Arrived() > 0:
			st.State = broker.StateRunning
		default:
			st.State = broker.StatePending
		}
	}
	return nil
}
