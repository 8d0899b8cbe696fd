package minion

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
)

// A broker may settle most of a batch and fail for the rest: the data of one queue is
// damaged, and other queues are not. The settlements that failed are stuck. They are
// tried again after a pause, and the settlements of other queues go on meanwhile.

// keepStuck keeps settlements that are to be tried again after a pause. It reports whether it
// did; without a pause the caller tries again at once.
func (s *session) keepStuck(batch []broker.Settlement, pause bool) bool {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if !pause || len(batch) == 0 {
		s.stuckTries = 0
		return false
	}
	s.stuck = append(s.stuck, batch...)
	s.stuckUntil = time.Now().Add(backoff.Delay(s.stuckTries, fastest, slowest))
	s.stuckTries++
	return true
}

// retryStuck puts the stuck settlements of a session in front of the queue if their pause
// is over.
func (r locked) retryStuck(s *session, now time.Time) {
	if len(s.stuck) > 0 && !now.Before(s.stuckUntil) {
		s.queue = append(s.stuck, s.queue...)
		s.stuck = nil
	}
}

// sleep waits until there is something to settle, or the pause of the stuck settlements is
// over. When settling ends it gives the stuck ones up.
func (s *session) sleep() {
	r := s.r
	r.mu.Lock()
	stuck, until := len(s.stuck) > 0, s.stuckUntil
	r.mu.Unlock()
	if !stuck {
		<-s.wake
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	stopped := false
	select {
	case <-s.wake:
		return
	case <-timer.C:
	case <-s.bg.Done():
		stopped = true
	}
	r.mu.Lock()
	if s.asleep {
		s.asleep = false
	} else {
		<-s.wake // rouse was called meanwhile, and has sent
	}
	var lost []broker.Settlement
	if stopped {
		lost, s.stuck = s.stuck, nil
		r.dropped += started(lost)
	}
	r.mu.Unlock()
	if stopped {
		s.giveUp(lost, errors.New("the minion has stopped"))
	}
}
