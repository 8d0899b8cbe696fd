package brokertest

import (
	"context"
	"errors"

	"github.com/go-arbiter/arbiter/broker"
)

// mailbox is an inbox in a test.
type mailbox struct {
	broker.Inbox
	r    *rig
	id   broker.ID
	read []notice // received, not taken yet
	gap  bool     // one was reported
}

// notice is a notice that was opened.
type notice struct {
	ID      broker.ID
	Outcome broker.Outcome
}

// mail opens an inbox.
func (r *rig) mail() *mailbox {
	r.Helper()
	return r.mailAt(r.Broker, broker.NewID(broker.KindParty, "", 0))
}

func (r *rig) mailAt(b broker.Broker, id broker.ID) *mailbox {
	r.Helper()
	in, err := b.Inbox(r.ctx, id)
	if err != nil {
		r.Fatalf("Inbox: %v", err)
	}
	return &mailbox{Inbox: in, r: r, id: id}
}

// receive waits until ctx ends at most, and reports whether something came.
func (b *mailbox) receive(ctx context.Context) bool {
	b.r.Helper()
	mail, err := b.Receive(ctx)
	switch {
	case err != nil:
		if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			b.r.Fatalf("Receive: %v", err)
		}
		return false
	case len(mail.Notices) == 0 && !mail.Gap && !mail.Arrivals:
		b.r.Fatalf("Receive returned nothing")
	}
	for _, l := range mail.Notices {
		o, err := l.Outcome()
		if err != nil {
			b.r.Fatalf("a notice of %s: %v", l.ID, err)
		}
		b.read = append(b.read, notice{l.ID, o})
	}
	b.gap = b.gap || mail.Gap
	return true
}

// take returns the next n notices; more may have come.
func (b *mailbox) take(n int) []notice {
	b.r.Helper()
	ctx, cancel := context.WithTimeout(b.r.ctx, patience)
	defer cancel()
	for len(b.read) < n {
		if !b.receive(ctx) {
			b.r.Fatalf("received %d notices, want %d", len(b.read), n)
		}
	}
	notices := b.read[:n:n]
	b.read = b.read[n:]
	return notices
}

// none checks that no more notices come.
func (b *mailbox) none() {
	b.r.Helper()
	ctx, cancel := context.WithTimeout(b.r.ctx, b.r.Slack)
	defer cancel()
	for b.receive(ctx) && len(b.read) == 0 {
	}
	for _, l := range b.read {
		b.r.Fatalf("a notice of %s came (%s), want none", l.ID, l.Outcome.State)
	}
}
