package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// This file shares one pub/sub connection among all consumers and inboxes of a broker.
//
// A reader goroutine receives messages and calls the listeners of their channel (onMessage). Pub/sub
// does not repeat messages. So after every interruption the hub tells all listeners that they may
// have missed some (onGap), and they ask the server. The client library reconnects and
// subscribes again by itself; the hub pings a silent connection, since a broken one would
// otherwise not be noticed, and subscribes again after refusals.
//
// A subscriber waits until the server has confirmed its channels; else it could miss a message
// that is published right after subscribe has returned. The server answers commands in order,
// but a refusal does not name the command that it answers. So the hub counts the answers to
// UNSUBSCRIBE that are to come (owed), and treats other refusals as answers to all that wait.

// hub is the pub/sub connection of a broker. It is opened for the first subscription and closed
// after the last.
type hub struct {
	b *Broker

	// wire is locked from a change of byChan until its commands have been sent. Else an
	// UNSUBSCRIBE could reach the server after the SUBSCRIBE of a later listener of the same
	// channel.
	wire sync.Mutex

	mu      sync.Mutex
	ps      *redis.PubSub              // nil while nobody listens
	done    chan struct{}              // closed when the reader of ps has ended
	byChan  map[string][]*subscription // the listeners of each channel
	waiting map[string][]chan error    // by channel: each gets nil when the server confirms it, or its refusal
	owed    int                        // answers to UNSUBSCRIBE that have not come; each is for one channel
	retry   chan struct{}              // capacity 1: a new subscription lets the reader try again at once
}

// subscription is a listener and its channels. onMessage gets every message. onGap is called when
// messages may have been lost. Neither may block.
type subscription struct {
	hub       *hub
	channels  []string
	onMessage func(channel, payload string)
	onGap     func()
	once      sync.Once
}

const (
	// quiet is how long a connection may be silent before it is pinged.
	quiet = 10 * time.Second
	// The server must answer a ping or a SUBSCRIBE within a time between patience and
	// farPatience; see answerIn.
	patience    = 3 * time.Second
	farPatience = 5 * time.Second
)

// answerIn returns how long the server may take for an answer. Heartbeats must be answered within
// a third of the lease, so other requests may take as long; but at most farPatience, so
// that a server that hangs is noticed soon even with a long lease.
func (c *config) answerIn() time.Duration { return min(max(patience, c.lease/3), farPatience) }

func (h *hub) init(b *Broker) {
	h.b = b
	h.byChan = make(map[string][]*subscription)
	h.waiting = make(map[string][]chan error)
	h.retry = make(chan struct{}, 1)
}

// subscribe adds a listener to channels, and returns when the server has confirmed them. what is
// the name of the operation for fault. It differs for inboxes and minions, since an ACL may
// allow the channels of one and not of the other.
//
// The refusal of an earlier command may be mistaken for an answer to this one, so subscribe
// tries a second time after a refusal.
func (h *hub) subscribe(ctx context.Context, what string, channels []string, onMessage func(channel, payload string), onGap func()) (*subscription, error) {
	s, err := h.subscribeOnce(ctx, what, channels, onMessage, onGap)
	if err != nil && refusedForNow(err) && ctx.Err() == nil {
		s, err = h.subscribeOnce(ctx, what, channels, onMessage, onGap)
	}
	return s, err
}

