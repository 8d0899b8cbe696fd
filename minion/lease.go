package minion

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A lease can only be kept if heartbeats are answered fast enough. This file computes
// what a lease demands of the connection, and checks a slow connection before the minion
// takes tasks: a minion that loses every lease would get the same tasks again and again.

// marginOf returns how long before its end the minion considers a lease lost. Its
// handlers are told then, so that they have stopped when other minions get their tasks.
func marginOf(lease time.Duration) time.Duration {
	return min(max(lease/6, 500*time.Millisecond), lease/4)
}

// connDelay is the measured delay of the connection to the broker.
type connDelay struct {
	renewal time.Duration // from sending a heartbeat until the lease is known to be renewed
	whole   time.Duration // until the heartbeat's request has ended
}

// keeps reports whether heartbeats over this connection keep a lease. A heartbeat is
// sent after a third of the lease (see [broker.Consumer]), or when the one before has
// ended. It must have renewed the lease before the watchdog set by the one before goes
// off.
func (l connDelay) keeps(lease, every time.Duration) bool {
	return max(every, l.whole)+l.renewal < lease-marginOf(lease) && l.renewal < lease/answerPart
}

// leaseStep is the precision of the recommended lease.
const leaseStep = 100 * time.Millisecond

// shortest returns the shortest lease that can be kept over this connection.
func (l connDelay) shortest() time.Duration {
	n := sort.Search(int(24*time.Hour/leaseStep), func(i int) bool {
		lease := time.Duration(i) * leaseStep
		return l.keeps(lease, lease/3)
	})
	return time.Duration(n) * leaseStep
}

// prove checks a lease whose registration took long. The lease counts from the moment
// when the registration was sent, so a large part of it may be over. A heartbeat shows
// whether the broker still grants it, and measures the connection. No task is taken
// before that: it would be handed out again and again.
func (s *session) prove(parent context.Context) error {
	r := s.r
	r.mu.Lock()
	asked := s.asked
	r.mu.Unlock()
	if time.Since(asked) < s.every {
		return nil
	}
	began := time.Now()
	err := s.heartbeat(parent, 0, s.lease)
	ended := time.Now()
	l := connDelay{whole: ended.Sub(began), renewal: ended.Sub(began)}
	if err == nil {
		r.mu.Lock()
		l.renewal = s.trip
		r.mu.Unlock()
	}
	short := &shortLeaseError{lease: s.lease, answer: l.renewal, want: l.shortest(), err: err}
	switch {
	case parent.Err() != nil:
		return parent.Err()
	case errors.Is(err, broker.ErrLeaseLost): // the lease had ended when the heartbeat arrived
		if l.keeps(s.lease, s.every) { // heartbeats are fast enough, so the registration took too long
			short.want = max(short.want, ended.Sub(asked).Truncate(leaseStep)+leaseStep)
		}
		return short
	case err != nil && l.whole < s.lease:
		return err
	case !l.keeps(s.lease, s.every):
		return short
	}
	return nil
}

// shortLeaseError is the error of a lease that can't be kept.
type shortLeaseError struct {
	lease  time.Duration
	answer time.Duration // how long the renewal took
	want   time.Duration // the shortest lease that works
	err    error         // the heartbeat's error; nil if it succeeded
}

// Error implements error.
func (e *shortLeaseError) Error() string {
	return fmt.Sprintf("a heartbeat was answered after %v, which is too late for a lease of %v; use a lease of %v or more",
		e.answer.Round(time.Millisecond), e.lease, e.want)
}

// Unwrap returns the error of the heartbeat.
func (e *shortLeaseError) Unwrap() error { return e.err }

// tooShort reports whether err says that the lease can't be kept. If so it logs that,
// once per run.
func (r *run) tooShort(err error) bool {
	var short *shortLeaseError
	if !errors.As(err, &short) {
		return false
	}
	if delay, is := r.own.blamed(); is && delay > short.answer/2 {
		r.out.failed("register", fmt.Errorf("%w: %w", context.DeadlineExceeded, err))
		return true
	}
	if !r.toldShort {
		r.toldShort = true
		r.log.warn("the lease is too short for the connection to the broker; no task is taken until the lease is longer or the connection faster",
			"lease", short.lease, "answer", short.answer.Round(time.Millisecond), "want", short.want)
	}
	return true
}
