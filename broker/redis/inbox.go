package redis

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/slab"
)

// inbox receives what settle and cancel publish. What is lost on the way is
// not lost for good: outcomes are kept by id, and a gap says to look.
type inbox struct {
	b   *Broker
	box string // the channel of notices
	sub *subscription

	heard []broker.Notice // used by hear alone, again and again
	said  time.Time       // when hear logged last that a message is truncated

	mu      sync.Mutex
	notices []broker.Notice
	read    []broker.Notice // what Receive has returned last
	posts   [][]byte
	gap     bool
	told    bool // of arrivals
	closed  bool
	arrived chan struct{} // capacity 1
	done    chan struct{}
}

// Inbox implements [broker.Broker].
func (b *Broker) Inbox(ctx context.Context, id broker.ID) (broker.Inbox, error) {
	return askOr(ctx, func() (broker.Inbox, error) { return b.inboxNow(ctx, id) }, func(in broker.Inbox, err error) {
		if err == nil {
			_ = in.Close()
		}
	})
}

func (b *Broker) inboxNow(ctx context.Context, id broker.ID) (broker.Inbox, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	in := &inbox{b: b, box: channel(b.space.inboxes, id), arrived: make(chan struct{}, 1), done: make(chan struct{})}
	sub, err := b.hub.subscribe(ctx, "subscribe an inbox", []string{channel(b.space.inboxes, id), channel(b.space.posts, id)}, in.hear, in.heal)
	if err != nil {
		return nil, err
	}
	in.sub = sub
	b.keep()
	b.expiry.open(in)
	return in, nil
}

// noticeHead is the length of what is before a notice's record: its id and the length
// of the record.
const noticeHead = len(broker.ID{}) + 4

// cutNotice returns the first notice of a payload, and the rest; false if it is truncated,
// or has no record.
func cutNotice(payload string) (id broker.ID, record, rest string, ok bool) {
	if len(payload) < noticeHead {
		return id, "", "", false
	}
	copy(id[:], payload)
	n := binary.BigEndian.Uint32([]byte(payload[len(id):noticeHead]))
	if payload = payload[noticeHead:]; n == 0 || uint64(n) > uint64(len(payload)) {
		return id, "", "", false
	}
	return id, payload[:n], payload[n:], true
}

// countNotices counts the notices of a payload.
func countNotices(payload string) (n int) {
	for {
		_, _, rest, ok := cutNotice(payload)
		if !ok {
			return n
		}
		payload = rest
		n++
	}
}

// hear takes notices: id, length and record, one after the other.
func (in *inbox) hear(ch, payload string) {
	if ch != in.box {
		in.post(payload)
		return
	}
	n := countNotices(payload)
	notices := slices.Grow(in.heard[:0], n)
	records := slab.Bytes{Left: n}
	for rest := payload; len(rest) > 0; {
		id, record, next, ok := cutNotice(rest)
		if !ok {
			if now := time.Now(); now.Sub(in.said) >= spoiledPause { // there may be many
				in.said = now
				in.b.log.Error("redis: a message to an inbox is truncated; the results are looked up instead")
			}
			in.heal()
			break
		}
		notices = append(notices, broker.Notice{ID: id, Record: records.CopyString(record)})
		rest = next
	}
	in.mu.Lock()
	fit := min(len(notices), broker.MaxInbox-len(in.notices))
	in.notices = append(in.notices, notices[:fit]...)
	in.gap = in.gap || fit < len(notices)
	in.mu.Unlock()
	in.heard = emptied(notices)
	in.wake()
}

// emptied returns the memory of notices, unless it is a rare giant, for others.
func emptied(notices []broker.Notice) []broker.Notice {
	if cap(notices) > 4*broker.MaxBatch {
		return nil
	}
	clear(notices)
	return notices[:0]
}

func (in *inbox) heal() {
	in.mu.Lock()
	in.gap = true
	in.mu.Unlock()
	in.wake()
}

// tell notes that there are arrivals that nobody else is told of.
func (in *inbox) tell() {
	in.mu.Lock()
	in.told = true
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
		in.read = emptied(in.read)
		if in.closed || in.b.ctx.Err() != nil {
			in.mu.Unlock()
			if in.b.ctx.Err() != nil {
				return broker.Mail{}, in.b.errClosed()
			}
			return broker.Mail{}, errInboxClosed
		}
		if len(in.notices) > 0 || in.gap || len(in.posts) > 0 || in.told {
			mail := broker.Mail{Notices: in.notices, Gap: in.gap, Posts: in.posts, Arrivals: in.told}
			in.notices, in.read = in.read, in.notices
			in.gap, in.posts, in.told = false, nil, false
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
		in.b.expiry.shut(in)
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
