package squad

import (
	"context"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Reservations are the minion's side of squads, for one session of the minion. An arbiter first
// asks minions to reserve slots; only a minion knows which of its slots are free. Nothing else
// runs in reserved slots. Then the members are assigned to the minion, which reports when it has
// all of them and starts them when the arbiter, or the broker, says that the squad has started.
// A reservation ends by itself if the arbiter is not heard of.
//
// M is an attempt of the minion at a member. The methods may be called concurrently.
//
// There are three locks, and they are taken in this order: the lock of the reservations, the lock
// of the minion, and the lock of the waiters or of the mailbox. So the methods of Reservations
// must not be called with the lock of the minion held; Poke is the exception, and takes no lock.
// No lock is held during a request to the broker.
type Reservations[M any] struct {
	minion  Minion[M]
	broker  broker.Broker
	waiters *Waiters
	debug   func(msg string, args ...any)
	session Session // set by Open
	box     mailbox

	mu       sync.Mutex // guards the fields below, and all reservations
	reserved map[broker.ID]*reservation[M]
	strays   map[*reservation[M]]struct{}
}

// Minion gives reservations access to the slots and the attempts of their minion. Its methods,
// except Asked, may be called with the lock of the reservations held.
type Minion[M any] interface {
	// Slots returns how many slots the minion has, how many are free, and how many are reserved
	// for squads that may not start. All are 0 if nothing new shall start.
	Slots() (total, free, reserved int)

	// Reserve frees slots that are reserved, and then reserves n free ones in their place: all of
	// them, or none and reports false. n may be 0, which is false.
	Reserve(n, instead int) bool

	// Hold takes a member that has come, and tells how many slots are reserved for it; it must not
	// take more. held is false if the minion does not hold the member: it has come a second time, or
	// was given back. unfit says that it was given back because it would exceed a ceiling of the minion.
	Hold(member M, reserved int) (held, unfit bool)

	// Start starts members in the slots that are reserved for them, and frees the slots that are
	// left over. Members without reserved slots start like any other task.
	Start(members []M, reserved int)

	// Cancel ends members whose squad does not start, and frees their slots.
	Cancel(members []M, reserved int)

	// GiveBack returns members to their queues, and frees their slots.
	GiveBack(members []M, reserved int)

	// Asked notes the result of a request for a decision: nil, or the error of a request that is
	// tried again.
	Asked(err error)
}

// Session is the session of a minion, in which its reservations are.
type Session struct {
	ID      broker.ID       // the minion
	Lease   context.Context // ends when the lease is lost
	Stop    context.Context // ends when the minion stops
	End     context.Context // ends when the session has nothing left to do
	Timeout time.Duration   // of a request about a decision; slots are reserved meanwhile, so one that hangs is repeated
	Go      func(func())    // starts a goroutine; the minion waits for it at its end
}

// reservation has the number of slots that are reserved for one squad, and the members that have
// come. A member for which no slot is reserved gets a reservation without slots: it came
// after a death, for a retry, or too late. Such a stray runs like any other task if its squad has
// started.
type reservation[M any] struct {
	squad    broker.ID
	round    uint32
	arbiter  broker.ID // the arbiter's inbox
	size     int       // how many members it is for; 0 for strays
	each     int       // how many slots are reserved for each member; 0 for strays
	members  []M
	until    time.Time   // when the reservation ends
	timer    *time.Timer // goes off then, or earlier to look for the decision; nil for strays
	looks    int         // how many looks have failed in a row
	deciding bool        // the broker is being asked for the decision
	done     bool
}

// slots returns how many slots are reserved.
func (h *reservation[M]) slots() int { return h.size * h.each }

const (
	// maxReservation bounds how long slots stay reserved without a message from the arbiter.
	maxReservation = 30 * time.Second
	// postTime is how long sending one message may take.
	postTime = time.Second
)

// New returns the reservations of a new session of a minion. It gets events from now on, and
// handles them when [Reservations.Open] and [Reservations.Run] have been called. All sessions of
// a minion share the waiters. debug logs lost messages.
func New[M any](minion Minion[M], b broker.Broker, waiters *Waiters, debug func(msg string, args ...any)) *Reservations[M] {
	return &Reservations[M]{
		minion: minion, broker: b, waiters: waiters, debug: debug, box: newMailbox(),
		reserved: make(map[broker.ID]*reservation[M]), strays: make(map[*reservation[M]]struct{}),
	}
}

// Deliver queues a post of an arbiter. It does not block.
func (r *Reservations[M]) Deliver(payload []byte) {
	if payload != nil {
		r.box.put(event{post: payload})
	}
}

// Later makes the goroutine of Run call f. It does not block.
func (r *Reservations[M]) Later(f func()) { r.box.put(event{call: f}) }

// Poke makes the goroutine of Run tell the waiters about free slots. It does not block.
func (r *Reservations[M]) Poke() { r.box.poke() }

// Open sets the session. It is called once, before Run and Enroll.
func (r *Reservations[M]) Open(s Session) { r.session = s }

// Run handles events and sends answers until done is closed.
func (r *Reservations[M]) Run(done <-chan struct{}) {
	for {
		events, out := r.box.take()
		for _, l := range out {
			r.post(l.to, l.m)
		}
		for _, e := range events {
			if e.call != nil {
				e.call()
			} else {
				r.attend(e.post)
			}
		}
		r.tellVacant()
		if len(events)+len(out) > 0 {
			continue
		}
		select {
		case <-r.box.wake:
		case <-done:
			return
		}
	}
}

// attend handles a message of an arbiter.
func (r *Reservations[M]) attend(payload []byte) {
	m, err := Parse(payload)
	if err != nil {
		r.debug("a message of an arbiter can't be read", "error", err)
		return
	}
	switch m.Kind {
	case Ask:
		if m.For > 0 {
			wanted := m
			if total, _, _ := r.minion.Slots(); total > 0 {
				each := m.Takes(total)
				wanted.N = min(m.N, total/each) * each
			}
			r.waiters.Add(wanted)
		}
		a := r.numbers(Numbers, m)
		r.waiters.Answered(m.Squad, a.Free)
		r.post(m.From, a)
	case Reserve:
		r.post(m.From, r.reserve(m))
	case Free:
		r.waiters.Drop(m.Squad)
		r.mu.Lock()
		if h := r.reserved[m.Squad]; h != nil && h.round == m.Round {
			r.release(h)
		}
		r.mu.Unlock()
	case Go:
		r.mu.Lock()
		if h := r.reserved[m.Squad]; h != nil {
			r.conclude(h, true)
		}
		r.mu.Unlock()
	}
}

// reserve reserves slots for a squad, as many as m asks for or none, and returns the answer.
func (r *Reservations[M]) reserve(m Message) Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, old := m.N, 0
	if h := r.reserved[m.Squad]; h != nil && len(h.members) == 0 {
		r.close(h) // the arbiter asks again
		old = h.slots()
	} else if h != nil {
		n = 0
	}
	total, _, _ := r.minion.Slots()
	each := m.Takes(total)
	if n > total/each {
		n = 0 // that many members never fit
	}
	kind := Refused
	if r.minion.Reserve(n*each, old) {
		d := min(m.For, maxReservation)
		h := &reservation[M]{squad: m.Squad, round: m.Round, arbiter: m.From, size: n, each: each, until: time.Now().Add(d)}
		h.timer = time.AfterFunc(d, func() { r.Later(func() { r.look(h) }) })
		r.reserved[m.Squad] = h
		r.waiters.Drop(m.Squad)
		kind = Granted
	}
	a := r.numbers(kind, m)
	a.N = m.N
	return a
}

