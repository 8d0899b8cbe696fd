package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
	"github.com/go-arbiter/arbiter/task"
)

// Admission of a squad: finding minions with enough free slots for all members, and reserving
// these. It works in rounds. In each, all minions that serve a queue of the squad are asked for
// their numbers (askMinions), a plan is made (squad.Plan), and the minions of the plan are
// asked to reserve, one after the other (reserve). If one refuses, everything is freed and
// another round begins. If there are too few free slots, it waits for a minion to report more
// (awaitSlots), or fails with a ShortageError.
//
// Messages may be lost: every wait for an answer has a time limit.

// ShortageError is the error of a squad for which there were not enough free slots.
type ShortageError struct {
	Queues []QueueShortage // sorted by name
	Stored bool            // the squad was stored, so another try needs new ids
	Cause  error           // the cause if it is not just a lack of slots
}

// QueueShortage has the numbers of slots of one queue: wanted by the squad, free, and in total.
// Slots of a minion that are too few for a member count neither as free nor in total.
type QueueShortage struct {
	Queue               string
	Wanted, Free, Total int
}

// Error does not include the numbers. The package that turns a ShortageError into an error for users
// adds them.
func (e *ShortageError) Error() string { return task.ErrNotEnoughWorkers.Error() }

const (
	// answerWithin is how long a minion has to answer.
	answerWithin = time.Second
	// contentionTime is how long a squad that does not wait for slots keeps trying while the
	// slots that it needs are reserved for others. Not all of those will start.
	contentionTime = 2 * time.Second
	// askAgain is about how often a waiting squad asks by itself. Minions report slots that
	// become free; asking makes up for lost reports and finds new minions.
	askAgain = time.Second
)

// subscribe starts to pass messages about the squad to s.received. The returned function ends
// that.
func (c *Client) subscribe(s *squadPlan) (end func()) {
	s.received = make(chan squad.Message, 1024)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.squads == nil {
		c.squads = make(map[broker.ID]chan squad.Message)
	}
	c.squads[s.id] = s.received
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.squads, s.id)
	}
}

// receivePost passes a message to the squad that it is about. Messages for an unknown squad,
// and those that exceed the buffer, are dropped. c.mu is held.
func (c *Client) receivePost(post []byte) {
	m, err := squad.Parse(post)
	if err != nil {
		c.log.Debug("a post can't be read", "error", err)
		return
	}
	select {
	case c.squads[m.Squad] <- m: // blocks if there is no such squad, so default is chosen
	default:
	}
}

// next returns the next message of the current round, or ok = false if over fires first. A
// report that slots have become free counts in any round.
func (s *squadPlan) next(ctx context.Context, over <-chan time.Time) (m squad.Message, ok bool, err error) {
	for {
		select {
		case m = <-s.received:
			if m.Round == s.round || m.Kind == squad.Vacant {
				return m, true, nil
			}
		case <-over:
			return m, false, nil
		case <-ctx.Done():
			return m, false, ctx.Err()
		case <-s.c.closing:
			return m, false, s.c.shut
		}
	}
}

// post posts a message to a minion. A failure is only logged, because every message may be lost
// anyway.
func (s *squadPlan) post(ctx context.Context, to broker.ID, m squad.Message) {
	m.Squad, m.From, m.Round = s.id, s.c.inbox.id, s.round
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := s.squads.Post(ctx, to, m.Append(nil)); err != nil {
		s.c.log.Debug("could not ask a minion", "minion", to.String(), "error", err)
	}
}

// postAll posts a message to all minions that may have reserved slots.
func (s *squadPlan) postAll(kind squad.Kind) {
	for _, share := range s.shares {
		s.post(s.c.ctx, share.Minion, squad.Message{Kind: kind})
	}
}

// releaseSlots releases all reserved slots.
func (s *squadPlan) releaseSlots() {
	s.postAll(squad.Free)
	s.shares = nil
}

// admit reserves slots for all members, or for none. It tries until wait has passed.
func (s *squadPlan) admit(ctx context.Context, wait time.Duration) error {
	began := time.Now()
	until := began.Add(wait)
	for try := 0; ; try++ {
		s.round++
		if err := s.askMinions(ctx); err != nil {
			return err
		}
		var err error
		// First a plan with the free slots alone.
		shares, ok := squad.Plan(s.want, s.parties, s.room)
		if ok {
			if ok, err = s.reserve(ctx, shares); ok || err != nil {
				return err
			}
		}
		contended := ok // the plan was possible, but another squad was faster
		if !contended {
			// Would there be enough slots if none were reserved for other squads? Then it is
			// worth trying again soon.
			_, contended = squad.Plan(s.want, s.parties, func(p *squad.Party) int { return p.Room(p.Free+p.Reserved, s.each) })
		}
		now := time.Now()
		switch {
		case contended && (now.Before(until) || now.Sub(began) < contentionTime):
			// A random pause, so that squads which competed do not do it again in the same way.
			backoff.Sleep(ctx, rand.N(min(2*time.Millisecond<<min(try, 6), 100*time.Millisecond)))
		case now.Before(until):
			if err := s.awaitSlots(ctx, until); err != nil {
				return err
			}
		default:
			return s.shortage()
		}
	}
}

