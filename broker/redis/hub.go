package redis

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// hub is the one pub/sub connection of a broker: all its consumers and inboxes
// share it. It lives while somebody listens.
type hub struct {
	b *Broker

	// What a change of byChan makes necessary is sent before the next change is
	// made: else an UNSUBSCRIBE might come after the SUBSCRIBE of who listens anew.
	wire sync.Mutex

	mu      sync.Mutex
	ps      *redis.PubSub
	done    chan struct{} // closed when the reader has ended
	byChan  map[string][]*subscription
	waiting map[string][]chan error // for the server's confirmation, or what it says instead
	owed    int                     // answers to UNSUBSCRIBE of one channel each that have not come
	urge    chan struct{}           // capacity 1: somebody has subscribed, so the reader tries again at once
}

// subscription is one listener's channels.
type subscription struct {
	hub      *hub
	channels []string
	hear     func(channel, payload string) // must not block
	heal     func()                        // messages may have been lost; must not block
	once     sync.Once
}

const (
	// quiet is how long nothing may come before the connection is tried.
	quiet = 10 * time.Second
	// An answer to that, or the confirmation of a subscription, may take patience to
	// farPatience: see answerIn.
	patience    = 3 * time.Second
	farPatience = 5 * time.Second
)

// answerIn returns how long an answer of the server may take. A lease can be kept if
// heartbeats are answered within a third of it, so requests wait that long, too, unless
// it is so long that a server that hangs would be noticed late.
func (c *config) answerIn() time.Duration { return min(max(patience, c.lease/3), farPatience) }

func (h *hub) init(b *Broker) {
	h.b = b
	h.byChan = make(map[string][]*subscription)
	h.waiting = make(map[string][]chan error)
	h.urge = make(chan struct{}, 1)
}

// subscribe listens to channels; it returns when the server has confirmed them. What
// names the operation in errors: a user may be allowed the channels of inboxes and not
// those of minions.
//
// A refusal does not say which command it answers, so the refusal of an earlier command
// may be taken for an answer to this one. That is why it is tried a second time.
func (h *hub) subscribe(ctx context.Context, what string, channels []string, hear func(channel, payload string), heal func()) (*subscription, error) {
	s, err := h.subscribeOnce(ctx, what, channels, hear, heal)
	if err != nil && refusedForNow(err) && ctx.Err() == nil {
		s, err = h.subscribeOnce(ctx, what, channels, hear, heal)
	}
	return s, err
}

func (h *hub) subscribeOnce(ctx context.Context, what string, channels []string, hear func(channel, payload string), heal func()) (*subscription, error) {
	s := &subscription{hub: h, channels: channels, hear: hear, heal: heal}
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
		fresh = channels // somebody else's confirmation may have come before
	}
	h.mu.Unlock()

	err := ps.Subscribe(h.b.ctx, fresh...)
	h.wire.Unlock()
	select {
	case h.urge <- struct{}{}:
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
			return nil, h.b.fault(what, errors.New("no confirmation"))
		}
	}
	return s, h.b.fault(what, nil)
}

// close ends the subscription. It may be called twice.
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

// read hands out what comes, until ps is closed.
func (h *hub) read(ps *redis.PubSub, done chan struct{}) {
	defer close(done)
	pinged := h.b.cfg.answerIn()
	wait := quiet
	pause := shortest
	down := false
	for {
		msg, err := h.receive(ps, wait, wait != quiet)
		switch {
		case err == nil:
			if down {
				h.b.log.Info("redis: the subscription is back")
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
		if errors.As(err, &reply) && h.refused(err) { // all others listen as before
			h.b.log.Debug("redis: a subscription was refused", "error", err)
			continue
		}
		if !down {
			h.b.log.Warn("redis: the subscription to the server's messages was interrupted; it is made again, and until then tasks, cancels and results are heard of later", "error", err)
		}
		down = true
		if reply == nil { // what was on its way on that connection does not come
			h.mu.Lock()
			h.owed = 0
			h.mu.Unlock()
		}
		h.healAll()
		select {
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		case <-h.urge:
			pause = shortest
		case <-h.b.ctx.Done():
			return
		}
		// Where a connection is gone the client makes a new one and subscribes again;
		// dispatch tells listeners when the server confirms that. A server that refuses
		// it has to be asked again.
		if reply != nil {
			h.resubscribe(ps)
		}
	}
}

// shortest is the first pause after an error.
const shortest = 10 * time.Millisecond

// resubscribe subscribes to all channels again, one by one, so that a channel that is
// forbidden does not prevent the others.
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
			return // the reader meets the error, too
		}
	}
}

// receive waits for what comes. The client keeps a connection on which nothing has
// come for the time that it is given, and gives up one on which ctx has ended: so
// it is ctx that limits the wait for the answer to a ping.
func (h *hub) receive(ps *redis.PubSub, wait time.Duration, pinged bool) (any, error) {
	if !pinged {
		return ps.ReceiveTimeout(h.b.ctx, wait)
	}
	ctx, cancel := context.WithTimeout(h.b.ctx, wait)
	defer cancel()
	return ps.ReceiveTimeout(ctx, 0)
}

// refused tells those who wait for a confirmation that the server has refused; the server
// does not say which channels. It reports whether the refusal needs nothing more: somebody
// waited for it, or it answers an UNSUBSCRIBE, whose answer nobody needs.
func (h *hub) refused(err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.owed > 0 { // answers come in order
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

func (h *hub) current(ps *redis.PubSub) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ps == ps
}

func (h *hub) healAll() {
	h.mu.Lock()
	all := make(map[*subscription]bool)
	for _, list := range h.byChan {
		for _, s := range list {
			all[s] = true
		}
	}
	h.mu.Unlock()
	for s := range all {
		s.heal()
	}
}

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
		if len(confirmed) == 0 { // subscribed again: by a new connection
			for _, s := range list {
				s.heal()
			}
		}
	case *redis.Message:
		h.mu.Lock()
		list := slices.Clone(h.byChan[m.Channel])
		h.mu.Unlock()
		for _, s := range list {
			s.hear(m.Channel, m.Payload)
		}
	}
}
