package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

func tasks(n int) []*broker.Task {
	list := make([]*broker.Task, n)
	for i := range list {
		list[i] = &broker.Task{ID: broker.NewID(broker.KindTask, "q", 0), Name: "t", Queue: "q"}
	}
	return list
}

func senderOn(f func(context.Context, []*broker.Task) error) *sender {
	return newSender(context.Background(), make(chan struct{}), broker.ErrClosed, f)
}

var (
	errAway = fmt.Errorf("%w: away", broker.ErrUnavailable)
	errLost = fmt.Errorf("%w: %w", broker.ErrUnavailable, broker.ErrIndeterminate)
)

// counter records the requests of a sender. Each takes a millisecond.
type counter struct {
	mu    sync.Mutex
	sizes []int
	now   int // requests under way
	most  int // the maximum of now
}

func (c *counter) enqueue(_ context.Context, tasks []*broker.Task) error {
	c.mu.Lock()
	c.sizes = append(c.sizes, len(tasks))
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	time.Sleep(time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	return nil
}

// sendEach lets that many callers send one task each at the same time.
func (c *counter) sendEach(t *testing.T, callers int) {
	s := senderOn(c.enqueue)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if errs := s.send(t.Context(), tasks(1), time.Now()); errs != nil {
				t.Errorf("send: %v", errs)
			}
		})
	}
	wg.Wait()
	s.close()
	if s.lanes != 0 {
		t.Errorf("%d lanes are still busy", s.lanes)
	}
}

// While the first request is under way, the other callers queue up, and one more request takes
// all of them.
func TestSenderGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counter
		c.sendEach(t, crowd)
		if !slices.Equal(c.sizes, []int{1, crowd - 1}) || c.most != 1 {
			t.Errorf("requests of %v tasks, %d at once, want one of 1 and then one of %d", c.sizes, c.most, crowd-1)
		}
	})
}

// If many callers wait, a second request is sent beside the first one, and never a third.
func TestSenderCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counter
		const callers = 5 * crowd
		c.sendEach(t, callers)
		sum := 0
		for _, n := range c.sizes {
			sum += n
		}
		if c.most != maxLanes || sum != callers || len(c.sizes) > 5 {
			t.Errorf("requests of %v tasks, %d at once, want %d tasks in at most 5, %d at once", c.sizes, c.most, callers, maxLanes)
		}
	})
}

func TestSenderBoundsItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counter
		s := senderOn(c.enqueue)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { s.send(t.Context(), tasks(100), time.Now()) })
		}
		wg.Wait()
		sum := 0
		for _, n := range c.sizes {
			sum += n
			if n > broker.MaxBatch {
				t.Errorf("a request of %d tasks", n)
			}
		}
		if sum != 5000 {
			t.Errorf("%d tasks were sent, want 5000", sum)
		}
	})
}

func TestSenderBoundsBytes(t *testing.T) {
	s := senderOn(nil)
	for range 10 {
		s.queue = append(s.queue, &batch{tasks: tasks(1), bytes: broker.MaxBatchBytes/4 + 1})
	}
	for len(s.queue) > 0 {
		if n := len(s.gather()); n > 3 {
			t.Fatalf("%d batches in a request, which is too many bytes", n)
		}
	}
}

// A large submission is sent alone, and does not wait for others.
func TestSenderSolo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		s := senderOn(func(_ context.Context, tasks []*broker.Task) error {
			if len(tasks) == 1 {
				<-block
			}
			return nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { s.send(t.Context(), tasks(1), time.Now()) })
		synctest.Wait()
		if errs := s.send(t.Context(), tasks(soloTasks), time.Now()); errs != nil {
			t.Error(errs)
		}
		close(block)
		wg.Wait()
	})
}

