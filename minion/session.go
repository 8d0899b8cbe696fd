package minion

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
	"github.com/go-arbiter/arbiter/task"
)

// A session is the time between registering a consumer and the end of its lease, or of
// the run. It has these goroutines: the consume loop (the goroutine of Run), the
// heartbeats, the settler, the follow-ups and the reservations for squads. An attempt belongs to the
// session that took it. If that session's lease is lost, the attempt's context ends and
// its result is dropped, because another minion may have the task. The run opens a new
// session while the old one still ends.

// session is one registered consumer with its lease.
type session struct {
	r        *run
	consumer broker.Consumer
	id       broker.ID
	lease    time.Duration
	every    time.Duration
	margin   time.Duration // how long before its end the lease counts as lost
	watchdog *time.Timer   // goes off at that time; set once, with r.mu held

	ctx    context.Context // parent of the handlers' contexts; ends when the lease is lost
	cancel context.CancelCauseFunc
	bg     context.Context // ends when the session has nothing left to do
	bgEnd  context.CancelFunc

	starts []*attempt // memory that take uses again and again

	// run.mu guards the following fields.
	asked    time.Time     // when the request was sent that last renewed the lease
	trip     time.Duration // how long after that the renewal was known
	renewing func()        // gives the heartbeat that is under way more time; nil if none is
	running  attemptList
	early    map[broker.ID]struct{} // cancelled tasks that do not run here, or not yet
	lost     bool                   // the lease is lost: attempts that end now are not settled
	sealed   bool                   // the run is over: attempts that end now are not settled
	why      error                  // why the lease was lost
	queue    []broker.Settlement
	stuck    []broker.Settlement // settlements that are tried again at stuckUntil; they were tried stuckTries times
	asleep   bool                // the settler waits for wake
	last     bool                // the settler ends when the queue is empty
	left     bool                // leave has ended
	closing  bool                // the consumer is being closed

	stuckUntil time.Time
	stuckTries int

	wake      chan struct{}
	flushed   chan struct{} // closed when the settler has ended
	followUps followUps
	squads    *squad.Reservations[*attempt]
}

// open opens a session. It tries until it succeeds. If the run is stopped meanwhile, it
// returns nil for both.
func (r *run) open() (*session, error) {
	for try := 0; r.stop.Err() == nil; try++ {
		s := &session{
			r:         r,
			early:     make(map[broker.ID]struct{}),
			wake:      make(chan struct{}, 1),
			flushed:   make(chan struct{}),
			followUps: newFollowUps(),
		}
		s.squads = newReservations(s)
		err := s.register()
		switch {
		case err == nil:
			r.out.clear()
			s.start()
			return s, nil
		case r.stop.Err() != nil:
			return nil, nil //nolint:nilerr // the run was stopped, which is no error
		case errors.Is(err, broker.ErrClosed) || errors.Is(err, broker.ErrInvalid):
			return nil, err
		case r.tooShort(err):
		default:
			r.out.failed("register", err)
		}
		backoff.Sleep(r.stop, backoff.Delay(try, fastest, slowest))
	}
	return nil, nil
}

// register registers the consumer of a session. If it returns an error, the consumer is
// closed.
func (s *session) register() (err error) {
	r := s.r
	s.noteRenewal(time.Now()) // the lease counts from here, unless the broker confirms a later time
	s.consumer, err = r.m.b.Consume(r.stop, broker.ConsumerConfig{
		Queues: r.m.cfg.queues, Slots: r.slots.total, Host: r.host, PID: os.Getpid(), OnCancel: s.onCancel,
		Tasks: r.m.schemas(), OnRenewed: s.onRenewed, OnAbandoned: s.onAbandoned,
		Flows:  broker.FlowsConfig{OnArrivals: s.followUps.tell},
		Squads: broker.SquadsConfig{OnAssign: s.onAssign, OnPost: s.squads.Deliver},
	})
	if err != nil {
		return err
	}
	s.id = s.consumer.ID()
	s.lease, s.every = s.consumer.Lease()
	s.margin = marginOf(s.lease)
	r.own.much.Store(int64(s.every / 4))
	if err = s.prove(r.stop); err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), s.parting())
		defer cancel()
		_ = s.consumer.Close(ctx) // it holds no task, and its lease ends by itself
	}
	return err
}

