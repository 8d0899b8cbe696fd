package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// some is a broker where tasks of queue "away" fail. A request takes a millisecond.
type some struct {
	mu       sync.Mutex
	back     time.Time // from then on tasks of queue "away" do not fail; zero is never
	requests int
	now      int         // requests under way
	most     int         // the maximum of now
	sent     []broker.ID // stored tasks of queue "away"
}

func (s *some) enqueue(_ context.Context, tasks []*broker.Task) error {
	s.mu.Lock()
	s.requests++
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	errs := make([]error, len(tasks))
	for i, t := range tasks {
		switch {
		case t.Queue != "away":
		case s.back.IsZero() || time.Now().Before(s.back):
			errs[i] = errAway
		default:
			s.sent = append(s.sent, t.ID)
		}
	}
	return broker.NewBatchError(errs)
}

func awayTasks(n int) []*broker.Task {
	list := tasks(n)
	for _, t := range list {
		t.Queue = "away"
	}
	return list
}

// Tasks that can't be stored hold up no other tasks, whether these come with them, before them
// or after them.
func TestSenderHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b some
		s := senderOn(b.enqueue)
		var wg sync.WaitGroup
		for i := range 10 * crowd {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Microsecond)
				began := time.Now()
				if i%3 == 0 {
					errs := s.send(t.Context(), awayTasks(1), began)
					if d := time.Since(began); errs == nil || !errors.Is(errs[0], broker.ErrUnavailable) || d < patience {
						t.Errorf("a task of the unreachable queue: %v after %v", errs, d)
					}
					return
				}
				if errs := s.send(t.Context(), tasks(1), began); errs != nil && errs[0] != nil {
					t.Errorf("send: %v", errs)
				}
				if d := time.Since(began); d > 3*time.Millisecond {
					t.Errorf("it took %v", d)
				}
			})
		}
		wg.Wait()
		s.close()
		if s.lanes != 0 || s.busy || len(s.again) > 0 {
			t.Errorf("%d lanes, %v, %d batches are left", s.lanes, s.busy, len(s.again))
		}
	})
}

// Open tasks of many callers are repeated together, and soon after the broker is back.
func TestSenderRepeatsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 200
		b := some{back: time.Now().Add(2 * time.Second)}
		s := senderOn(b.enqueue)
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				time.Sleep(time.Millisecond)
				if errs := s.send(t.Context(), awayTasks(1), time.Now()); errs == nil || errs[0] != nil {
					t.Errorf("send: %v", errs)
				}
				if d := time.Since(b.back); d > slowest/2 {
					t.Errorf("stored %v after the broker was back", d)
				}
			})
		}
		wg.Wait()
		if b.requests > 20 || b.most > maxLanes+1 || len(b.sent) != callers {
			t.Errorf("%d requests, %d at once, %d tasks stored", b.requests, b.most, len(b.sent))
		}
	})
}

// A new task is repeated soon even if others have been waiting for long, with long pauses.
func TestSenderRepeatsNewcomersSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		s := senderOn(func(_ context.Context, tasks []*broker.Task) error {
			errs := make([]error, len(tasks))
			for i, t := range tasks {
				if t.Queue == "away" || first {
					errs[i] = errAway
				}
				first = first && t.Queue == "away"
			}
			return broker.NewBatchError(errs)
		})
		var wg sync.WaitGroup
		wg.Go(func() { s.send(t.Context(), awayTasks(1), time.Now()) })
		time.Sleep(3 * time.Second)
		began := time.Now()
		if errs := s.send(t.Context(), tasks(1), began); errs == nil || errs[0] != nil {
			t.Errorf("send: %v", errs)
		}
		if d := time.Since(began); d > 2*fastest {
			t.Errorf("repeated after %v", d)
		}
		wg.Wait()
	})
}

// A caller whose ctx ends between two requests gets the result of the last one, and its tasks
// are not sent again.
func TestSenderLeavesRepetition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := some{back: time.Now().Add(time.Second)}
		s := senderOn(b.enqueue)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond/2)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			errs := s.send(ctx, awayTasks(1), time.Now())
			if errs == nil || !errors.Is(errs[0], broker.ErrUnavailable) || errors.Is(errs[0], broker.ErrIndeterminate) {
				t.Errorf("the caller that left: %v", errs)
			}
		})
		stays := awayTasks(1)
		wg.Go(func() {
			if errs := s.send(t.Context(), stays, time.Now()); errs == nil || errs[0] != nil {
				t.Errorf("the caller that stayed: %v", errs)
			}
		})
		wg.Wait()
		s.close()
		if len(b.sent) != 1 || b.sent[0] != stays[0].ID {
			t.Errorf("%v were sent, want %v alone", b.sent, stays[0].ID)
		}
	})
}

