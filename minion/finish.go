package minion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// finish ends the run: s is the session that still has its lease, or nil, and
// fatal what ended it, nil if it was asked to stop. It returns Run's error.
func (r *run) finish(s *session, fatal error) error {
	r.stopNow()
	r.mu.Lock()
	r.giveBack()
	for _, open := range r.sessions {
		open.giveUpSquads()
	}
	r.mu.Unlock()
	if fatal != nil {
		if s != nil {
			s.lose(fatal) // nothing can be settled any more
		}
		r.silence(context.Background(), grace) // they have been told: who hurries waits for them, too
	} else if !r.silence(r.m.hurry, r.m.cfg.drain) {
		r.tellAll()
		r.silence(context.Background(), grace)
	}
	left := r.seal()
	if r.pool != nil {
		r.pool.Close() // before their tasks may run elsewhere
	}
	if r.apart != nil {
		r.apart.Close()
	}
	r.sayGoodbye(s)
	_ = r.client.Close()
	close(r.work) // idle workers end, the others when their handlers return
	r.log.debug("minion stopped", "abandoned", len(left))

	r.mu.Lock()
	defer r.mu.Unlock()
	if fatal == nil && r.closed { // which was noticed after the run was stopped
		fatal = fmt.Errorf("the broker is %w", broker.ErrClosed)
	}
	errs := []error{fatal}
	if len(left) > 0 {
		errs = append(errs, fmt.Errorf("%w: %s", ErrAbandoned, list(left)))
	}
	if r.dropped > 0 {
		errs = append(errs, fmt.Errorf("%w: %d results could not be handed over, their tasks will run again",
			broker.ErrUnavailable, r.dropped))
	}
	return join(errs)
}

// tellAll ends the contexts of all handlers that run.
func (r *run) tellAll() {
	r.mu.Lock()
	var told []*attempt
	for _, s := range r.sessions {
		for a := s.running.first; a != nil; a = a.right {
			told = append(told, a)
		}
	}
	r.mu.Unlock()
	for _, a := range told {
		a.life.end(task.ErrStopping)
	}
}

// seal keeps whatever handlers return from now on from being settled, and
// returns the attempts that still run.
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

// sayGoodbye gives the last settlements a moment to arrive and closes the
// consumers, which returns to the queues what is left.
func (r *run) sayGoodbye(s *session) {
	last := lastWords
	if s != nil {
		last = s.parting()
		r.wg.Go(func() {
			s.finishQueue()
			<-s.flushed
			<-s.errands.done
			s.leave()
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
		r.bgEnd() // no more attempts to settle
		<-done
	}
	r.bgEnd()
}

// list names attempts, some of them if they are many.
func list(left []*attempt) string {
	names := make([]string, 0, len(left))
	for _, a := range left {
		names = append(names, fmt.Sprintf("%s (%s)", a.d.Name, a.d.ID))
	}
	slices.Sort(names)
	const most = 20
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}

// join is errors.Join with the single error as it is.
func join(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