// numbers returns an answer with the numbers of the minion's slots.
func (r *Reservations[M]) numbers(kind Kind, to Message) Message {
	m := Message{Kind: kind, Squad: to.Squad, From: r.session.ID, Round: to.Round}
	m.Slots, m.Free, m.Reserved = r.minion.Slots()
	return m
}

// Enroll adds a member to the reservation of its squad. If there is none, the broker is asked
// whether the member may start.
func (r *Reservations[M]) Enroll(squad broker.ID, member M) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.reserved[squad]
	stray, each := h == nil || h.deciding || len(h.members) == h.size, 0
	if !stray {
		each = h.each
	}
	switch held, unfit := r.minion.Hold(member, each); {
	case unfit:
		r.answer(h, Unfit)
	case !held:
	case stray:
		h = &reservation[M]{squad: squad, members: []M{member}}
		r.strays[h] = struct{}{}
		r.decide(h)
	default:
		if h.members = append(h.members, member); len(h.members) == h.size {
			r.answer(h, Ready)
			r.lookLater(h)
		}
	}
}

// Unfit tells the arbiter of a squad that the minion can't run one of its members.
func (r *Reservations[M]) Unfit(squad broker.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.reserved[squad]; h != nil {
		r.answer(h, Unfit)
	}
}

// GiveUp ends all reservations and gives their members back. The minion calls it when nothing new
// shall start any more: after that Reserve and Hold report false.
func (r *Reservations[M]) GiveUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.reserved {
		r.close(h)
		r.minion.GiveBack(h.members, h.slots())
	}
	for h := range r.strays {
		r.close(h)
		r.minion.GiveBack(h.members, h.slots())
	}
}

// tellVacant tells waiting squads that slots are free.
func (r *Reservations[M]) tellVacant() {
	if !r.waiters.Any() {
		return
	}
	_, free, _ := r.minion.Slots()
	for _, m := range r.waiters.Next(free) {
		r.post(m.From, r.numbers(Vacant, m))
	}
}

// post sends a message. If it fails, the message is lost; the protocol allows that.
func (r *Reservations[M]) post(to broker.ID, m Message) {
	b, ok := r.broker.(broker.Squads)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.session.End, postTime)
	defer cancel()
	if err := b.Post(ctx, to, m.Append(nil)); err != nil {
		r.debug("could not answer an arbiter", "error", err)
	}
}
