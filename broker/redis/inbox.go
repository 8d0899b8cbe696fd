package redis

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/slab"
)

// An inbox is how an arbiter learns of outcomes without polling. It subscribes to two
// channels named by its id. On the first one, the scripts that end tasks (settle.lua,
// cancel.lua and others) publish one notice for each task whose message names this inbox:
// the task's id and the record of its outcome. On the second one, minions publish posts,
// which are the messages about squads.
//
// Redis does not keep published messages, so a broken connection loses notices. Nothing is
// lost for good, since outcomes are stored under the ids of their tasks. The inbox reports
// the loss as a gap, and the arbiter then looks up the tasks for which it still waits.
// The reader of the subscription must not block, so it appends to bounded lists, and
// Receive takes the lists as a whole.

// inbox implements [broker.Inbox] with a subscription of the broker's hub.
type inbox struct {
	b   *Broker
	box string // the channel of notices
	sub *subscription

	heard     []broker.Notice // scratch memory of onMessage, which alone uses it
	truncated time.Time       // when onMessage last logged a truncated message

	mu       sync.Mutex
	notices  []broker.Notice // received and not returned yet
	returned []broker.Notice // returned by the last Receive; its memory is used again
	posts    [][]byte
	gap      bool // notices may have been lost
	arrivals bool // there are arrivals; see tell
	closed   bool
	changed  chan struct{} // capacity 1: wakes Receive
	done     chan struct{} // closed by Close
}

// Inbox implements [broker.Broker].
func (b *Broker) Inbox(ctx context.Context, id broker.ID) (broker.Inbox, error) {
	return askOr(ctx, func() (broker.Inbox, error) { return b.inboxNow(ctx, id) }, func(in broker.Inbox, err error) {
		if err == nil {
			_ = in.Close()
		}
	})
}

// inboxNow opens an inbox. It returns when the server has confirmed the subscription, so that
// no notice of a task that is submitted after that is missed.
func (b *Broker) inboxNow(ctx context.Context, id broker.ID) (broker.Inbox, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	in := &inbox{b: b, box: channel(b.space.inboxes, id), changed: make(chan struct{}, 1), done: make(chan struct{})}
	sub, err := b.hub.subscribe(ctx, "subscribe an inbox", []string{channel(b.space.inboxes, id), channel(b.space.posts, id)}, in.onMessage, in.onGap)
	if err != nil {
		return nil, err
	}
	in.sub = sub
	b.startHousekeeping()
	b.expiry.open(in)
	return in, nil
}

// noticeHead is the length of the head of a notice: the task's id, and the length of the
// record that follows.
const noticeHead = len(broker.ID{}) + 4

// cutNotice cuts the first notice off a payload. It reports false if the notice is
// truncated or has no record.
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

// countNotices counts the whole notices of a payload.
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

// onMessage is called with each message of the two channels. A payload of notices has them
// one after the other, each as id, length of the record (4 bytes) and record.
func (in *inbox) onMessage(ch, payload string) {
	if ch != in.box {
		in.post(payload)
		return
	}
	n := countNotices(payload) // so that the memory of the records is allocated at once
	notices := slices.Grow(in.heard[:0], n)
	records := slab.Bytes{Left: n}
	for rest := payload; len(rest) > 0; {
		id, record, next, ok := cutNotice(rest)
		if !ok {
			if now := time.Now(); now.Sub(in.truncated) >= wrongTypePause { // each message may be truncated
				in.truncated = now
				in.b.log.Error("redis: a message to an inbox is truncated; the results are looked up instead")
			}
			in.onGap()
			break
		}
		notices = append(notices, broker.Notice{ID: id, Record: records.CopyString(record)})
		rest = next
	}
	// Notices beyond the limit are dropped, which is a gap.
	in.mu.Lock()
	fit := min(len(notices), broker.MaxInbox-len(in.notices))
	in.notices = append(in.notices, notices[:fit]...)
	in.gap = in.gap || fit < len(notices)
	in.mu.Unlock()
	in.heard = emptied(notices)
	in.wake()
}

// emptied returns the memory of a list for the next notices. A list that has grown far
// beyond a batch is left to the garbage collector.
func emptied(notices []broker.Notice) []broker.Notice {
	if cap(notices) > 4*broker.MaxBatch {
		return nil
	}
	clear(notices)
	return notices[:0]
}

// onGap reports a gap to the next Receive. The hub calls it when a connection was lost.
func (in *inbox) onGap() {
	in.mu.Lock()
	in.gap = true
	in.mu.Unlock()
	in.wake()
}

// tell makes the next Receive report arrivals in a queue that no minion serves: the owner
// of this inbox may be the only process that can follow them.
func (in *inbox) tell() {
	in.mu.Lock()
	in.arrivals = true
	in.mu.Unlock()
	in.wake()
}

// wake makes a waiting Receive look again.
func (in *inbox) wake() {
	select {
	case in.changed <- struct{}{}:
	default:
	}
}

// Receive implements [broker.Inbox].
func (in *inbox) Receive(ctx context.Context) (broker.Mail, error) {
	for {
		in.mu.Lock()
		in.returned = emptied(in.returned)
		if in.closed || in.b.ctx.Err() != nil {
			in.mu.Unlock()
			if in.b.ctx.Err() != nil {
				return broker.Mail{}, in.b.errClosed()
			}
			return broker.Mail{}, errInboxClosed
		}
		if len(in.notices) > 0 || in.gap || len(in.posts) > 0 || in.arrivals {
			// The two lists change roles: the caller reads one while onMessage fills the other.
			mail := broker.Mail{Notices: in.notices, Gap: in.gap, Flows: broker.FlowsMail{Arrivals: in.arrivals}, Squads: broker.SquadsMail{Posts: in.posts}}
			in.notices, in.returned = in.returned, in.notices
			in.gap, in.posts, in.arrivals = false, nil, false
			in.mu.Unlock()
			return mail, nil
		}
		in.mu.Unlock()
		select {
		case <-in.changed:
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

// post keeps a post for Receive. Posts beyond the limit are dropped: their senders expect that
// a post can be lost.
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
