package memory

import (
	"context"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// letter tells an inbox of an outcome, which nobody writes to any more.
type letter struct {
	inbox   broker.ID
	id      broker.ID
	outcome *broker.Outcome
}

// post gathers letters while locks are held, and delivers them after.
type post struct{ letters []letter }

func (p *post) add(l letter) {
	if !l.inbox.IsZero() {
		p.letters = append(p.letters, l)
	}
}

func (p *post) deliver(b *Broker) {
	for at := 0; at < len(p.letters); {
		id := p.letters[at].inbox
		end := at + 1
		for end < len(p.letters) && p.letters[end].inbox == id {
			end++
		}
		if in := b.inboxes.get(id); in != nil {
			in.put(p.letters[at:end])
		}
		at = end
	}
}

// inboxes are those that are open.
type inboxes struct {
	mu  sync.Mutex
	all map[broker.ID]*inbox
}

func (x *inboxes) init() { x.all = map[broker.ID]*inbox{} }

func (x *inboxes) get(id broker.ID) *inbox {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all[id]
}

// inbox implements broker.Inbox.
type inbox struct {
	b  *Broker
	id broker.ID

	mu      sync.Mutex
	letters []broker.Letter
	gap     bool
	arrived chan struct{} // has one if there is something to receive
	once    sync.Once
	end     chan struct{}
}

// Inbox opens an inbox, as [broker.Broker] says. One with that id that is open
// is closed.
func (b *Broker) Inbox(ctx context.Context, id broker.ID) (broker.Inbox, error) {
	if _, err := b.enter(ctx); err != nil {
		return nil, err
	}
	in := &inbox{b: b, id: id, arrived: make(chan struct{}, 1), end: make(chan struct{})}
	b.inboxes.mu.Lock()
	old := b.inboxes.all[id]
	b.inboxes.all[id] = in
	b.inboxes.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	return in, nil
}

func (in *inbox) put(letters []letter) {
	in.mu.Lock()
	for _, l := range letters {
		if len(in.letters) >= broker.MaxInbox {
			in.gap = true
			break
		}
		in.letters = append(in.letters, broker.Letter{ID: l.id, Outcome: *copyOutcome(l.outcome)})
	}
	in.mu.Unlock()
	select {
	case in.arrived <- struct{}{}:
	default:
	}
}

// Receive waits for letters, as [broker.Inbox] says.
func (in *inbox) Receive(ctx context.Context) (broker.Mail, error) {
	for {
		select {
		case <-in.end:
			return broker.Mail{}, broker.ErrClosed
		case <-in.b.done:
			return broker.Mail{}, broker.ErrClosed
		default:
		}
		in.mu.Lock()
		mail := broker.Mail{Letters: in.letters, Gap: in.gap}
		in.letters, in.gap = nil, false
		in.mu.Unlock()
		if len(mail.Letters) > 0 || mail.Gap {
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
		x := &in.b.inboxes
		x.mu.Lock()
		if x.all[in.id] == in {
			delete(x.all, in.id)
		}
		x.mu.Unlock()
	})
	return nil
}
