package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/squad"
	"github.com/go-arbiter/arbiter/task"
)

// Sending a group whose members start together. Package squad has the story;
// squad_admit.go finds places, this file stores the members, hands them out and
// decides. Whatever happens to this process on the way, the members have all
// started, or none of them ever does.

const (
	// placesFor is how long places are held, from when they are granted.
	placesFor = 5 * time.Second
	// readyWithin is how long minions have to say that their members are there.
	readyWithin = 3 * time.Second
	// orphanAfter is when members come to ordinary minions, who find out that the
	// squad has not started. That must not be before somebody could assign them.
	orphanAfter = 15 * time.Second
	// lastWords is how long it may take to take everything back.
	lastWords = 5 * time.Second
)

// squadPlan is a squad to be sent.
type squadPlan struct {
	*flowPlan
	squads  broker.Squads
	id      broker.ID
	members []*broker.Task
	want    map[string]int // members of each queue
	heard   chan squad.Message
	round   uint32
	parties []squad.Party // as far as they have answered
	shares  []squad.Share // for which places may be held
	stored  bool
}

// SubmitSquad sends a group whose members start together. It waits for free
// slots as long as wait says. The error is a *[Shortage] if there are too few,
// else a *task.SubmitError.
func (c *Client) SubmitSquad(ctx context.Context, call task.Bound, wait time.Duration) error {
	req := requestOf(call)
	err := c.enter(ctx)
	if err == nil {
		defer c.sending.Done()
		err = c.sendSquad(ctx, req, wait)
	}
	var short *Shortage
	if err == nil || errors.As(err, &short) {
		return err
	}
	return &task.SubmitError{Total: 1, Failed: []task.FailedCall{{ID: req.ID(), Name: "squad", Err: err}}}
}

func (c *Client) sendSquad(ctx context.Context, req *task.Request, wait time.Duration) error {
	s, err := c.planSquad(req)
	if err != nil {
		return err
	}
	if len(s.members) == 0 { // nobody is asked for places, and nothing can start too early
		return s.run(ctx)
	}
	defer c.listen(s)()
	if err := s.admit(ctx, wait); err != nil {
		s.free()
		return err
	}
	if err := s.muster(ctx); err != nil {
		return s.drop(err)
	}
	return nil
}

// planSquad checks everything that can be before anything is asked for.
func (c *Client) planSquad(req *task.Request) (*squadPlan, error) {
	squads, err := broker.SquadsOf(c.b, "a squad")
	if err != nil {
		return nil, err
	}
	p, err := c.plan(nil, req, true)
	if err != nil {
		return nil, err
	}
	s := &squadPlan{flowPlan: p, squads: squads, id: req.ID(), want: make(map[string]int)}
	if n := len(p.flows[0].members); n > broker.MaxBatch {
		return nil, fmt.Errorf("squad: %w: %d members, the limit is %d", broker.ErrTooLarge, n, broker.MaxBatch)
	}
	if err := s.recordMembers(); err != nil {
		return nil, err
	}
	for _, t := range s.members {
		s.want[t.Queue]++
	}
	if len(s.members) != len(p.flows[0].members) {
		return nil, fmt.Errorf("squad: %w: its members must be single tasks, not pipes or groups", broker.ErrInvalid)
	}
	return s, nil
}

// recordMembers makes the records of the members as they are stored now.
func (s *squadPlan) recordMembers() error {
	s.now, s.members = time.Now(), s.members[:0]
	for i := range s.tasks {
		ft := &s.tasks[i]
		if ft.flow != 0 || ft.step >= broker.StepFinalizer {
			continue
		}
		t, err := s.record(ft)
		if err != nil {
			return err
		}
		if t.Delay > 0 {
			return fmt.Errorf("member %d: task %s: %w: a member of a squad can't have a delay", ft.step, t.Name, broker.ErrInvalid)
		}
		t.Squad, t.Blocked, t.Delay = true, true, orphanAfter
		s.members = append(s.members, t)
	}
	return nil
}

// muster stores the squad for which there are places, and has it started.
func (s *squadPlan) muster(ctx context.Context) error {
	if err := s.recordMembers(); err != nil {
		return err
	}
	expected := s.expect()
	err := s.store(ctx)
	s.c.mu.Lock()
	now := time.Now()
	for _, id := range expected {
		s.c.table.sent(id, s.stored, now)
	}
	s.c.schedule(now)
	s.c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.assign(ctx); err != nil {
		return err
	}
	if err := s.allReady(ctx); err != nil {
		return err
	}
	started := false
	err = s.c.persist(ctx, time.Now().Add(patience), func() (err error) {
		started, err = s.squads.Decide(ctx, s.id, true)
		return err
	})
	if err != nil {
		return fmt.Errorf("decide: %w", err)
	}
	if !started {
		return s.late(ctx)
	}
	s.tell(squad.Go)
	return nil
}

