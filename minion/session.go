package minion

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/backoff"
	"github.com/go-arbiter/arbiter/task"
)

// session is the time from opening a consumer until its lease is lost or the
// run ends. An attempt belongs to the session that took it, and is settled by
// it or not at all.
type session struct {
	r        *run
	consumer broker.Consumer
	id       broker.ID
	lease    time.Duration
	every    time.Duration
	margin   time.Duration // how long before its end the lease counts as lost
	watchdog *time.Timer   // goes off then; set once, with r.mu held

	ctx    context.Context // the parent of its handlers'; ends with the lease
	cancel context.CancelCauseFunc
	bg     context.Context // ends when the session has nothing left to do
	bgEnd  context.CancelFunc

	starts []*attempt // used by take alone, again and again

	// Guarded by r.mu.
	asked     time.Time     // when the request was sent that last renewed the lease
	trip      time.Duration // how long after that it was known
	renewing  func()        // gives the heartbeat that is under way more time; nil if none is
	running   roster
	early     map[broker.ID]struct{} // cancelled, and not (yet) running here
	lost      bool                   // the lease is lost: nothing that ends now is settled
	sealed    bool                   // the run is over: the same
	why       error                  // of lost
	queue     []broker.Settlement
	stuck     []broker.Settlement // see hold; tried again at stuckUntil, stuckTries times so far
	asleep    bool                // the settler waits for wake
	last      bool                // the settler shall end when the queue is empty
	gone      bool                // leave has ended
	signedOff bool                // its consumer is being closed
	holds     map[broker.ID]*hold
	strays    map[*hold]struct{}

	stuckUntil time.Time
	stuckTries int

	wake    chan struct{}
	flushed chan struct{} // closed when the settler has ended
	errands errands
	desk    desk
}

// open makes a session. It tries until it succeeds; if the run is stopped
// meanwhile it returns neither session nor error.
func (r *run) open() (*session, error) {
	for try := 0; r.stop.Err() == nil; try++ {
		s := &session{
			r:       r,
			early:   make(map[broker.ID]struct{}),
			wake:    make(chan struct{}, 1),
			flushed: make(chan struct{}),
			errands: newErrands(),
			holds:   make(map[broker.ID]*hold),
			strays:  make(map[*hold]struct{}),
			desk:    newDesk(),
		}
		err := s.register()
		switch {
		case err == nil:
			r.out.clear()
			s.start()
			return s, nil
		case r.stop.Err() != nil:
			return nil, nil //nolint:nilerr // it was asked to stop; that is no error
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

// register opens the consumer of a session. An error leaves nothing of it behind.
func (s *session) register() (err error) {
	r := s.r
	s.beaten(time.Now()) // the lease is no shorter than from here, unless the broker says more
	s.consumer, err = r.m.b.Consume(r.stop, broker.ConsumerConfig{
		Queues: r.m.cfg.queues, Slots: r.slots, Host: r.host, PID: os.Getpid(), OnCancel: s.onCancel, OnArrivals: s.errands.tell,
		Tasks: r.m.schemas(), OnAssign: s.onAssign, OnPost: s.onPost, OnRenewed: s.renewed, OnAbandoned: s.onAbandoned,
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
		_ = s.consumer.Close(ctx) // it holds nothing; its lease ends by itself
	}
	return err
}

// start sets the goroutines of a session going.
func (s *session) start() {
	r := s.r
	s.ctx, s.cancel = context.WithCancelCause(r.base)
	s.bg, s.bgEnd = context.WithCancel(r.bg)
	r.mu.Lock()
	r.sessions = slices.DeleteFunc(r.sessions, func(old *session) bool {
		return old.gone && old.running.n == 0
	})
	r.sessions = append(r.sessions, s)
	r.desk = &s.desk
	moved := r.newGauge()
	asked := s.asked
	s.watchdog = time.AfterFunc(time.Until(asked.Add(s.lease-s.margin)), func() {
		s.lose(s.overdue())
	})
	r.mu.Unlock()
	r.wg.Go(func() { s.heartbeats(asked, moved) })
	r.wg.Go(s.settler)
	r.wg.Go(s.runErrands)
	r.wg.Go(s.runDesk)
}

// lose ends the lease here: the contexts of all its handlers end, and nothing
// they return is settled. Only the first call counts.
func (s *session) lose(why error) {
	r := s.r
	r.mu.Lock()
	if s.signedOff {
		r.mu.Unlock()
		return
	}
	if errors.Is(why, broker.ErrClosed) {
		r.closed = true
		r.m.hurryUpNow() // there is nothing to drain for
	}
	if s.lost || s.sealed {
		r.mu.Unlock()
		return
	}
	s.lost, s.why = true, why
	r.giveBack()
	s.giveUpSquads()
	n := s.running.n
	r.mu.Unlock()
	s.watchdog.Stop()
	if !errors.Is(why, broker.ErrLeaseLost) {
		why = fmt.Errorf("%w: %w", task.ErrLeaseLost, why)
	}
	s.cancel(why)
	r.log.warn("lease lost: running tasks are told to stop, and may run elsewhere", "error", why, "running", n)
}

// reason returns why the session was lost, nil if it was not.
func (s *session) reason() error {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	return s.why
}

// onCancel is called by the broker, which says that it must not block.
func (s *session) onCancel(id broker.ID) {
	s.r.mu.Lock()
	a := s.running.find(id)
	if a == nil {
		// It may be on its way to us.
		s.early[id] = struct{}{}
	}
	s.r.mu.Unlock()
	if a != nil {
		a.life.end(task.ErrCanceled)
	}
}

// wrapUp ends a session whose lease was lost: what was done before is settled
// if the broker still accepts it, and it gets back what it still thinks we have.
func (s *session) wrapUp() {
	// Who takes the tasks next should not meet our handlers. They have been
	// told, so this is short.
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
	<-s.errands.done
	s.leave()
}

// finishQueue lets the settler end when its queue is empty.
func (s *session) finishQueue() {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.last = true
	s.rouse()
}

// parting returns how long the last settlements and the goodbye may take. A settlement
// may be under way, another one follows it, and then comes the goodbye, which may need
// two round trips. Where the broker is far away that is longer than lastWords.
func (s *session) parting() time.Duration {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	return max(lastWords, 4*s.trip)
}

// signOff closes the consumer. While the run goes on, it tries until it succeeds: only so
// the broker learns that this minion lives, though its lease has ended, and charges none
// of its tasks with a death.
func (s *session) signOff() error {
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

// leave closes the consumer and ends what is left of the session.
func (s *session) leave() {
	s.watchdog.Stop()
	s.r.mu.Lock()
	s.signedOff = true // what requests under way say now comes of that
	s.r.mu.Unlock()
	err := s.signOff()
	closed := errors.Is(err, broker.ErrClosed)
	if err != nil && !closed && !errors.Is(err, broker.ErrLeaseLost) {
		s.r.log.warn("could not sign off; what is left comes back when the lease ends", "error", err)
	}
	s.cancel(task.ErrLeaseLost)
	s.bgEnd()
	s.r.mu.Lock()
	s.gone = true
	s.r.closed = s.r.closed || closed
	s.r.mu.Unlock()
}
