package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
)

// The inbox is where the broker pushes to this client: outcomes of its tasks, messages about
// squads, and reports of arrivals that no minion may handle. It is opened with the first
// submission, because a task names the inbox for its outcome. One goroutine (receive) reads it
// until the client closes, and hands each mail to the table, to the squads, or to drain. If a
// receive reports a gap, pushes may be lost, and all tasks that somebody waits for are looked
// up.

// The content of a mail, and the part of the client that gets it:
//
//	Notices   outcomes of tasks              table.deliver
//	Posts     messages of minions to a squad  receivePost
//	Arrivals  members of flows have ended     drain
//	Gap       pushes may be lost              table.gap

const (
	// patience is how long a submission is repeated while the broker can't be reached. The
	// pauses grow from fastest to slowest. Receiving and look-ups go on as long as somebody
	// waits, with pauses of up to slowest.
	patience = 5 * time.Second
	fastest  = 50 * time.Millisecond
	slowest  = 2 * time.Second
)

// mailbox is the inbox of a client. The first submission opens it, and others that begin
// meanwhile wait for that.
type mailbox struct {
	ready   atomic.Bool // the inbox is open, and id may be read without mu
	id      broker.ID
	mu      sync.Mutex
	in      broker.Inbox
	opening *opening // the attempt under way; nil if there is none
}

// opening is an attempt to open the inbox.
type opening struct {
	done chan struct{}
	err  error // set before done is closed
}

// close closes the inbox, if it was opened.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.in != nil {
		_ = m.in.Close()
	}
}

// openInbox returns once the inbox is open. If that fails, it is repeated for as long as a
// submission would be.
func (c *Client) openInbox(ctx context.Context) error {
	m := &c.inbox
	if m.ready.Load() {
		return nil
	}
	m.mu.Lock()
	if m.in != nil {
		m.mu.Unlock()
		return nil
	}
	// The first caller starts the attempt, and all callers wait for its end. It is not bound to
	// the ctx of one of them.
	o := m.opening
	if o == nil {
		o = &opening{done: make(chan struct{})}
		m.opening = o
		c.mu.Lock()
		ok := c.spawn(func() { c.tryInbox(o) })
		c.mu.Unlock()
		if !ok {
			m.opening = nil
			m.mu.Unlock()
			return c.shut
		}
	}
	m.mu.Unlock()
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closing:
		return c.shut
	}
}

// tryInbox opens the inbox, and starts the goroutine that receives from it.
func (c *Client) tryInbox(o *opening) {
	id := broker.NewID(broker.KindParty, "", 0)
	until := time.Now().Add(patience)
	var in broker.Inbox
	var err error
	for try := 0; ; try++ {
		in, err = c.b.Inbox(c.ctx, id)
		if err == nil || !retryable(err) || time.Now().After(until) {
			break
		}
		if !c.sender.pause(c.ctx, try) {
			break
		}
	}
	if err != nil && c.ctx.Err() != nil {
		err = c.shut // the client was closed meanwhile
	}
	m := &c.inbox
	m.mu.Lock()
	// After a failure the next submission tries again.
	m.opening = nil
	o.err = err
	if err == nil {
		m.id, m.in = id, in
		m.ready.Store(true)
		c.mu.Lock()
		ok := c.spawn(func() { c.receive(in) })
		c.mu.Unlock()
		if !ok {
			_ = in.Close()
		}
	}
	m.mu.Unlock()
	close(o.done)
}

// receive reads the inbox until the inbox or the client is closed.
func (c *Client) receive(in broker.Inbox) {
	for try := 0; ; {
		mail, err := in.Receive(c.ctx)
		if err == nil {
			try = 0
			c.deliver(mail)
			continue
		}
		if c.ctx.Err() != nil {
			return
		}
		if errors.Is(err, broker.ErrClosed) {
			c.endWaits(err) // the inbox ends with the broker, or with the client
			return
		}
		// A broker repairs its inbox itself, so this broker breaks the contract. Tasks that
		// somebody waits for are still looked up.
		c.log.Warn("inbox failed, receiving again", "error", err)
		if !backoff.Sleep(c.ctx, backoff.Delay(try, fastest, slowest)) {
			return
		}
		try++
	}
}

// drain moves on flows that have expired tasks, because there may be no living minion that
// does. It repeats that until it succeeds: the same arrivals are not reported again.
func (c *Client) drain() {
	for try := 0; ; {
		c.mu.Lock()
		// Arrivals that are reported from here on are seen by the next round.
		c.draining = c.arrivals && c.ctx.Err() == nil
		c.arrivals = false
		if !c.draining {
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		err := c.Driver().Drain(c.ctx, "")
		if err == nil {
			try = 0
			continue
		}
		if try == 0 && c.ctx.Err() == nil {
			c.log.Warn("groups and pipes with expired tasks can't be moved on, trying again", "error", err)
		}
		c.mu.Lock()
		c.arrivals = true
		c.mu.Unlock()
		backoff.Sleep(c.ctx, backoff.Delay(try, fastest, slowest))
		try++
	}
}

// deliver hands a mail to the parts of the client that it is for.
func (c *Client) deliver(mail broker.Mail) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Outcomes of tasks.
	if len(mail.Notices) > 0 {
		now := time.Now()
		for i := range mail.Notices {
			notice := &mail.Notices[i]
			c.table.deliver(notice.ID, notice.Record, now)
		}
		if c.table.levels[levelNow].Len() > 0 { // failures are to be looked up
			c.schedule(now)
		}
	}
	// Messages of minions about squads.
	for _, post := range mail.Squads.Posts {
		c.receivePost(post)
	}
	// Members of flows have ended, and there may be no minion that handles that.
	if mail.Flows.Arrivals {
		c.arrivals = true
		if !c.draining {
			c.draining = c.spawn(c.drain)
		}
	}
	// Pushes may be lost.
	if mail.Gap {
		now := time.Now()
		c.table.gap(now)
		c.schedule(now)
	}
}
