package redis

import (
	"context"
	"encoding/binary"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// inbox receives what settle and cancel publish. What is lost on the way is
// not lost for good: outcomes are kept by id, and a gap says to look.
type inbox struct {
	b   *Broker
	box string // the channel of letters
	sub *subscription

	mu      sync.Mutex
	letters []broker.Letter
	posts   [][]byte
	gap     bool
	closed  bool
	arrived chan struct{} // capacity 1
	done    chan struct{}
}

// Inbox implements [broker.Broker].
func (b *Broker) Inbox(ctx context.Context, id broker.ID) (broker.Inbox, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	in := &inbox{b: b, box: channel(b.space.inboxes, id), arrived: make(chan struct{}, 1), done: make(chan struct{})}
	sub, err := b.hub.subscribe(ctx, []string{channel(b.space.inboxes, id), channel(b.space.posts, id)}, in.hear, in.heal)
	if err != nil {
		return nil, err
	}
	in.sub = sub
	return in, nil
}

// frames counts the letters of a payload.
func frames(payload string) (n int) {
	const head = len(broker.ID{}) + 4
	for ; len(payload) >= head; n++ {
		size := head + int(binary.BigEndian.Uint32([]byte(payload[head-4:head])))
		if size > len(payload) {
			break
		}
		payload = payload[size:]
	}
	return n
}

// hear takes letters: id, length and record, one after the other.
func (in *inbox) hear(ch, payload string) {
	if ch != in.box {
		in.post(payload)
		return
	}
	letters := make([]broker.Letter, 0, frames(payload))
	for rest := []byte(payload); len(rest) > 0; {
		const head = len(broker.ID{}) + 4
		if len(rest) < head {
			in.b.log.Error("redis: a truncated result in an inbox; it will be looked up")
			in.heal()
			break
		}
		n := int(binary.BigEndian.Uint32(rest[head-4:]))
		if n > len(rest)-head {
			in.b.log.Error("redis: a truncated result in an inbox; it will be looked up")
			in.heal()
			break
		}
		letters = append(letters, broker.Letter{ID: broker.ID(rest[:len(broker.ID{})]), Record: rest[head : head+n : head+n]})
		rest = rest[head+n:]
	}
	in.mu.Lock()
	if room := broker.MaxInbox - len(in.letters); len(letters) > room {
		letters = letters[:room]
		in.gap = true
	}
	if len(in.letters) == 0 {
		in.letters = letters
	} else {
		in.letters = append(in.letters, letters...)
	}
	in.mu.Unlock()
	in.wake()
}

func (in *inbox) heal() {
	in.mu.Lock()
	in.gap = true
	in.mu.Unlock()
	in.wake()
}

func (in *inbox) wake() {
	select {
	case in.arrived <- struct{}{}:
	default:
	}
}

// Receive implements [broker.Inbox].
func (in *inbox) Receive(ctx context.Context) (broker.Mail, error) {
	for {
		in.mu.Lock()
		if in.closed || in.b.ctx.Err() != nil {
			in.mu.Unlock()
			return broker.Mail{}, broker.ErrClosed
		}
		if len(in.letters) > 0 || in.gap || len(in.posts) > 0 {
			mail := broker.Mail{Letters: in.letters, Gap: in.gap, Posts: in.posts}
			in.letters, in.gap, in.posts = nil, false, nil
			in.mu.Unlock()
			return mail, nil
		}
		in.mu.Unlock()
		select {
		case <-in.arrived:
		case <-ctx.Done():
			return broker.Mail{}, ctx.Err()
		case <-in.done:
		case <-in.b.ctx.Done():
		}
	}
}

// Close implements [broker.Inbox].
func (in *inbox) Close() error {
	in.mu.Lock()
	first := !in.closed
	in.closed = true
	in.mu.Unlock()
	if first {
		close(in.done)
		in.sub.close()
	}
	return nil
}

// post takes what was posted, unless there is too much of it.
func (in *inbox) post(payload string) {
	if payload == "" || payload[0] != postBytes {
		return
	}
	in.mu.Lock()
	if len(in.posts) < broker.MaxInbox {
		in.posts = append(in.posts, []byte(payload[1:]))
	}
	in.mu.Unlock()
	in.wake()
}
