package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/backoff"
)

// How long a submission is tried again while the broker can't be reached, and
// with which pauses. Receiving and looking up go on for as long as somebody
// waits, with pauses of up to slowest.
const (
	patience = 5 * time.Second
	fastest  = 50 * time.Millisecond
	slowest  = 2 * time.Second
)

// mailbox is the inbox of a client and how it is opened: once, by whoever
// submits first, and the others wait for that.
type mailbox struct {
	ready   atomic.Bool // id can be used
	id      broker.ID
	mu      sync.Mutex
	in      broker.Inbox
	opening *opening
}

type opening struct {
	done chan struct{}
	err  error // set before done is closed
}

func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.in != nil {
		_ = m.in.Close()
	}
}

// openInbox returns once the inbox is open. It is tried for as long as a
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
		err = c.shut // we were closed meanwhile
	}
	m := &c.inbox
	m.mu.Lock()
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

// receive hands outcomes to those who wait until the inbox is closed.
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
			c.endWaits(err) // by the broker's end, or by ours
			return
		}
		// A broker mends its inbox itself, so this is none that keeps to the
		// contract. What is awaited is looked up all the same.
		c.log.Warn("inbox failed, receiving again", "error", err)
		if !backoff.Sleep(c.ctx, backoff.Delay(try, fastest, slowest)) {
			return
		}
		try++
	}
}

// drain moves flows on of which tasks have expired: perhaps no minion lives that would.
// It tries until it succeeds: nobody tells of the same arrivals again.
func (c *Client) drain() {
	for try := 0; ; {
		c.mu.Lock()
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

func (c *Client) deliver(mail broker.Mail) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(mail.Notices) > 0 {
		now := time.Now()
		for i := range mail.Notices {
			notice := &mail.Notices[i]
			c.table.deliver(notice.ID, notice.Record, now)
		}
		if c.table.levels[levelNow].first != nil { // failures are to be looked up
			c.schedule(now)
		}
	}
	for _, post := range mail.Posts {
		c.hear(post)
	}
	if mail.Arrivals {
		c.arrivals = true
		if !c.draining {
			c.draining = c.spawn(c.drain)
		}
	}
	if mail.Gap {
		now := time.Now()
		c.table.gap(now)
		c.schedule(now)
	}
}
