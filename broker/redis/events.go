package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// This file publishes events to topics, and reads them.
//
// A topic is a Redis stream. Publish appends events by a script, which also bounds the length of
// the stream and sets when it expires. Each event in the stream has two fields: its payload
// (d), and the id of the event before it (p). A reader that is behind can miss events that were
// trimmed meanwhile. It notices that because p of the next event is not the id of the event that
// it has read last.
//
// A subscription is a goroutine with a connection of its own that waits in XREAD. Receive may
// be called again after its context has ended: the read goes on, and the next call gets its
// reply.

// Publish implements [broker.Broker].
func (b *Broker) Publish(ctx context.Context, events []broker.Event) error {
	events = slices.Clone(events)
	return do(ctx, func() error { return b.publishNow(ctx, events) })
}

func (b *Broker) publishNow(ctx context.Context, events []broker.Event) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	for i := range events {
		e := &events[i]
		if err := broker.CheckName("topic", e.Topic); err != nil {
			return err
		}
		if len(e.Payload) > b.cfg.limits.Payload {
			return fmt.Errorf("event of topic %s: %w: payload of %d bytes, the limit is %d", e.Topic, broker.ErrTooLarge, len(e.Payload), b.cfg.limits.Payload)
		}
	}
	// Successive events of one topic are stored by one script.
	for len(events) > 0 {
		topic := events[0].Topic
		args := []any{broker.MaxInbox, broker.DefaultRetention.Milliseconds()}
		n, size := 0, 0
		for n < len(events) && events[n].Topic == topic && n < broker.MaxBatch && (n == 0 || size < broker.MaxBatchBytes) {
			p := events[n].Payload
			args = append(args, p)
			size += len(p)
			n++
		}
		if _, err := scriptPublish.run(ctx, b, []string{b.space.topics + topic}, args...); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// topic is a subscription: a reader of one stream.
type topic struct {
	b      *Broker
	name   string
	stream string // key of the stream
	at     string // position in the stream; mostly the id of the last event that was returned
	known  bool   // whether at is the id of an event; then the next event must name it as the one before

	mu     sync.Mutex
	client *redis.Client  // for blocking reads; nil while there is none
	closed bool           // Close has been called
	done   chan struct{}  // closed by Close
	wg     sync.WaitGroup // the goroutine that reads
	reply  chan read      // capacity 1
	busy   bool           // a read is under way, or its reply was not taken yet
}

// read is the result of one read of the stream.
type read struct {
	messages []redis.XMessage
	err      error
}

// Subscribe implements [broker.Broker].
func (b *Broker) Subscribe(ctx context.Context, name string, after broker.Cursor) (broker.Subscription, error) {
	return askOr(ctx, func() (broker.Subscription, error) { return b.subscribeNow(ctx, name, after) }, func(s broker.Subscription, err error) {
		if err == nil {
			_ = s.Close()
		}
	})
}

func (b *Broker) subscribeNow(ctx context.Context, name string, after broker.Cursor) (broker.Subscription, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	if err := broker.CheckName("topic", name); err != nil {
		return nil, err
	}
	t := &topic{b: b, name: name, stream: b.space.topics + name, done: make(chan struct{}), reply: make(chan read, 1)}
	// A cursor is the id of an event in the stream: milliseconds, a dash and a number.
	switch after {
	case broker.CursorStart, "":
		t.at = "0-0"
	case broker.CursorNow:
		at, known, err := t.end(ctx)
		if err != nil {
			return nil, err
		}
		t.at, t.known = at, known
	default:
		ms, seq, ok := strings.Cut(string(after), "-")
		if _, err := strconv.ParseUint(ms, 10, 64); err != nil || !ok {
			return nil, fmt.Errorf("topic %s: %w cursor %.40q", name, broker.ErrInvalid, string(after))
		}
		if _, err := strconv.ParseUint(seq, 10, 64); err != nil {
			return nil, fmt.Errorf("topic %s: %w cursor %.40q", name, broker.ErrInvalid, string(after))
		}
		t.at, t.known = string(after), true
	}
	return t, nil
}

// end returns a position behind all events of the stream. known reports whether it is the id of
// an event.
func (t *topic) end(ctx context.Context) (at string, known bool, err error) {
	last, err := t.b.rdb.XRevRangeN(ctx, t.stream, "+", "-", 1).Result()
	if err != nil {
		return "", false, t.b.fault("read topic "+t.name, err)
	}
	if len(last) > 0 {
		return last[0].ID, true, nil
	}
	// Ids begin with the server's time in ms, so all later events have greater ids than this.
	now, err := t.b.rdb.Time(ctx).Result()
	if err != nil {
		return "", false, t.b.fault("read topic "+t.name, err)
	}
	return strconv.FormatInt(now.UnixMilli()-1, 10) + "-18446744073709551615", false, nil
}

// Receive implements [broker.Subscription].
func (t *topic) Receive(ctx context.Context) (events []broker.Event, missed bool, err error) {
	pause := 10 * time.Millisecond
	for {
		if err := t.start(ctx); err != nil {
			return nil, false, err
		}
		var r read
		select {
		case r = <-t.reply:
			t.mu.Lock()
			t.busy = false
			t.mu.Unlock()
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-t.done:
			return nil, false, t.errClosed()
		case <-t.b.ctx.Done():
			return nil, false, t.b.errClosed()
		}
		if r.err != nil { // reconnect and read on from the same position
			t.drop()
			t.b.log.Debug("redis: reading a topic was interrupted", "topic", t.name, "error", r.err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil, false, ctx.Err()
			case <-t.done:
			}
			pause = min(2*pause, time.Second)
			continue
		}
		// missed is true if an event does not name the one that was returned before it.
		for _, m := range r.messages {
			before, _ := m.Values["p"].(string)
			data, _ := m.Values["d"].(string)
			if t.known && before != t.at {
				missed = true
			}
			t.at, t.known = m.ID, true
			events = append(events, broker.Event{Topic: t.name, Cursor: broker.Cursor(m.ID), Payload: []byte(data)})
		}
		if len(events) > 0 {
			return events, missed, nil
		}
	}
}

// start begins a read unless one is under way from an earlier Receive, whose context has ended.
func (t *topic) start(ctx context.Context) error {
	if err := t.b.alive(ctx); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.errClosed()
	}
	if t.busy {
		return nil
	}
	if t.client == nil {
		client, err := t.b.blocking(ctx, t.stream)
		if err != nil {
			return err
		}
		t.client = client
	}
	// The read ends after a time slice, so that Close of the broker need not wait for an event.
	t.busy = true
	client, at := t.client, t.at
	t.wg.Go(func() {
		streams, err := client.XRead(t.b.ctx, &redis.XReadArgs{Streams: []string{t.stream, at}, Count: 500, Block: t.b.cfg.slice}).Result()
		if err == redis.Nil {
			err = nil
		}
		r := read{err: err}
		if len(streams) > 0 {
			r.messages = streams[0].Messages
		}
		t.reply <- r
	})
	return nil
}

// drop closes the connection. The next read opens another one.
func (t *topic) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client != nil {
		_ = t.client.Close()
		t.client = nil
	}
}

// Close implements [broker.Subscription].
func (t *topic) Close() error {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.mu.Unlock()
	t.drop()
	if first {
		close(t.done)
	}
	t.wg.Wait()
	return nil
}