// askMinions asks the minions that serve a queue of the squad for their numbers of slots. It
// returns when the answers are enough for the squad, or all have answered. A minion that does
// not answer in time counts as one without free slots.
func (s *squadPlan) askMinions(ctx context.Context) error {
	var minions []broker.MinionInfo
	err := s.c.persist(ctx, time.Now().Add(patience), func() (err error) {
		minions, err = s.c.b.Minions(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("minions: %w", err)
	}
	s.parties = nil
	index := make(map[broker.ID]int)
	for i := range minions {
		m := &minions[i]
		queues := s.queuesFor(m)
		if len(queues) == 0 {
			continue
		}
		index[m.ID] = len(s.parties)
		s.parties = append(s.parties, squad.Party{ID: m.ID, Queues: queues, Slots: m.Slots})
		s.post(ctx, m.ID, squad.Message{Kind: squad.Ask, Each: s.each})
	}
	// One time limit for all answers.
	over := time.NewTimer(answerWithin)
	defer over.Stop()
	for left := len(s.parties); left > 0; {
		m, ok, err := s.next(ctx, over.C)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		i, known := index[m.From]
		if m.Kind != squad.Numbers || !known {
			continue
		}
		left--
		p := &s.parties[i]
		p.Slots, p.Free, p.Reserved = m.Slots, m.Free, m.Reserved
		if _, enough := squad.Plan(s.want, s.parties, s.room); enough {
			break
		}
	}
	return nil
}

// room returns how many members fit into the free slots of a minion.
func (s *squadPlan) room(p *squad.Party) int { return p.Room(p.Free, s.each) }

// queuesFor returns the queues of the squad that a minion serves and of which it knows all
// members. During a rolling deployment a squad must not go to a minion that can't run it.
func (s *squadPlan) queuesFor(m *broker.MinionInfo) (queues []string) {
	for _, q := range m.Queues {
		unknown := m.Tasks != nil && slices.ContainsFunc(s.members, func(t *broker.Task) bool {
			_, known := m.Tasks[t.Name]
			return t.Queue == q && !known
		})
		if s.want[q] > 0 && !unknown {
			queues = append(queues, q)
		}
	}
	return queues
}

// reserve asks the minions of a plan to reserve their shares, one after the other. If one
// refuses or does not answer, all are freed.
func (s *squadPlan) reserve(ctx context.Context, shares []squad.Share) (ok bool, err error) {
	for _, share := range shares {
		// Before the question, since the answer may be lost and the slots reserved all the
		// same.
		s.shares = append(s.shares, share)
		s.post(ctx, share.Minion, squad.Message{Kind: squad.Reserve, N: share.N, Each: s.each, For: reservedFor})
		if ok, err = s.granted(ctx, share.Minion); !ok || err != nil {
			s.releaseSlots()
			return false, err
		}
	}
	return true, nil
}

// granted waits for the answer of a minion to Reserve.
func (s *squadPlan) granted(ctx context.Context, minion broker.ID) (bool, error) {
	over := time.NewTimer(answerWithin)
	defer over.Stop()
	for {
		m, ok, err := s.next(ctx, over.C)
		switch {
		case err != nil || !ok:
			return false, err
		case m.From == minion && m.Kind == squad.Granted:
			return true, nil
		case m.From == minion && m.Kind == squad.Refused:
			return false, nil
		}
	}
}

// awaitSlots waits until a minion reports slots that have become free, or until it is time to
// ask again.
func (s *squadPlan) awaitSlots(ctx context.Context, until time.Time) error {
	// An Ask with a number and a time also asks for a report (Vacant) when slots become free
	// within that time.
	pause := min(askAgain/2+rand.N(askAgain), time.Until(until))
	known := make(map[broker.ID]int, len(s.parties))
	for i := range s.parties {
		p := &s.parties[i]
		known[p.ID] = p.Free
		n := 0
		for _, q := range p.Queues {
			n += s.want[q]
		}
		s.post(ctx, p.ID, squad.Message{Kind: squad.Ask, N: min(n, p.Slots), Each: s.each, For: pause})
	}
	over := time.NewTimer(pause)
	defer over.Stop()
	for {
		m, ok, err := s.next(ctx, over.C)
		switch {
		case err != nil || !ok || m.Kind == squad.Vacant:
			return err
		case m.Kind == squad.Numbers && m.Free > known[m.From]:
			// They became free before the minion was asked to report.
			return nil
		}
	}
}

// shortage returns the numbers of each queue.
func (s *squadPlan) shortage() *ShortageError {
	e := &ShortageError{}
	for q, n := range s.want {
		out := QueueShortage{Queue: q, Wanted: n * s.each}
		for i := range s.parties {
			if p := &s.parties[i]; slices.Contains(p.Queues, q) {
				out.Free += p.Usable(p.Free, s.each)
				out.Total += p.Usable(p.Slots, s.each)
			}
		}
		e.Queues = append(e.Queues, out)
	}
	slices.SortFunc(e.Queues, func(a, b QueueShortage) int { return strings.Compare(a.Queue, b.Queue) })
	return e
}