func (h *hub) subscribeOnce(ctx context.Context, what string, channels []string, onMessage func(channel, payload string), onGap func()) (*subscription, error) {
	s := &subscription{hub: h, channels: channels, onMessage: onMessage, onGap: onGap}
	h.wire.Lock()
	h.mu.Lock()
	if h.b.ctx.Err() != nil {
		h.mu.Unlock()
		h.wire.Unlock()
		return nil, h.b.errClosed()
	}
	if h.ps == nil {
		h.ps = h.b.rdb.Subscribe(h.b.ctx)
		h.done = make(chan struct{})
		go h.read(h.ps, h.done)
	}
	// The channels are entered before the command is sent, so that no message is missed.
	var fresh []string
	var confirmed []chan error
	for _, ch := range channels {
		if len(h.byChan[ch]) == 0 {
			fresh = append(fresh, ch)
		}
		h.byChan[ch] = append(h.byChan[ch], s)
		c := make(chan error, 1)
		h.waiting[ch] = append(h.waiting[ch], c)
		confirmed = append(confirmed, c)
	}
	ps := h.ps
	if len(fresh) < len(channels) {
		fresh = channels // the server may have confirmed the others before; subscribe again, to get a confirmation of each
	}
	h.mu.Unlock()

	err := ps.Subscribe(h.b.ctx, fresh...)
	h.wire.Unlock()
	// A reader that pauses after an error tries again at once.
	select {
	case h.retry <- struct{}{}:
	default:
	}
	if err != nil {
		s.close()
		return nil, h.b.fault(what, err)
	}
	timeout := time.NewTimer(h.b.cfg.answerIn())
	defer timeout.Stop()
	for _, c := range confirmed {
		select {
		case err := <-c:
			if err != nil {
				s.close()
				return nil, h.b.fault(what, err)
			}
		case <-ctx.Done():
			s.close()
			return nil, ctx.Err()
		case <-h.b.ctx.Done():
			s.close()
			return nil, h.b.errClosed()
		case <-timeout.C:
			s.close()
			// A process that is short of processor time reads the confirmation late. So the error is a
			// timeout, for which the minion looks at its own delay first.
			return nil, h.b.fault(what, fmt.Errorf("the server has not confirmed the subscription within %v: %w",
				h.b.cfg.answerIn(), os.ErrDeadlineExceeded))
		}
	}
	return s, h.b.fault(what, nil)
}

// close removes the listener, and closes the connection after the last one. It may be called more
// than once.
func (s *subscription) close() {
	s.once.Do(func() {
		h := s.hub
		h.wire.Lock()
		h.mu.Lock()
		var over []string
		for _, ch := range s.channels {
			rest := slices.DeleteFunc(h.byChan[ch], func(o *subscription) bool { return o == s })
			if len(rest) == 0 {
				delete(h.byChan, ch)
				delete(h.waiting, ch)
				over = append(over, ch)
			} else {
				h.byChan[ch] = rest
			}
		}
		// Channels that others listen to stay. After the last one the connection is closed.
		ps, done := h.ps, h.done
		last := len(h.byChan) == 0
		if last {
			h.ps, h.owed = nil, 0
		} else {
			h.owed += len(over)
		}
		h.mu.Unlock()
		if ps != nil && !last {
			for _, ch := range over {
				_ = ps.Unsubscribe(h.b.ctx, ch)
			}
		}
		h.wire.Unlock()
		if ps != nil && last {
			_ = ps.Close()
			<-done
		}
	})
}

func (h *hub) close() {
	h.mu.Lock()
	ps, done := h.ps, h.done
	h.ps = nil
	h.mu.Unlock()
	if ps != nil {
		_ = ps.Close()
		<-done
	}
}

