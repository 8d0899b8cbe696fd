package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// begun runs f with a client whose broker takes a second for each Enqueue.
func begun(t *testing.T, f func(t *testing.T, c *client.Client)) {
	synctest.Test(t, func(t *testing.T) {
		b := &slow{Broker: memory.New()}
		defer func() { _ = b.Close() }()
		c := client.New(client.Config{Broker: b})
		defer func() { _ = c.Close() }()
		f(t, c)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := c.Sending(); n != 0 {
			t.Errorf("%d tasks are still being sent", n)
		}
	})
}

func newRequest() *request.Request { return request.New("t", codec.Arguments{}, nil) }

// Tasks that callers send one by one, and that share a request, have ids in one block.
func TestSentTogether(t *testing.T) {
	begun(t, func(t *testing.T, c *client.Client) {
		reqs := make([]*request.Request, 20)
		for i := range reqs {
			reqs[i] = newRequest()
			go func() {
				if err := c.Submit(t.Context(), reqs[i]); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		time.Sleep(5 * time.Second)
		for i, req := range reqs {
			id, want := req.ID(), reqs[1].ID()
			if want[15] = byte(i); i == 0 && id[15] != 0 || i > 0 && id != want {
				t.Errorf("task %d has id %s", i, id)
			}
		}
	})
}

// A caller that stops waiting during a request knows the ids of its tasks in that request, and
// only of these.
func TestLeft(t *testing.T) {
	begun(t, func(t *testing.T, c *client.Client) {
		first, sent, queued := newRequest(), newRequest(), newRequest()
		go func() { _ = c.Submit(t.Context(), first) }()
		time.Sleep(time.Millisecond)
		ctx, leave := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer leave()
		go func() {
			time.Sleep(1200 * time.Millisecond)
			err := c.Submit(ctx, queued)
			var sub *task.SubmitError
			if !errors.As(err, &sub) || !sub.Failed[0].ID.IsZero() || errors.Is(err, broker.ErrIndeterminate) {
				t.Errorf("the call that was not sent: %v", err)
			}
		}()
		err := c.Submit(ctx, sent)
		var sub *task.SubmitError
		if !errors.As(err, &sub) || sub.Failed[0].ID.IsZero() || !errors.Is(err, broker.ErrIndeterminate) {
			t.Errorf("the call that was sent: %v", err)
		}
		id := sent.ID()
		time.Sleep(5 * time.Second)
		for _, req := range []*request.Request{sent, queued} {
			if err := c.Submit(t.Context(), req); err != nil {
				t.Errorf("sent again: %v", err)
			}
		}
		if sent.ID() != id || queued.ID().IsZero() {
			t.Errorf("ids %s, before %s; and %s", sent.ID(), id, queued.ID())
		}
	})
}

// A call that several goroutines send at once is one task.
func TestSentBySeveral(t *testing.T) {
	begun(t, func(t *testing.T, c *client.Client) {
		go func() { _ = c.Submit(t.Context(), newRequest()) }()
		synctest.Wait()
		req := newRequest()
		for range 5 {
			go func() {
				if err := c.Submit(t.Context(), req, req); err != nil {
					t.Error(err)
				}
			}()
		}
		time.Sleep(5 * time.Second)
		if n := c.Entries(); n != 2 {
			t.Errorf("the client knows %d tasks, want 2", n)
		}
	})
}

// fickle is a call whose Request method panics once its record was made.
type fickle struct{ n int }

func (f *fickle) Request() *request.Request {
	if f.n++; f.n > 2 {
		panic("Request was called again")
	}
	return newRequest()
}

// The goroutine that sends for several callers does not call methods of users' types.
func TestFickleCall(t *testing.T) {
	begun(t, func(t *testing.T, c *client.Client) {
		go func() { _ = c.Submit(t.Context(), newRequest()) }()
		synctest.Wait()
		if err := c.Submit(t.Context(), new(fickle)); err != nil {
			t.Error(err)
		}
	})
}

// broken is a broker whose Enqueue panics.
type broken struct{ *memory.Broker }

func (*broken) Enqueue(context.Context, []*broker.Task) error { panic("broken") }

// If the broker panics, no task counts as being sent for ever.
func TestBrokenBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broken{memory.New()}
		defer func() { _ = b.Close() }()
		c := client.New(client.Config{Broker: b})
		defer func() { _ = c.Close() }()
		for range 2 {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("no panic")
					}
				}()
				_ = c.Submit(t.Context(), newRequest())
			}()
		}
		if n := c.Sending(); n != 0 {
			t.Errorf("%d tasks are still being sent", n)
		}
	})
}
