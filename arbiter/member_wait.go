package arbiter

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/client"
	"github.com/go-arbiter/arbiter/task"
)

const (
	// memberPatience is how long a member is asked for that is unknown and that its group
	// or pipe has not counted. It may have ended with a retention of 0, so that nobody
	// but a minion knows what it has come to until the minion has counted it; and a
	// minion that dies then is replaced within some leases.
	memberPatience = time.Minute

	// While it is asked for, the pauses grow from memberPause to memberPauses.
	memberPause  = 20 * time.Millisecond
	memberPauses = 2 * time.Second
)

// memberWait waits for the members of a group or pipe. What a member has come to may be
// gone, or not be known here, when its group or pipe still has it; then it is taken from
// there.
type memberWait struct {
	a    *Arbiter
	flow task.ID
	ids  []task.ID
	w    *client.Watch

	left    int              // how many have not arrived at w
	place   map[task.ID]int  // made when it is needed
	missing []client.Arrival // without an outcome, by their places
	since   time.Time        // when the last one came to be missing
	pause   time.Duration
}

// waitForMembers begins a wait. Whoever calls it calls close in the end.
func (h *flowHandle) waitForMembers(ids []task.ID) *memberWait {
	w := h.a.client.Watch(ids...)
	return &memberWait{a: h.a, flow: h.ID(), ids: ids, w: w, left: w.Len()}
}

func (m *memberWait) close() { m.w.Close() }

// over reports whether next has returned all.
func (m *memberWait) over() bool { return m.left == 0 && len(m.missing) == 0 }

// next returns at least one member that is done. One of which nothing is known in the end
// has no outcome.
func (m *memberWait) next(ctx context.Context) ([]client.Arrival, error) {
	for {
		if len(m.missing) > 0 {
			if found, err := m.ask(ctx); len(found) > 0 || err != nil {
				return found, err
			}
		}
		arrivals, err := m.arrivals(ctx)
		if err != nil {
			return nil, err
		}
		m.left -= len(arrivals)
		done := slices.DeleteFunc(arrivals, func(a client.Arrival) bool {
			if a.Err() == nil {
				return false
			}
			m.miss(a)
			return true
		})
		if len(done) > 0 {
			return done, nil
		}
	}
}

// arrivals returns what arrives. While members are missing it waits for a while only.
func (m *memberWait) arrivals(ctx context.Context) ([]client.Arrival, error) {
	if len(m.missing) == 0 {
		return m.w.Wait(ctx)
	}
	if m.pause == 0 { // it was not asked yet
		return nil, nil
	}
	short, cancel := context.WithTimeout(ctx, m.pause)
	defer cancel()
	if m.left == 0 {
		<-short.Done()
		return nil, ctx.Err()
	}
	arrivals, err := m.w.Wait(short)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	return arrivals, err
}

// miss notes a member without an outcome.
func (m *memberWait) miss(a client.Arrival) {
	if m.place == nil {
		m.place = make(map[task.ID]int, len(m.ids))
		for i, id := range m.ids {
			m.place[id] = i
		}
	}
	at, _ := slices.BinarySearchFunc(m.missing, m.place[a.ID], func(b client.Arrival, place int) int { return m.place[b.ID] - place })
	m.missing = slices.Insert(m.missing, at, a)
	m.since, m.pause = time.Now(), 0
}

// ask asks the group or pipe for the members that are missing. It returns those that it
// has, or all if it has none of them and never will.
func (m *memberWait) ask(ctx context.Context) ([]client.Arrival, error) {
	f, err := m.a.flows()
	if err != nil {
		return nil, err
	}
	now, err := f.LookupFlow(ctx, m.flow)
	over := errors.Is(err, broker.ErrNotFound) || err == nil && now.Outcome != nil || time.Since(m.since) > memberPatience
	var found []client.Arrival
	if err == nil {
		found, err = m.take(ctx, f)
	}
	switch {
	case len(found) > 0:
		m.pause = 0
		return found, nil
	case over: // nor will it have them
		found, m.missing = m.missing, nil
		return found, nil
	case err != nil && ctx.Err() != nil:
		return nil, err
	}
	m.pause = min(max(2*m.pause, memberPause), memberPauses)
	return nil, nil
}

// take takes from the flow what it has of those that are missing, a page of it.
func (m *memberWait) take(ctx context.Context, f broker.Flows) (found []client.Arrival, err error) {
	for i := 0; i < len(m.missing) && len(found) == 0; {
		from := m.place[m.missing[i].ID]
		run := 1 // members that are next to each other
		for i+run < len(m.missing) && run < broker.MaxBatch && m.place[m.missing[i+run].ID] == from+run {
			run++
		}
		page, err := f.Members(ctx, m.flow, from, run, true)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		kept := m.missing[:i]
		for k, a := range m.missing[i : i+len(page)] {
			if o := page[k].Outcome; o != nil && page[k].ID == a.ID {
				found = append(found, a.With(o))
			} else {
				kept = append(kept, a)
			}
		}
		m.missing = append(kept, m.missing[i+len(page):]...)
		i = len(kept)
	}
	return found, nil
}
