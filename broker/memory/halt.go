package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/halting"
)

var _ broker.Halter = (*Broker)(nil)

// Halt keeps members of flows from being handed out, as [broker.Halter] says.
func (b *Broker) Halt(ctx context.Context, flows []broker.ID) (*broker.Halted, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	if len(flows) > broker.MaxBatch {
		return nil, fmt.Errorf("halt: %w: %d flows, the limit is %d", broker.ErrTooLarge, len(flows), broker.MaxBatch)
	}
	out := new(broker.Halted)
	hashes := make(map[uint16][]broker.ID) // of queues, with the flows that have tasks there
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

// flowPlaces returns the hashes of the queues that have tasks of a flow. It adds to out
// which of its members are flows.
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
				part = f.parts[i] // which only grows, and whose ids are never written again
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

// halt keeps members of flows from being handed out from the queue.
func (q *queue) halt(flows []broker.ID, now instant, out *broker.Halted) {
	if q.halts == nil { // most queues have none
		q.halts = make(map[broker.ID]instant)
	}
	for _, id := range flows {
		q.halts[id] = now
		out.Kills = append(out.Kills, broker.Arrival{Queue: q.name, Flow: id, Kill: true})
	}
	for _, c := range q.b.members.living() {
		h := c.holdOf(q.name)
		if h == nil {
			continue
		}
		for r := h.list.head; r != nil; r = r.next {
			if q.halted(r) && slices.Contains(flows, r.task.Group) {
				out.Running = append(out.Running, r.id)
			}
		}
	}
}

// halted reports whether a task must not start since its flow is halted.
func (q *queue) halted(r *record) bool {
	if len(q.halts) == 0 || r.canceled || r.counted || r.task.Step == broker.StepFinalizer {
		return false
	}
	_, is := q.halts[r.task.Group]
	return is
}

// bar lets a task wait, though it was its turn, for the cancel that is to come.
func (q *queue) bar(r *record) {
	q.detach(r)
	r.state = broker.StateBlocked
}

// resume ends halt for a flow.
func (q *queue) resume(flow broker.ID) {
	if delete(q.halts, flow); len(q.halts) == 0 {
		q.halts = nil
	}
}

// overdueKills adds to a page the kills that somebody has not finished in time, and
// leaves whoever gets them the same time.
func (p *arrivalPage) overdueKills(q *queue, now instant) {
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
