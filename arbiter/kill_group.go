package arbiter

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// Killed is the effect of [Arbiter.KillGroup] on one task.
type Killed struct {
	ID      task.ID
	Verdict Verdict
}

const (
	// killTries is how often KillGroup looks for a member that is not stored: the process that sends the group may be
	// about to store it.
	killTries = 10
	killPause = 50 * time.Millisecond
)

// KillGroup ends a group or pipe and everything in it, no matter which process sent it. When it returns, no member starts
// any more, and the members that run have been told to stop, as in [Arbiter.Kill]. The callback never runs. A finalizer
// still runs. With [Wait], KillGroup returns when all tasks that ran have ended.
//
// It returns a verdict for each task, first for the tasks of the group itself and then for those of groups and pipes within
// it. The callback has a verdict if it was not done. If a member had failed before, the group may end as failed instead
// of canceled.
//
// If there are more than 1,000 members and the broker is a [broker.Halter], the broker stops handing out members before
// the first one is cancelled, and the members that minions hold are told first.
//
// The error wraps [task.ErrInvalid] if an option is invalid, [task.ErrNotFound] if the group is unknown,
// [task.ErrUnavailable] or [task.ErrClosed]. After an error other than ErrInvalid and ErrNotFound some tasks may have been
// killed; killing the group again is harmless. A group that has ended is no error: its tasks are TooLate.
func (a *Arbiter) KillGroup(ctx context.Context, id task.ID, opts ...KillOption) ([]Killed, error) {
	k := newKill(opts)
	if k.err != nil {
		return nil, fmt.Errorf("kill %s %s: %w", kindOf(id), id, k.err)
	}
	p, err := a.lookupFlow(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("kill: %w", err)
	}
	c := &killReport{index: make(map[task.ID]int)}
	if p.Outcome == nil {
		if err := a.killAll(ctx, p, c); err != nil {
			return c.killed, fmt.Errorf("kill %s %s: %w", kindOf(id), id, err)
		}
	}
	for m, err := range a.members(ctx, id) {
		if err != nil {
			break // the group is no longer kept, and nothing is left to kill
		}
		if _, told := c.index[m.ID]; !told && m.ID.Kind() == broker.KindTask {
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

// reconsider corrects the verdict TooLate of tasks that were cancelled by another process in the same kill: a minion that
// learns that the group is killed cancels its tasks, too.
func (a *Arbiter) reconsider(ctx context.Context, killed []Killed) {
	var ids []task.ID
	index := make(map[task.ID]int)
	for i, k := range killed {
		if k.Verdict == TooLate && k.ID.Kind() == broker.KindTask {
			ids, index[k.ID] = append(ids, k.ID), i
		}
	}
	for batch := range slices.Chunk(ids, broker.MaxBatch) {
		statuses, err := a.b.Lookup(ctx, batch)
		if err != nil {
			return // the verdicts stay TooLate
		}
		for _, st := range statuses {
			if st.State != broker.StateCanceled || st.Outcome == nil {
				continue
			}
			killed[index[st.ID]].Verdict = Stopped
			if st.Outcome.Attempts == 0 {
				killed[index[st.ID]].Verdict = NeverStarted
			}
		}
	}
}

// killAll kills the members again until none is missing, because it was not stored, or its tries are used up.
func (a *Arbiter) killAll(ctx context.Context, p *broker.Progress, c *killReport) error {
	d := a.client.Driver()
	for range killTries {
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

// killReport collects the verdicts of one KillGroup.
type killReport struct {
	killed  []Killed
	index   map[task.ID]int      // of the task in killed
	missing map[task.ID]struct{} // members that were not stored
}

// tell records a verdict. If a task gets several, the first counts, since a task that was cancelled is too late to be
// cancelled again.
func (c *killReport) tell(id task.ID, v broker.CancelVerdict) {
	if v == broker.CancelUnknown {
		if c.missing == nil {
			c.missing = make(map[task.ID]struct{})
		}
		c.missing[id] = struct{}{}
	}
	at, told := c.index[id]
	if !told {
		c.index[id] = len(c.killed)
		c.killed = append(c.killed, Killed{id, verdictOf(v)})
		return
	}
	if c.killed[at].Verdict == NeverStarted && v == broker.CancelRequested {
		c.killed[at].Verdict = Stopping // it was not stored at the first try, and has started since
	}
}
