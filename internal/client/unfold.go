package client

import (
	"github.com/go-arbiter/arbiter/broker"
)

const (
	// maxUnfolded bounds how many groups and pipes a check looks into, and unfoldPage
	// how many members it looks at in each.
	maxUnfolded = 16
	unfoldPage  = 100
)

// unfold returns tasks in place of groups and pipes: those of their members, or what
// follows from them, that are not done.
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
				in.id, in.of = id, c.kindOf(id)
				cases = append(cases, in) // a flow in a flow comes last
			}
		}
	}
	return out
}

// within returns what a flow waits for, some of it if that is much.
func (c *Client) within(flows broker.Flows, id broker.ID) (ids []broker.ID) {
	p, err := flows.LookupFlow(c.ctx, id)
	if err != nil || p.Outcome != nil {
		return nil
	}
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
	if id.Kind() == broker.KindPipe { // one step after the other
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

// kindOf returns what is known of a task.
func (c *Client) kindOf(id broker.ID) *kind {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.table.entries.get(id); e != nil {
		return e.of
	}
	return unknownKind
}
