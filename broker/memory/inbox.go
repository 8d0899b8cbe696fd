package memory

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// inboxes are the open inboxes. An id mostly has one opening.
type inboxes struct {
	mu  sync.Mutex
	all map[broker.ID][]*inbox // a slice is never changed, so it may be read without the lock
}

func (x *inboxes) init() { x.all = map[broker.ID][]*inbox{} }

// get returns the openings of an inbox.
func (x *inboxes) get(id broker.ID) []*inbox {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all[id]
}

// open returns all open inboxes.
func (x *inboxes) open() []*inbox {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Concat(slices.Collect(maps.Values(x.all))...)
}

func (x *inboxes) add(in *inbox) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all[in.id] = append(slices.Clip(x.all[in.id]), in)
}

// remove removes an opening. It reports whether the inbox has no other one.
func (x *inboxes) remove(in *inbox) (last bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(x.all[in.id]), func(other *inbox) bool { return other == in })
	if len(left) == 0 {
		delete(x.all, in.id)
		return true
	}
	x.all[in.id] = left
	return false
}

// inbox implements broker.Inbox.
type inbox struct {
	b  *Broker
	id broker.ID

	mu       sync.Mutex
	batches  [][]broker.Notice // none of them is empty
	n        int               // number of notices in batches
	posts    [][]byte
	gap      bool
	arrivals bool          // there are arrivals; see broker.FlowsMail
	arrived  chan struct{} // holds a value if there is something to receive
	once     sync.Once
	end      chan struct{}
}

// Inbox opens an inbox; see [broker.Broker].
func (b *Broker) Inbox(ctx context.Context, id broker.ID) (broker.Inbox, error) {
	if _, err := b.enter(ctx); err != nil {
		return nil, err
	}
	in := &inbox{b: b, id: id, arrived: make(chan struct{}, 1), end: make(chan struct{})}
	b.inboxes.add(in)
	return in, nil
}

// put adds notices. The inbox owns the slice from then on.
func (in *inbox) put(notices []broker.Notice) {
	in.mu.Lock()
	if room := broker.MaxInbox - in.n; len(notices) > room {
		notices = notices[:room:room]
		in.gap = true
	}
	if len(notices) > 0 {
		in.batches = append(in.batches, notices)
		in.n += len(notices)
	}
	in.mu.Unlock()
	in.wake()
}

// tellArrivals records that there are arrivals, for broker.FlowsMail.
func (in *inbox) tellArrivals() {
	in.mu.Lock()
	in.arrivals = true
	in.mu.Unlock()
	in.wake()
}

// addPost adds a post, or drops it if there are too many.
func (in *inbox) addPost(payload []byte) {
	in.mu.Lock()
	if len(in.posts) < broker.MaxInbox {
		in.posts = append(in.posts, payload)
	}
	in.mu.Unlock()
	in.wake()
}

// wake ends a wait in Receive.
func (in *inbox) wake() {
	select {
	case in.arrived <- struct{}{}:
	default: // Receive is going to look anyway
	}
}

// take returns the oldest batch of notices, and everything that is not a notice. in.mu is
// held.
func (in *inbox) take() broker.Mail {
	mail := broker.Mail{Gap: in.gap, Flows: broker.FlowsMail{Arrivals: in.arrivals}, Squads: broker.SquadsMail{Posts: in.posts}}
	in.gap, in.posts, in.arrivals = false, nil, false
	if len(in.batches) > 0 {
		mail.Notices = in.batches[0]
		in.n -= len(mail.Notices)
		in.batches[0] = nil
		in.batches = in.batches[1:]
	}
	return mail
}

// Receive waits for mail; see [broker.Inbox].
func (in *inbox) Receive(ctx context.Context) (broker.Mail, error) {
	for {
		select {
		case <-in.end:
			return broker.Mail{}, errInboxClosed
		case <-in.b.done:
			return broker.Mail{}, errClosed
		default:
		}
		in.mu.Lock()
		mail := in.take()
		in.mu.Unlock()
		if len(mail.Notices) > 0 || mail.Gap || len(mail.Squads.Posts) > 0 || mail.Flows.Arrivals {
			return mail, nil
		}
		select {
		case <-in.arrived:
		case <-ctx.Done():
			return broker.Mail{}, ctx.Err()
		case <-in.end:
		case <-in.b.done:
		}
	}
}

// Close ends the inbox.
func (in *inbox) Close() error {
	in.once.Do(func() {
		close(in.end)
		if in.b.inboxes.remove(in) {
			in.b.followers.drop(in.id)
		}
	})
	return nil
}
