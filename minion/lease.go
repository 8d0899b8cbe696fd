package minion

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// marginOf returns how long before its end a lease counts as lost: handlers are
// told then, and shall have stopped when others may have their tasks.
func marginOf(lease time.Duration) time.Duration {
	return min(max(lease/6, 500*time.Millisecond), lease/4)
}

// line is how far away the broker is.
type line struct {
	renewal time.Duration // from when a heartbeat is sent until the lease is known to be renewed
	whole   time.Duration // until its request has ended
}

// keeps reports whether heartbeats over such a line keep a lease. The next one is
// sent after a third of the lease (see [broker.Consumer]), or when the one before
// has ended, and must have renewed the lease when the watchdog of the one before
// goes off.
func (l line) keeps(lease, every time.Duration) bool {
	return max(every, l.whole)+l.renewal < lease-marginOf(lease) && l.renewal < lease/answerPart
}

// leaseStep is how precise the advice about leases is.
const leaseStep = 100 * time.Millisecond

// shortest returns the shortest lease that can be kept over such a line.
func (l line) shortest() time.Duration {
	n := sort.Search(int(24*time.Hour/leaseStep), func(i int) bool {
		lease := time.Duration(i) * leaseStep
		return l.keeps(lease, lease/3)
	})
	return time.Duration(n) * leaseStep
}

// prove makes sure that a lease which took long to get is worth having. The lease
// counts from when the consumer was registered, as far as is known. If that is long
// ago a heartbeat tells whether the broker still grants it, and how far away the
// broker is. No task is taken before: it would be handed out again and again.
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
	l := line{whole: ended.Sub(began), renewal: ended.Sub(began)}
	if err == nil {
		r.mu.Lock()
		l.renewal = s.trip
		r.mu.Unlock()
	}
	short := &shortLease{lease: s.lease, answer: l.renewal, want: l.shortest(), err: err}
	switch {
	case parent.Err() != nil:
		return parent.Err()
	case errors.Is(err, broker.ErrLeaseLost): // it has ended before the heartbeat came to the broker
		if l.keeps(s.lease, s.every) { // so it was registering that took too long
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

// shortLease is the error of a lease that can't be kept.
type shortLease struct {
	lease  time.Duration
	answer time.Duration // how long a heartbeat took
	want   time.Duration // the shortest lease that works
	err    error         // of the heartbeat; nil if it succeeded
}

// Error implements error.
func (e *shortLease) Error() string {
	return fmt.Sprintf("a heartbeat was answered after %v, which is too late for a lease of %v; use a lease of %v or more",
		e.answer.Round(time.Millisecond), e.lease, e.want)
}

// Unwrap returns the error of the heartbeat.
func (e *shortLease) Unwrap() error { return e.err }

// tooShort reports whether err says that the lease can't be kept, and says so in the
// log, once in a run.
func (r *run) tooShort(err error) bool {
	var short *shortLease
	if !errors.As(err, &short) {
		return false
	}
	if delay, is := r.own.blamed(); is && delay > short.answer/2 {
		r.out.failed("register", fmt.Errorf("%w: %w", context.DeadlineExceeded, err))
		return true
	}
	if !r.toldShort {
		r.toldShort = true
		r.log.warn("the lease is too short for the line to the broker; no task is taken until a longer one is set or the line is faster",
			"lease", short.lease, "answer", short.answer.Round(time.Millisecond), "want", short.want)
	}
	return true
}
