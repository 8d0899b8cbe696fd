package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/backoff"
	"github.com/go-arbiter/arbiter/internal/squad"
	"github.com/go-arbiter/arbiter/task"
)

// Shortage says that there were not enough free slots for a squad.
type Shortage struct {
	Queues []QueueShortage // sorted by name
	Stored bool            // the squad was stored; another try needs new ids
	Cause  error           // if it is not just a lack of slots
}

// QueueShortage are the numbers of one queue.
type QueueShortage struct {
	Queue               string
	Wanted, Free, Total int
}

// Error does not tell the numbers: that is for whoever makes an error of the
// user's of it.
func (e *Shortage) Error() string { return task.ErrNotEnoughWorkers.Error() }

const (
	// answerWithin is how long a minion has to answer.
	answerWithin = time.Second
	// rivalry is how long a squad that does not wait for slots goes on when those
	// that it needs are held for others: not all of these will start.
	rivalry = 2 * time.Second
	// askAgain is about how often a squad that waits asks by itself. Minions tell
	// it when slots become free; this is for what is lost, and for new minions.
	askAgain = time.Second
)

// listen lets posts about the squad arrive; the result ends that.
func (c *Client) listen(s *squadPlan) (end func()) {
	s.heard = make(chan squad.Message, 1024)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.squads == nil {
		c.squads = make(map[broker.ID]chan squad.Message)
	}
	c.squads[s.id] = s.heard
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.squads, s.id)
	}
}

// hear hands a post to the squad that it is about. c.mu is held.
func (c *Client) hear(post []byte) {
	m, err := squad.Parse(post)
	if err != nil {
		c.log.Debug("a post can't be read", "error", err)
		return
	}
	select {
	case c.squads[m.Squad] <- m: // never, if it is nil
	default:
	}
}

// next returns the next message of this round; not ok if over comes first. One
// that slots have become free is of any round.
func (s *squadPlan) next(ctx context.Context, over <-chan time.Time) (m squad.Message, ok bool, err error) {
	for {
		select {
		case m = <-s.heard:
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

// say posts a message to a minion.
func (s *squadPlan) say(ctx context.Context, to broker.ID, m squad.Message) {
	m.Squad, m.From, m.Round = s.id, s.c.inbox.id, s.round
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := s.squads.Post(ctx, to, m.Append(nil)); err != nil {
		s.c.log.Debug("could not ask a minion", "minion", to.String(), "error", err)
	}
}

// tell says something to all minions that hold places.
func (s *squadPlan) tell(kind squad.Kind) {
	for _, share := range s.shares {
		s.say(s.c.ctx, share.Minion, squad.Message{Kind: kind})
	}
}

// free gives back all places.
func (s *squadPlan) free() {
	s.tell(squad.Free)
	s.shares = nil
}

// admit has places held for all members, or none.
func (s *squadPlan) admit(ctx context.Context, wait time.Duration) error {
	began := time.Now()
	until := began.Add(wait)
	for try := 0; ; try++ {
		s.round++
		if err := s.survey(ctx); err != nil {
			return err
		}
		var err error
		shares, ok := squad.Plan(s.want, s.parties, func(p *squad.Party) int { return p.Free })
		if ok {
			if ok, err = s.reserve(ctx, shares); ok || err != nil {
				return err
			}
		}
		rivals := ok // somebody was faster
		if !rivals {
			_, rivals = squad.Plan(s.want, s.parties, func(p *squad.Party) int { return p.Free + p.Held })
		}
		now := time.Now()
		switch {
		case rivals && (now.Before(until) || now.Sub(began) < rivalry):
			// Those who met shall not meet again.
			backoff.Sleep(ctx, rand.N(min(2*time.Millisecond<<min(try, 6), 100*time.Millisecond)))
		case now.Before(until):
			if err := s.vacancy(ctx, until); err != nil {
				return err
			}
		default:
			return s.shortage()
		}
	}
}

// survey asks all minions that serve a queue of the squad how many of their slots
// are free, until there are enough or all have answered. Those that do not have
// none.
func (s *squadPlan) survey(ctx context.Context) error {
	var minions []broker.MinionInfo
	err := s.c.persist(ctx, time.Now().Add(patience), func() (err error) {
		minions, err = s.c.b.Minions(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("minions: %w", err)
	}
	s.parties = nil
	place := make(map[broker.ID]int)
	for i := range minions {
		m := &minions[i]
		queues := s.fit(m)
		if len(queues) == 0 {
			continue
		}
		place[m.ID] = len(s.parties)
		s.parties = append(s.parties, squad.Party{ID: m.ID, Queues: queues, Slots: m.Slots})
		s.say(ctx, m.ID, squad.Message{Kind: squad.Ask})
	}
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
		i, known := place[m.From]
		if m.Kind != squad.Numbers || !known {
			continue
		}
		left--
		p := &s.parties[i]
		p.Slots, p.Free, p.Held = m.Slots, m.Free, m.Held
		if _, enough := squad.Plan(s.want, s.parties, func(p *squad.Party) int { return p.Free }); enough {
			break
		}
	}
	return nil
}

// fit returns the queues of the squad that a minion serves and all of whose members it
// knows. In a rolling deployment a squad must not come to a minion that can't run it.
func (s *squadPlan) fit(m *broker.MinionInfo) (queues []string) {
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

// reserve has the places held that the shares say, by one minion after the
// other. If one refuses all are freed.
func (s *squadPlan) reserve(ctx context.Context, shares []squad.Share) (ok bool, err error) {
	for _, share := range shares {
		s.shares = append(s.shares, share)
		s.say(ctx, share.Minion, squad.Message{Kind: squad.Reserve, N: share.N, For: placesFor})
		if ok, err = s.granted(ctx, share.Minion); !ok || err != nil {
			s.free()
			return false, err
		}
	}
	return true, nil
}

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

// vacancy waits until a minion says that slots have become free, or it is time to
// ask again.
func (s *squadPlan) vacancy(ctx context.Context, until time.Time) error {
	pause := min(askAgain/2+rand.N(askAgain), time.Until(until))
	known := make(map[broker.ID]int, len(s.parties))
	for i := range s.parties {
		p := &s.parties[i]
		known[p.ID] = p.Free
		n := 0
		for _, q := range p.Queues {
			n += s.want[q]
		}
		s.say(ctx, p.ID, squad.Message{Kind: squad.Ask, N: min(n, p.Slots), For: pause})
	}
	over := time.NewTimer(pause)
	defer over.Stop()
	for {
		m, ok, err := s.next(ctx, over.C)
		switch {
		case err != nil || !ok || m.Kind == squad.Vacant:
			return err
		case m.Kind == squad.Numbers && m.Free > known[m.From]: // they did before it was asked
			return nil
		}
	}
}

// shortage returns the numbers of each queue.
func (s *squadPlan) shortage() *Shortage {
	e := &Shortage{}
	for q, n := range s.want {
		out := QueueShortage{Queue: q, Wanted: n}
		for i := range s.parties {
			if p := &s.parties[i]; slices.Contains(p.Queues, q) {
				out.Free += p.Free
				out.Total += p.Slots
			}
		}
		e.Queues = append(e.Queues, out)
	}
	slices.SortFunc(e.Queues, func(a, b QueueShortage) int { return strings.Compare(a.Queue, b.Queue) })
	return e
}
