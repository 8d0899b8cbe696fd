package faulty

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// inbox is an inbox with faults. A fault of a Receive drops its notices and posts, and reports a
// gap.
type inbox struct {
	broker.Inbox
	b *Broker
}

// Inbox implements [broker.Broker].
func (b *Broker) Inbox(ctx context.Context, id broker.ID) (broker.Inbox, error) {
	in, err := ask(ctx, b, Inbox, 1, func(ctx context.Context) (broker.Inbox, error) { return b.Broker.Inbox(ctx, id) })
	if err != nil {
		return nil, err
	}
	return &inbox{in, b}, nil
}

// Receive implements [broker.Inbox].
func (in *inbox) Receive(ctx context.Context) (broker.Mail, error) {
	ctx, done := in.b.begin(ctx)
	defer done()
	for {
		mail, err := in.Inbox.Receive(ctx)
		if in.b.life.Err() != nil {
			return broker.Mail{}, errClosed
		}
		if err != nil {
			return mail, err
		}
		fault := in.b.strike(Receive, len(mail.Notices))
		_ = in.b.before(ctx, Receive, len(mail.Notices))
		switch fault.Effect {
		case FailBefore, FailAfter:
			mail = broker.Mail{Gap: true, Flows: mail.Flows}
		case Slow, SlowReply:
			pause(ctx, fault.For)
		}
		in.b.waitWhileHung(ctx)
		if in.b.cutOff() {
			mail = broker.Mail{Gap: true, Flows: mail.Flows}
		}
		h := in.b.now()
		if h.Lose != nil {
			kept := mail.Notices[:0]
			for _, l := range mail.Notices {
				if !h.Lose(l) {
					kept = append(kept, l)
				}
			}
			mail.Notices = kept
		}
		if h.Gap != nil && h.Gap() {
			mail.Gap = true
		}
		if len(mail.Notices) > 0 || mail.Gap || len(mail.Squads.Posts) > 0 || mail.Flows.Arrivals {
			return mail, nil
		}
	}
}
