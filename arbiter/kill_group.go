package arbiter

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// Killed is what [Arbiter.KillGroup] found of a task.
type Killed struct {
	ID      task.ID
	Verdict Verdict
}

const (
	// killPatience is how often a member is looked for that is not stored: whoever
	// sends the group may be about to store it.
	killPatience = 10
	killPause    = 50 * time.Millisecond
)

// KillGroup ends a group or pipe, and all that is in it, whoever sent it. When
// it returns no member starts any more, and those that run have been told to
// stop, as [Arbiter.Kill] says; the callback never runs. If there are more than 1,000
// members and the broker is a [broker.Halter], it hands out none of them any more before
// the first one is cancelled, and those that minions hold by then are told first. A
// finalizer runs all the same. There is a verdict for each task, the callback among them if it was not
// done; those of flows within it come after. With [Wait] it returns when all that
// ran have ended. A group that a member had failed by then may end as failed: its
// other members were cancelled for that, or are now.
//
// The error wraps [task.ErrNotFound] if the group is unknown,
// [task.ErrUnavailable] or [task.ErrClosed]; after one that is not, some tasks
// may have been killed, and killing it again is harmless. A group that has ended
// is too late, and no error.
func (a *Arbiter) KillGroup(ctx context.Context, id task.ID, opts ...KillOption) ([]Killed, error) {
	k := newKill(opts)
	if k.err != nil {
		return nil, fmt.Errorf("kill %s %s: %w", kindOf(id), id, k.err)
	}
	p, err := a.lookupFlow(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("kill: %w", err)
	}
	c := &carnage{place: make(map[task.ID]int)}
	if p.Outcome == nil {
		if err := a.killAll(ctx, p, c); err != nil {
			return c.killed, fmt.Errorf("kill %s %s: %w", kindOf(id), id, err)
		}
	}
	for m, err := range a.members(ctx, id) {
		if err != nil {
			break // it is not kept any more, and all that matters is done
		}
		if _, told := c.place[m.ID]; !told && m.ID.Kind() == broker.KindTask {
			c.tell(m.ID, broker.CancelTooLate)
		}
	}
	if p.Outcome == nil {
		a.reconsider(ctx, c.killed)
	}
	if k.wait {
		err = a.awaitKilled(ctx, k, c.killed)
	}
	return c.killed, err
}

// reconsider corrects the verdicts of tasks that were cancelled before we came to
// them: a minion that learns that the group is killed ends its tasks, too.
func (a *Arbiter) reconsider(ctx context.Context, killed []Killed) {
	var ids []task.ID
	place := make(map[task.ID]int)
	for i, k := range killed {
		if k.Verdict == TooLate && k.ID.Kind() == broker.KindTask {
			ids, place[k.ID] = append(ids, k.ID), i
		}
	}
	for batch := range slices.Chunk(ids, broker.MaxBatch) {
		statuses, err := a.b.Lookup(ctx, batch)
		if err != nil {
			return // they are too late all the same
		}
		for _, st := range statuses {
			if st.State != broker.StateCanceled || st.Outcome == nil {
				continue
			}
			killed[place[st.ID]].Verdict = Stopped
			if st.Outcome.Attempts == 0 {
				killed[place[st.ID]].Verdict = NeverStarted
			}
		}
	}
}

// killAll kills until nothing is left that is not stored.
func (a *Arbiter) killAll(ctx context.Context, p *broker.Progress, c *carnage) error {
	d := a.client.Driver()
	for range killPatience {
		clear(c.missing)
		if err := d.KillFlow(ctx, p, c.tell); err != nil {
			return err
		}
		if len(c.missing) == 0 {
			return nil
		}
		timer := time.NewTimer(killPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	return d.Bury(ctx, p.Flow.ID)
}

// carnage gathers verdicts.
type carnage struct {
	killed  []Killed
	place   map[task.ID]int
	missing map[task.ID]struct{}
}

// tell notes a verdict. Of several for one task the first that says something
// counts: a task that was cancelled is too late to be cancelled again.
func (c *carnage) tell(id task.ID, v broker.CancelVerdict) {
	if v == broker.CancelUnknown {
		if c.missing == nil {
			c.missing = make(map[task.ID]struct{})
		}
		c.missing[id] = struct{}{}
	}
	at, told := c.place[id]
	if !told {
		c.place[id] = len(c.killed)
		c.killed = append(c.killed, Killed{id, verdictOf(v)})
		return
	}
	if c.killed[at].Verdict == NeverStarted && v == broker.CancelRequested {
		c.killed[at].Verdict = Stopping // it was not stored before, and has started since
	}
}
