package squad

import (
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// The broker calls a minion when posts or members arrive, and these calls must not block. So they
// queue an event, and one goroutine handles the events. It also sends the answers, in the order
// in which they were made.

// mailbox is the queue of events and the queue of answers. Its methods do not block.
type mailbox struct {
	wake chan struct{} // receives when something was queued

	mu     sync.Mutex // guards the fields below; no other lock is taken while it is held
	events []event
	out    []outgoing
}

// event is something for the goroutine to handle: a post, or a call. Exactly one is set.
type event struct {
	post []byte // an encoded message of an arbiter
	call func()
}

// outgoing is an answer to an arbiter.
type outgoing struct {
	to broker.ID
	m  Message
}

// mailboxRoom bounds the posts that wait. An arbiter repeats a request that was lost.
const mailboxRoom = 10_000

func newMailbox() mailbox { return mailbox{wake: make(chan struct{}, 1)} }

// poke wakes the goroutine.
func (b *mailbox) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// put queues an event.
func (b *mailbox) put(e event) {
	b.mu.Lock()
	if e.post == nil || len(b.events) < mailboxRoom {
		b.events = append(b.events, e)
	}
	b.mu.Unlock()
	b.poke()
}

// send queues a message for an arbiter.
func (b *mailbox) send(to broker.ID, m Message) {
	b.mu.Lock()
	b.out = append(b.out, outgoing{to, m})
	b.mu.Unlock()
	b.poke()
}

// take removes and returns everything that is queued.
func (b *mailbox) take() (events []event, out []outgoing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	events, out, b.events, b.out = b.events, b.out, nil, nil
	return events, out
}
