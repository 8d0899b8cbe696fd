package task_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/task"
)

// panicsOnce is a submitter whose first wait panics.
type panicsOnce struct {
	task.Submitter
	waits    chan struct{} // receives when the first wait has begun; a value sent back makes it panic
	panicked bool
}

func (s *panicsOnce) Await(_ context.Context, _ task.ID, into any) error {
	if !s.panicked {
		s.panicked = true
		s.waits <- struct{}{}
		<-s.waits
		panic("stumbled")
	}
	*into.(*int) = 1
	return nil
}

// If a wait for a future panics, other waits for the same future still get the result.
func TestFuturePanic(t *testing.T) {
	s := &panicsOnce{waits: make(chan struct{})}
	fut := task.NewFuture[int](s, task.ID{})
	panicked := make(chan any)
	go func() {
		defer func() { panicked <- recover() }()
		_, _ = fut.Result(context.Background())
	}()
	<-s.waits
	s.waits <- struct{}{}
	if p := <-panicked; p != "stumbled" {
		t.Fatalf("the wait panicked with %v, want stumbled", p)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if n, err := fut.Result(ctx); n != 1 || err != nil {
		t.Errorf("the second wait returned %d, %v; want 1", n, err)
	}
}
