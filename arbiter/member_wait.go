package arbiter

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
)

const (
	// memberPatience is how long memberWait asks for a member that is unknown and that its group or pipe has not counted.
	// Such a member may have ended with a retention of 0. Then only the minion that ran it knows its outcome until it has
	// counted it; and if the minion dies before, another one does that within some leases.
	memberPatience = time.Minute

	// The pause between two questions grows from memberPause to maxMemberPause.
	memberPause    = 20 * time.Millisecond
	maxMemberPause = 2 * time.Second
)

// memberWait waits for the members of a group or pipe. If the outcome of a member is no longer kept, or was never pushed to
// this process, it asks the group or pipe, which keeps the outcomes of its members.
type memberWait struct {
	a    *Arbiter
	flow task.ID
	ids  []task.ID
	w    *client.Watch

	left    int                 // members that w has not returned yet
	index   map[task.ID]int     // of each member in ids; made when it is needed
	missing []client.Completion // members without an outcome, by their index
	since   time.Time           // when the last member was added to missing
	pause   time.Duration       // before the next question; 0 if none was asked yet
}

// waitForMembers begins a wait. The caller must call close at its end.
func (h *flowHandle) waitForMembers(ids []task.ID) *memberWait {
	w := h.a.client.Watch(ids...)
	return &memberWait{a: h.a, flow: h.ID(), ids: ids, w: w, left: w.Len()}
}

func (m *memberWait) close() { m.w.Close() }

// over reports whether next has returned all members.
func (m *memberWait) over() bool { return m.left == 0 && len(m.missing) == 0 }

// next waits and returns at least one member that is done. A member whose outcome nobody knows any more has none.
func (m *memberWait) next(ctx context.Context) ([]client.Completion, error) {
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
		done := slices.DeleteFunc(arrivals, func(a client.Completion) bool {
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

// arrivals waits for members that are done. If members are missing, it waits only for the pause before the next question.
func (m *memberWait) arrivals(ctx context.Context) ([]client.Completion, error) {
	if len(m.missing) == 0 {
		return m.w.Wait(ctx)
	}
	if m.pause == 0 { // ask first
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

// miss records a member without an outcome.
func (m *memberWait) miss(a client.Completion) {
	if m.index == nil {
		m.index = make(map[task.ID]int, len(m.ids))
		for i, id := range m.ids {
			m.index[id] = i
		}
	}
	at, _ := slices.BinarySearchFunc(m.missing, m.index[a.ID], func(b client.Completion, i int) int { return m.index[b.ID] - i })
	m.missing = slices.Insert(m.missing, at, a)
	m.since, m.pause = time.Now(), 0
}

// ask asks the group or pipe for the missing members. It returns those whose outcomes it has. If it has none, and never will,
// it returns all of them without outcomes.
func (m *memberWait) ask(ctx context.Context) ([]client.Completion, error) {
	f, err := m.a.flows()
	if err != nil {
		return nil, err
	}
	now, err := f.LookupFlow(ctx, m.flow)
	over := errors.Is(err, broker.ErrNotFound) || err == nil && now.Outcome != nil || time.Since(m.since) > memberPatience
	var found []client.Completion
	if err == nil {
		found, err = m.take(ctx, f)
	}
	switch {
	case len(found) > 0:
		m.pause = 0
		return found, nil
	case over: // the group or pipe will not get them any more
		found, m.missing = m.missing, nil
		return found, nil
	case err != nil && ctx.Err() != nil:
		return nil, err
	}
	m.pause = min(max(2*m.pause, memberPause), maxMemberPause)
	return nil, nil
}

// take reads outcomes of missing members from the group or pipe, one page at a time until it finds one.
func (m *memberWait) take(ctx context.Context, f broker.Flows) (found []client.Completion, err error) {
	for i := 0; i < len(m.missing) && len(found) == 0; {
		from := m.index[m.missing[i].ID]
		run := 1 // the number of missing members with consecutive indexes
		for i+run < len(m.missing) && run < broker.MaxBatch && m.index[m.missing[i+run].ID] == from+run {
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
