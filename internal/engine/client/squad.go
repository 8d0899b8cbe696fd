package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// A squad is a group whose members start together. This file sends one: squad_admit.go reserves
// slots at minions, then this file stores the members, assigns them to these minions, and
// decides in the broker whether the squad starts. The messages between arbiter and minions are
// in package internal/engine/squad.
//
// The steps, and how each is taken back if a later one fails:
//
//  1. admit: slots are reserved at minions. releaseSlots frees them, or they end by themselves.
//  2. store: the flow, and its members as blocked tasks. withdraw ends the flow. If this process
//     dies, the members become pending after orphanAfter, and the minions end the flow.
//  3. assign: the members go to the minions. They wait there for the decision.
//  4. allReady: each minion reports that its members have come.
//  5. Decide: the broker stores that the squad starts. From here on it can't be taken back.
//  6. Go: the minions are told. A minion that does not hear it asks the broker.
//
// Only the decision in the broker counts, and the first one stays. So even if this process dies
// at any point, either all members start or none ever does. Any step that fails leads to
// withdraw, which decides against the start, unless the squad has started already.

const (
	// reservedFor is how long slots stay reserved after a minion has granted them.
	reservedFor = 5 * time.Second
	// readyWithin is how long minions have to report that their members have arrived.
	readyWithin = 3 * time.Second
	// orphanAfter is when stored members that were not assigned become pending. Minions that
	// get them then find out that the squad has not started. It must be later than any
	// assignment could be.
	orphanAfter = 15 * time.Second
	// withdrawWithin is the time limit for taking everything back.
	withdrawWithin = 5 * time.Second
)

// squadPlan is a squad that is to be sent.
type squadPlan struct {
	*flowPlan
	squads   broker.Squads
	id       broker.ID
	members  []*broker.Task
	want     map[string]int     // by queue: how many members it has
	each     int                // how many slots each member takes: as many as the heaviest one
	received chan squad.Message // messages from minions
	// round is the number of the current try. Answers to earlier ones are ignored.
	round uint32
	// parties has the minions that were asked in this round, with the answers so far. shares
	// has the slots that may be reserved, by minion.
	parties []squad.Party
	shares  []squad.Share
	// stored says that the broker may hold a part of the squad.
	stored bool
}

// SubmitSquad sends a group whose members start together. It waits up to wait for enough free
// slots. The error is a *[ShortageError] if there are too few, otherwise a *task.SubmitError.
func (c *Client) SubmitSquad(ctx context.Context, call task.Bound, wait time.Duration) error {
	req := requestOf(call)
	err := c.enter(ctx)
	if err == nil {
		defer c.sending.Done()
		err = c.sendSquad(ctx, req, wait)
	}
	var short *ShortageError
	if err == nil || errors.As(err, &short) {
		return err
	}
	return &task.SubmitError{Total: 1, Failed: []task.FailedCall{{ID: req.ID(), Name: "squad", Err: err}}}
}

// sendSquad plans, admits and starts a squad, and takes everything back if it does not start.
func (c *Client) sendSquad(ctx context.Context, req *request.Request, wait time.Duration) error {
	s, err := c.planSquad(req)
	if err != nil {
		return err
	}
	if len(s.members) == 0 { // nothing needs slots or could start too early
		return s.run(ctx)
	}
	// Answers of minions arrive in the inbox, so the squad must be known before the first
	// question.
	defer c.subscribe(s)()
	if err := s.admit(ctx, wait); err != nil {
		s.releaseSlots()
		return err
	}
	if err := s.storeAndStart(ctx); err != nil {
		return s.withdraw(err)
	}
	return nil
}

// planSquad checks everything that can be checked before minions are asked.
func (c *Client) planSquad(req *request.Request) (*squadPlan, error) {
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
		s.each = max(s.each, int(t.Slots), 1)
	}
	// recordMembers has skipped members that are not tasks.
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
		if t.Lane != nil {
			return fmt.Errorf("member %d: task %s: %w: a member of a squad can't have a priority, a fairness key, a sequence or a limit, "+
				"since all members start together; remove them with task.NoLane", ft.step, t.Name, broker.ErrInvalid)
		}
		// A blocked task with a delay becomes pending after it.
		t.Flow.Squad, t.Flow.Blocked, t.Delay = true, true, orphanAfter
		s.members = append(s.members, t)
	}
	return nil
}

