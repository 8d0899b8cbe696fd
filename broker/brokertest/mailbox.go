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
	read []letter // received, not taken yet
	gap  bool     // one was reported
}

// letter is a letter that was opened.
type letter struct {
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
	case len(mail.Letters) == 0 && !mail.Gap && !mail.Arrivals:
		b.r.Fatalf("Receive returned nothing")
	}
	for _, l := range mail.Letters {
		o, err := l.Outcome()
		if err != nil {
			b.r.Fatalf("a letter of %s: %v", l.ID, err)
		}
		b.read = append(b.read, letter{l.ID, o})
	}
	b.gap = b.gap || mail.Gap
	return true
}

// take returns the next n letters; more may have come.
func (b *mailbox) take(n int) []letter {
	b.r.Helper()
	ctx, cancel := context.WithTimeout(b.r.ctx, patience)
	defer cancel()
	for len(b.read) < n {
		if !b.receive(ctx) {
			b.r.Fatalf("received %d letters, want %d", len(b.read), n)
		}
	}
	letters := b.read[:n:n]
	b.read = b.read[n:]
	return letters
}

// none checks that no more letters come.
func (b *mailbox) none() {
	b.r.Helper()
	ctx, cancel := context.WithTimeout(b.r.ctx, b.r.Slack)
	defer cancel()
	for b.receive(ctx) && len(b.read) == 0 {
	}
	for _, l := range b.read {
		b.r.Fatalf("a letter of %s came (%s), want none", l.ID, l.Outcome.State)
	}
}