func TestSenderRetries(t *testing.T) {
	for _, c := range []struct {
		name  string
		reply []error
		want  error
		calls int
	}{
		{"away for a moment", []error{errAway, errAway, nil}, nil, 3},
		{"reply lost", []error{errLost, nil}, nil, 2},
		{"refused", []error{broker.ErrTooLarge}, broker.ErrInvalid, 1},
		{"closed", []error{broker.ErrClosed}, broker.ErrClosed, 1},
		{"lost, then away for long", []error{errLost, errAway}, broker.ErrIndeterminate, 0},
		{"lost, then refused", []error{errLost, broker.ErrInvalid}, broker.ErrInvalid, 2},
		{"away for long", []error{errAway}, broker.ErrUnavailable, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				s := senderOn(func(context.Context, []*broker.Task) error {
					calls++
					return c.reply[min(calls, len(c.reply))-1]
				})
				began := time.Now()
				errs := s.send(t.Context(), tasks(1), time.Now())
				if c.want == nil && errs != nil && errs[0] != nil {
					t.Errorf("send: %v", errs[0])
				}
				if c.want != nil && (errs == nil || !errors.Is(errs[0], c.want)) {
					t.Errorf("send: %v, want %v", errs, c.want)
				}
				if c.calls > 0 && calls != c.calls {
					t.Errorf("%d requests, want %d", calls, c.calls)
				}
				if d := time.Since(began); c.calls == 0 && (d < patience || d > patience+slowest) {
					t.Errorf("gave up after %v, want about %v", d, patience)
				}
			})
		})
	}
}

// Only those tasks of a batch that may succeed are sent again.
func TestSenderRetriesParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		s := senderOn(func(_ context.Context, tasks []*broker.Task) error {
			sizes = append(sizes, len(tasks))
			if len(sizes) == 1 {
				return broker.NewBatchError([]error{nil, errLost, broker.ErrInvalid})
			}
			return nil
		})
		errs := s.send(t.Context(), tasks(3), time.Now())
		if len(sizes) != 2 || sizes[1] != 1 {
			t.Errorf("requests of %v tasks, want 3 and 1", sizes)
		}
		if errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], broker.ErrInvalid) {
			t.Errorf("errors %v", errs)
		}
	})
}

// The end of one caller's ctx does not cancel a request that has tasks of other callers.
func TestSenderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := make(chan struct{})
		n := 0
		s := senderOn(func(_ context.Context, tasks []*broker.Task) error {
			<-step
			n += len(tasks)
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.send(t.Context(), tasks(1), time.Now()) })
		synctest.Wait()
		var queued, taken, stays []error
		short, cancelShort := context.WithCancel(t.Context())
		wg.Go(func() { queued = s.send(short, tasks(1), time.Now()) })
		wg.Go(func() { taken = s.send(ctx, tasks(1), time.Now()) })
		wg.Go(func() { stays = s.send(t.Context(), tasks(1), time.Now()) })
		synctest.Wait()
		cancelShort()
		synctest.Wait()
		if queued == nil || errors.Is(queued[0], broker.ErrIndeterminate) || !errors.Is(queued[0], context.Canceled) {
			t.Errorf("left before it was sent: %v, want that it was not sent", queued)
		}
		step <- struct{}{} // ends the first request; the next one holds the two other tasks
		synctest.Wait()
		cancel()
		synctest.Wait()
		if taken == nil || !errors.Is(taken[0], broker.ErrIndeterminate) || !errors.Is(taken[0], context.Canceled) {
			t.Errorf("left while it was sent: %v, want that it is unknown", taken)
		}
		step <- struct{}{}
		wg.Wait()
		s.close()
		if stays != nil {
			t.Errorf("the caller that stayed: %v", stays)
		}
		if n != 3 {
			t.Errorf("%d tasks were sent, want 3", n)
		}
	})
}

// The request of a lone caller ends with the caller's ctx.
func TestSenderAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := senderOn(func(ctx context.Context, _ []*broker.Task) error {
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		errs := s.send(ctx, tasks(1), time.Now())
		if errs == nil || !errors.Is(errs[0], broker.ErrIndeterminate) || !errors.Is(errs[0], context.DeadlineExceeded) {
			t.Errorf("send: %v, want that it is unknown, by the end of ctx", errs)
		}
	})
}

func TestSenderClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := make(chan struct{})
		s := senderOn(func(context.Context, []*broker.Task) error { <-step; return nil })
		var wg sync.WaitGroup
		var a, b []error
		wg.Go(func() { a = s.send(t.Context(), tasks(1), time.Now()) })
		synctest.Wait()
		wg.Go(func() { b = s.send(t.Context(), tasks(1), time.Now()) })
		synctest.Wait()
		closed := false
		wg.Go(func() { s.close(); closed = true })
		synctest.Wait()
		if closed {
			t.Error("close did not wait for the request under way")
		}
		if errs := s.send(t.Context(), tasks(1), time.Now()); errs == nil || !errors.Is(errs[0], broker.ErrClosed) {
			t.Errorf("send after close: %v", errs)
		}
		close(step)
		wg.Wait()
		if a != nil || b != nil {
			t.Errorf("tasks that were sent before close: %v, %v", a, b)
		}
	})
}