// storeAndStart stores the squad, whose slots are reserved, assigns its members, waits until all
// minions are ready, and decides that it starts.
func (s *squadPlan) storeAndStart(ctx context.Context) error {
	// The records are made again, because waiting for slots may have taken long and deadlines
	// count from now.
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
	// Now all minions hold their members and wait for the decision.
	started := false
	err = s.c.persist(ctx, time.Now().Add(patience), func() (err error) {
		started, err = s.squads.Decide(ctx, s.id, true)
		return err
	})
	if err != nil {
		return fmt.Errorf("decide: %w", err)
	}
	if !started {
		return s.notStarted(ctx)
	}
	s.postAll(squad.Go)
	return nil
}

// notStarted returns the error of a squad that was decided not to start: it was killed, or it
// took longer than its slots were reserved.
func (s *squadPlan) notStarted(ctx context.Context) error {
	p, err := s.b.LookupFlow(ctx, s.id)
	if err == nil && p.Marks&broker.MarkKilled != 0 {
		return fmt.Errorf("it was killed before it could start: %w", broker.ErrCanceled)
	}
	return s.slotsLost(errors.New("it was abandoned before it could start"))
}

// store stores the flows and all tasks. The members come last, after everything that follows
// from them.
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

// assign hands the members to the minions that have reserved slots for them.
func (s *squadPlan) assign(ctx context.Context) error {
	// A share says how many members of each queue a minion gets, and any of them will do.
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
		if errors.Is(err, broker.ErrPaused) {
			return fmt.Errorf("members of the squad can't start: %w; resume what is paused (Arbiter.Pauses lists it), and send the squad again", err)
		}
		if errors.Is(err, broker.ErrNotFound) {
			return s.minionLost(share.Minion, err)
		}
		if err != nil {
			return fmt.Errorf("assign: %w", err)
		}
	}
	return nil
}

// slotsLost returns the shortage for a squad whose reserved slots were lost.
func (s *squadPlan) slotsLost(why error) error {
	e := s.shortage()
	e.Stored, e.Cause = true, why
	return e
}

// minionLost returns the shortage for a squad that has lost a minion.
func (s *squadPlan) minionLost(minion broker.ID, err error) error {
	return s.slotsLost(fmt.Errorf("minion %s was lost: %w", minion, err))
}

// allReady waits until each minion has reported that it has its members.
func (s *squadPlan) allReady(ctx context.Context) error {
	// missing has the minions that have not reported yet, with the number of their members.
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
				return s.minionLost(id, errors.New("no answer"))
			}
		case m.Kind == squad.Ready && m.N == missing[m.From]:
			delete(missing, m.From)
		case m.Kind == squad.Unfit:
			return fmt.Errorf("%w: a member can't run at minion %s, exceeds what minion.AtMost allows there, or was killed", errUnfit, m.From)
		}
	}
	return nil
}

// errUnfit is the error of a squad of which a minion can't run a member.
var errUnfit = errors.New("the squad was not started")

// withdraw takes back a squad that is not to start because of why: it decides so in the broker,
// frees the slots and ends the flow. If the squad has started all the same, withdraw returns
// nil.
func (s *squadPlan) withdraw(why error) error {
	if !s.stored {
		s.releaseSlots()
		return why
	}
	ctx, cancel := context.WithTimeout(s.c.ctx, withdrawWithin)
	defer cancel()
	// The members may be at minions that still wait for a decision, or run already.
	started := false
	err := s.c.persist(ctx, time.Now().Add(patience), func() (err error) {
		started, err = s.squads.Decide(ctx, s.id, false)
		return err
	})
	switch {
	case err == nil && started: // the decision to start was stored, and its reply was lost
		s.postAll(squad.Go)
		return nil
	case err != nil && !errors.Is(err, broker.ErrNotFound):
		return fmt.Errorf("%w: it may start: %w", broker.ErrIndeterminate, errors.Join(why, err))
	}
	s.releaseSlots()
	if err := s.c.Driver().Bury(ctx, s.id); err != nil && !errors.Is(err, broker.ErrNotFound) {
		s.c.log.Warn("a squad that did not start is left to the minions", "group.id", s.id.String(), "error", err)
	}
	return why
}
