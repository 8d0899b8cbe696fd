package minion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// The settler of a session sends settlements to the broker in batches, one request at a
// time. While a request is under way, the next batch collects. So a single settlement is
// sent at once, and many share a request, without a timer. A batch is tried until the
// broker has answered: a short outage after a success must not make the task run again.
// An outage does not mean that the lease is lost; only the broker's answer tells that.

// add queues a settlement of a session.
func (r locked) add(s *session, st *broker.Settlement) {
	s.queue = append(s.queue, *st)
	r.unsettled++
	r.rouse(s)
}

// rouse wakes the settler of a session.
func (r locked) rouse(s *session) {
	if s.asleep {
		s.asleep = false
		s.wake <- struct{}{} // has room for one
	}
}

func (s *session) settler() {
	defer close(s.flushed)
	var batch []broker.Settlement
	for {
		batch = s.next(batch[:0])
		if len(batch) == 0 {
			return
		}
		if s.settle(batch) {
			clear(batch) // drop the references to tasks
		} else {
			batch = nil
		}
	}
}

// next waits for settlements and moves as many as fit in a request to batch. It returns
// none when there will be no more.
func (s *session) next(batch []broker.Settlement) []broker.Settlement {
	r := s.r
	for {
		l := r.lock()
		l.retryStuck(s, time.Now())
		n, bytes := 0, 0
		for i := range s.queue {
			bytes += len(s.queue[i].Outcome.Result) + 128
			for _, t := range s.queue[i].Submit {
				bytes += t.Size()
			}
			if n == broker.MaxBatch || n > 0 && bytes > broker.MaxBatchBytes {
				break
			}
			n++
		}
		if n > 0 {
			if n == len(s.queue) { // the usual case: swap the slices instead of copying
				batch, s.queue = s.queue, batch
			} else {
				batch = append(batch, s.queue[:n]...)
				rest := copy(s.queue, s.queue[n:])
				clear(s.queue[rest:])
				s.queue = s.queue[:rest]
			}
			l.unlock()
			return batch
		}
		if s.last && len(s.stuck) == 0 {
			l.unlock()
			return nil
		}
		s.asleep = true
		l.unlock()
		s.sleep()
	}
}

// settle returns when the broker has answered for the whole batch, or when settling is no
// longer tried. unread reports whether the memory of the batch can be used again: a
// request may still read it after the request's context has ended.
func (s *session) settle(batch []broker.Settlement) (unread bool) {
	r := s.r
	unread = true
	for try := 0; len(batch) > 0; try++ {
		ctx, cancel := context.WithTimeout(s.bg, s.lease)
		began := time.Now()
		errs, err := s.consumer.Settle(ctx, batch)
		took := time.Since(began)
		if err != nil && ctx.Err() != nil {
			unread, batch = false, slices.Clone(batch)
		}
		cancel()
		if err == nil && len(errs) != len(batch) {
			err = fmt.Errorf("the broker has answered %d of %d settlements", len(errs), len(batch))
		}
		pause := true
		switch {
		case err == nil:
			r.out.over("settle")
			n := len(batch)
			batch, pause = s.answered(batch, errs)
			s.settled(n - len(batch))
			s.requested(took)
			if s.keepStuck(batch, pause) {
				return unread
			}
		case errors.Is(err, broker.ErrClosed) || errors.Is(err, broker.ErrLeaseLost):
			s.lose(err)
			s.giveUp(batch, err)
			return unread
		case s.bg.Err() == nil:
			r.out.failed("settle", err)
		}
		if len(batch) > 0 && pause && !backoff.Sleep(s.bg, backoff.Delay(try, fastest, slowest)) {
			r.mu.Lock()
			r.dropped += started(batch)
			r.mu.Unlock()
			s.giveUp(batch, errors.Join(err, errors.New("the minion has stopped")))
			return unread
		}
	}
	return unread
}

// answered handles the broker's answers. It returns the settlements to try again, in the
// memory of batch, and whether to pause before that.
func (s *session) answered(batch []broker.Settlement, errs []error) (again []broker.Settlement, pause bool) {
	again = batch[:0]
	for i, err := range errs {
		if err == nil {
			s.r.trial.settled(batch[i].Delivery)
			continue
		}
		st := batch[i]
		switch {
		case errors.Is(err, broker.ErrLeaseLost):
			s.r.trial.settled(st.Delivery)
			s.r.lose(st.Delivery, st.Unstarted, "the broker says that the minion does not own the task any more")
		case errors.Is(err, broker.ErrInvalid):
			// A settlement that can't be stored is replaced by a failure that can be,
			// with the broker's error.
			if refused(&st) {
				s.r.trial.settled(st.Delivery)
				s.r.log.task(slog.LevelError, "task can't be settled", st.Delivery, "error", err)
				continue
			}
			st = s.r.failed(&st, fmt.Errorf("%w: %w", task.ErrBadResult, err))
			s.r.log.task(slog.LevelError, "task failed", st.Delivery, "error", err)
			again = append(again, st)
		default:
			again = append(again, st)
			pause = true
			s.r.out.inPart(st.Delivery.Queue, err)
		}
	}
	return again, pause
}

// refused reports whether a settlement is already the smallest possible one.
func refused(st *broker.Settlement) bool {
	return st.Verb == broker.VerbFinish && st.Outcome.State == broker.StateFailed &&
		len(st.Outcome.Result) == 0 && st.Outcome.Err != nil && st.Outcome.Err.Stack == ""
}

// failed returns a settlement of the same attempt as a failure.
func (r *run) failed(st *broker.Settlement, err error) broker.Settlement {
	o := st.Outcome
	o.State, o.Result, o.Err = broker.StateFailed, nil, task.NewFailure(err)
	d := st.Delivery
	o.Name, o.Attempts, o.Retried, o.Enqueued = d.Name, st.Starts(), d.Retried, d.Enqueued
	o.Codec = d.Codec
	if s := r.sealerOf(d.Codec); s != nil {
		if bad := seal.Outcome(s, d.ID, &o); bad != nil {
			r.log.failed(slog.LevelError, "the outcome of the task can't be sealed", d, bad)
		}
	}
	return broker.Settlement{Delivery: d, Verb: broker.VerbFinish, Unstarted: st.Unstarted, Outcome: o}
}

// requested notes how long a request has taken.
func (s *session) requested(took time.Duration) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.prefetched.requested(took)
}

// settled notes that n settlements need no more work.
func (s *session) settled(n int) {
	r := s.r
	l := r.lock()
	defer l.unlock()
	r.unsettled -= n
	l.changed()
}

// giveUp drops settlements that can't be stored.
func (s *session) giveUp(batch []broker.Settlement, err error) {
	for i := range batch {
		s.r.trial.settled(batch[i].Delivery)
		s.r.lose(batch[i].Delivery, batch[i].Unstarted, "it could not be stored", "error", err)
	}
	s.settled(len(batch))
}

// lose logs that a settlement was not stored. If no handler was started there is no
// result to drop: the broker hands the task out again.
func (r *run) lose(d *broker.Delivery, unstarted bool, why string, args ...any) {
	if unstarted {
		r.log.task(slog.LevelInfo, "a task that had not started could not be given back; the broker hands it out again: "+why, d, args...)
		return
	}
	r.log.task(slog.LevelWarn, "result dropped: "+why, d, args...)
}

// started counts the settlements of attempts whose handlers were started.
func started(batch []broker.Settlement) (n int) {
	for i := range batch {
		if !batch[i].Unstarted {
			n++
		}
	}
	return n
}
