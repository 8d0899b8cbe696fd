package minion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// A run ends in these steps: it takes no more tasks and gives back those that have not
// started; it lets handlers finish for DrainTimeout; it ends their contexts and waits for
// grace; it seals the sessions, so that results which come later are dropped; and it
// stores the last settlements and closes the consumers, which returns the tasks of
// handlers that still run. If the broker is closed or refuses the minion, nothing can be
// settled, and the run skips the drain.

// finish ends the run and returns the error of Run. s is the session that still has its
// lease, or nil. fatal is the error that ended the run, or nil if it was asked to stop.
func (r *run) finish(s *session, fatal error) error {
	r.stopNow()
	l := r.lock()
	l.giveAllBack()
	sessions := slices.Clone(r.sessions)
	for _, open := range sessions {
		l.dropStarting(open)
	}
	l.unlock()
	for _, open := range sessions {
		open.squads.GiveUp()
	}
	if fatal != nil {
		if s != nil {
			s.lose(fatal) // nothing can be settled any more
		}
		r.waitDrained(context.Background(), grace) // lose has ended the handlers' contexts; m.hurry does not shorten this wait
	} else if !r.waitDrained(r.m.hurry, r.m.cfg.drain) {
		r.endContexts()
		r.waitDrained(context.Background(), grace)
	}
	left := r.seal()
	if r.pool != nil {
		r.pool.Close() // before another minion can run their tasks
	}
	if r.suspectPool != nil {
		r.suspectPool.Close()
	}
	r.closeConsumers(s)
	_ = r.client.Close()
	close(r.work) // idle workers end now, the others when their handlers return
	r.log.debug("minion stopped", "abandoned", len(left))

	r.mu.Lock()
	defer r.mu.Unlock()
	if fatal == nil && r.closed { // which was noticed only after the run was stopped
		fatal = fmt.Errorf("the broker is %w", broker.ErrClosed)
	}
	errs := []error{fatal}
	if len(left) > 0 {
		errs = append(errs, fmt.Errorf("%w: %s", ErrAbandoned, list(left)))
	}
	if r.dropped > 0 {
		errs = append(errs, fmt.Errorf("%w: %d results could not be stored, and their tasks run again",
			broker.ErrUnavailable, r.dropped))
	}
	return joinErrors(errs)
}

// endContexts ends the contexts of all handlers that run.
func (r *run) endContexts() {
	r.mu.Lock()
	var told []*attempt
	for _, s := range r.sessions {
		for a := s.running.first; a != nil; a = a.right {
			told = append(told, a)
		}
	}
	r.mu.Unlock()
	for _, a := range told {
		a.ctx.end(task.ErrStopping)
	}
}

// seal drops the settlements of all attempts that end from now on, and returns the
// attempts that still run.
func (r *run) seal() []*attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	var left []*attempt
	for _, s := range r.sessions {
		s.sealed = true
		for a := s.running.first; a != nil; a = a.right {
			left = append(left, a)
		}
	}
	return left
}

// closeConsumers waits for the last settlements, within a limit, and closes the consumers.
// Closing a consumer returns the tasks that it still holds to their queues.
func (r *run) closeConsumers(s *session) {
	last := minParting
	if s != nil {
		last = s.parting()
		r.wg.Go(func() {
			s.finishQueue()
			<-s.flushed
			<-s.followUps.done
			s.leave()
			s.bgEnd()
		})
	}
	done := make(chan struct{})
	go func() {
		r.wg.Wait()
		close(done)
	}()
	timer := time.NewTimer(last)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		r.bgEnd() // the settlers stop trying
		<-done
	}
	r.bgEnd()
}

// list names attempts for a message, at most 20 of them.
func list(left []*attempt) string {
	names := make([]string, 0, len(left))
	for _, a := range left {
		names = append(names, fmt.Sprintf("%s (%s)", a.d.Name, a.d.ID))
	}
	slices.Sort(names)
	return few(names)
}

// joinErrors is errors.Join, except that a single error stays as it is.
func joinErrors(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
