package brokertest

import (
	"context"
	"errors"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// mailbox is an inbox in a test.
type mailbox struct {
	broker.Inbox
	r    *rig
	id   broker.ID
	read []notice // notices that were received and not taken yet
	gap  bool     // Receive has reported a gap
}

// notice is a decoded notice.
type notice struct {
	ID      broker.ID
	Outcome broker.Outcome
}

// mail opens an inbox with a new id.
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

// receive waits for mail until ctx ends at the latest, and reports whether it got some.
func (b *mailbox) receive(ctx context.Context) bool {
	b.r.Helper()
	mail, err := b.Receive(ctx)
	switch {
	case err != nil:
		if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			b.r.Fatalf("Receive: %v", err)
		}
		return false
	case len(mail.Notices) == 0 && !mail.Gap && !mail.Flows.Arrivals:
		b.r.Fatalf("Receive returned no mail and no error")
	}
	for _, l := range mail.Notices {
		o, err := wire.ParseOutcome(l.Record)
		if err != nil {
			b.r.Fatalf("the notice of task %s can't be decoded: %v", l.ID, err)
		}
		b.read = append(b.read, notice{l.ID, o})
	}
	b.gap = b.gap || mail.Gap
	return true
}

// take returns the next n notices. The inbox may have received more.
func (b *mailbox) take(n int) []notice {
	b.r.Helper()
	ctx, cancel := context.WithTimeout(b.r.ctx, patience)
	defer cancel()
	for len(b.read) < n {
		if !b.receive(ctx) {
			b.r.Fatalf("the inbox got %d notices, want %d", len(b.read), n)
		}
	}
	notices := b.read[:n:n]
	b.read = b.read[n:]
	return notices
}

// none checks that no more notices arrive.
func (b *mailbox) none() {
	b.r.Helper()
	ctx, cancel := context.WithTimeout(b.r.ctx, b.r.Slack)
	defer cancel()
	for b.receive(ctx) && len(b.read) == 0 {
	}
	for _, l := range b.read {
		b.r.Fatalf("the inbox got a notice that task %s is %s, want none", l.ID, l.Outcome.State)
	}
}
