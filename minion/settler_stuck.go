package minion

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/backoff"
)

// A broker may answer for most of a batch and be unable to settle the rest: one queue
// is damaged, and the others are not. What could not be settled is stuck. It is tried
// again after a pause, and meanwhile the settlements of other queues go on.

// hold keeps what is to be settled again, and reports whether it did. Pause says whether
// that should wait.
func (s *session) hold(batch []broker.Settlement, pause bool) bool {
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

// retryStuck puts what is stuck in front of the queue if its pause is over. r.mu is held.
func (s *session) retryStuck(now time.Time) {
	if len(s.stuck) > 0 && !now.Before(s.stuckUntil) {
		s.queue = append(s.stuck, s.queue...)
		s.stuck = nil
	}
}

// sleep returns when there is something to settle, or what is stuck is to be tried again.
// If the minion stops it gives up what is stuck.
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
		<-s.wake // somebody has woken us meanwhile
	}
	var lost []broker.Settlement
	if stopped {
		lost, s.stuck = s.stuck, nil
		r.dropped += len(lost)
	}
	r.mu.Unlock()
	if stopped {
		s.giveUp(lost, errors.New("the minion has stopped"))
	}
}
