package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/halting"
)

var _ broker.Halter = (*Broker)(nil)

// While a large flow is killed page by page, its members must not start. Halt notes the
// flow in each queue that has tasks of it. Dequeue looks at these notes only while there
// are some, and turns a halted member into a blocked one. Each note is also an arrival of
// the kind Kill, which another driver gets if the killer does not confirm it in time.

// Halt keeps members of flows from being handed out; see [broker.Halter].
func (b *Broker) Halt(ctx context.Context, flows []broker.ID) (*broker.Halted, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	if len(flows) > broker.MaxBatch {
		return nil, fmt.Errorf("halt: %w: %d flows, the limit is %d", broker.ErrTooLarge, len(flows), broker.MaxBatch)
	}
	out := new(broker.Halted)
	hashes := make(map[uint16][]broker.ID) // flows by the hash of a queue that has tasks of them
	for _, id := range flows {
		for hash := range b.flowPlaces(id, now, out) {
			hashes[hash] = append(hashes[hash], id)
		}
	}
	b.naming.RLock()
	defer b.naming.RUnlock()
	b.queues.Range(func(_, v any) bool {
		q := v.(*queue)
		if ids := hashes[broker.QueueHash(q.name)]; len(ids) > 0 {
			q.lock(now)
			q.halt(ids, now, out)
			q.unlock()
		}
		return true
	})
	return out, nil
}

// flowPlaces returns the hashes of the queues that have tasks of a flow. It adds the
// members that are flows to out.Inner.
func (b *Broker) flowPlaces(id broker.ID, now instant, out *broker.Halted) map[uint16]struct{} {
	hashes := make(map[uint16]struct{})
	add := func(id broker.ID) {
		switch {
		case id.IsZero():
		case id.Kind() == broker.KindTask:
			hashes[id.QueueHash()] = struct{}{}
		default:
			out.Inner = append(out.Inner, id)
		}
	}
	for from, more := 0, true; more; from += memberPart {
		var part []member
		err := b.view(id, now, func(f *flow) error {
			if from == 0 {
				add(f.progress.Flow.Callback)
			}
			if i := from / memberPart; i < len(f.parts) {
				part = f.parts[i] // it only grows, and its ids never change, so it may be read without the lock
			}
			return nil
		})
		for i := range part {
			add(part[i].id)
		}
		more = err == nil && len(part) == memberPart
	}
	return hashes
}

// halt notes flows whose members the queue must not hand out.
func (q *queue) halt(flows []broker.ID, now instant, out *broker.Halted) {
	if q.halts == nil { // most queues have none
		q.halts = make(map[broker.ID]instant)
	}
	for _, id := range flows {
		q.halts[id] = now
		out.Kills = append(out.Kills, broker.Arrival{Queue: q.name, Flow: id, Kill: true})
	}
	for _, c := range q.b.members.living() {
		h := c.holdingOf(q.name)
		if h == nil {
			continue
		}
		for r := range h.list.All() {
			if q.halted(r) && slices.Contains(flows, r.task.Flow.ID) {
				out.Running = append(out.Running, r.id)
			}
		}
	}
}

// halted reports whether a task must not start because its flow is halted.
func (q *queue) halted(r *record) bool {
	if len(q.halts) == 0 || r.canceled || r.flowCounted || r.task.Flow.Step == broker.StepFinalizer {
		return false
	}
	_, is := q.halts[r.task.Flow.ID]
	return is
}

// blockHalted blocks a halted task whose turn it was. A cancel is about to end it.
func (q *queue) blockHalted(r *record) {
	q.detach(r)
	r.state = broker.StateBlocked
	if r.lane != nil {
		q.lanes.blockLaned(r.lane)
	}
}

// resume ends the halt of a flow.
func (q *queue) resume(flow broker.ID) {
	if delete(q.halts, flow); len(q.halts) == 0 {
		q.halts = nil
	}
}

// addOverdueKills adds the kills that were not finished in time to a page. The driver that
// gets a kill has the same time to finish it.
func (p *arrivalPage) addOverdueKills(q *queue, now instant) {
	for id, at := range q.halts {
		if p.full() {
			return
		}
		if time.Duration(now-at) >= halting.Patience() {
			q.halts[id] = now
			p.found = append(p.found, &arrival{Arrival: broker.Arrival{Queue: q.name, Flow: id, Kill: true}})
		}
	}
}