// Closing ends the repetitions, and every caller gets its result.
func TestSenderCloseEndsRepetitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b some
		s := senderOn(b.enqueue)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if errs := s.send(t.Context(), awayTasks(2), time.Now()); errs == nil || !errors.Is(errs[1], broker.ErrUnavailable) {
					t.Errorf("send: %v", errs)
				}
			})
		}
		time.Sleep(time.Second)
		began := time.Now()
		close(s.closing)
		s.close()
		wg.Wait()
		if d := time.Since(began); d > 2*time.Millisecond {
			t.Errorf("close took %v", d)
		}
	})
}

// Large batches are repeated in requests of at most MaxBatch tasks.
func TestSenderBoundsRepetitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		s := senderOn(func(_ context.Context, tasks []*broker.Task) error {
			if calls.Add(1) <= 8 {
				return errAway
			}
			if len(tasks) > broker.MaxBatch {
				return fmt.Errorf("%w: %d tasks", broker.ErrInvalid, len(tasks))
			}
			return nil
		})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if errs := s.send(t.Context(), tasks(400), time.Now()); errs == nil || errs[0] != nil || errs[399] != nil {
					t.Errorf("send: %v", errs[:1])
				}
			})
		}
		wg.Wait()
	})
}

// Callers wait for about their patience, even if repetitions hang and many tasks are open.
func TestSenderKeepsPatience(t *testing.T) {
	const hang = 3 * time.Second
	for _, size := range []int{1000, 200} {
		synctest.Test(t, func(t *testing.T) {
			var first atomic.Bool
			first.Store(true)
			s := senderOn(func(context.Context, []*broker.Task) error {
				if !first.Load() {
					time.Sleep(hang)
				}
				return errAway
			})
			time.AfterFunc(time.Millisecond, func() { first.Store(false) })
			var wg sync.WaitGroup
			for range 30 {
				wg.Go(func() {
					began := time.Now()
					s.send(t.Context(), tasks(size), began)
					if d := time.Since(began); d < patience || d > patience+2*hang+slowest {
						t.Errorf("a submission of %d tasks took %v", size, d)
					}
				})
			}
			wg.Wait()
		})
	}
}

// New tasks do not cause waiting tasks to be sent more often.
func TestSenderKeepsPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int32
		s := senderOn(func(_ context.Context, tasks []*broker.Task) error {
			sent.Add(int32(len(tasks)))
			time.Sleep(200 * time.Microsecond)
			return errAway
		})
		var wg sync.WaitGroup
		const waiting, newcomers = 500, 250
		for i := range waiting + newcomers {
			wg.Go(func() {
				time.Sleep(time.Duration(max(i-waiting, 0)) * 20 * time.Millisecond)
				s.send(t.Context(), tasks(1), time.Now())
			})
		}
		wg.Wait()
		if n := sent.Load() / (waiting + newcomers); n > 16 {
			t.Errorf("a task was sent %d times on average", n)
		}
	})
}

// After its caller has left during a repetition, a task is not sent again. The caller gets the
// results that were known by then.
func TestSenderLeavesRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var last time.Duration
		requests := 0
		s := senderOn(func(context.Context, []*broker.Task) error {
			requests++
			last = time.Since(began)
			if requests == 1 {
				return broker.NewBatchError([]error{nil, broker.ErrInvalid, errAway})
			}
			time.Sleep(300 * time.Millisecond)
			return errAway
		})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		errs := s.send(ctx, tasks(3), began)
		if errs[0] != nil || !errors.Is(errs[1], broker.ErrInvalid) || errors.Is(errs[1], broker.ErrIndeterminate) {
			t.Errorf("tasks with a known result: %v", errs)
		}
		if !errors.Is(errs[2], broker.ErrIndeterminate) || !errors.Is(errs[2], context.DeadlineExceeded) {
			t.Errorf("a task in the request: %v", errs)
		}
		s.close()
		if requests != 2 || last > 200*time.Millisecond {
			t.Errorf("%d requests, the last one after %v", requests, last)
		}
	})
}

// No request is sent once closing has begun, even if a repetition is overdue.
func TestSenderCloseIsTheEnd(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			var closed atomic.Bool
			s := senderOn(func(context.Context, []*broker.Task) error {
				if closed.Load() {
					t.Error("a request after closing")
				}
				time.Sleep(time.Second)
				return errAway
			})
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() { s.send(t.Context(), tasks(soloTasks-1), time.Now()) })
			}
			time.Sleep(2500 * time.Millisecond)
			closed.Store(true)
			close(s.closing)
			s.close()
			wg.Wait()
		})
	}
}
