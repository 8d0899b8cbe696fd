package client

import (
	"github.com/go-arbiter/arbiter/broker"
)

// A check that finds out why a wait does not end needs tasks. If the wait is for a group or
// pipe, it unfolds that into the members that are not done, through several levels of nesting
// if necessary. Both the number of flows and the members of each are bounded: a check wants one
// good reason, not a complete list.

const (
	// maxUnfolded bounds how many groups and pipes a check looks into, and unfoldPage how many
	// members it looks at in each.
	maxUnfolded = 16
	unfoldPage  = 100
)

// unfold replaces each group and pipe among cases by tasks in it that are not done: members, a
// callback or a finalizer.
func (c *Client) unfold(cases []checked) []checked {
	flows, ok := c.b.(broker.Flows)
	var out []checked
	looked := 0
	for len(cases) > 0 {
		one := cases[0]
		cases = cases[1:]
		switch {
		case len(out) == broker.MaxBatch:
			return out
		case !IsFlow(one.id):
			out = append(out, one)
		case ok && looked < maxUnfolded:
			looked++
			for _, id := range c.within(flows, one.id) {
				in := one
				in.id, in.label = id, c.labelOf(id)
				// At the end, so that inner flows are looked into after outer ones.
				cases = append(cases, in)
			}
		}
	}
	return out
}

// within returns the ids that a flow waits for now, at most unfoldPage of them. It returns none
// if the flow has ended or can't be looked up.
func (c *Client) within(flows broker.Flows, id broker.ID) (ids []broker.ID) {
	p, err := flows.LookupFlow(c.ctx, id)
	if err != nil || p.Outcome != nil {
		return nil
	}
	// All members have ended, so the flow waits for its callback, or else for its finalizer.
	if p.Arrived() == p.Flow.Size {
		if !p.Flow.Callback.IsZero() && p.Callback == broker.StateUnknown {
			return []broker.ID{p.Flow.Callback}
		}
		if !p.Flow.Finalizer.IsZero() {
			return []broker.ID{p.Flow.Finalizer}
		}
		return nil
	}
	from := 0
	if id.Kind() == broker.KindPipe { // the steps before have ended
		from = p.Arrived()
	}
	members, err := flows.Members(c.ctx, id, from, unfoldPage, false)
	if err != nil {
		return nil
	}
	for _, m := range members {
		if m.State == broker.StateUnknown {
			ids = append(ids, m.ID)
			if id.Kind() == broker.KindPipe {
				break
			}
		}
	}
	return ids
}

// labelOf returns the name and queue of a task from the table.
func (c *Client) labelOf(id broker.ID) *label {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.table.entries.get(id); e != nil {
		return e.label
	}
	return unknownLabel
}