// read is the reader goroutine: it dispatches messages until ps is closed. It pings a silent
// connection, and treats an error or a missing pong as an interruption.
func (h *hub) read(ps *redis.PubSub, done chan struct{}) {
	defer close(done)
	// wait is quiet, or the time for an answer if the connection has just been pinged.
	pinged := h.b.cfg.answerIn()
	wait := quiet
	pause := shortest
	down := false
	for {
		msg, err := h.receive(ps, wait, wait != quiet)
		switch {
		case err == nil:
			if down {
				h.b.log.Info("redis: the pub/sub connection is back")
			}
			wait, pause, down = quiet, shortest, false
			h.dispatch(msg)
			continue
		case h.b.ctx.Err() != nil || errors.Is(err, redis.ErrClosed) || !h.current(ps):
			return
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() && wait == quiet {
			wait = pinged
			if ps.Ping(h.b.ctx) == nil {
				continue
			}
		}
		wait = quiet
		var reply redis.Error
		if errors.As(err, &reply) && h.refused(err) { // other subscriptions are not affected
			h.b.log.Debug("redis: a subscription was refused", "error", err)
			continue
		}
		if !down {
			h.b.log.Warn("redis: the pub/sub connection was interrupted; until it is back, tasks, cancels and results are noticed later", "error", err)
		}
		down = true
		if reply == nil { // the connection broke, so no more answers come on it
			h.mu.Lock()
			h.owed = 0
			h.mu.Unlock()
		}
		h.tellGaps()
		select {
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		case <-h.retry:
			pause = shortest
		case <-h.b.ctx.Done():
			return
		}
		// If the connection broke, the client library makes a new one and subscribes again, and
		// dispatch calls onGap when the server confirms that. If the server has refused, the hub
		// must subscribe again.
		if reply != nil {
			h.resubscribe(ps)
		}
	}
}

// shortest is the first pause after an error; it doubles up to a second.
const shortest = 10 * time.Millisecond

// resubscribe subscribes to all channels again, one by one, so that a channel that the user must
// not read does not keep it from the others.
func (h *hub) resubscribe(ps *redis.PubSub) {
	h.wire.Lock()
	defer h.wire.Unlock()
	h.mu.Lock()
	channels := slices.Collect(maps.Keys(h.byChan))
	current := h.ps == ps
	h.mu.Unlock()
	if !current {
		return
	}
	for _, ch := range channels {
		if ps.Subscribe(h.b.ctx, ch) != nil {
			return // the reader gets the error, too
		}
	}
}

// receive waits for the next message. The client library keeps a connection after a timeout, and
// closes it when ctx ends. So the wait for a message is limited by a timeout, and the wait
// for the answer to a ping by a context.
func (h *hub) receive(ps *redis.PubSub, wait time.Duration, pinged bool) (any, error) {
	if !pinged {
		return ps.ReceiveTimeout(h.b.ctx, wait)
	}
	ctx, cancel := context.WithTimeout(h.b.ctx, wait)
	defer cancel()
	return ps.ReceiveTimeout(ctx, 0)
}

// refused handles a refusal by the server, which does not say which command it answers. An
// outstanding UNSUBSCRIBE comes first, and its answer does not matter. Else all subscribers that
// wait for a confirmation get err. refused returns false if neither is the case; then the
// refusal counts as an interruption.
func (h *hub) refused(err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.owed > 0 { // answers come in the order of the commands
		h.owed--
		return true
	}
	some := len(h.waiting) > 0
	for _, waiting := range h.waiting {
		for _, c := range waiting {
			select {
			case c <- err:
			default:
			}
		}
	}
	clear(h.waiting)
	return some
}

// current reports whether ps is still the connection in use.
func (h *hub) current(ps *redis.PubSub) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ps == ps
}

// tellGaps tells every listener once that messages may have been lost.
func (h *hub) tellGaps() {
	h.mu.Lock()
	all := make(map[*subscription]bool)
	for _, list := range h.byChan {
		for _, s := range list {
			all[s] = true
		}
	}
	h.mu.Unlock()
	for s := range all {
		s.onGap()
	}
}

// dispatch passes a message to its listeners, or a confirmation to its subscribers. A confirmation
// that nobody waits for comes from a new connection, which means that messages may have
// been lost before it.
func (h *hub) dispatch(msg any) {
	switch m := msg.(type) {
	case *redis.Subscription:
		if m.Kind != "subscribe" {
			h.mu.Lock()
			h.owed = max(h.owed-1, 0)
			h.mu.Unlock()
			return
		}
		h.mu.Lock()
		confirmed := h.waiting[m.Channel]
		delete(h.waiting, m.Channel)
		list := slices.Clone(h.byChan[m.Channel])
		h.mu.Unlock()
		for _, c := range confirmed {
			close(c)
		}
		if len(confirmed) == 0 {
			for _, s := range list {
				s.onGap()
			}
		}
	case *redis.Message:
		h.mu.Lock()
		list := slices.Clone(h.byChan[m.Channel])
		h.mu.Unlock()
		for _, s := range list {
			s.onMessage(m.Channel, m.Payload)
		}
	}
}
