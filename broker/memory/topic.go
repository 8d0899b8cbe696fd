package memory

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// topics are the event topics. A topic without events and readers is forgotten.
type topics struct {
	clock *clock
	sweep *alarm
	mu    sync.Mutex
	all   map[string]*topic
	// lastForgotten is the largest number of the forgotten topics. New topics count from
	// there, so no number is used twice.
	lastForgotten uint64
}

type topic struct {
	last    uint64 // number of the newest event
	events  []event
	readers map[chan struct{}]struct{}
}

type event struct {
	n       uint64
	at      instant
	payload []byte
}

func (x *topics) init(c *clock, sweep *alarm) {
	x.clock, x.sweep = c, sweep
	x.all = map[string]*topic{}
}

func (x *topics) get(name string) *topic {
	t := x.all[name]
	if t == nil {
		t = &topic{last: x.lastForgotten, readers: map[chan struct{}]struct{}{}}
		x.all[name] = t
	}
	return t
}

// leave forgets a topic that has no events and readers any more.
func (x *topics) leave(name string, t *topic) {
	if len(t.events) == 0 && len(t.readers) == 0 {
		x.lastForgotten = max(x.lastForgotten, t.last)
		delete(x.all, name)
	}
}

// drop removes the first n events.
func (t *topic) drop(n int) {
	clear(t.events[:n])
	t.events = t.events[n:]
	if len(t.events) == 0 {
		t.events = nil
	}
}

// expired returns how many of the first n events are too old.
func (t *topic) expired(now instant, n int) int {
	old := 0
	for old < min(len(t.events), n) && t.events[old].at.plus(broker.DefaultRetention) <= now {
		old++
	}
	return old
}

// forgetExpired removes up to n events that are too old. It returns how many it has
// removed, and when more are due.
func (x *topics) forgetExpired(now instant, n int) (done int, next instant) {
	x.mu.Lock()
	defer x.mu.Unlock()
	next = never
	for name, t := range x.all {
		old := t.expired(now, n-done)
		t.drop(old)
		done += old
		if len(t.events) > 0 {
			next = min(next, t.events[0].at.plus(broker.DefaultRetention))
		}
		x.leave(name, t)
	}
	return done, next
}

// Publish appends events; see [broker.Broker].
func (b *Broker) Publish(ctx context.Context, events []broker.Event) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	for _, e := range events {
		if err := broker.CheckName("topic", e.Topic); err != nil {
			return err
		}
		if len(e.Payload) > b.limits.Payload {
			return fmt.Errorf("event of topic %s: %w: payload of %d bytes, the limit is %d", e.Topic, broker.ErrTooLarge, len(e.Payload), b.limits.Payload)
		}
	}
	x := &b.topics
	x.mu.Lock()
	for _, e := range events {
		t := x.get(e.Topic)
		t.last++
		t.events = append(t.events, event{t.last, now, copyBytes(e.Payload)})
		if len(t.events) > broker.MaxInbox {
			t.drop(1)
		}
		for r := range t.readers {
			select {
			case r <- struct{}{}:
			default:
			}
		}
	}
	x.mu.Unlock()
	if len(events) > 0 {
		x.sweep.set(now.plus(broker.DefaultRetention))
	}
	b.helpSweep(now)
	return nil
}

// subscription implements broker.Subscription.
type subscription struct {
	b     *Broker
	name  string
	wake  chan struct{}
	once  sync.Once
	end   chan struct{}
	after uint64 // guarded by topics.mu
	start bool   // it reads from the start, so no event before the first one counts as missed
}

// Subscribe opens a reader of a topic; see [broker.Broker].
func (b *Broker) Subscribe(ctx context.Context, name string, after broker.Cursor) (broker.Subscription, error) {
	if _, err := b.enter(ctx); err != nil {
		return nil, err
	}
	if err := broker.CheckName("topic", name); err != nil {
		return nil, err
	}
	s := &subscription{b: b, name: name, wake: make(chan struct{}, 1), end: make(chan struct{})}
	x := &b.topics
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.get(name)
	switch after {
	case broker.CursorStart, "":
		s.start = true
	case broker.CursorNow:
		s.after = t.last
	default:
		n, err := strconv.ParseUint(string(after), 10, 64)
		if err != nil {
			x.leave(name, t)
			return nil, fmt.Errorf("topic %s: %w cursor %.40q", name, broker.ErrInvalid, string(after))
		}
		s.after = n
	}
	t.readers[s.wake] = struct{}{}
	return s, nil
}

// maxEvents is the largest number of events that one Receive returns.
const maxEvents = 500

// Receive waits for events; see [broker.Subscription].
func (s *subscription) Receive(ctx context.Context) (events []broker.Event, missed bool, err error) {
	for {
		select {
		case <-s.end:
			return nil, false, s.errClosed()
		case <-s.b.done:
			return nil, false, errClosed
		default:
		}
		if events, missed = s.read(); len(events) > 0 {
			return events, missed, nil
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-s.end:
		case <-s.b.done:
		}
	}
}

func (s *subscription) read() (events []broker.Event, missed bool) {
	x := &s.b.topics
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.all[s.name]
	if t == nil { // the subscription was closed
		return nil, false
	}
	t.drop(t.expired(x.clock.now(), len(t.events)))
	for _, e := range t.events {
		if e.n <= s.after {
			continue
		}
		if e.n != s.after+1 && !s.start {
			missed = true
		}
		s.after, s.start = e.n, false
		events = append(events, broker.Event{
			Topic: s.name, Cursor: broker.Cursor(strconv.FormatUint(e.n, 10)), Payload: copyBytes(e.payload),
		})
		if len(events) == maxEvents {
			break
		}
	}
	return events, missed
}

// Close ends the subscription.
func (s *subscription) Close() error {
	s.once.Do(func() {
		close(s.end)
		x := &s.b.topics
		x.mu.Lock()
		if t := x.all[s.name]; t != nil {
			delete(t.readers, s.wake)
			x.leave(s.name, t)
		}
		x.mu.Unlock()
	})
	return nil
}