// start starts the goroutines of a session.
func (s *session) start() {
	r := s.r
	s.ctx, s.cancel = context.WithCancelCause(r.base)
	s.bg, s.bgEnd = context.WithCancel(r.bg)
	l := r.lock()
	r.sessions = slices.DeleteFunc(r.sessions, func(old *session) bool {
		return old.left && old.running.n == 0
	})
	r.sessions = append(r.sessions, s)
	r.squads = s.squads
	moved := l.newGauge()
	asked := s.asked
	s.watchdog = time.AfterFunc(time.Until(asked.Add(s.lease-s.margin)), func() {
		s.lose(s.overdue())
	})
	l.unlock()
	r.wg.Go(func() { s.heartbeats(asked, moved) })
	r.wg.Go(s.settler)
	r.wg.Go(s.runFollowUps)
	s.openReservations()
}

// lose ends the session: the contexts of its handlers end, and their results are not
// settled. Only the first call has an effect.
func (s *session) lose(why error) {
	r := s.r
	l := r.lock()
	if s.closing {
		l.unlock()
		return
	}
	if errors.Is(why, broker.ErrClosed) {
		r.closed = true
		r.m.hurryUpNow() // the broker is closed: nothing can be settled
	}
	if s.lost || s.sealed {
		l.unlock()
		return
	}
	s.lost, s.why = true, why
	l.giveAllBack()
	l.dropStarting(s)
	l.unlock()
	s.squads.GiveUp()
	r.mu.Lock()
	n := s.running.n
	r.mu.Unlock()
	s.watchdog.Stop()
	if !errors.Is(why, broker.ErrLeaseLost) {
		why = fmt.Errorf("%w: %w", task.ErrLeaseLost, why)
	}
	s.cancel(why)
	r.log.warn("lease lost: running tasks are told to stop, and may run elsewhere", "error", why, "running", n)
}

// reason returns why the session was lost, or nil if it was not.
func (s *session) reason() error {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	return s.why
}

// onCancel ends the attempt at a cancelled task. The broker calls it, so it must not block.
func (s *session) onCancel(id broker.ID) {
	s.r.mu.Lock()
	a := s.running.find(id)
	if a == nil {
		// The task may be in a dequeue that is under way.
		s.early[id] = struct{}{}
	}
	s.r.mu.Unlock()
	if a != nil {
		a.ctx.end(task.ErrCanceled)
	}
}

// wrapUp ends a session whose lease was lost. It settles earlier attempts, if the broker
// still accepts that, and closes the consumer, which returns the tasks that it holds. The
// follow-ups come after that, because they may take seconds: until the consumer is closed, all
// of its tasks are charged with a death of this minion.
func (s *session) wrapUp() {
	// The tasks should not run elsewhere while their handlers still run here. The
	// handlers were told to end, so this wait is short.
	for range int(grace / fastest) {
		s.r.mu.Lock()
		n := s.running.n
		s.r.mu.Unlock()
		if n == 0 || !backoff.Sleep(s.bg, fastest) {
			break
		}
	}
	s.finishQueue()
	<-s.flushed
	s.leave()
	<-s.followUps.done
	s.bgEnd()
}

// finishQueue lets the settler end when its queue is empty.
func (s *session) finishQueue() {
	l := s.r.lock()
	defer l.unlock()
	s.last = true
	l.rouse(s)
}

// parting returns how long the last settlements and closing the consumer may take. A
// settlement may be under way, another one follows, and closing may need two round trips.
// If the broker is far away, this takes longer than minParting.
func (s *session) parting() time.Duration {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	return max(minParting, 4*s.trip)
}

// closeConsumer closes the consumer. While the run goes on it tries until it succeeds. Only then
// does the broker know that this minion lives although its lease has ended, and does not
// charge the minion's tasks with a death.
func (s *session) closeConsumer() error {
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(context.Background(), s.parting())
		err := s.consumer.Close(ctx)
		cancel()
		switch {
		case err == nil || errors.Is(err, broker.ErrClosed) || errors.Is(err, broker.ErrLeaseLost):
			return err
		case !backoff.Sleep(s.r.stop, backoff.Delay(try, fastest, min(slowest, max(s.lease/6, fastest)))):
			return err
		}
	}
}

// leave closes the consumer.
func (s *session) leave() {
	s.watchdog.Stop()
	s.r.mu.Lock()
	s.closing = true // from now on requests may fail because of that
	s.r.mu.Unlock()
	err := s.closeConsumer()
	closed := errors.Is(err, broker.ErrClosed)
	if err != nil && !closed && !errors.Is(err, broker.ErrLeaseLost) {
		s.r.log.warn("could not close the consumer; the tasks that it holds come back when its lease ends", "error", err)
	}
	s.cancel(task.ErrLeaseLost)
	s.r.mu.Lock()
	s.left = true
	s.r.closed = s.r.closed || closed
	s.r.mu.Unlock()
}