// late says why the squad was decided not to start: it was killed, or all this
// took longer than places are held.
func (s *squadPlan) late(ctx context.Context) error {
	p, err := s.b.LookupFlow(ctx, s.id)
	if err == nil && p.Marks&broker.MarkKilled != 0 {
		return fmt.Errorf("it was killed before it could start: %w", broker.ErrCanceled)
	}
	return s.lost(errors.New("it was given up before it could start"))
}

// store stores the flows and all tasks: those that follow from the members first.
func (s *squadPlan) store(ctx context.Context) error {
	for i := range s.flows {
		if err := s.open(ctx, &s.flows[i], &s.stored); err != nil {
			return err
		}
	}
	if err := s.flowPlan.store(ctx, true); err != nil || s.why != nil {
		return cmp.Or(err, s.why)
	}
	err := s.enqueue(ctx, s.members)
	return cmp.Or(err, s.why)
}

// assign hands the members to the minions that hold their places.
func (s *squadPlan) assign(ctx context.Context) error {
	byQueue := make(map[string][]broker.ID)
	for _, t := range s.members {
		byQueue[t.Queue] = append(byQueue[t.Queue], t.ID)
	}
	for _, share := range s.shares {
		var ids []broker.ID
		for q, n := range share.Queues {
			ids = append(ids, byQueue[q][:n]...)
			byQueue[q] = byQueue[q][n:]
		}
		err := s.c.persist(ctx, time.Now().Add(patience), func() error { return s.squads.Assign(ctx, share.Minion, ids) })
		if errors.Is(err, broker.ErrNotFound) {
			return s.gone(share.Minion, err)
		}
		if err != nil {
			return fmt.Errorf("assign: %w", err)
		}
	}
	return nil
}

// lost is the shortage that comes from the loss of places that were held.
func (s *squadPlan) lost(why error) error {
	e := s.shortage()
	e.Stored, e.Cause = true, why
	return e
}

// gone is that which comes from the loss of a minion.
func (s *squadPlan) gone(minion broker.ID, err error) error {
	return s.lost(fmt.Errorf("minion %s is lost: %w", minion, err))
}

// allReady waits until all minions have their members.
func (s *squadPlan) allReady(ctx context.Context) error {
	missing := make(map[broker.ID]int, len(s.shares))
	for _, share := range s.shares {
		missing[share.Minion] = share.N
	}
	over := time.NewTimer(readyWithin)
	defer over.Stop()
	for len(missing) > 0 {
		m, ok, err := s.next(ctx, over.C)
		switch {
		case err != nil:
			return err
		case !ok:
			for id := range missing {
				return s.gone(id, errors.New("no answer"))
			}
		case m.Kind == squad.Ready && m.N == missing[m.From]:
			delete(missing, m.From)
		case m.Kind == squad.Unfit:
			return fmt.Errorf("%w: a member can't run at minion %s, or was killed", errUnfit, m.From)
		}
	}
	return nil
}

var errUnfit = errors.New("the squad was not started")

// drop takes back what was done for a squad that shall not start, unless it has.
func (s *squadPlan) drop(why error) error {
	if !s.stored {
		s.free()
		return why
	}
	ctx, cancel := context.WithTimeout(s.c.ctx, lastWords)
	defer cancel()
	started := false
	err := s.c.persist(ctx, time.Now().Add(patience), func() (err error) {
		started, err = s.squads.Decide(ctx, s.id, false)
		return err
	})
	switch {
	case err == nil && started: // and nobody told us
		s.tell(squad.Go)
		return nil
	case err != nil && !errors.Is(err, broker.ErrNotFound):
		return fmt.Errorf("%w: it may start: %w", broker.ErrIndeterminate, errors.Join(why, err))
	}
	s.free()
	if err := s.c.Driver().Bury(ctx, s.id); err != nil && !errors.Is(err, broker.ErrNotFound) {
		s.c.log.Warn("a squad that did not start is left to the minions", "group.id", s.id.String(), "error", err)
	}
	return why
}
